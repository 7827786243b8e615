"""Docker's command lines are read as docker reads them, and refused where nobody can say what is meant."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from trustkit.builds.source import Source
from trustkit.cli.docker_verbs import PAST, ROUTES
from trustkit.client.enforce import Enforce
from trustkit.errors import EngineFailed, InvalidReference, PolicyDenies, TrustkitError, UsageError
from trustkit.home.policy import read_policy
from trustkit.hooks.docker_build import build_arguments, check_builder, pinned, recipe
from trustkit.hooks.docker_call import content_trust, divided
from trustkit.hooks.docker_flags import Flags, Line, read_line
from trustkit.hooks.docker_images import Images, image_of
from trustkit.hooks.docker_metadata import answer

HELP = """\
Usage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]

Options:
      --annotation map             Add an annotation to the container (passed
                                   through, see --env for the rest)
  -d, --detach                     Run container in background
  -e, --env list                   Set environment variables
  -h, --hostname string            Container host name
  -i, --interactive                Keep STDIN open
      --mount mount                Attach a filesystem mount
      --new-in-99 string[="auto"]  May have a value
  -p, --publish list               Publish a container's port(s)
      --pull string                Pull image before running (default "missing")
  -t, --tty                        Allocate a pseudo-TTY
  -V, --verbose count              More, each time
"""
FLAGS = Flags.of_help(HELP)
IMAGE = "r.io/app:v1"


def read(*words: str, interspersed: bool = False) -> Line:
    return read_line(words, lambda: FLAGS, interspersed=interspersed)


@pytest.mark.parametrize(
    ("words", "image"),
    [
        ([IMAGE, "--env", "x"], 0),
        (["-d", IMAGE], 1),
        (["-it", IMAGE], 1),
        (["-ite", "A=b", IMAGE], 2),
        (["-iteA=b", IMAGE], 1),
        (["-e=A", IMAGE], 1),
        (["-e", IMAGE, "evil"], 2),
        (["--env", IMAGE, "evil"], 2),
        (["--env=A", IMAGE], 1),
        (["-p80:80", IMAGE, "-p", "x"], 1),
        (["--detach", IMAGE], 1),
        (["--detach=false", IMAGE], 1),
        (["--new-in-99", IMAGE], 1),
        (["-VV", "--verbose", IMAGE], 2),
        (["--unknown=x", IMAGE], 1),
        (["--net", "host", IMAGE], 2),
        (["--disable-content-trust", IMAGE], 1),
        (["-d", "--", IMAGE, "--", "x"], 2),
        (["--", "--env", IMAGE], 1),
        (["--env", "--", IMAGE], 2),
        (["-h", "--help", IMAGE], 2),
        (["-", IMAGE], 0),
    ],
)
def test_the_image_is_the_word_that_docker_takes_for_it(words: list[str], image: int) -> None:
    assert read(*words).arguments[0] == image


@pytest.mark.parametrize(
    "words",
    [["--unknown", IMAGE], ["-x", IMAGE], ["-dx", IMAGE], ["--env"], ["-e"], ["--unknown"]],
)
def test_what_can_be_read_in_two_ways_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        read(*words)
    assert refused.value.hint


def test_flags_may_follow_where_docker_lets_them() -> None:
    line = read("ctx", "-e", "A", "--", "-d", interspersed=True)
    assert [line.words[at] for at in line.arguments] == ["ctx", "-d"]
    assert line.values("env") == ["A"]
    assert not line.on("detach")


def test_other_words_stay_as_they_are() -> None:
    words = ["-ite", "S=1", "--mount", "a", "--mount=b", "--disable-content-trust=false", "--", IMAGE, "-e", IMAGE]
    line = read(*words)
    places = [place for place, given in enumerate(line.given) if given.name == "mount"]
    (ours,) = (place for place, given in enumerate(line.given) if given.name == "disable-content-trust")
    edited = line.edited(arguments={line.arguments[0]: "NEW"}, flags={places[0]: "A", places[1]: "B", ours: None})
    assert edited == ["-ite", "S=1", "--mount", "A", "--mount=B", "--", "NEW", "-e", IMAGE]
    assert line.flags("mount") == ["-ite", "S=1", "--disable-content-trust=false"]


def test_a_value_within_a_word_is_replaced_there() -> None:
    flags = Flags.of_help("  -f, --file string   Name\n  -q, --quiet   Less\n")
    for words, expected in (
        (["-qfD", "."], ["-qfX", "."]),
        (["-f=D", "."], ["-f=X", "."]),
        (["-f", "D"], ["-f", "X"]),
    ):
        line = read_line(words, lambda: flags, interspersed=True)
        (place,) = (place for place, given in enumerate(line.given) if given.name == "file")
        assert line.edited(arguments={}, flags={place: "X"}) == expected


def test_a_help_without_flags_is_none() -> None:
    with pytest.raises(EngineFailed):
        Flags.of_help("docker: permission denied\n")


SWITCHES = {
    *(
        "all-tags",
        "compress",
        "detach",
        "disable-content-trust",
        "force-rm",
        "help",
        "init",
        "interactive",
        "no-cache",
    ),
    *("no-healthcheck", "oom-kill-disable", "privileged", "publish-all", "pull", "quiet", "read-only", "rm"),
    *("sig-proxy", "squash", "tty", "use-api-socket"),
}
"""What takes no value by docker's own word (``invalid argument "x" for "--rm" flag: strconv.ParseBool``)."""


@pytest.mark.real
@pytest.mark.parametrize("command", ["run", "create", "build", "pull"])
def test_the_real_help_is_read_whole(docker_cli: Path, command: str) -> None:
    done = subprocess.run([docker_cli, command, "--help"], capture_output=True, text=True, check=True)
    flags = Flags.of_help(done.stdout)
    listed = re.findall(r"^ {2,6}(?:-\w, )?--([\w-]+)", done.stdout, re.MULTILINE)
    assert len(listed) > 3
    assert set(listed) <= flags.values.keys()
    assert {name for name in listed if not flags.values[name]} <= SWITCHES
    takes_one = {"pull"} if command in ("run", "create") else set()
    assert {name for name in SWITCHES & set(listed) if flags.values[name]} == takes_one


@pytest.mark.parametrize(
    ("value", "on"),
    [
        *((off, False) for off in ("", "0", "f", "F", "false", "FALSE", "False")),
        *((on, True) for on in ("1", "t", "true", "yes", "no", "off", " 0", "fAlse", "2")),
    ],
)
def test_the_variable_is_read_as_docker_reads_it(value: str, on: bool) -> None:
    assert content_trust({"DOCKER_CONTENT_TRUST": value}) is on


def test_without_the_variable_it_is_off() -> None:
    assert not content_trust({})


@pytest.mark.parametrize(
    "text",
    ["sha256:" + "a" * 64, "sha256:abc", "a" * 64, "abcdef123456", "--privileged", "-", "", "UP/Case", "a b", "a\nb"],
)
def test_what_is_no_name_or_may_be_an_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference) as refused:
        image_of(text)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "full"),
    [("alpine", "docker.io/library/alpine:latest"), ("abc", "docker.io/library/abc:latest"), (IMAGE, IMAGE)],
)
def test_a_name_is_docker_s(text: str, full: str) -> None:
    assert str(image_of(text)) == full


def _never(_: object) -> None:
    raise AssertionError("nobody had to be asked")


def test_mounts_and_caches_without_images_stay() -> None:
    images = Images(_never, _never)  # type: ignore[arg-type]  # raises, whatever it is called with
    for value in ("type=bind,source=/a,target=/b", "source=v,target=/x"):
        assert images.mount(value) == value
    assert images.cache("type=gha") == "type=gha"
    assert images.context("src=./here") == ("src", "src=./here")


@pytest.mark.parametrize("value", ['type=image,source="a', "type=image\nsource=a", "source=a,type=\u0130mage"])
def test_a_mount_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(UsageError):
        Images(_never, _never).mount(value)  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("value", ["type=registry,ref=r.io/a:1", "ref=r.io/a:1,Type=Registry"])
def test_a_cache_in_a_registry_is_refused(value: str) -> None:
    with pytest.raises(UsageError):
        Images(_never, _never).cache(value)  # type: ignore[arg-type]  # as above


def test_build_arguments_come_from_the_environment_where_docker_takes_them_there() -> None:
    given = ["A=1", "B", "A=2", "https_proxy"]
    assert build_arguments(given, {"B": "here"}) == {"A": "2", "B": "here"}


@pytest.mark.parametrize("given", [["D"], ["D=x", "D"], ["NO_PROXY=x", "NO_PROXY"]])
def test_an_argument_that_builders_disagree_about_is_refused(given: list[str]) -> None:
    assert build_arguments(given, {"D": "here", "NO_PROXY": "y"}) in ({"D": "here"}, {"NO_PROXY": "y"})
    with pytest.raises(UsageError, match="has no value"):
        build_arguments(given, {})


def test_a_platform_s_argument_needs_a_builder_that_knows_it() -> None:
    def of_buildx() -> Flags:
        return Flags.of_help("      --builder string   Override the configured builder instance\n")

    check_builder({"A": "1"}, lambda: FLAGS)
    check_builder({"TARGETARCH": "arm64"}, of_buildx)
    with pytest.raises(UsageError, match="--build-arg TARGETARCH means something to BuildKit alone"):
        check_builder({"TARGETARCH": "arm64"}, lambda: FLAGS)


@pytest.mark.parametrize(
    ("context", "file", "slug"),
    [
        ("https://github.com/a/b.git", None, "usage"),
        ("git@github.com:a/b", "Dockerfile", "usage"),
        ("https://evil/Dockerfile", "-", "usage"),
        (".", "https://a/Dockerfile", "usage"),
        (".", "missing", "usage"),
        ("-", "Dockerfile", "usage"),
        ("-", "-", "usage"),
        ("missing", None, "usage"),
    ],
)
def test_dockerfiles_that_are_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: str, file: str | None, slug: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrustkitError) as refused:
        recipe(context, file, lambda _: b"FROM a\n")
    assert (refused.value.slug, bool(refused.value.hint)) == (slug, True)


@pytest.mark.parametrize("archive", [b"\x1f\x8b\x08\0\0", b"Dockerfile\0\0\0", b"x" * (1024 * 1024 + 1)])
def test_an_archive_at_standard_input_is_refused(archive: bytes) -> None:
    with pytest.raises(UsageError, match="no Dockerfile"):
        recipe("-", None, lambda _: archive)


def test_what_is_ignored_for_one_dockerfile_goes_along(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    (tmp_path / "Dockerfile.dockerignore").write_text("b\n")
    assert recipe(str(tmp_path), None, lambda _: b"").ignore == b"b\n"
    (tmp_path / "other").write_text("FROM b\n")
    found = recipe(str(tmp_path), str(tmp_path / "other"), lambda _: b"")
    assert (found.source.text, found.ignore) == ("FROM b\n", None)


def test_a_plugin_is_called_with_global_flags_before_its_name() -> None:
    assert divided(["trustkit", "run", "-d"], {}) == ([], ["run", "-d"])
    assert divided(["--context=x", "trustkit", "pull"], {"PATH": ""}) == (["--context=x"], ["pull"])
    assert divided(["--", "trustkit", "--", "pull"], {}) == ([], ["--", "pull"])
    with pytest.raises(UsageError):
        divided(["pull", "x"], {})


def test_the_metadata_is_what_docker_asks_for() -> None:
    told = json.loads(answer())
    assert told["SchemaVersion"] == "0.1.0"
    assert told["Vendor"]


POLICY = """\
version = 1
[[rule]]
pattern = "r.io/pinned"
mode = "digest-only"
[[rule]]
pattern = "r.io/lax"
mode = "unsafe_allow_unsigned"
"""
DIGEST = "sha256:" + "d" * 64
PINNED = f"r.io/pinned@{DIGEST}"


@pytest.fixture
def enforce(tmp_path: Path) -> Enforce:
    """A policy that decides without asking whether anything is signed."""
    (tmp_path / "policy.toml").write_text(POLICY)
    return Enforce(_never, read_policy(tmp_path / "policy.toml"))  # type: ignore[arg-type]  # as above


def test_images_in_values_of_flags_are_judged_and_named_by_digest(enforce: Enforce) -> None:
    said: list[str] = []
    images = Images(enforce, said.append)
    given = f"r.io/pinned:v1@{DIGEST}"
    assert images.argument(given) == PINNED
    assert images.argument("r.io/lax") == "r.io/lax:latest"
    assert images.mount(f"type=image,src={given},target=/x") == f"type=image,src={PINNED},target=/x"
    assert images.mount(f'"TYPE=image",Source={given}') == f"TYPE=image,source={PINNED}"
    assert images.cache(f"{given},r.io/lax:1") == f"{PINNED},r.io/lax:1"
    assert images.context(f"base=docker-image://{given}") == ("base", f"base=docker-image://{PINNED}")
    assert all("nobody was asked whether it is signed" in each for each in said)
    for refused in (lambda: images.argument("r.io/pinned:v1"), lambda: images.mount("type=image,source=r.io/other")):
        with pytest.raises(PolicyDenies):
            refused()


def test_the_image_that_lists_what_is_inside_is_judged(enforce: Enforce) -> None:
    images = Images(enforce, lambda _: None)
    pinned_one = f"generator=r.io/pinned:v1@{DIGEST}"
    assert images.attestation(pinned_one, "--sbom") == f"generator={PINNED}"
    assert images.attestation(f"type=sbom, {pinned_one}", "--attest") == f"type=sbom,generator={PINNED}"
    for flag, plain in (("--sbom", "false"), ("--sbom", "disabled=true"), ("--attest", "type=provenance,mode=max")):
        assert images.attestation(plain, flag) == plain
    for flag, of_the_builder in (
        ("--sbom", "true"),
        ("--attest", "type=sbom"),
        ("--attest", "type=sbom,disabled=true,disabled=false"),
    ):
        with pytest.raises(UsageError):
            images.attestation(of_the_builder, flag)
    with pytest.raises(PolicyDenies):
        images.attestation("type=sbom,Generator=r.io/other", "--attest")


@pytest.mark.parametrize(
    ("words", "route"),
    [(("buildx", "b"), True), (("builder", "b"), True), (("compose", "scale"), False), (("builder", "f"), False)]
    + [((first, second), False) for first, second in (("compose", "alpha"), ("compose", "bridge"))]
    + [(("extension", second), False) for second in ("install", "update")]
    + [((first, second), False) for first in ("buildx", "builder") for second in ("bake", "debug", "dap")],
)
def test_other_names_of_what_gets_images_are_known(words: tuple[str, str], *, route: bool) -> None:
    assert (words in ROUTES, words[1] in PAST.get(words[0], ())) == (route, not route)


def test_what_a_policy_takes_unsigned_is_built_on_as_it_is_and_told(enforce: Enforce) -> None:
    said: list[str] = []
    text = f"FROM r.io/lax AS a\nFROM base\nCOPY --from=r.io/pinned@{DIGEST} a b\nCOPY --from=a a b\n"
    source = Source("D", text)
    assert pinned(source, enforce, arguments={}, contexts=["base"], warn=said.append) == text
    assert [each[:15] for each in said] == ["WARNING: D:1: r", "WARNING: D:3: r"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("FROM r.io/other", "D:1 (FROM)"),
        ("# syntax=r.io/front:1\nFROM r.io/lax", "D:1 (syntax)"),
        ("FROM r.io/lax\nCOPY --from=r.io/pinned:1 a b", "D:2 (COPY --from)"),
        ("FROM r.io/lax\nRUN --mount=type=bind,from=r.io/other:1 true", "D:2 (RUN --mount)"),
        ("FROM r.io/lax\nONBUILD COPY --from=r.io/other:1 a b", "D:2 (ONBUILD COPY --from)"),
    ],
)
def test_wherever_a_dockerfile_names_an_image_it_is_judged(enforce: Enforce, text: str, where: str) -> None:
    with pytest.raises(PolicyDenies) as refused:
        pinned(Source("D", text), enforce, arguments={}, warn=lambda _: None)
    assert refused.value.message.startswith(f"{where}: ")


def test_a_frontend_in_a_build_argument_is_judged(enforce: Enforce) -> None:
    with pytest.raises(PolicyDenies):
        pinned(Source("D", "FROM r.io/lax\n"), enforce, arguments={"BUILDKIT_SYNTAX": "r.io/x"}, warn=lambda _: None)
