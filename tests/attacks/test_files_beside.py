"""Who may push puts a file beside one that CI checks, and compose or a builder reads that one, too, or in its place.

Nothing is pinned here: an image that is found is refused before the network (status 3), a file that is missing among
those given with 1.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.service import Result, run

EVIL = "evil.example/x:1"
SERVICES, BUILT = "services: {}\n", "services: {a: {build: .}}\n"
EMPTY, UNSIGNED = "FROM scratch\n", f"FROM {EVIL}\n"
HARM = f"services: {{a: {{image: {EVIL}}}}}\n"


def check(folder: Path, *words: str, **environ: str) -> Result:
    home = {"TRUSTKIT_HOME": str(folder / "home"), "DOCKER_CONFIG": str(folder / "docker"), **environ}
    return run(["resolve", "--check", *(str(folder / each) if each[0] != "-" else each for each in words)], home)


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


BESIDE: list[tuple[str, dict[str, str], str]] = [
    ("an override", {"compose.yaml": SERVICES}, "compose.override.yaml"),
    ("an override by its former name", {"docker-compose.yml": SERVICES}, "docker-compose.override.yml"),
    ("a file that comes first", {"docker-compose.yml": SERVICES}, "compose.yaml"),
    ("a file that another tool reads as well", {"compose.yaml": SERVICES}, "container-compose.yml"),
    ("the Dockerfile of a build", {"x.yaml": BUILT}, "Dockerfile"),
    ("the Dockerfile of a build elsewhere", {"x.yaml": "services: {a: {build: sub}}\n"}, "sub/Dockerfile"),
    (
        "a Dockerfile by a variable",
        {"x.yaml": "services: {a: {build: {context: ., dockerfile: '${D:-my}.Dockerfile'}}}\n"},
        "my.Dockerfile",
    ),
    ("what podman takes for a build", {"x.yaml": BUILT, "Dockerfile": EMPTY}, "Containerfile"),
    ("what docker takes where there is no other", {"x.yaml": BUILT, "Dockerfile": EMPTY}, "dockerfile"),
    ("what podman takes in place of a Dockerfile", {"Dockerfile": EMPTY}, "Containerfile"),
]


@pytest.mark.parametrize(("harmless", "evil"), [row[1:] for row in BESIDE], ids=[row[0] for row in BESIDE])
def test_what_is_read_along_has_to_be_given_too(tmp_path: Path, harmless: dict[str, str], evil: str) -> None:
    put(tmp_path, {**harmless, evil: UNSIGNED if "file" in evil.lower() else HARM})
    refused = check(tmp_path, *harmless)
    assert (refused.status, refused.slug) == (1, "build-file-invalid")
    assert str(tmp_path / evil) in refused.err, "it says which one"
    assert check(tmp_path, *harmless, evil).status == 3, "given, it is read"
    assert check(tmp_path, "--these-only", *harmless).status == 0, "whoever says so has it as before"
    put(tmp_path, {evil: EMPTY if "file" in evil.lower() else SERVICES})
    assert check(tmp_path, *harmless, evil).status == 0


def test_a_link_to_what_is_given_is_not_another_file(tmp_path: Path) -> None:
    put(tmp_path, {"Dockerfile": EMPTY, "x.yaml": BUILT})
    (tmp_path / "Containerfile").symlink_to("Dockerfile")
    assert check(tmp_path, "Dockerfile", "x.yaml").status == 0


def test_a_build_from_a_repository_is_nothing_that_was_read(tmp_path: Path) -> None:
    put(tmp_path, {"x.yaml": "services: {a: {build: 'https://evil.example/x.git'}}\n"})
    assert check(tmp_path, "x.yaml").status == 1


LISTED = [
    ("beside", "COMPOSE_FILE=x.yaml:evil.yaml\n"),
    ("elsewhere", "COMPOSE_FILE=../evil.yaml\n"),
    ("by another divider", "COMPOSE_FILE=x.yaml,evil.yaml\nCOMPOSE_PATH_SEPARATOR=,\n"),
    ("by a variable", "A=evil\nCOMPOSE_FILE=x.yaml:${A}.yaml\n"),
    ("from a registry", "COMPOSE_FILE=oci://evil.example/x\n"),
]


@pytest.mark.parametrize("text", [row[1] for row in LISTED], ids=[row[0] for row in LISTED])
def test_a_file_that_env_adds_has_to_be_given_too(tmp_path: Path, text: str) -> None:
    put(tmp_path, {"x.yaml": SERVICES, "evil.yaml": HARM, ".env": text})
    refused = check(tmp_path, "x.yaml")
    assert (refused.status, "COMPOSE_FILE" in refused.err) == (1, True)


def test_files_that_are_listed_and_given(tmp_path: Path) -> None:
    put(tmp_path, {"x.yaml": SERVICES, "y.yaml": SERVICES})
    assert check(tmp_path, "x.yaml", COMPOSE_FILE="x.yaml:y.yaml").status == 1
    assert check(tmp_path, "x.yaml", "y.yaml", COMPOSE_FILE="x.yaml:y.yaml").status == 0
    assert check(tmp_path, "--these-only", "x.yaml", COMPOSE_FILE="x.yaml:y.yaml").status == 0


@pytest.mark.parametrize("name", ["COMPOSE_ENV_FILES", "COMPOSE_DISABLE_ENV_FILE"])
def test_variables_from_elsewhere_are_said(tmp_path: Path, name: str) -> None:
    """Who writes ``.env`` and the default of a variable shows one image here and has compose pull the other."""
    put(
        tmp_path,
        {"x.yaml": "services: {a: {image: '${A:-evil.example/x:1}', build: .}}\n", ".env": "A=good.example/x:1\n"},
    )
    assert check(tmp_path, "x.yaml", **{name: "1"}).status == 2
    named = run(
        ["resolve", "--check", "--these-only", "--env-file", "/dev/null", str(tmp_path / "x.yaml")],
        {"TRUSTKIT_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker"), name: "1"},
    )
    assert named.status in (1, 3)
    put(tmp_path, {"Dockerfile": EMPTY})
    assert check(tmp_path, "Dockerfile", **{name: "1"}).status == 0, "no compose file, no variables"


def test_an_env_that_never_ends_or_never_comes_holds_nobody_up(tmp_path: Path) -> None:
    put(tmp_path, {"x.yaml": SERVICES})
    (tmp_path / ".env").symlink_to("/dev/zero")
    assert check(tmp_path, "x.yaml").status == 1
    (tmp_path / ".env").unlink()
    os.mkfifo(tmp_path / ".env")
    assert check(tmp_path, "x.yaml").status == 1


@pytest.mark.parametrize("kind", ["Kustomization", "Component"])
def test_kustomize_puts_in_images_that_no_manifest_names(tmp_path: Path, kind: str) -> None:
    images = "images: [{name: app, newName: evil.example/x, newTag: '1'}]"
    put(tmp_path, {"k.yaml": f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: {kind}\n{images}\n"})
    refused = check(tmp_path, "k.yaml")
    assert (refused.status, "kubectl kustomize" in refused.err) == (1, True)
