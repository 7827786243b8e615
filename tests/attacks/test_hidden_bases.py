"""A file that hides an image: what a builder or a cluster would pull is found, or the file is refused; never passed.

Nothing is pinned here, so every image that is found is refused before the network (TRUST 5.3); only what is harmless
may pass, to show that the rest doesn't fail for another reason.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service import Result, run

EVIL = "evil.example/x:1"
D, Y = "Dockerfile", "x.yaml"
POD_IN_BRACES = "apiVersion: v1, kind: Pod, spec: {containers"
POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n"
VOLUMES, BUILD = "services: {a: {volumes:", "services: {a: {build: {context: .,"

HIDDEN: list[tuple[str, str, str]] = [
    ("behind a zero byte, at which C strings end", D, f"FROM scratch\n# \0\nFROM {EVIL}\n"),
    ("behind a here-document that has ended", D, f"FROM scratch\nRUN <<A\nA\nFROM {EVIL}\n"),
    ("behind a here-document whose end is indented by a blank", D, f"FROM scratch\nRUN <<-A\n A\n\tA\nFROM {EVIL}\n"),
    ("behind what only looks like a here-document", D, f"FROM scratch\nLABEL a='<<A'\nFROM {EVIL}\n"),
    ("by another escape character", D, f"# escape=`\nFROM scratch\nRUN x \\\nFROM {EVIL}\n"),
    ("by an escape directive that is none", D, f"# x\n# escape=`\nFROM scratch\nRUN x `\nFROM {EVIL}\n"),
    ("over several lines", D, "FROM \\\n# c\n\n  evil.exam\\\nple/x:1\n"),
    ("in lower case", D, f"from {EVIL}\n"),
    ("behind a tab and a vertical one", D, f"\t\vFROM\t{EVIL}\n"),
    ("by a stage that isn't there yet", D, "FROM later\nFROM scratch AS later\n"),
    ("by a stage that is itself", D, "FROM self AS self\n"),
    ("by a stage's name with a tag", D, "FROM scratch AS a\nFROM a:latest\n"),
    ("by a stage that comes after who copies from it", D, "FROM scratch\nCOPY --from=a x y\nFROM scratch AS a\n"),
    ("as the frontend", D, f"#syntax={EVIL}\nFROM scratch\n"),
    ("as the frontend of another comment", D, f"//syntax={EVIL}\nFROM scratch\n"),
    ("as the frontend after #!", D, f"#!x\n#syntax={EVIL}\nFROM scratch\n"),
    ("as the frontend in JSON", D, f'{{"syntax": "{EVIL}"}}'),
    ("in a flag without =", D, f"FROM scratch\nCOPY --from {EVIL} x y\n"),
    ("in a quoted flag", D, f'FROM scratch\nCOPY "--from={EVIL}" --from="{EVIL}" x y\nCOPY --from="{EVIL}" x y\n'),
    ("in a mount's second word", D, f"FROM scratch\nRUN --mount=type=bind,Target=/x,From={EVIL} x\n"),
    ("for the builds on top", D, f"FROM scratch\nONBUILD COPY --from={EVIL} x y\n"),
    ("for the builds on top, under a stage's name", D, "FROM scratch AS evil\nONBUILD COPY --from=evil x y\n"),
    ("in the default of an empty value", D, f"ARG A=\nFROM ${{A:-{EVIL}}}\n"),
    ("in a value that a later line sets", D, f"ARG A=scratch\nARG A={EVIL}\nFROM $A\n"),
    ("in a second document", Y, f"{POD}  - {{}}\n---\n{POD}  - {{image: {EVIL}}}\n"),
    ("in a container of another kind", Y, f"{POD}  - {{}}\n  ephemeralContainers: [{{image: {EVIL}}}]\n"),
    ("in a List", Y, f"{{apiVersion: v1, kind: PodList, items: [{{{POD_IN_BRACES}: [{{image: {EVIL}}}]}}}}]}}"),
    ("behind a merge key", Y, f"x: &x {{image: {EVIL}}}\nservices: {{a: {{<<: *x}}}}\n"),
    ("under a key that stands twice", Y, f"{POD}  - {{image: {EVIL}, image: a}}\n"),
    ("as a volume", Y, f"{POD}  - {{}}\n  volumes: [{{image: {{reference: {EVIL}}}}}]\n"),
    ("in an inline Dockerfile", Y, f"services: {{a: {{build: {{dockerfile_inline: 'FROM {EVIL}'}}}}}}\n"),
    (
        "in a context",
        Y,
        f"services:\n  a:\n    build:\n      dockerfile_inline: FROM b\n      additional_contexts: ['b=docker-image://{EVIL}']",
    ),
    ("under a key in base64", Y, f"{POD}  - {{!!binary aW1hZ2U=: {EVIL}}}\n"),
    ("beside a build, before which it is pulled", Y, f"services: {{a: {{image: {EVIL}, build: .}}}}\n"),
    ("beside a build that is none", Y, f"services: {{a: {{image: {EVIL}, build: , pull_policy: build}}}}\n"),
    (
        "beside a build that is taken back",
        Y,
        f"services: {{a: {{image: {EVIL}, build: !reset null, pull_policy: build}}}}\n",
    ),
    ("as a volume by a variable", Y, f"{VOLUMES} [{{type: '${{T:-image}}', source: {EVIL}}}]}}}}\n"),
    (
        "in a context by a variable",
        Y,
        f"{BUILD} additional_contexts: {{b: '${{P:-docker}}-image://{EVIL}'}}}}}}}}\n",
    ),
    (
        "in a list of contexts by a variable",
        Y,
        f"{BUILD} additional_contexts: ['b=${{P:-docker}}-image://{EVIL}']}}}}}}\n",
    ),
    ("as the frontend of another file's build", Y, f"{BUILD} args: {{BUILDKIT_SYNTAX: {EVIL}}}}}}}}}\n"),
    ("as a cache", Y, f"{BUILD} cache_from: [{EVIL}]}}}}}}\n"),
    ("as what lists what is inside", Y, f"{BUILD} sbom: generator={EVIL}}}}}}}\n"),
    ("as the builder's own lister of what is inside", Y, f"{BUILD} sbom: true}}}}}}\n"),
    ("as a model", Y, f"services: {{}}\nmodels: {{llm: {{model: {EVIL}}}}}\n"),
    ("as a model whose place is no registry's", Y, "services: {}\nmodels: {llm: {model: hf.co/A/B-GGUF}}\n"),
    ("as the second one of two listers", Y, f"{BUILD} sbom: 'generator=a,generator={EVIL}'}}}}}}\n"),
    ("as a cache in the long form", Y, f"{BUILD} cache_from: ['type=registry,ref={EVIL}']}}}}}}\n"),
]

HARMLESS: list[tuple[str, str, str]] = [
    (
        "a Dockerfile",
        D,
        f"FROM scratch AS a\nRUN <<A\nFROM {EVIL}\nA\nFROM a\nLABEL x='FROM {EVIL}'\n# FROM {EVIL}\n",
    ),
    ("a compose file", Y, f"services: {{a: {{image: {EVIL}, build: ., pull_policy: build}}}}\n"),
    ("a service that is never pulled", Y, f"services: {{a: {{image: {EVIL}, build: ., pull_policy: never}}}}\n"),
    ("a service that extends another of its file", Y, "services: {a: {extends: {service: b}}, b: {extends: a}}\n"),
    (
        "other volumes, contexts and caches",
        Y,
        f"{BUILD} additional_contexts: [b=x], cache_from: [type=gha], sbom: false}}}}}}\n",
    ),
    ("a manifest", Y, f"apiVersion: v1\nkind: ConfigMap\ndata: {{image: {EVIL}}}\n"),
]


def _check(folder: Path, name: str, text: str) -> int:
    file = folder / name
    file.write_text(text)
    home = {"TRUSTKIT_HOME": str(folder / "home"), "DOCKER_CONFIG": str(folder / "docker")}
    return run(["resolve", "--check", "--these-only", str(file)], home).status


@pytest.mark.parametrize(("name", "text"), [row[1:] for row in HIDDEN], ids=[row[0] for row in HIDDEN])
def test_what_is_pulled_is_found_or_the_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    assert _check(tmp_path, name, text) in (1, 3)


@pytest.mark.parametrize(("name", "text"), [row[1:] for row in HARMLESS], ids=[row[0] for row in HARMLESS])
def test_what_is_not_pulled_passes(tmp_path: Path, name: str, text: str) -> None:
    assert _check(tmp_path, name, text) == 0


OTHERS = [
    ("included", "include: [sub/other.yaml]\n"),
    ("included in the long form", "include: [{path: sub/other.yaml}]\n"),
    ("included as one of several", "include: [{path: [x.yaml, sub/other.yaml]}]\n"),
    ("included by a variable", "include: ['${V:-sub}/other.yaml']\n"),
    ("extended", "services: {a: {extends: {file: sub/other.yaml, service: a}}}\n"),
    ("extended by a variable", "services: {a: {extends: {file: '${V:-sub}/other.yaml', service: a}}}\n"),
]
ELSEWHERE = [
    ("from a repository", "include: ['https://evil.example/x.git']\n"),
    ("from a repository by ssh", "include: ['git@evil.example:x.git']\n"),
    ("from a registry", "include: [{path: 'oci://evil.example/x:1'}]\n"),
    ("with variables of its own", "include: [{path: x.yaml, env_file: other.env}]\n"),
    ("with a folder of its own", "include: [{path: x.yaml, project_directory: other}]\n"),
    ("in a form that isn't known", "include: [[x.yaml]]\n"),
    ("not as a list", "include: {path: x.yaml}\n"),
    ("extended from a registry", "services: {a: {extends: {file: 'oci://evil.example/x', service: a}}}\n"),
]


@pytest.mark.parametrize("text", [row[1] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_another_file_has_to_be_given_too(tmp_path: Path, text: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "x.yaml").write_text(text)
    (tmp_path / "sub" / "other.yaml").write_text("services: {}\n")
    home = {"TRUSTKIT_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker")}
    files = [str(tmp_path / "x.yaml"), str(tmp_path / "sub" / ".." / "sub" / "other.yaml")]
    assert run(["resolve", "--check", files[0]], home).status == 1
    assert run(["resolve", "--check", *files], home).status == 0
    (tmp_path / ".env").write_text("W=1\n")
    said = run(["resolve", "--check", *files], home)
    assert (said.status, "--env-file" in said.err) == (1, True), "its variables are those of both folders"
    assert run(["resolve", "--check", "--env-file", str(tmp_path / ".env"), *files], home).status == 0
    (tmp_path / "sub" / ".env").write_text("V=x\n")
    assert run(["resolve", "--check", "--env-file", str(tmp_path / ".env"), *files], home).status == 1


@pytest.mark.parametrize("text", [row[1] for row in ELSEWHERE], ids=[row[0] for row in ELSEWHERE])
def test_another_file_that_is_not_here_is_refused(tmp_path: Path, text: str) -> None:
    assert _check(tmp_path, Y, text) == 1


ARGUED = [
    ("in the base", "ARG BASE=scratch\nFROM $BASE\n", "BASE=scratch"),
    ("in a part of the base", "ARG HOST=\nFROM ${HOST:-scratch}\n", "HOST="),
    ("where it needs a value", "ARG BASE\nFROM $BASE\n", "BASE=scratch"),
]


@pytest.mark.parametrize(("text", "said"), [row[1:] for row in ARGUED], ids=[row[0] for row in ARGUED])
def test_an_argument_of_a_service_says_no_other_base_than_its_dockerfile(
    tmp_path: Path, text: str, said: str
) -> None:
    """Both files may be given, and each says nothing wrong by itself."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / D).write_text(text)
    name = said.partition("=")[0]
    home = {"TRUSTKIT_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker")}

    def check(args: str, *more: str) -> Result:
        (tmp_path / Y).write_text(f"services: {{a: {{build: {{context: app, args: {args}}}}}}}\n")
        return run(["resolve", "--check", str(tmp_path / Y), str(tmp_path / "app" / D), *more], home)

    refused = check(f"{{{name}: {EVIL}}}", *(["--build-arg", said] if "needs" in text else []))
    assert (refused.status, refused.slug) == (1, "build-file-invalid")
    assert check(f"['{name}={EVIL}']", "--build-arg", f"{name}={EVIL}").status == 3, "found where it is"
    assert check("{OTHER: x}", "--build-arg", said).status == 0
    assert check(f"['{said}']", "--build-arg", said).status == 0


ENV_FILES: list[tuple[str, str]] = [
    ("by a variable of a variable", "B=evil.example\nV=${B}/x:1\n"),
    ("as readers other than ours have it", f"V: {EVIL}\n"),
    ("in double quotes with an escape", 'V="evil.example\\/x:1"\n'),
    ("behind a quote that ends elsewhere", f"A='\\'\nV={EVIL}\nB='\n"),
    ("behind a quote that ends lines later", f'A="\nV={EVIL}\n"\n'),
    ("as it is", f"export V = '{EVIL}' # v\n"),
]


@pytest.mark.parametrize("text", [row[1] for row in ENV_FILES], ids=[row[0] for row in ENV_FILES])
def test_a_variable_of_a_file_is_no_default(tmp_path: Path, text: str) -> None:
    """Where ``V`` were taken to be ``build``, this file would name no image."""
    (tmp_path / ".env").write_text(text)
    composed = "services: {a: {image: x, build: ., pull_policy: '${V:-build}'}}\n"
    assert _check(tmp_path, Y, composed) in (1, 3)
