"""/readyz: 503 for what the service should have done, a warning for what people have to do, and no names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.scrape import Monitored
from tests.service import Person

SECONDS = 60.0
PAST = "1000000"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Monitored]:
    """One of its own for each test, with a collection whose targets live for a year."""
    made = Monitored(tmp_path, "--metrics", "127.0.0.1:0")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def alice(service: Monitored) -> Person:
    person = service.principal("alice", "AcrPush", "AcrImageSigner")
    person.push(f"{service.host}/ready/app:v1")
    signed = person("sign", f"{service.host}/ready/app:v1", environ={"TRUSTKIT_TARGETS_DAYS": "365"})
    assert signed.status == 0, signed.err
    return person


def expire(role: str, moment: str = PAST) -> str:
    return f"UPDATE heads SET expires = {moment} WHERE role = '{role}'"


@pytest.mark.usefixtures("alice")
def test_nothing_is_said_while_all_is_well(service: Monitored) -> None:
    assert service.ready() == (200, {"status": "ok", "problems": [], "warnings": []})


@pytest.mark.parametrize("role", ["root", "targets"])
@pytest.mark.parametrize(
    ("moment", "counts"),
    [(PAST, "1 expired, 0 within 30 days"), ("(unixepoch() + 86400 * 29) * 1000000", "0 expired, 1 within 30 days")],
    ids=["expired", "soon"],
)
def test_what_people_have_to_renew_is_a_warning(
    service: Monitored, alice: Person, role: str, moment: str, counts: str
) -> None:
    service.stop()
    service.change(expire(role, moment))
    service.start()
    status, said = service.ready()
    assert (status, said["status"], said["problems"]) == (200, "ok", [])
    (warning,) = said["warnings"]
    assert warning.startswith(f"{role} metadata: {counts}, the first of all at ")
    assert "ready/app" not in warning


@pytest.mark.usefixtures("alice")
def test_a_failed_renewal_shows_in_both(service: Monitored) -> None:
    service.stop()
    service.change(expire("timestamp"), "UPDATE online_keys SET sealed = zeroblob(61) WHERE role = 'timestamp'")
    service.start()
    ends = time.monotonic() + SECONDS
    while not (scrape := service.scrape())("trustkit_renewals_total", outcome="failed"):
        assert time.monotonic() < ends, service.log.read_text()
        time.sleep(0.05)
    assert scrape("trustkit_renewals_total", outcome="renewed") == 0
    assert scrape("trustkit_expired_files", role="timestamp") == 1
    status, said = service.ready()
    assert (status, said["status"], said["warnings"]) == (503, "not ready", [])
    assert said["problems"] == [
        "1 collections could not be renewed",
        "timestamp metadata of 1 collections is expired",
    ]


@pytest.mark.usefixtures("alice")
def test_a_renewal_moves_the_expiry_at_once(service: Monitored) -> None:
    service.stop()
    service.change(expire("timestamp"))
    service.start()
    ends = time.monotonic() + SECONDS
    while not (scrape := service.scrape())("trustkit_renewals_total", outcome="renewed"):
        assert time.monotonic() < ends, service.log.read_text()
        time.sleep(0.01)
    left = scrape("trustkit_soonest_expiry_timestamp_seconds", role="timestamp")
    assert left == pytest.approx(time.time() + 7 * 86400, abs=120)
    assert scrape("trustkit_expired_files", role="timestamp") == 0
    assert scrape("trustkit_renewal_last_round_timestamp_seconds") == pytest.approx(time.time(), abs=120)
