"""What expires and is renewed, on clocks that run ahead: the service's, everybody's, and one person's alone."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.clock import Clock, make_clock
from tests.conftest import Need
from tests.e2e.test_signers import assert_done, pin, signer_key
from tests.server.scrape import Monitored
from tests.service import PASSPHRASE, PASSWORD, Person, Result, RunningService

SECONDS = 60.0
DAY = 86400.0
SOONEST = "trustkit_soonest_expiry_timestamp_seconds"
EXPIRED = "trustkit_expired_files"
LIVES = {"TRUSTKIT_ROOT_DAYS": "40", "TRUSTKIT_TARGETS_DAYS": "20", "TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE}


@pytest.fixture
def clock(need: Need, tmp_path: Path) -> Clock:
    return make_clock(need, tmp_path / "clock")


@pytest.fixture
def service(clock: Clock, tmp_path: Path) -> Iterator[Monitored]:
    made = Monitored(tmp_path, "--metrics", "127.0.0.1:0", environ=clock.environ)
    made.start()
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


def log_in(service: RunningService, *people: Person, name: str = "") -> None:
    for who in people:
        login = ("login", service.host, "-u", name or who.name, "--password-stdin")
        assert_done(who(*login, feed=PASSWORD + "\n"))


def status(who: Person, gun: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the one object of ``trustkit status --format json``."""
    result = who("status", gun, "--format", "json", *options)
    (found,) = json.loads(result.out)
    return result.status, found


def roles(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {role["name"]: role for role in found["roles"]}


def pass_days(service: RunningService, clock: Clock, who: Person, gun: str, days: float) -> None:
    """Moves every clock, and waits until the service has renewed its own part and says the time in what it answers,
    which a server of HTTP looks up once a second; logins live 30 days."""
    shows = clock.ahead(days=days)
    if days >= 30:
        log_in(service, who)
    ends = time.monotonic() + SECONDS
    while True:
        _, found = status(who, gun)
        renewed = found["roles"] and not any(roles(found)[role]["expired"] for role in ("snapshot", "timestamp"))
        if renewed and says(service) >= shows - timedelta(seconds=5):
            return
        assert time.monotonic() < ends, (found, service.log.read_text())


def says(service: RunningService) -> datetime:
    """The time of day by the Date of an answer."""
    connection = http.client.HTTPConnection(service.host, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz")
        return parsedate_to_datetime(connection.getresponse().headers["Date"])
    finally:
        connection.close()


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


def restarted(service: RunningService, clock: Clock, **ahead: float) -> float:
    """Sets the clock between a stop and a start; returns the seconds since the epoch that it shows."""
    service.stop()
    shows = clock.ahead(**ahead).timestamp()
    service.start()
    return shows


def test_a_pin_follows_to_what_has_expired_and_says_so_once_that_is_renewed(
    service: Monitored, alice: Person, clock: Clock, tmp_path: Path
) -> None:
    """The collection was converted on another machine of the publisher's, and nobody has renewed it since."""
    gun = f"{service.host}/team/converted"
    alice.push(f"{gun}:v1")
    assert_done(alice("init", gun, "--format", "docker"))
    assert_done(alice("sign", f"{gun}:v1"))
    other = Person("other", tmp_path / "other", environ=alice.environ)
    for name in ("docker", "trustkit"):
        shutil.copytree(alice.home / name, other.home / name)
    assert_done(alice("convert", gun, "--to", "tuf"))
    pass_days(service, clock, alice, gun, 21)
    refused(other("verify", f"{gun}:v1"), 3, "expired")
    assert [pin["format"] for pin in json.loads(other("pin", "list", "--format", "json").out)] == ["docker"]
    assert f"{gun}: targets is at version 2" in assert_done(other("renew", gun)).out
    assert [pin["format"] for pin in json.loads(other("pin", "list", "--format", "json").out)] == ["tuf"]
    assert_done(other("verify", f"{gun}:v1"))


def renewed(service: Monitored) -> None:
    """Waits until a round of the service's own renewals has ended."""
    ends = time.monotonic() + SECONDS
    while not service.scrape()("trustkit_renewals_total", outcome="renewed"):
        assert time.monotonic() < ends, service.log.read_text()
        time.sleep(0.05)


def test_what_has_expired_is_told_and_mended(
    service: Monitored, clock: Clock, alice: Person, carol: Person, gun: str
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

    scrape, (code, said) = service.scrape(), service.ready()
    assert scrape(EXPIRED, role="targets") == 1
    assert scrape(SOONEST, role="targets") == pytest.approx(time.time() + 20 * DAY, abs=300)
    assert (code, said["problems"]) == (200, []), "no other instance of the service could mend it"
    assert said["warnings"][1].startswith("targets metadata: 1 expired, 0 within 30 days, the first of all at 20")

    before = fingerprint(alice)
    planned = assert_done(alice("renew", gun, "--dry-run"))
    assert f"{gun}:v1@sha256:" in planned.out, "whoever signs anew what has expired sees what it is"
    assert fingerprint(alice) == before
    done = assert_done(alice("renew", gun))
    assert [line.split()[1] for line in done.out.splitlines()] == ["root", "targets"]
    assert_done(carol("verify", f"{gun}:v1"))
    assert status(alice, gun, "--warn-days", "10")[0] == 0
    scrape = service.scrape()
    assert scrape(EXPIRED, role="targets") == 0
    assert scrape(SOONEST, role="targets") == pytest.approx(time.time() + 41 * DAY, abs=300)
    again = assert_done(alice("renew", gun, "--within", "5"))
    assert (again.out, "nothing expires" in again.err) == ("", True)


def test_root_and_targets_are_renewed_by_different_hands(
    service: RunningService, clock: Clock, alice: Person, carol: Person, gun: str
) -> None:
    holder = twin(alice, "holder", "repository")
    publisher = twin(alice, "publisher", "root")
    pass_days(service, clock, alice, gun, 41)
    log_in(service, holder, publisher, name="alice")
    log_in(service, carol)
    told = refused(publisher("renew", gun), 6, "key-missing")
    assert f"{gun}: targets is at version 2" in told.out, "what can be done is done"
    assert "root takes root key" in told.err
    assert "trustkit root propose" in told.err
    assert "root expired" in refused(carol("verify", f"{gun}:v1"), 3, "expired").err
    told = assert_done(holder("renew", gun))
    assert f"{gun}: root is at version 2" in told.out
    assert "it is renewed by repository key" in told.err, "not yet expired, and not this person's to renew"
    assert "targets takes repository key" in refused(holder("renew", gun, "--role", "targets"), 6, "key-missing").err
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
    assert_done(alice("renew", gun, "--role", "targets"))  # ahead of what the old state's own renewal comes to
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
    own_words = f"This machine's clock is {words}"
    for command in (["verify", f"{gun}:v1"], ["sign", f"{gun}:v1"], ["status", gun, "--warn-days", "1"]):
        assert own_words in assert_done(alice(*command)).err, command
    alice.environ["TRUSTKIT_TARGETS_DAYS"] = "25"
    told = assert_done(alice("renew", gun, "--role", "targets"))
    assert told.err.count(own_words) == 1
    assert "targets is at version 3" in told.out

    own.ahead(days=0)
    standing = status(alice, gun, "--warn-days", "1")[1]
    assert not [words for words in standing["warnings"] if "clock" in words]
    expires = datetime.fromisoformat(roles(standing)["targets"]["expires"]).timestamp()
    assert expires == pytest.approx(time.time() + (25 + days) * DAY, abs=300)
    for command in (["verify", f"{gun}:v1"], ["sign", f"{gun}:v1"]):
        assert "clock" not in assert_done(alice(*command)).err, "tokens of another day do no harm"


@pytest.mark.parametrize(("days", "words"), [(1, "1 day behind"), (-1, "1 day ahead of")])
def test_a_clock_of_the_service_that_is_a_day_off_is_told(
    service: Monitored,
    need: Need,
    tmp_path: Path,
    clock: Clock,
    alice: Person,
    carol: Person,
    gun: str,
    days: int,
    words: str,
) -> None:
    right = make_clock(need, tmp_path / "right-clock")
    alice.environ |= right.environ
    carol.environ |= right.environ
    restarted(service, clock, days=days)
    alice.push(f"{gun}:v2")
    for who, command in [(carol, "verify"), (alice, "sign")]:
        told = assert_done(who(command, f"{gun}:v2" if command == "sign" else f"{gun}:v1"))
        assert f"This machine's clock is {words} that of {service.host}; one of them is wrong." in told.err
    assert_done(alice("renew", gun, "--role", "targets"))

    restarted(service, clock, days=0)
    told = assert_done(carol("verify", f"{gun}:v1", f"{gun}:v2"))
    wrong = f"The clock of {service.host} was wrong: it signed its timestamp 1 day ahead of what it shows now."
    assert (wrong in told.err, "This machine's clock" in told.err) == (days > 0, False)
    assert_done(alice("sign", f"{gun}:v2"))
    assert "clock" not in assert_done(carol("verify", f"{gun}:v1", f"{gun}:v2")).err
    assert service.ready() == (200, {"status": "ok", "problems": [], "warnings": service.ready()[1]["warnings"]})


def test_what_a_service_signed_weeks_ahead_is_signed_anew_on_the_right_clock(
    service: Monitored, need: Need, tmp_path: Path, clock: Clock, alice: Person, carol: Person, gun: str
) -> None:
    right = make_clock(need, tmp_path / "right-clock")
    alice.environ |= right.environ
    carol.environ |= right.environ
    ahead = restarted(service, clock, days=25)
    renewed(service)
    assert service.scrape()(SOONEST, role="timestamp") == pytest.approx(ahead + 7 * DAY, abs=300)
    number, found = status(alice, gun)
    assert (number, found["grade"]) == (3, "expired"), "by one of the two clocks it is"
    assert "clock is 25 days behind" in found["warnings"][0]

    shows = restarted(service, clock, days=0)
    renewed(service)
    scrape = service.scrape()
    assert scrape(SOONEST, role="timestamp") == pytest.approx(shows + 7 * DAY, abs=300), "it isn't good for 32 days"
    assert scrape(SOONEST, role="snapshot") == pytest.approx(shows + 14 * DAY, abs=300)
    assert "clock" not in assert_done(carol("verify", f"{gun}:v1")).err
    assert "clock" not in assert_done(alice("sign", f"{gun}:v1")).err


def test_a_service_that_was_off_for_weeks_renews_its_part_when_it_starts(
    service: Monitored, clock: Clock, alice: Person, carol: Person, gun: str
) -> None:
    shows = restarted(service, clock, days=16)
    renewed(service)
    scrape = service.scrape()
    assert scrape(SOONEST, role="timestamp") == pytest.approx(shows + 7 * DAY, abs=300)
    assert scrape(SOONEST, role="snapshot") == pytest.approx(shows + 14 * DAY, abs=300)
    assert [scrape(EXPIRED, role=role) for role in ("root", "targets", "snapshot", "timestamp")] == [0, 0, 0, 0]
    code, said = service.ready()
    assert (code, said["problems"]) == (200, [])
    assert any(words.startswith("targets metadata: 0 expired, 1 within 30 days") for words in said["warnings"])
    assert_done(carol("verify", f"{gun}:v1"))
    number, found = status(alice, gun)
    assert (number, found["grade"], found["soonest"]["role"]) == (1, "soon", "targets")


def test_a_login_that_has_expired_is_told_and_is_never_good_news(
    service: Monitored, clock: Clock, alice: Person, gun: str
) -> None:
    clock.ahead(days=31)
    told = refused(alice("status", gun), 5, "login-required")
    assert told.out == f"{gun}: UNKNOWN\n"
    assert "does not accept the stored login any more: it has expired" in told.err
    assert f"Run: trustkit login {service.host}" in told.err
    number, found = status(alice, gun)
    assert (number, found["grade"], found["trusted"], found["error"]["slug"]) == (
        5,
        "unknown",
        False,
        "login-required",
    )
    assert found["error"]["hint"] == f"Run: trustkit login {service.host}"
    refused(alice("renew", gun), 5, "login-required")
    log_in(service, alice)
    assert status(alice, gun)[0] == 3
    assert_done(alice("renew", gun))
    assert status(alice, gun, "--warn-days", "5")[0] == 0


def test_a_home_that_cannot_be_read_is_no_good_news(alice: Person, gun: str) -> None:
    pins = alice.home / "trustkit" / "pins.json"
    pins.write_text("{")
    told = refused(alice("status", gun), 4, "state")
    assert told.out == f"{gun}: UNKNOWN\n", "status 1 is for what was seen to expire soon"
    refused(alice("status"), 4, "state")


def test_a_clock_that_is_weeks_behind_renews_nothing_and_calls_nothing_well(
    service: RunningService, need: Need, tmp_path: Path, alice: Person, carol: Person, gun: str
) -> None:
    own = make_clock(need, tmp_path / "own-clock")
    own.ahead(days=-15)
    alice.environ |= own.environ
    before = status(carol, gun)[1]
    for options in (["--dry-run"], []):
        told = refused(alice("renew", gun, *options), 1, "bad-expiry")
        assert "root expires at" in told.err
        assert "clock is 15 days behind" in told.err
    assert status(carol, gun)[1] == before
    assert status(alice, gun, "--warn-days", "30")[0] == 1, "on this clock, targets have 35 days"
    assert_done(carol("verify", f"{gun}:v1"))


def test_a_clock_that_is_weeks_ahead_renews_nothing(
    service: RunningService, need: Need, tmp_path: Path, alice: Person, carol: Person, gun: str
) -> None:
    own = make_clock(need, tmp_path / "own-clock")
    own.ahead(days=30)
    alice.environ |= own.environ
    before = status(carol, gun)[1]
    for command in (["verify", f"{gun}:v1"], ["renew", gun]):
        assert "clock is 30 days ahead" in refused(alice(*command), 3, "expired").err, command
    number, found = status(alice, gun)
    assert number == 3
    assert "30 days ahead" in found["warnings"][0]
    assert status(carol, gun)[1] == before


def test_a_limited_signer_renews_its_own_and_keeps_nobody_from_theirs(
    service: Monitored, clock: Clock, tmp_path: Path, alice: Person, carol: Person, gun: str
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
    assert standing["ci"]["renewer"].startswith("you: repository key ")
    assert roles(status(carol, gun)[1])["ci"]["renewer"].startswith("1 of ci ")
    told = refused(alice("renew", gun, "--role", "targets", "--role", "releases"), 0, "")
    assert "stays expired until the rest is renewed, too" in told.err
    assert_done(carol("verify", f"{gun}:v1"))
    assert "ci expired at 20" in refused(carol("verify", f"{gun}:c1"), 3, "expired").err
    assert service.scrape()(EXPIRED, role="delegated") == 1
    assert service.ready()[1]["warnings"][-1].startswith("delegated metadata: 1 expired, 1 within 30 days")
    assert_done(ci("renew", gun))
    assert service.scrape()(EXPIRED, role="delegated") == 0
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
