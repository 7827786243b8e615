"""Several collections in one command: what is told where one of them fails; the same command again ends it."""

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

from tests.e2e.test_signers import assert_done, signer_key
from tests.e2e.test_thresholds import raise_to_two
from tests.real.parts import within
from tests.service import PASSPHRASE, Person, Result, RunningService
from tests.softhsm import PIN, SoftHsm
from trustkit.cli.context import Context
from trustkit.cli.publishing import signing_with
from trustkit.client.resolve import Resolved
from trustkit.core.names import ImageRef
from trustkit.errors import CouldNotCheck


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
from trustkit.cli.publishing import signing_with
from trustkit.client.resolve import Resolved
from trustkit.core.names import ImageRef
from trustkit.errors import TrustkitError

signing = signing_with(Context(home_flag=None, environ=dict(os.environ)))
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
    signing = signing_with(Context(home_flag=None, environ={**os.environ, **alice.environment()}))
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
