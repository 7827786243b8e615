"""Many tags at once: lists, and what builds wrote; one publish a collection, all or nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.e2e.registry_view import Own
from tests.service import PASSPHRASE, Person, RunningService
from tests.terminal import told
from trustkit.core.manifests import OCI_INDEX


def versions(person: Person, gun: str) -> dict[str, int]:
    shown = person("inspect", gun, "--format", "json")
    assert shown.status == 0, shown.err
    found: dict[str, int] = json.loads(shown.out)[0]["Versions"]
    return found


def images(service: RunningService, alice: Person, repository: str, count: int) -> tuple[Own, dict[str, str]]:
    own = Own(service, alice, repository)
    alice.push(f"{own.gun}:base")
    return own, own.images("base", count)


def test_arguments_a_file_and_stdin_are_one_publish(service: RunningService, alice: Person, tmp_path: Path) -> None:
    own, digests = images(service, alice, "many/list", 5)
    assert alice("init", own.gun).status == 0
    before = versions(alice, own.gun)
    refs = tmp_path / "refs.txt"
    refs.write_text(f"# a release\n{own.gun}:v3\n\n{own.gun}:v1@{digests['v1']}  # as built\n{own.gun}:v3\n")
    signed = alice("sign", f"{own.gun}:v4", "--file", str(refs), "--file", "-", feed=f"{own.gun}:v0\n")
    assert signed.status == 0, signed.err
    assert signed.out.splitlines() == [f"{own.gun}:{tag}@{digests[tag]}" for tag in ("v4", "v3", "v1", "v0")]
    assert versions(alice, own.gun)["targets"] == before["targets"] + 1
    assert alice("verify", f"{own.gun}:v0", f"{own.gun}:v2").status == 3


def test_the_output_keeps_the_order_across_collections(service: RunningService, alice: Person) -> None:
    one, digests = images(service, alice, "many/one", 2)
    two, others = images(service, alice, "many/two", 2)
    names = [f"{one.gun}:v1@{digests['v1']}", f"{two.gun}:v0@{others['v0']}", f"{one.gun}:v0@{digests['v0']}"]
    signed = alice("sign", *(name.partition("@")[0] for name in names))
    assert (signed.status, signed.out.splitlines()) == (0, names)
    assert versions(alice, one.gun)["targets"] == 1


def test_what_was_signed_before_a_later_collection_failed_is_printed(service: RunningService, alice: Person) -> None:
    one, digests = images(service, alice, "many/there", 1)
    two, _ = images(service, alice, "many/new", 1)
    assert alice("init", one.gun).status == 0
    no_root = {"TRUSTKIT_ROOT_PASSPHRASE": ""}
    done = alice("sign", f"{two.gun}:v0", f"{one.gun}:v0", environ=no_root)
    assert (done.status, done.slug, done.out) == (6, "no-passphrase", "")
    done = alice("sign", f"{one.gun}:v0", f"{two.gun}:v0", environ=no_root)
    assert (done.status, done.slug, done.out.split()) == (6, "no-passphrase", [f"{one.gun}:v0@{digests['v0']}"])


def test_every_wrong_line_is_told_before_anything_is_done(service: RunningService, tmp_path: Path) -> None:
    erin = service.principal("erin", "AcrPush", "AcrImageSigner")
    refs, build = tmp_path / "refs.txt", tmp_path / "build.json"
    refs.write_text(f"app:v1\n{service.host}/many/wrong:v1\n{service.host}/many/wrong\n")
    build.write_text(json.dumps({"image.name": f"{service.host}/many/wrong:v2"}))
    done = erin("sign", "nonsense", "--file", str(refs), "--from-metadata", str(build))
    assert (done.status, done.slug, done.out) == (2, "invalid-reference", "")
    for said in ("'nonsense'", f"{refs}, line 1", f"{refs}, line 3", f"{build}: no containerimage.digest"):
        assert said in done.err
    assert "line 2" not in done.err
    assert erin("key", "list", "--format", "json").out.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "feed", "said"),
    [
        ([], "", "No reference was given."),
        (["--file", "-"], "# nothing\n", "stdin names nothing to sign."),
        (
            ["--file", "-", "--passphrase-fd", "0"],
            "a.example.com/b:c\n",
            "Only one of the lists, or the passphrase",
        ),
        (["--file", "/nonexistent/refs.txt"], "", "/nonexistent/refs.txt"),
    ],
    ids=["nothing", "an-empty-list", "stdin-twice", "no-file"],
)
def test_what_can_t_be_asked(alice: Person, arguments: list[str], feed: str, said: str) -> None:
    done = alice("sign", *arguments, feed=feed)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_all_failures_are_told_and_nothing_is_signed(service: RunningService, alice: Person, bob: Person) -> None:
    own, digests = images(service, alice, "many/failing", 2)
    missing = f"{own.gun}:v0@sha256:{'0' * 64}"
    wrong = {"TRUSTKIT_REPOSITORY_PASSPHRASE": "wrong passphrase"}
    done = alice("sign", f"{own.gun}:v1", missing, f"{own.gun}:gone", f"{own.gun}:gone2", environ=wrong)
    assert (done.status, done.slug, done.out) == (1, "not-found", ""), "no key was touched"
    told = [line for line in done.err.splitlines() if line.endswith("[not-found]")]
    named = (missing, f"{own.gun}:gone", f"{own.gun}:gone2")
    assert [line.split(": ")[1] for line in told] == list(named), "each by its name, in order"
    assert alice("verify", f"{own.gun}:v1").slug in ("no-collection", "no-pin")
    refused = bob("sign", f"{own.gun}:v0", f"{own.gun}:v1")
    assert (refused.status, refused.err.count("[role-missing]")) == (5, 1), "said once, not for each tag"
    two = alice("sign", f"{own.gun}:v0@{digests['v1']}", f"{own.gun}:v0")
    assert (two.status, two.slug) == (2, "usage")


def test_metadata_as_buildx_writes_it_of_several_platforms_and_targets(
    service: RunningService, alice: Person, tmp_path: Path
) -> None:
    gun = f"{service.host}/many/bake"
    index = alice.push(f"{gun}/web:1", "web", architectures=("amd64", "arm64"))
    single = alice.push(f"{gun}/db:1", "db")
    provenance = {"buildType": "https://mobyproject.org/buildkit@v1", "materials": [], "invocation": {}}
    web = {
        "buildx.build.provenance/linux/amd64": provenance,
        "buildx.build.provenance/linux/arm64": provenance,
        "buildx.build.ref": "builder/builder0/0fjb6ubs52xx3vygf6fgdl611",
        "containerimage.descriptor": {"mediaType": OCI_INDEX, "digest": index, "size": 517},
        "containerimage.digest": index,
        "image.name": f"{gun}/web:1",
    }
    db = {
        "buildx.build.provenance": provenance,
        "buildx.build.ref": "builder/builder0/j1nhe5sr1ki1hzwd8q5hgm0dc",
        "containerimage.config.digest": f"sha256:{'c' * 64}",
        "containerimage.descriptor": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": single,
            "size": 418,
            "annotations": {"config.digest": f"sha256:{'c' * 64}", "org.opencontainers.image.created": "2026-01-01"},
        },
        "containerimage.digest": single,
        "image.name": f"{gun}/db:1",
    }
    file = tmp_path / "bake.json"
    file.write_text(json.dumps({"buildx.build.warnings": [], "db": db, "web": web}, indent=2))
    signed = alice("sign", "--recursive", "--from-metadata", str(file))
    assert (signed.status, signed.out.split()) == (0, [f"{gun}/db:1@{single}", f"{gun}/web:1@{index}"]), signed.err
    assert signed.err.count("  with sha256:") == 2
    for build, digest in ((web, index), (db, single)):
        file.write_text(json.dumps(build, indent=2))
        again = alice("sign", "--from-metadata", str(file))
        assert (again.status, again.out.split()) == (0, [f"{build['image.name']}@{digest}"]), again.err
    file.write_text(json.dumps({"containerimage.digest": index}))
    nameless = alice("sign", "--from-metadata", str(file))
    assert (nameless.status, nameless.slug) == (2, "invalid-reference")
    assert f"trustkit sign NAME:TAG@{index}" in nameless.err


@pytest.mark.parametrize("bake", [False, True], ids=["build", "bake"])
def test_metadata_signs_exactly_what_was_built(
    service: RunningService, alice: Person, tmp_path: Path, *, bake: bool
) -> None:
    gun = f"{service.host}/many/built-{'bake' if bake else 'build'}"
    built = alice.push(f"{gun}:1", "built")
    alice.push(f"{gun}:1", "moved meanwhile")
    build = {"containerimage.digest": built, "image.name": f"{gun}:1,{gun}:latest"}
    file = tmp_path / "build.json"
    file.write_text(json.dumps({"app": build, "lint": {}} if bake else build))
    signed = alice("sign", "--from-metadata", str(file))
    assert (signed.status, signed.out.split()) == (0, [f"{gun}:1@{built}", f"{gun}:latest@{built}"]), signed.err
    file.write_text(json.dumps({**build, "image.name": f"{gun}:1,{gun}"}))
    refused = alice("sign", "--from-metadata", str(file))
    assert (refused.status, refused.slug) == (2, "invalid-reference")
    assert f"trustkit sign {gun}:TAG@{built}" in refused.err


def test_many_references_tell_how_far_it_is_in_plain_lines(service: RunningService, alice: Person) -> None:
    own, digests = images(service, alice, "many/hundred", 100)
    signed = alice("sign", "--file", "-", feed="".join(f"{own.gun}:{tag}\n" for tag in digests))
    assert (signed.status, signed.out.splitlines()) == (0, [f"{own.gun}:{t}@{d}" for t, d in digests.items()])
    assert [f"Resolved {n} of 100." in signed.err for n in (10, 50, 100)] == [True, True, True]
    assert signed.err.count("Resolved ") == 10
    assert "\x1b" not in signed.err
    assert PASSPHRASE not in signed.err


def test_on_a_terminal_a_bar_comes_and_goes_and_stdout_is_clean(service: RunningService, alice: Person) -> None:
    own, digests = images(service, alice, "many/terminal", 20)
    command = [sys.executable, "-m", "trustkit", "sign", *(f"{own.gun}:{tag}" for tag in digests)]
    status, out, shown = told(command, {**os.environ, **alice.environment(), "TERM": "xterm"})
    assert (status, out.splitlines()) == (0, [f"{own.gun}:{tag}@{digest}" for tag, digest in digests.items()])
    assert "Resolving" in shown
    assert "20/20" in shown
    assert "\x1b[2K" in shown.rpartition("20/20")[2], "the bar's line is taken away"
    assert "Resolved " not in shown
