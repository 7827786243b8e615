"""compose files and Kubernetes manifests: which images they name, what is left alone, what is refused."""

from __future__ import annotations

import pytest

from tests.builds.reads import pin, reading, refs, short
from trustkit.builds.dotenv import read_dotenv
from trustkit.builds.read import FileKind, kind_by_name, read
from trustkit.builds.source import Source
from trustkit.errors import BuildFileInvalid, CannotPin, UsageError

HUB = "docker.io/library"
C, K = FileKind.COMPOSE, FileKind.KUBERNETES
A = "sha256:" + "a" * 64
POD = "apiVersion: v1\nkind: Pod\nspec:\n"


def compose(body: str) -> str:
    return f"services:\n  s:\n{body}"


COMPOSE: list[tuple[str, str, dict[str, str], list[str]]] = [
    ("an image", compose("    image: a:1\n"), {}, [f"{HUB}/a:1"]),
    ("quotes", compose("    image: 'a:1'\n"), {}, [f"{HUB}/a:1"]),
    ("in braces", "services: {s: {image: a:1}}\n", {}, [f"{HUB}/a:1"]),
    ("a default", compose("    image: a:${T:-v1}\n"), {}, [f"{HUB}/a:v1"]),
    ("the environment", compose("    image: a:${T:-v1}\n"), {"T": "v2"}, [f"{HUB}/a:v2"]),
    ("a variable without braces", compose("    image: $I:1\n"), {"I": "r.io/x"}, ["r.io/x:1"]),
    ("empty with a colon", compose("    image: a:${T:-v1}\n"), {"T": ""}, [f"{HUB}/a:v1"]),
    ("nested", compose("    image: a:${T:-${U-v1}}\n"), {}, [f"{HUB}/a:v1"]),
    ("built, and no base", compose("    image: out:1\n    build: .\n    pull_policy: build\n"), {}, []),
    ("a build that is taken back", compose("    image: a:1\n    build: !reset null\n"), {}, [f"{HUB}/a:1"]),
    ("a model", "services: {}\nmodels: {llm: {model: a:1}}\n", {}, [f"{HUB}/a:1"]),
    ("a lister", compose("    build: {context: ., sbom: 'generator=a:1'}\n"), {}, [f"{HUB}/a:1"]),
    ("a cache", compose("    build: {context: ., cache_from: [a:1, type=gha]}\n"), {}, [f"{HUB}/a:1"]),
    (
        "an argument whose name is a variable's",
        compose(
            "    build:\n      args: ['${N:-V}=2']\n      dockerfile_inline: |\n        ARG V=1\n        FROM a:$$V\n"
        ),
        {},
        [f"{HUB}/a:2"],
    ),
    (
        "merged",
        "x: &x\n  image: a:1\nservices:\n  s: {<<: *x}\n  t:\n    <<: *x\n    image: b:1\n",
        {},
        [f"{HUB}/a:1", f"{HUB}/b:1"],
    ),
    ("an alias", "x: &x a:1\nservices: {s: {image: *x}}\n", {}, [f"{HUB}/a:1"]),
    (
        "an image as a volume",
        compose("    volumes: [a:/b, {type: image, source: v:1, target: /x}]\n"),
        {},
        [f"{HUB}/v:1"],
    ),
    ("inline", compose("    build:\n      dockerfile_inline: |\n        FROM a:1\n"), {}, [f"{HUB}/a:1"]),
    (
        "inline, a dollar doubled",
        compose(
            "    build:\n      args: {V: '2'}\n      dockerfile_inline: |\n        ARG V\n        FROM a:$${V}\n"
        ),
        {},
        [f"{HUB}/a:2"],
    ),
    (
        "inline, arguments in a list",
        compose(
            "    build:\n      args: [V=2, W]\n      dockerfile_inline: |\n        ARG V\n"
            "        ARG W\n        FROM a:$$V$$W\n"
        ),
        {"W": "3"},
        [f"{HUB}/a:23"],
    ),
    (
        "inline, a variable of compose",
        compose("    build:\n      dockerfile_inline: |\n        FROM a:${T}\n"),
        {"T": "3"},
        [f"{HUB}/a:3"],
    ),
    (
        "a context that is an image",
        compose(
            "    build:\n      additional_contexts: {b: docker-image://a:1}\n"
            "      dockerfile_inline: |\n        FROM b\n"
        ),
        {},
        [f"{HUB}/a:1"],
    ),
    ("no services", "services: {}\n", {}, []),
]


@pytest.mark.parametrize(("text", "environ", "named"), [r[1:] for r in COMPOSE], ids=[r[0] for r in COMPOSE])
def test_what_compose_names(text: str, environ: dict[str, str], named: list[str]) -> None:
    assert refs(reading(text, C, environ=environ)) == named


WORKLOAD = "spec: {template: {spec: {containers: [{name: x, image: a:1}]}}}\n"
KUBERNETES: list[tuple[str, str, list[str]]] = [
    ("a Pod", POD + "  containers: [{image: a:1}]\n", [f"{HUB}/a:1"]),
    (
        "all kinds of containers",
        POD + "  containers: [{image: a}]\n  initContainers: [{image: b}]\n  ephemeralContainers: [{image: c}]\n",
        [f"{HUB}/{name}:latest" for name in "bac"],
    ),
    (
        "an image as a volume",
        POD + "  containers: []\n  volumes: [{image: {reference: a:1}}, {emptyDir: {}}]\n",
        [f"{HUB}/a:1"],
    ),
    *(
        (kind, f"apiVersion: apps/v1\nkind: {kind}\n{WORKLOAD}", [f"{HUB}/a:1"])
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "ReplicationController")
    ),
    (
        "a CronJob",
        (
            "apiVersion: batch/v1\nkind: CronJob\n"
            "spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: a:1}]}}}}}\n"
        ),
        [f"{HUB}/a:1"],
    ),
    (
        "a PodTemplate",
        "apiVersion: v1\nkind: PodTemplate\ntemplate: {spec: {containers: [{image: a:1}]}}\n",
        [f"{HUB}/a:1"],
    ),
    (
        "a List",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec: {containers: [{image: a:1}]}\n",
        [f"{HUB}/a:1"],
    ),
    (
        "several documents",
        f"---\n# c\n---\n{POD}  containers: [{{image: a}}]\n---\n{POD}  containers: [{{image: b}}]\n...\n",
        [f"{HUB}/a:latest", f"{HUB}/b:latest"],
    ),
    ("JSON", '{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "a:1"}]}}', [f"{HUB}/a:1"]),
    (
        "a custom resource with a Pod's template",
        f"apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n{WORKLOAD}",
        [f"{HUB}/a:1"],
    ),
    ("another custom resource", "apiVersion: x.io/v1\nkind: Foo\nspec: {image: a:1}\n", []),
    ("a ConfigMap that has such words", "apiVersion: v1\nkind: ConfigMap\ndata: {image: a:1}\n", []),
    ("a List of itself", "apiVersion: v1\nkind: List\nitems: &i\n- {apiVersion: v1, kind: List, items: *i}\n", []),
    ("no image", POD + "  containers: [{name: x}]\n", []),
]


@pytest.mark.parametrize(("text", "named"), [r[1:] for r in KUBERNETES], ids=[r[0] for r in KUBERNETES])
def test_what_manifests_name(text: str, named: list[str]) -> None:
    assert refs(reading(text, K)) == named


LAUGHS = "a0: &a0 {apiVersion: v1, kind: List, items: []}\n" + "".join(
    f"a{n}: &a{n} {{apiVersion: v1, kind: List, items: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
)
REFUSED: list[tuple[str, FileKind, str, int, str]] = [
    ("not YAML", C, "services:\n  s: [\n", 3, "not YAML"),
    ("a tab", K, "apiVersion: v1\n\tkind: Pod\n", 2, "not YAML"),
    ("a template of Helm", K, "apiVersion: v1\nkind: Pod\nspec:\n  {{- x }}\n", 4, "not YAML"),
    ("an anchor that isn't there", K, "a: *b\n", 1, "not YAML"),
    ("empty", K, "", 1, "empty"),
    ("a key twice", C, compose("    image: a:1\n    image: b:1\n"), 4, "second time"),
    ("a key twice in a Pod", K, POD + "  containers: [{image: a, image: b}]\n", 4, "second time"),
    ("a merge key after what it changes", K, POD + "  containers: [{image: a, <<: {image: b}}]\n", 4, "before <<"),
    ("a second merge key", K, POD + "  containers: [{<<: {image: b}, <<: {name: a}}]\n", 4, "second time"),
    ("base64", K, POD + "  containers: [{!!binary aW1hZ2U=: a}]\n", 4, "base64"),
    (
        "an argument whose name is a variable's, where that isn't known",
        C,
        compose("    build:\n      args: ['${N}=a']\n      dockerfile_inline: FROM scratch\n"),
        4,
        "uses N, which has no value",
    ),
    ("no kind", K, "apiVersion: v1\n", 1, "without kind"),
    ("an image that is a list", K, POD + "  containers: [{image: [a]}]\n", 4, "no text"),
    ("an image that is none", K, POD + "  containers:\n  - image: A:1\n", 5, "not an image reference"),
    ("an empty image", K, POD + "  containers:\n  - image: ''\n", 5, "not an image reference"),
    ("a parent folder", C, compose("    image: ../x\n"), 3, "not an image reference"),
    ("a control character by escape", C, compose('    image: "a\\x07"\n'), 3, "not an image reference"),
    ("no value", C, compose("    image: a:${T}\n"), 3, "no value"),
    ("needed", C, compose("    image: a:${T:?set it}\n"), 3, "needs a value for T"),
    ("two documents", C, "services: {}\n---\nservices: {}\n", 3, "second document"),
    (
        "an inline Dockerfile's line",
        C,
        compose("    build:\n      dockerfile_inline: |\n        FROM a\n\n        FORM b\n"),
        7,
        "FORM",
    ),
    ("brackets without end", K, "[" * 100_000, 1, "not YAML"),
    (
        "a Pod in Lists in Lists",
        K,
        "".join("{apiVersion: v1, kind: List, items: [" for _ in range(12)) + "{}" + "]}" * 12,
        1,
        "nested deeper",
    ),
]


@pytest.mark.parametrize(("kind", "text", "line", "says"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused_with_its_line(kind: FileKind, text: str, line: int, says: str) -> None:
    with pytest.raises(BuildFileInvalid) as caught:
        reading(text, kind)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()
    if "[" * 100 not in text:
        assert caught.value.context["line"] == line, caught.value.message


@pytest.mark.timeout(20)
def test_aliases_that_multiply_cost_what_they_take_to_write() -> None:
    indented = "".join(f"  {line}\n" for line in LAUGHS.splitlines())
    whole = f"apiVersion: v1\nkind: List\nmeta:\n{indented}items: [*a8]\n"
    assert refs(reading(whole, K)) == []
    nine = {n: ", ".join([f"*x{n - 1}"] * 9) for n in range(1, 10)}
    merges = "x0: &x0 {a: b}\n" + "".join(f"x{n}: &x{n} {{<<: [{nine[n]}]}}\n" for n in nine)
    with pytest.raises(BuildFileInvalid, match="merges more than"):
        reading(f"{merges}services: {{s: *x9}}\n", C)


WRITTEN: list[tuple[str, FileKind, str, str]] = [
    ("plain", C, compose("    image: a:1   # c\n"), compose("    image: a:1@sha256:#   # c\n")),
    ("quotes", C, compose("    image: 'a'\n"), compose("    image: 'a:latest@sha256:#'\n")),
    ("in braces", C, "services: {s: {image: a:1,x: y}}\n", "services: {s: {image: a:1@sha256:#,x: y}}\n"),
    ("a default", C, compose("    image: a:${T:-v1}\n"), compose("    image: a:${T:-v1}@sha256:#\n")),
    ("a whole default", C, compose("    image: ${I:-a:1}\n"), compose("    image: ${I:-a:1@sha256:#}\n")),
    ("pinned", C, compose(f"    image: a:1@{A}\n"), compose("    image: a:1@sha256:#\n")),
    ("an anchor", C, "x: &x a:1\nservices: {s: {image: *x}}\n", "x: &x a:1@sha256:#\nservices: {s: {image: *x}}\n"),
    (
        "a merge for two",
        C,
        "x: &x {image: a}\nservices: {s: *x, t: {<<: *x}}\n",
        "x: &x {image: a:latest@sha256:#}\nservices: {s: *x, t: {<<: *x}}\n",
    ),
    (
        "inline",
        C,
        compose("    build:\n      dockerfile_inline: |-\n\n        FROM a:1\n        FROM b\n    x: y\n"),
        compose(
            "    build:\n      dockerfile_inline: |-\n\n        FROM a:1@sha256:#\n"
            "        FROM b:latest@sha256:#\n    x: y\n"
        ),
    ),
    (
        "a context",
        C,
        compose("    build:\n      additional_contexts: {b: 'docker-image://a:1'}\n"),
        compose("    build:\n      additional_contexts: {b: 'docker-image://a:1@sha256:#'}\n"),
    ),
    (
        "a lister",
        C,
        compose("    build: {context: ., sbom: generator=a:1}\n"),
        compose("    build: {context: ., sbom: generator=a:1@sha256:#}\n"),
    ),
    (
        "a Pod",
        K,
        POD + '  containers:\n    - image: a:1\n      name: é\n    - {name: é, image: "b"}\n',
        POD
        + '  containers:\n    - image: a:1@sha256:#\n      name: é\n    - {name: é, image: "b:latest@sha256:#"}\n',
    ),
    (
        "lines of DOS and a mark",
        K,
        "\ufeff" + POD.replace("\n", "\r\n") + "  containers: [{image: a:1}]\r\n",
        "\ufeff" + POD.replace("\n", "\r\n") + "  containers: [{image: a:1@sha256:#}]\r\n",
    ),
    (
        "a literal block",
        K,
        POD + "  containers:\n  - image: |-\n      a:1\n",
        POD + "  containers:\n  - image: |-\n      a:1@sha256:#\n",
    ),
]


@pytest.mark.parametrize(("kind", "text", "written"), [r[1:] for r in WRITTEN], ids=[r[0] for r in WRITTEN])
def test_written_in_its_place_and_nowhere_else(kind: FileKind, text: str, written: str) -> None:
    once = pin(text, kind)
    assert short(once) == written
    assert pin(once, kind) == once, "again changes nothing"
    assert short(pin(once, kind, salt="moved")) == written


UNWRITABLE: list[tuple[str, FileKind, str, dict[str, str]]] = [
    ("from the environment", C, compose("    image: $I\n"), {"I": "a:1"}),
    ("a digest from the environment", C, compose("    image: a:1@$D\n"), {"D": A}),
    ("escapes", K, POD + '  containers: [{image: "\\u0061:1"}]\n', {}),
    ("folded", K, POD + "  containers:\n  - image: >-\n      a:1\n", {}),
]


@pytest.mark.parametrize(("kind", "text", "environ"), [r[1:] for r in UNWRITABLE], ids=[r[0] for r in UNWRITABLE])
def test_what_cannot_be_written_is_said(kind: FileKind, text: str, environ: dict[str, str]) -> None:
    with pytest.raises(CannotPin) as caught:
        pin(text, kind, environ=environ)
    assert caught.value.hint


KINDS: list[tuple[str, str, FileKind]] = [
    ("Dockerfile", "FROM a\n", FileKind.DOCKERFILE),
    ("a/b/dev.Dockerfile", "FROM a\n", FileKind.DOCKERFILE),
    ("Dockerfile.dev", "FROM a\n", FileKind.DOCKERFILE),
    ("Containerfile", "FROM a\n", FileKind.DOCKERFILE),
    ("x.yml", "services: {}\n", C),
    ("x.yaml", "include: [y]\n", C),
    ("x.json", '{"apiVersion": "v1", "kind": "ConfigMap"}', K),
]


@pytest.mark.parametrize(("name", "text", "kind"), KINDS, ids=[row[0] for row in KINDS])
def test_the_kind_is_found(name: str, text: str, kind: FileKind) -> None:
    assert read(Source(name, text), None, dict, {})[0] is kind


def test_a_kind_that_nothing_tells_is_asked_for() -> None:
    with pytest.raises(UsageError, match="--kind"):
        kind_by_name("Makefile")
    with pytest.raises(BuildFileInvalid, match="--kind"):
        read(Source("values.yaml", "image: a:1\n"), None, dict, {})


DOTENV: list[tuple[str, str, dict[str, str | None]]] = [
    ("comments and empty lines", "# A=1\n\n  # B=2\n", {}),
    (
        "what every reader takes alike",
        "A=1\r\nexport B='2 3'\nC = \"4\"  # c\nD=\n",
        {"A": "1", "B": "2 3", "C": "4", "D": ""},
    ),
    ("a variable", "A=$B\n", {"A": None}),
    ("what is left to the environment", "A\n", {}),
    ("a colon", "A: x\n", {"A": None}),
    ("blanks", "A=x y # z\nB=1\n", {"A": None, "B": "1"}),
    ("an escape", "A='x\\'\nB=1\n", {"A": None, "B": None}),
    ("several lines", 'A="x\nB=2\n"\n', {"A": None, "B": None}),
    ("twice", "A=1\nA=2\n", {"A": "2"}),
]


@pytest.mark.parametrize(("text", "values"), [row[1:] for row in DOTENV], ids=[row[0] for row in DOTENV])
def test_dotenv(text: str, values: dict[str, str | None]) -> None:
    """None for what readers may take for different values."""
    assert read_dotenv(".env", text.encode()) == values


def test_a_line_of_dotenv_that_is_none() -> None:
    with pytest.raises(BuildFileInvalid, match="2 is not NAME=VALUE"):
        read_dotenv(".env", b"A=1\n'x\n")


def test_a_value_that_is_not_known_is_no_default() -> None:
    text = compose("    image: a:${T:-v1}\n")
    with pytest.raises(BuildFileInvalid, match="uses T, which has no value"):
        read(Source("compose.yaml", text), C, lambda: {"T": None}, {})
    text = compose("    build:\n      args: [T]\n      dockerfile_inline: |\n        ARG T=1\n        FROM a:$$T\n")
    with pytest.raises(BuildFileInvalid, match="uses T, which has no value"):
        read(Source("compose.yaml", text), C, lambda: {"T": None}, {})
