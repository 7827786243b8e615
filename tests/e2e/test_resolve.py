"""trustkit resolve against a real service: what CI checks and what is written into the files of a build."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.service import Person, Result, RunningService

NOT_PINNED, UNSIGNED = "not-pinned", "unsigned"


class Work:
    """A folder with files, and carol who resolves them."""

    def __init__(self, folder: Path, host: str, carol: Person) -> None:
        self.folder, self.host, self.carol = folder, host, carol

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text.replace("HOST", self.host))
        return path

    def __call__(self, *arguments: str | Path, **environ: str) -> Result:
        return self.carol("resolve", *map(str, arguments), environ=environ)


@pytest.fixture(scope="module")
def signed(service: RunningService, alice: Person, carol: Person) -> dict[str, str]:
    """The signed images by NAME:TAG, each in a collection that carol has pinned."""
    found = {}
    for name in ("base:1.0", "base:1.1", "tools:2"):
        ref = f"{service.host}/build/{name}"
        found[name] = alice.push(ref, f"{name} as it was signed")
        assert alice("sign", ref).status == 0
    alice.push(f"{service.host}/build/base:dev", "never signed")
    for name in ("base", "tools"):
        assert carol("pin", "add", f"{service.host}/build/{name}", "--root-key", alice.root_key()).status == 0
    return found


@pytest.fixture
def work(tmp_path: Path, service: RunningService, carol: Person, signed: dict[str, str]) -> Work:
    return Work(tmp_path, service.host, carol)


MULTI_STAGE = """\
# escape=\\
ARG VERSION=1.0
ARG TOOLS=HOST/build/tools:2   
FROM --platform=$BUILDPLATFORM HOST/build/base:${VERSION} AS Deps   

FROM deps AS build
# FROM HOST/build/base:dev
COPY --from=HOST/build/tools:2 /data.txt /a
RUN <<END
FROM HOST/build/base:dev
END

FROM ${TOOLS}
COPY --from=build \\
    # between
    /a /b
"""  # noqa: W291 - blanks at the ends of lines are to be kept


def test_check_write_check(work: Work, signed: dict[str, str]) -> None:
    file = work.file("Dockerfile", MULTI_STAGE)
    before = file.read_text()
    shown = work(file)
    base, tools = signed["base:1.0"], signed["tools:2"]
    assert (shown.status, shown.out.splitlines()) == (
        0,
        [
            f"{file}:4: {work.host}/build/base:1.0@{base}",
            f"{file}:8: {work.host}/build/tools:2@{tools}",
            f"{file}:13: {work.host}/build/tools:2@{tools}",
        ],
    ), shown.err
    assert f"{file}:6: FROM deps is left alone: it is the stage of line 4." in shown.err

    checked = work("--check", file)
    assert (checked.status, checked.slug, checked.out) == (3, NOT_PINNED, "")
    assert f"{file}:4: {work.host}/build/base:1.0 is pinned to no digest, and {base} is signed." in checked.err
    assert f"Write it in: trustkit resolve --write {file}" in checked.err
    assert file.read_text() == before, "neither wrote"

    written = work("--write", file)
    assert written.status == 0, written.err
    assert f"Wrote {file}." in written.err
    assert file.read_text() == before.replace("base:${VERSION} AS", f"base:${{VERSION}}@{base} AS").replace(
        "build/tools:2", f"build/tools:2@{tools}"
    ), "comments, blanks, here-documents and everything else stay"
    again = work("--check", file)
    assert (again.status, again.out) == (0, shown.out), again.err


def test_a_version_from_the_command_line(work: Work, signed: dict[str, str]) -> None:
    file = work.file("Dockerfile", "ARG VERSION=1.0\nFROM HOST/build/base:${VERSION}\n")
    assert work("--write", file).status == 0
    assert work("--check", file).status == 0
    other = work("--check", file, "--build-arg", "VERSION=1.1")
    assert (other.status, other.slug) == (3, NOT_PINNED), "what is pinned is another version"
    assert signed["base:1.1"] in other.err
    typo = work("--check", file, "--build-arg", "VERSIN=1.1")
    assert typo.status == 0
    assert "No FILE has an ARG VERSIN" in typo.err


def test_an_unsigned_base_is_named_and_nothing_is_written(work: Work) -> None:
    good = work.file("Dockerfile", "FROM HOST/build/base:1.0\n")
    bad = work.file("Dockerfile.dev", "\nFROM HOST/build/base:dev\n")
    for flags in ((), ("--check",), ("--write",)):
        done = work(*flags, bad, good)
        assert (done.status, done.err.count("\ntrustkit:") + done.err.startswith("trustkit:")) == (
            3,
            2 if flags == ("--check",) else 1,
        ), done.err
        assert f"trustkit: {bad}:2: {work.host}/build/base:dev is not signed. [{UNSIGNED}]" in done.err
        assert "Its publisher signs it with: trustkit sign" in done.err
    assert "Nothing was written." in done.err
    assert good.read_text() == f"FROM {work.host}/build/base:1.0\n"


def test_a_file_with_a_syntax_error_changes_no_file(work: Work) -> None:
    good = work.file("Dockerfile", "FROM HOST/build/base:1.0\n")
    bad = work.file("compose.yaml", "services:\n  a: [\n")
    before = good.read_bytes(), bad.read_bytes()
    done = work("--write", good, bad)
    assert (done.status, done.slug) == (1, "build-file-invalid")
    assert f"{bad}:3 is not YAML" in done.err
    assert (good.read_bytes(), bad.read_bytes()) == before
    checked = work("--check", bad, good)
    assert checked.status == 1, "the status is the first one's"


def test_a_tag_that_is_signed_anew(work: Work, alice: Person) -> None:
    ref = f"{work.host}/build/moving:v1"
    old = alice.push(ref, "old")
    assert alice("sign", ref).status == 0
    assert work.carol("pin", "add", ref.rpartition(":")[0], "--root-key", alice.root_key()).status == 0
    file = work.file("Dockerfile", "FROM HOST/build/moving:v1\n")
    assert work("--write", file).status == 0
    new = alice.push(ref, "new")
    assert alice("sign", ref).status == 0
    checked = work("--check", file)
    assert (checked.status, checked.slug) == (3, NOT_PINNED)
    assert f"is pinned to {old}, and {new} is signed." in checked.err
    written = work("--write", file)
    assert f"{file}:1: was pinned to {old} -> {new}" in written.err
    assert file.read_text() == f"FROM {ref}@{new}\n"
    stamp = file.stat().st_mtime_ns
    assert "Wrote" not in work("--write", file).err
    assert file.stat().st_mtime_ns == stamp, "what is right already is not written"


def test_the_files_mode_and_the_link_to_it_stay(work: Work) -> None:
    file = work.file("real.Dockerfile", "FROM HOST/build/base:1.0\n")
    file.chmod(0o640)
    link = work.folder / "Dockerfile"
    link.symlink_to(file.name)
    assert work("--write", link).status == 0
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert "@sha256:" in file.read_text()
    assert sorted(path.name for path in work.folder.iterdir()) == ["Dockerfile", "real.Dockerfile"], (
        "no half file is left"
    )


def test_a_file_that_cannot_be_replaced_has_the_others_put_back(work: Work) -> None:
    good = work.file("Dockerfile", "FROM HOST/build/base:1.0\n")
    too_long = work.file("a" * 244 + ".Dockerfile", "FROM HOST/build/base:1.0\n")  # no room for a file beside it
    done = work("--write", good, too_long)
    assert (done.status, done.slug, done.out) == (1, "state", "")
    assert "can't be written" in done.err
    assert good.read_text() == too_long.read_text() == f"FROM {work.host}/build/base:1.0\n"


def test_json_with_the_list_of_dependencies(work: Work, signed: dict[str, str]) -> None:
    file = work.file("Dockerfile", "FROM HOST/build/tools:2 AS t\nFROM HOST/build/base:1.0\nCOPY --from=t /a /b\n")
    done = work("--check", "--format", "json", file)
    assert done.status == 3
    (told,) = json.loads(done.out)["files"]
    assert [(each["line"], each["digest"], each["pinned"], each["error"]["slug"]) for each in told["images"]] == [
        (1, signed["tools:2"], False, NOT_PINNED),
        (2, signed["base:1.0"], False, NOT_PINNED),
    ]
    assert told["skipped"] == [
        {"line": 3, "what": "COPY --from", "written": "t", "reason": "it is the stage of line 1"}
    ]

    def dependency(name: str, tag: str) -> dict[str, str]:
        key = f"{name}:{tag}"
        return {"registry": work.host, "repository": f"build/{name}", "tag": tag, "digest": signed[key]}

    assert told["dependencies"] == [
        {
            "image": None,
            "runtime-dependency": dependency("base", "1.0"),
            "buildtime-dependency": [dependency("tools", "2")],
            "git": {},
        }
    ]


def test_compose_with_its_environment(work: Work, signed: dict[str, str]) -> None:
    built = "{image: out, build: ., pull_policy: build}"
    text = f"services:\n  web:\n    image: HOST/build/base:${{BASE:-1.1}}  # c\n  job: {built}\n"
    file = work.file("compose.yaml", text)
    work.file(".env", "BASE=1.0\n")
    assert signed["base:1.0"] in work(file).out
    assert signed["base:1.1"] in work(file, BASE="1.1").out, "the environment comes before .env"
    other = work.file("other.env", "BASE=1.1\n")
    assert signed["base:1.1"] in work(file, "--env-file", other).out
    written = work("--write", file)
    assert written.status == 0
    assert "image out is left alone: it is what the build of 'job' makes." in written.err
    assert file.read_text().startswith(
        f"services:\n  web:\n    image: {work.host}/build/base:${{BASE:-1.1}}@{signed['base:1.0']}  # c\n"
    )
    assert work("--check", "--these-only", file).status == 0
    assert work("--check", "--these-only", file, BASE="1.1").slug == NOT_PINNED


def test_manifests(work: Work, signed: dict[str, str]) -> None:
    file = work.file(
        "deploy.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      initContainers:\n"
        "      - {name: i, image: 'HOST/build/tools:2'}\n      containers:\n      - image: HOST/build/base:1.0 # c\n",
    )
    before = file.read_text()
    assert work("--write", file).status == 0
    assert file.read_text() == before.replace("tools:2'", f"tools:2@{signed['tools:2']}'").replace(
        "base:1.0 #", f"base:1.0@{signed['base:1.0']} #"
    )
    assert work("--check", file).status == 0


def test_what_the_policy_takes_unsigned_is_left_alone(work: Work, signed: dict[str, str]) -> None:
    file = work.file("Dockerfile", "# syntax=docker/dockerfile:1\nFROM HOST/build/base:1.0\n")
    refused = work("--write", file)
    assert (refused.status, refused.slug) == (3, "no-pin")
    assert "docker.io/docker/dockerfile" in refused.err
    policy = work.file(
        "policy.toml",
        'version = 1\n[[rule]]\npattern = "docker.io/docker/dockerfile"\nmode = "unsafe_allow_unsigned"\n'
        '[[rule]]\npattern = "HOST/build/*"\n',
    )
    environ = {"TRUSTKIT_POLICY": str(policy)}
    assert work("--write", file, **environ).status == 0
    assert file.read_text().startswith("# syntax=docker/dockerfile:1\nFROM ")
    checked = work("--check", file, **environ)
    assert checked.status == 0, checked.err
    assert "the rule docker.io/docker/dockerfile takes it unsigned; it is left as it is." in checked.err


def test_a_service_that_is_down_is_no_verdict(work: Work) -> None:
    file = work.file("Dockerfile", "FROM localhost:1/build/base:1.0\n")
    assert work.carol("pin", "add", "localhost:1/build/base", "--root-key", "0" * 64).status == 0
    for flag in ("--check", "--write"):
        assert (work(flag, file).status, work(flag, file).slug) == (4, "unreachable")
    assert file.read_text() == "FROM localhost:1/build/base:1.0\n"


WRONG: list[tuple[str, list[str], int, str]] = [
    ("both", ["--write", "--check", "Dockerfile"], 2, "exclude each other"),
    ("no file", ["nowhere/Dockerfile"], 2, "There is no file nowhere/Dockerfile"),
    ("a name that says nothing", ["Makefile"], 2, "--kind"),
    ("a folder", ["/etc", "--kind", "dockerfile"], 1, "no regular file"),
    ("a device", ["/dev/zero", "--kind", "dockerfile"], 1, "no regular file"),
    ("an argument without a value", ["--build-arg", "s3cret", "Dockerfile"], 2, "not NAME=VALUE"),
    ("a name that a terminal obeys", ["\x1b[2J.yaml"], 2, "x1b[2J.yaml"),
]


@pytest.mark.parametrize(("arguments", "status", "says"), [r[1:] for r in WRONG], ids=[r[0] for r in WRONG])
def test_asked_wrongly(work: Work, arguments: list[str], status: int, says: str) -> None:
    work.file("Makefile", "all:\n")
    there = [str(work.folder / each) if each in ("Makefile", "Dockerfile") else each for each in arguments]
    work.file("Dockerfile", "FROM HOST/build/base:1.0\n")
    done = work(*there)
    assert (done.status, says in done.err) == (status, True), done.err
    assert "s3cret" not in done.err
    assert "\x1b" not in done.err
