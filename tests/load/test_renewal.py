"""Clocks that run ahead by days: the service renews with nobody publishing, and tells where it can't (TRUST 3.6)."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.clock import Clock, make_clock
from tests.conftest import Need
from tests.service import Person, RunningService

SECONDS = 60.0
"""How long a renewal may be waited for; a round is due once a minute, and at once where the clock has jumped."""

DAMAGES = {
    "sealed": "UPDATE online_keys SET sealed = zeroblob(61) WHERE gun = ? AND role = 'timestamp'",
    "text": "UPDATE online_keys SET sealed = 'not bytes at all' WHERE gun = ? AND role = 'snapshot'",
    "public": "UPDATE online_keys SET public = 'no JSON' WHERE gun = ? AND role = 'timestamp'",
    "lost": "DELETE FROM online_keys WHERE gun = ? AND role = 'timestamp'",
    "headless": (
        "DELETE FROM heads WHERE role = 'snapshot' AND collection = (SELECT id FROM collections WHERE gun = ?)"
    ),
}
"""What befell a collection in the database; each is the last part of its name."""


@pytest.fixture
def clock(need: Need, tmp_path: Path) -> Clock:
    return make_clock(need, tmp_path / "clock")


@pytest.fixture
def service(clock: Clock, tmp_path: Path) -> Iterator[RunningService]:
    made = RunningService(tmp_path, environ=clock.environ).start()
    yield made
    made.stop()


@dataclass(frozen=True)
class Reader:
    """Somebody with a pin, and the files as they are served."""

    person: Person
    service: RunningService
    reference: str

    def verify(self) -> tuple[int, str]:
        result = self.person("verify", self.reference)
        return result.status, result.slug

    def served(self, name: str) -> dict[str, Any]:
        """The signed part of a file, by a token of now."""
        gun = self.reference.rpartition(":")[0]
        token = self.person.token(self.service.host, f"repository:{gun.partition('/')[2]}:pull")
        path = f"/v2/{gun}/_trust/metadata/{name}"
        status, body = get(self.service, path, {"Authorization": f"Bearer {token}"})
        assert status == 200, body
        return dict(json.loads(body)["signed"])

    def renewed(self, version: int) -> dict[str, Any]:
        """The timestamp, once it has this version or a higher one."""
        ends = time.monotonic() + SECONDS
        while (timestamp := self.served("timestamp.json"))["version"] < version:
            assert time.monotonic() < ends, f"still version {timestamp['version']}: {self.service.log.read_text()}"
            time.sleep(0.05)
        return timestamp


def get(service: RunningService, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(service.host, timeout=30)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def unready(service: RunningService) -> tuple[int, bytes]:
    """What /readyz says once it isn't content."""
    ends = time.monotonic() + SECONDS
    while (answer := get(service, "/readyz"))[0] == 200:
        assert time.monotonic() < ends, service.log.read_text()
        time.sleep(0.05)
    return answer


def readers(service: RunningService, clock: Clock, *names: str) -> list[Reader]:
    """One collection of each name with a signed tag, and one person who pins them all."""
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    carol = service.principal("carol", "AcrPull")
    alice.environ |= clock.environ
    carol.environ |= clock.environ
    references = [f"{service.host}/renewal/{name}:v1" for name in names]
    for reference in references:
        alice.push(reference)
    assert alice("sign", *references).status == 0
    assert carol("pin", "add", f"{service.host}/renewal/*", "--root-key", alice.root_key()).status == 0
    return [Reader(carol, service, reference) for reference in references]


@pytest.mark.slow
def test_timestamps_move_daily_and_snapshots_at_half_life(service: RunningService, clock: Clock) -> None:
    (reader,) = readers(service, clock, "app")
    assert (reader.served("timestamp.json")["version"], reader.verify()) == (1, (0, ""))
    for day in range(1, 17):
        now = clock.ahead(days=day)
        timestamp = reader.renewed(1 + day)
        assert timestamp["version"] == 1 + day, "once a day, and not more"
        assert datetime.fromisoformat(timestamp["expires"]) - now > timedelta(days=6, hours=23)
        assert timestamp["meta"]["snapshot.json"]["version"] == 1 + day // 7
        assert reader.verify() == (0, ""), day
    assert get(service, "/readyz") == (200, b'{"status": "ok", "problems": [], "warnings": []}')
    snapshot = reader.served("3.snapshot.json")
    assert snapshot["meta"]["targets.json"]["version"] == 1, "nobody published"


@pytest.mark.slow
def test_a_service_that_was_down_too_long_renews_when_it_starts(service: RunningService, clock: Clock) -> None:
    (reader,) = readers(service, clock, "app")
    service.stop()
    clock.ahead(days=25)
    service.start()
    timestamp = reader.renewed(2)
    assert (timestamp["meta"]["snapshot.json"]["version"], reader.verify()) == (2, (0, ""))


@pytest.mark.slow
def test_failed_renewals_show_in_readyz_days_before_anything_expires(service: RunningService, clock: Clock) -> None:
    good, *damaged = readers(service, clock, "good", *DAMAGES)
    kept = service.data / "trustkit.db"
    service.stop()
    before = service.folder / "before.db"
    with sqlite3.connect(kept) as database, sqlite3.connect(before) as copy:
        database.backup(copy)
        database.execute("DROP TRIGGER keep_heads_delete")
        for reader, statement in zip(damaged, DAMAGES.values(), strict=True):
            assert database.execute(statement, (reader.reference.rpartition(":")[0],)).rowcount == 1
    clock.ahead(days=1)
    service.start()

    assert good.renewed(2)["version"] == 2, "the others' damage is not its own"
    status, body = unready(service)
    assert (status, json.loads(body)["problems"]) == (503, [f"{len(DAMAGES)} collections could not be renewed"])
    told = service.log.read_text()
    for reader in damaged:
        gun = reader.reference.rpartition(":")[0]
        assert f"{gun} could not be renewed" in told
        assert gun.encode() not in body, "anybody may ask"
    assert [reader.verify() for reader in (good, *damaged[:4])] == [(0, "")] * 5, "days are left"

    service.stop()
    with sqlite3.connect(before) as copy, sqlite3.connect(kept) as database:
        copy.backup(database)
    service.start()
    assert damaged[0].renewed(2)["version"] == 2
    assert get(service, "/readyz")[0] == 200


@pytest.mark.slow
def test_renewals_go_on_while_content_trust_is_off(service: RunningService, clock: Clock) -> None:
    (reader,) = readers(service, clock, "app")
    assert service.admin("policy", "set", "content-trust", "disabled").status == 0
    ends = time.monotonic() + SECONDS
    while reader.verify() != (4, "content-trust-disabled"):
        assert time.monotonic() < ends
    clock.ahead(days=8)
    ends = time.monotonic() + SECONDS
    with sqlite3.connect(service.data / "trustkit.db") as database:
        while database.execute("SELECT version FROM heads WHERE role = 'timestamp'").fetchone() == (1,):
            assert get(service, "/readyz")[0] in (200, 503)
            assert time.monotonic() < ends
            time.sleep(0.05)
    assert service.admin("policy", "set", "content-trust", "enabled").status == 0
    assert reader.renewed(2)
    assert reader.verify() == (0, "")
