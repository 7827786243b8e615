"""Approvals at the same time as others, as a drop, and as the service's death: real processes, one collection.

Setting a collection up takes a dozen commands, so the tests share one; each has tags of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.e2e.test_signers import assert_done, pin
from tests.e2e.test_thresholds import SIGNER, proposals, refused, the_proposal
from tests.service import Person, Result, RunningService

LATE = {"not-found", "proposal-stale"}
"""What an approver is told who comes too late: by the service, or by what was read a moment before."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One that tells each request, so that a test can kill it between two."""
    made = RunningService(tmp_path_factory.mktemp("service"), "--access-log").start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def dora(service: RunningService) -> Person:
    return _signer(service, "dora")


@pytest.fixture(scope="module")
def erin(service: RunningService) -> Person:
    return _signer(service, "erin")


def _signer(service: RunningService, name: str) -> Person:
    person = service.principal(name, "AcrPush", "AcrImageSigner")
    person.environ |= SIGNER
    return person


@pytest.fixture(scope="module")
def gun(
    service: RunningService,
    alice: Person,
    dora: Person,
    erin: Person,
    carol: Person,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """``releases`` takes two of three: alice's repository key, and the signers dora and erin."""
    named, folder = f"{service.host}/racing/app", tmp_path_factory.mktemp("keys")
    alice.push(f"{named}:latest", "latest")
    assert_done(alice("sign", f"{named}:latest"))
    for person in (dora, erin):
        public = str(folder / f"{person.name}.pub")
        assert_done(person("key", "generate", "--role", "signer", "--name", person.name, "--public-out", public))
        assert_done(alice("signer", "add", person.name, "--key", public, named))
    for person in (dora, erin, carol):
        pin(person, alice, named)
    assert_done(alice("threshold", "set", named, "--role", "releases", "2"))
    assert_done(dora("approve", named, the_proposal(dora, named), "--yes"))
    return named


def signed(alice: Person, gun: str, tag: str) -> str:
    """The proposal that alice leaves for a new tag."""
    alice.push(f"{gun}:{tag}", tag)
    told = assert_done(alice("sign", f"{gun}:{tag}"))
    return re.findall(r"^Proposal ([0-9a-f]{16}): ", told.err, re.MULTILINE)[0]


def started(person: Person, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trustkit", *arguments],
        env={**os.environ, **person.environment()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return Result(process.returncode, out, err)


def at_once(*commands: tuple[Person, tuple[str, ...]]) -> list[Result]:
    return [ended(process) for process in [started(person, *arguments) for person, arguments in commands]]


def test_of_two_approvers_of_the_last_signature_one_publishes(
    alice: Person, dora: Person, erin: Person, carol: Person, gun: str
) -> None:
    identifier = signed(alice, gun, "one")
    approval = ("approve", gun, identifier, "--yes")
    results = sorted(at_once((dora, approval), (erin, approval)), key=lambda result: result.status)
    assert [result.status for result in results] == [0, 1], [result.err for result in results]
    assert results[1].slug in LATE
    assert results[0].out.startswith(f"{gun}:one@sha256:")
    assert results[1].out == ""
    assert_done(carol("verify", f"{gun}:one"))


def test_an_approval_and_a_drop_at_once_have_one_winner(
    alice: Person, dora: Person, erin: Person, carol: Person, gun: str
) -> None:
    identifier = signed(alice, gun, "dropped")
    approved, dropped = at_once(
        (dora, ("approve", gun, identifier, "--yes")), (erin, ("proposal", "drop", gun, identifier))
    )
    assert sorted([approved.status, dropped.status]) == [0, 1], [approved.err, dropped.err]
    assert (approved.slug or dropped.slug) in LATE
    assert carol("verify", f"{gun}:dropped").status == (0 if approved.status == 0 else 3)
    assert proposals(alice, gun) == []


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3], ids=["at once", "soon", "later"])
def test_a_service_that_dies_during_an_approval_loses_nothing_that_it_acknowledged(
    service: RunningService, alice: Person, dora: Person, carol: Person, gun: str, delay: float
) -> None:
    """SIGKILL some time after the approver has read the proposal; the approval can be repeated."""
    tag = f"killed-{int(delay * 10)}"
    identifier = signed(alice, gun, tag)
    read = service.log.read_text().count(identifier)
    approving = started(dora, "approve", gun, identifier, "--yes")
    deadline = time.monotonic() + 60
    while service.log.read_text().count(identifier) == read and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    service.kill()
    first = ended(approving)
    service.start()
    if first.status == 0:
        assert_done(carol("verify", f"{gun}:{tag}"))
    else:
        assert first.status == 4, first.err
    again = dora("approve", gun, identifier, "--yes")
    assert again.status == 0 or (again.status, again.slug) == (1, "not-found"), again.err
    assert_done(carol("verify", f"{gun}:{tag}", f"{gun}:latest"))
    assert proposals(alice, gun) == []


def test_both_of_two_approvals_at_once_count_and_the_first_outlives_the_service(
    service: RunningService, alice: Person, dora: Person, erin: Person, carol: Person, gun: str
) -> None:
    """Three of three.  Comes last: the threshold stays."""
    assert_done(alice("threshold", "set", gun, "--role", "releases", "3"))
    identifier = the_proposal(dora, gun)
    waits = assert_done(dora("approve", gun, identifier, "--yes"))
    assert "takes 1 more signature" in waits.err
    service.kill()
    service.start()
    assert [(row["id"], row["missing"]) for row in proposals(erin, gun)] == [(identifier, 1)]
    refused(dora("approve", gun, identifier, "--yes"), 6, "key-missing")
    assert_done(erin("approve", gun, identifier, "--yes"))

    identifier = signed(alice, gun, "three")
    approval = ("approve", gun, identifier, "--yes")
    results = at_once((dora, approval), (erin, approval))
    assert [result.status for result in results] == [0, 0], [result.err for result in results]
    assert sorted(bool(result.out) for result in results) == [False, True]
    assert_done(carol("verify", f"{gun}:three", f"{gun}:latest"))
