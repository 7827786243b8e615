"""What expires and is renewed, on clocks that run ahead: the service's, everybody's, and one person's alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clock import Clock, make_clock
from tests.conftest import Need
from tests.e2e.test_signers import assert_done, pin, signer_key
from tests.service import PASSPHRASE, Person, Result, RunningService

SECONDS = 60.0
LIVES = {"TRUSTKIT_ROOT_DAYS": "40", "TRUSTKIT_TARGETS_DAYS": "20", "TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE}


@pytest.fixture
def clock(need: Need, tmp_path: Path) -> Clock:
    return make_clock(need, tmp_path / "clock")


@pytest.fixture
def service(clock: Clock, tmp_path: Path) -> Iterator[RunningService]:
    made = RunningService(tmp_path, environ=clock.environ).start()
    yield made
    made.stop()


@pytest.fixture
def alice(service: RunningService, clock: Clock) -> Person:
    return person(service, clock, "alice", "AcrPush", "AcrImageSigner")


@pytest.fixture
def carol(service: RunningService, clock: Clock) -> Person:
    return person(service, clock, "carol", "AcrPull")


@pytest.fixture
def gun(service: RunningService, alice: Person, carol: Person) -> str:
    """A collection with the tag v1; root lives 40 days, targets 20."""
    named = f"{service.host}/team/app"
    alice.push(f"{named}:v1")
    assert_done(alice("sign", f"{named}:v1"))
    pin(carol, alice, named)
    assert_done(carol("verify", f"{named}:v1"))
    return named


def person(service: RunningService, clock: Clock, name: str, *roles: str) -> Person:
    made = service.principal(name, *roles)
    made.environ |= {**clock.environ, **LIVES}
    return made


def status(who: Person, gun: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the one object of ``trustkit status --format json``."""
    result = who("status", gun, "--format", "json", *options)
    (found,) = json.loads(result.out)
    return result.status, found


def roles(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {role["name"]: role for role in found["roles"]}


def pass_days(service: RunningService, clock: Clock, who: Person, gun: str, days: float) -> None:
    """Moves every clock, and waits until the service has renewed its own part."""
    clock.ahead(days=days)
    ends = time.monotonic() + SECONDS
    while True:
        _, found = status(who, gun)
        if found["roles"] and not any(roles(found)[role]["expired"] for role in ("snapshot", "timestamp")):
            return
        assert time.monotonic() < ends, (found, service.log.read_text())


def refused(result: Result, number: int, slug: str) -> Result:
    assert (result.status, result.slug) == (number, slug), result.out + result.err
    return result


def fingerprint(who: Person) -> dict[str, str]:
    """Every file of the metadata that a home keeps as verified."""
    cache = who.home / "trustkit" / "cache" / "metadata"
    files = [path for path in cache.rglob("*") if path.is_file() and path.suffix == ".json"]
    return {str(path.relative_to(cache)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def twin(who: Person, name: str, *without: str) -> Person:
    """The same home elsewhere, without the keys of these roles."""
    made = Person(name, who.home.with_name(name), dict(who.environ))
    shutil.copytree(who.home, made.home, symlinks=True)
    for key in json.loads(assert_done(made("key", "list", "--format", "json")).out):
        if key["role"] in without:
            assert_done(made("key", "remove", key["id"], "--yes"))
    return made


def test_what_has_expired_is_told_and_mended(
    service: RunningService, clock: Clock, alice: Person, carol: Person, gun: str
) -> None:
    number, found = status(alice, gun, "--warn-days", "10")
    assert (number, found["grade"], found["trusted"]) == (0, "fine", True)
    assert found["soonest"]["role"] == "targets"
    assert status(alice, gun, "--warn-days", "30")[0] == 1, "soon is a status of its own"

    pass_days(service, clock, alice, gun, 21)
    told = refused(carol("verify", f"{gun}:v1"), 3, "expired")
    assert "targets expired at 20" in told.err
    assert f"trustkit renew {gun}" in told.err
    alice.push(f"{gun}:v2")
    assert f"trustkit renew {gun}" in refused(alice("sign", f"{gun}:v2"), 3, "expired").err
    number, found = status(alice, gun)
    assert (number, found["grade"], found["trusted"]) == (3, "expired", False)
    assert roles(found)["targets"]["expired"]
    assert roles(found)["targets"]["renewable"]
    assert roles(found)["root"]["soon"]

    before = fingerprint(alice)
    planned = assert_done(alice("renew", gun, "--dry-run"))
    assert f"{gun}:v1@sha256:" in planned.out, "whoever signs anew what has expired sees what it is"
    assert fingerprint(alice) == before
    done = assert_done(alice("renew", gun))
    assert [line.split()[1] for line in done.out.splitlines()] == ["root", "targets"]
    assert_done(carol("verify", f"{gun}:v1"))
    assert status(alice, gun, "--warn-days", "10")[0] == 0
    again = assert_done(alice("renew", gun, "--within", "5"))
    assert (again.out, "nothing expires" in again.err) == ("", True)


def test_root_and_targets_are_renewed_by_different_hands(
    service: RunningService, clock: Clock, alice: Person, carol: Person, gun: str
) -> None:
    holder = twin(alice, "holder", "repository")
    publisher = twin(alice, "publisher", "root")
    pass_days(service, clock, alice, gun, 41)
    told = refused(publisher("renew", gun), 6, "key-missing")
    assert f"{gun}: targets is at version 2" in told.out, "what can be done is done"
    assert "root takes root key" in told.err
    assert "trustkit root propose" in told.err
    assert "root expired" in refused(carol("verify", f"{gun}:v1"), 3, "expired").err
    assert_done(holder("renew", gun))
    assert_done(carol("verify", f"{gun}:v1"))


def test_status_never_makes_anything_trusted(
    service: RunningService, clock: Clock, alice: Person, carol: Person, gun: str
) -> None:
    before = fingerprint(carol)
    pass_days(service, clock, carol, gun, 21)
    assert status(carol, gun)[0] == 3
    assert fingerprint(carol) == before
    refused(carol("verify", f"{gun}:v1"), 3, "expired")
    stranger = Person("stranger", carol.home.with_name("stranger"), dict(carol.environ))
    shutil.copytree(carol.home / "docker", stranger.home / "docker")
    number, found = status(stranger, gun)
    assert (number, found["grade"], found["error"]["slug"]) == (3, "unknown", "no-pin")
    pin(stranger, alice, gun)
    assert status(stranger, gun)[0] == 3
    assert not [name for name in fingerprint(stranger) if "timestamp" in name or "anchor" in name]


def test_a_state_older_than_what_was_seen_is_neither_shown_nor_renewed(
    service: RunningService, clock: Clock, alice: Person, gun: str
) -> None:
    alice.push(f"{gun}:v2")
    service.stop()
    kept, old = service.data / "trustkit.db", service.folder / "old.db"
    with sqlite3.connect(kept) as database, sqlite3.connect(old) as copy:
        database.backup(copy)
    service.start()
    assert_done(alice("sign", f"{gun}:v2"))
    service.stop()
    with sqlite3.connect(old) as copy, sqlite3.connect(kept) as database:
        copy.backup(database)
    clock.ahead(days=21)
    service.start()
    number, found = status(alice, gun)
    assert (number, found["trusted"], found["roles"]) == (3, False, [])
    assert found["error"]["slug"] == "rolled-back"
    refused(alice("renew", gun), 3, "rolled-back")


@pytest.mark.parametrize(("days", "words"), [(1, "1 day ahead of"), (-1, "1 day behind")])
def test_a_clock_that_is_a_day_off_is_told(
    service: RunningService, need: Need, tmp_path: Path, alice: Person, gun: str, days: int, words: str
) -> None:
    own = make_clock(need, tmp_path / "own-clock")
    own.ahead(days=days)
    alice.environ |= own.environ
    for command in (["verify", f"{gun}:v1"], ["sign", f"{gun}:v1"], ["status", gun, "--warn-days", "1"]):
        told = assert_done(alice(*command))
        assert f"This machine's clock is {words}" in told.err, command


def test_a_clock_that_is_weeks_ahead_renews_nothing(
    service: RunningService, need: Need, tmp_path: Path, alice: Person, gun: str
) -> None:
    own = make_clock(need, tmp_path / "own-clock")
    own.ahead(days=30)
    alice.environ |= own.environ
    for command in (["verify", f"{gun}:v1"], ["renew", gun]):
        assert "clock is 30 days ahead" in refused(alice(*command), 3, "expired").err, command
    number, found = status(alice, gun)
    assert number == 3
    assert "30 days ahead" in found["warnings"][0]


def test_a_limited_signer_renews_its_own_and_keeps_nobody_from_theirs(
    service: RunningService, clock: Clock, tmp_path: Path, alice: Person, carol: Person, gun: str
) -> None:
    ci = person(service, clock, "ci", "AcrPush", "AcrImageSigner")
    public = signer_key(ci, "ci", tmp_path)
    pin(ci, alice, gun)
    assert_done(alice("signer", "add", "ci", "--key", str(public), "--paths", "c*", gun, "--yes"))
    ci.push(f"{gun}:c1")
    assert_done(ci("sign", f"{gun}:c1"))
    pass_days(service, clock, alice, gun, 21)
    _, found = status(alice, gun)
    standing = roles(found)
    assert standing["ci"]["breaks"].startswith("tags c* of ci")
    assert standing["releases"]["breaks"] == "every tag but those of ci (c*)"
    assert standing["ci"]["renewer"].startswith("1 of ci ")
    told = refused(alice("renew", gun, "--role", "targets", "--role", "releases"), 0, "")
    assert "stays expired until others" in told.err
    assert_done(carol("verify", f"{gun}:v1"))
    refused(carol("verify", f"{gun}:c1"), 3, "expired")
    assert_done(ci("renew", gun))
    assert_done(carol("verify", f"{gun}:c1"))


def test_a_role_that_two_sign_is_proposed_by_one_and_renewed_with_the_other(
    service: RunningService, clock: Clock, tmp_path: Path, alice: Person, carol: Person, gun: str
) -> None:
    bob = person(service, clock, "bob", "AcrPush", "AcrImageSigner")
    public = signer_key(bob, "bob", tmp_path)
    pin(bob, alice, gun)
    assert_done(alice("signer", "add", "bob", "--key", str(public), gun, "--yes"))
    assert_done(alice("threshold", "set", gun, "--role", "releases", "2", "--yes"))
    for proposal in json.loads(assert_done(alice("proposal", "list", gun, "--format", "json")).out):
        assert_done(bob("approve", gun, proposal["id"], "--yes"))
    pass_days(service, clock, alice, gun, 21)
    assert_done(alice("renew", gun))
    (proposal,) = status(alice, gun)[1]["proposals"]
    assert (proposal["role"], proposal["missing"]) == ("releases", 1)
    assert_done(alice("renew", gun))
    refused(carol("verify", f"{gun}:v1"), 3, "expired")
    assert_done(bob("approve", gun, str(proposal["id"]), "--yes"))
    assert_done(carol("verify", f"{gun}:v1"))


def test_every_repository_of_this_home_and_what_cannot_be_asked(
    service: RunningService, alice: Person, carol: Person, gun: str
) -> None:
    (found,) = json.loads(alice("status", "--format", "json").out)
    assert found["gun"] == gun
    held = {key["holder"]: key for key in found["keys"]}
    assert held["root key"]["here"]
    assert not held["the service"]["here"]
    assert any("is in no backup" in warning for warning in found["warnings"])
    nobody = Person("nobody", carol.home.with_name("nobody"), {})
    refused(nobody("status"), 2, "usage")
    service.stop()
    number, failed = status(carol, gun)
    assert (number, failed["grade"], failed["error"]["slug"]) == (4, "unknown", "unreachable")
    assert failed.keys() == found.keys()
