"""Many tags at once: lists, builds' metadata, children of indexes; one publish a collection, all or nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.registry_view import Own
from tests.e2e.test_signers import assert_done, signer_key
from tests.e2e.test_thresholds import raise_to_two
from tests.real.parts import within
from tests.service import PASSPHRASE, Person, Result, RunningService
from tests.softhsm import PIN, SoftHsm
from trustkit.cli.context import Context
from trustkit.client.resolve import Resolved
from trustkit.core.names import ImageRef
from trustkit.errors import CouldNotCheck


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


def told(done: Result) -> str:
    """What stands on stderr about which collections are done."""
    return next((line for line in done.err.splitlines() if "ailed: " in line or "nterrupted, " in line), "")


def one_each(service: RunningService, alice: Person, *repositories: str) -> list[str]:
    """An unsigned image in each of some repositories; their references with the tag v1."""
    names = [f"{service.host}/{repository}:v1" for repository in repositories]
    for name in names:
        alice.push(name)
    return names


@pytest.mark.parametrize("why", ["no-founder", "no-key"])
def test_a_collection_that_fails_in_the_middle_stops_there_and_again_ends_it(
    service: RunningService, alice: Person, why: str
) -> None:
    first, second, third = one_each(service, alice, f"{why}/one", f"{why}/two", f"{why}/three")
    gone = service.principal(f"before-{why}", "AcrPush", "AcrImageSigner")
    if why == "no-founder":
        assert service.admin("founders", "add", f"{why}/two", "--root-key", "f" * 64).status == 0
    else:
        assert gone("sign", second).status == 0
        assert alice("pin", "add", second.removesuffix(":v1"), "--root-key", gone.root_key()).status == 0
    done = alice("sign", first, second, third)
    expected = (1, "founder-not-allowed") if why == "no-founder" else (6, "key-missing")
    assert (done.status, done.slug) == expected, done.err
    assert [line.partition("@")[0] for line in done.out.split()] == [first], "what is done is printed"
    guns = [name.removesuffix(":v1") for name in (first, second, third)]
    assert told(done) == f"Done: {guns[0]}. Failed: {guns[1]}. Not tried: {guns[2]}."
    assert alice("verify", first).status == 0
    assert alice("verify", third).status == 3
    if why == "no-founder":
        assert service.admin("founders", "add", f"{why}/two", "--root-key", alice.root_key()).status == 0
    else:
        hand_over(gone, alice)
    again = alice("sign", first, second, third)
    assert (again.status, told(again)) == (0, ""), again.err
    assert [line.partition("@")[0] for line in again.out.split()] == [first, second, third]
    assert alice("verify", first, second, third).status == 0


def hand_over(giver: Person, taker: Person) -> None:
    """Gives somebody the repository keys of another home."""
    for file in (giver.home / "trustkit" / "keys").glob("*.pem"):
        if b"repository" in file.read_bytes():
            assert taker("key", "import", str(file)).status == 0


def test_a_role_that_lacks_for_one_of_them_is_told_before_anything_is_done(
    service: RunningService, alice: Person
) -> None:
    names = one_each(service, alice, "mine/one", "theirs/two", "mine/three")
    frank = service.principal("frank", "AcrPush", "AcrImageSigner", pattern="mine/*")
    assert service.admin("role", "assign", "frank", "AcrPush", "--repository", "theirs/*").status == 0
    refused = frank("sign", *names)
    assert (refused.status, refused.slug, refused.out, told(refused)) == (5, "role-missing", "", "")
    assert "Nothing was signed." in refused.err
    assert json.loads(frank("key", "list", "--format", "json").out) == [], "no key was made"
    assert service.admin("role", "assign", "frank", "AcrImageSigner", "--repository", "theirs/*").status == 0
    assert within(10, lambda: frank("sign", *names).status == 0)


def test_collections_that_wait_for_others_are_not_told_as_done(
    service: RunningService, alice: Person, tmp_path: Path
) -> None:
    names = one_each(service, alice, "waits/one", "waits/two", "waits/three")
    first, second, third = (name.removesuffix(":v1") for name in names)
    assert_done(alice("sign", names[0]))
    rita = service.principal("rita", "AcrPush", "AcrImageSigner")
    rita.environ |= {"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE}
    assert_done(rita("pin", "add", first, "--root-key", alice.root_key()))
    assert_done(alice("signer", "add", "rita", "--key", str(signer_key(rita, "rita", tmp_path)), first))
    raise_to_two(alice, rita, first)
    assert service.admin("founders", "add", "waits/two", "--root-key", "f" * 64).status == 0
    alice.push(names[0], "another")
    done = alice("sign", *names)
    assert (done.status, done.slug, done.out) == (1, "founder-not-allowed", ""), done.err
    assert told(done) == f"Left as a proposal: {first}. Failed: {second}. Not tried: {third}."


PULLED_OUT = """
import os, shutil, sys
from trustkit.cli.app import report
from trustkit.cli.context import Context
from trustkit.client.resolve import Resolved
from trustkit.core.names import ImageRef
from trustkit.errors import TrustkitError

signing = Context(home_flag=None, environ=dict(os.environ)).signing()
found = signing.resolve([ImageRef.parse(name) for name in sys.argv[2:]])
publishing = signing.publish([each for each in found if isinstance(each, Resolved)])
print(*next(publishing))
shutil.rmtree(sys.argv[1])
try:
    next(publishing)
except TrustkitError as error:
    report(error)
    os._exit(6)
"""


@pytest.mark.real
def test_a_token_that_is_pulled_out_between_two_signatures(
    service: RunningService, softhsm: SoftHsm, tmp_path: Path
) -> None:
    gina = service.principal("gina", "AcrPush", "AcrImageSigner")
    gina.environ = {**softhsm.environ, "TRUSTKIT_HSM_PIN": PIN, "TRUSTKIT_REPOSITORY_PASSPHRASE": ""}
    token, names = softhsm.insert("desk"), one_each(service, gina, "token/one", "token/two")
    one, two = (name.removesuffix(":v1") for name in names)
    for gun in (one, two):
        made = ("--hsm", f"pkcs11:token=desk;object={gun[-3:]}", "--role", "repository", "--gun", gun)
        assert_done(gina("key", "generate", *made))
    done = subprocess.run(
        [sys.executable, "-c", PULLED_OUT, str(token), *names],
        env={**os.environ, **gina.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    result = Result(done.returncode, done.stdout, done.stderr)
    assert (result.status, result.slug) == (6, "key-unavailable"), result.err
    assert result.out.partition("@")[0] == names[0]
    assert "trustkit: The token 'desk' " in result.err
    assert "pulled out" in result.err
    assert "start again" in result.err
    assert told(result) == f"Done: {one}. Failed: {two}."
    assert gina("verify", names[0]).status == 0
    assert gina("verify", names[1]).slug in ("no-collection", "no-pin"), "nothing of it was published"


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Somebody presses Ctrl-C after a while."""

    def press(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("what", ["down", "interrupted"])
def test_a_service_that_goes_down_between_two_collections(
    tmp_path: Path, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    service = RunningService(tmp_path).start()
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    names = one_each(service, alice, "one", "two", "three")
    one, two, three = (name.removesuffix(":v1") for name in names)
    signing = Context(home_flag=None, environ={**os.environ, **alice.environment()}).signing()
    found = [each for each in signing.resolve([ImageRef.parse(name) for name in names]) if isinstance(each, Resolved)]
    publishing = signing.publish(found)
    assert [str(signed).partition("@")[0] for signed in next(publishing)] == [names[0]]
    if what == "down":
        service.kill()
        with pytest.raises(CouldNotCheck):
            next(publishing)
        service.start()
        assert f"Done: {one}. Failed: {two}. Not tried: {three}." in capfd.readouterr().err
    else:
        assert service.process is not None
        service.process.send_signal(signal.SIGSTOP)
        with interrupted_after(0.5), pytest.raises(KeyboardInterrupt):
            next(publishing)
        service.process.send_signal(signal.SIGCONT)
        assert f"Done: {one}. Interrupted, and perhaps done: {two}. Not tried: {three}." in capfd.readouterr().err
    assert alice("verify", names[0]).status == 0
    assert alice("sign", *names).status == 0
    assert alice("verify", *names).status == 0
    service.stop()


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


def children(service: RunningService, alice: Person, repository: str, *flags: str) -> tuple[str, str, list[str]]:
    """A signed index: its GUN, its digest and those of its two images."""
    gun = f"{service.host}/{repository}"
    top = alice.push(f"{gun}:multi", architectures=("amd64", "arm64"))
    signed = alice("sign", *flags, f"{gun}:multi")
    assert signed.status == 0, signed.err
    token = alice.token(service.host, f"repository:{repository}:pull")
    import urllib.request

    accept = "application/vnd.oci.image.index.v1+json"
    request = urllib.request.Request(f"{service.url}/v2/{repository}/manifests/{top}", headers={"Accept": accept})
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        listed = [str(entry["digest"]) for entry in json.loads(answer.read())["manifests"]]
    assert all((digest in signed.err) is ("--recursive" in flags) for digest in listed), "each is shown"
    return gun, top, listed


def test_a_child_is_trusted_by_the_tag_that_it_was_signed_with(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    gun, top, (amd64, _) = children(service, alice, "many/recursive", "--recursive")
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    checked = carol("verify", f"{gun}@{amd64}")
    assert (checked.status, checked.out.strip()) == (0, f"{gun}@{amd64}"), checked.err
    assert f"{gun}:multi@{top}" in checked.err
    pulled = carol("pull", f"{gun}@{amd64}", "--to", f"oci:{tmp_path / 'out'}")
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}@{amd64}")
    names = [e["annotations"] for e in json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]]
    assert "multi" not in names[0].values(), "the tag is the whole index"
    assert alice("sign", f"{gun}:multi").status == 0
    assert carol("verify", f"{gun}@{amd64}").status == 0, "signing the same bytes again forgets nothing"
    alice.push(f"{gun}:other")
    assert alice("sign", f"{gun}:other").status == 0
    assert carol("verify", f"{gun}@{amd64}").status == 0, "nor does another tag"
    assert alice("revoke", f"{gun}:multi").status == 0
    revoked = carol("verify", f"{gun}@{amd64}")
    assert (revoked.status, revoked.slug) == (3, "unsigned")


def test_without_the_record_a_child_is_not_trusted(service: RunningService, alice: Person) -> None:
    gun, _, (amd64, _) = children(service, alice, "many/flat")
    refused = alice("verify", f"{gun}@{amd64}")
    assert (refused.status, refused.slug) == (3, "unsigned")
    assert alice("sign", "--recursive", f"{gun}:multi").status == 0
    assert alice("verify", f"{gun}@{amd64}").status == 0


def test_many_references_tell_how_far_it_is_in_plain_lines(service: RunningService, alice: Person) -> None:
    own, digests = images(service, alice, "many/hundred", 100)
    signed = alice("sign", "--file", "-", feed="".join(f"{own.gun}:{tag}\n" for tag in digests))
    assert (signed.status, signed.out.splitlines()) == (0, [f"{own.gun}:{t}@{d}" for t, d in digests.items()])
    assert [f"Resolved {n} of 100." in signed.err for n in (10, 50, 100)] == [True, True, True]
    assert signed.err.count("Resolved ") == 10
    assert "\x1b" not in signed.err
    assert PASSPHRASE not in signed.err
