"""The service is killed in fifty publishes: what it acknowledged stays, and what it serves verifies every time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import Signer
from tuf.api.metadata import Targets

from tests.service import Person, RunningService
from tests.simulator import LIFE, manifest
from trustkit.cli.context import Context
from trustkit.core.build import next_targets
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.targets import make_target
from trustkit.errors import CouldNotCheck

KILLS = 50
BURST = 12
"""Uploads that lie ready for one life of the service; a kill comes within the first few."""


@dataclass
class Record:
    """What was acknowledged, and every file that a reader saw under its version."""

    tags: dict[str, Digest] = field(default_factory=dict)
    unanswered: dict[str, Digest] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    files: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def note(self, role: str, version: int, data: bytes) -> None:
        """A version means one file, always (TRUST 3.4)."""
        assert self.files.setdefault((role, version), data) == data, f"version {version} of {role} was used twice"

    def acknowledged(self, tag: str, digest: Digest, data: bytes, versions: dict[str, int]) -> None:
        higher = {role: versions[role] > self.versions.get(role, 0) for role in ("targets", "snapshot", "timestamp")}
        assert all(higher.values()), f"an acknowledged version is not above those before: {versions}"
        self.tags[tag], self.versions = digest, versions
        self.note("targets", versions["targets"], data)


@dataclass
class Collection:
    """One collection, with its repository key unlocked and somebody who reads it with a pin."""

    gun: Gun
    alice: Person
    carol: Person
    signer: Signer
    record: Record = field(default_factory=Record)

    def check(self) -> Targets:
        """Verifies what is served with carol's pin and warm cache, and holds it against the record."""
        now = datetime.now(UTC)
        current = Context(home_flag=None, environ=self.carol.environment()).trust().current(self.gun, now)
        shown = {tag.name: target.digest for tag, target in current.view.targets.items()}
        lost = {tag: digest for tag, digest in self.record.tags.items() if shown.get(tag) != digest}
        assert lost == {}, "these were acknowledged"
        strange = shown.items() - self.record.tags.items() - self.record.unanswered.items()
        assert strange == set(), "nobody published these"
        for role, version in self.record.versions.items():
            assert current.view.versions[role] >= version
        for role, data in current.files.items():
            self.record.note(role, current.view.versions[role], data)
        return read(current.files["targets"], Targets).signed

    def uploads(self, targets: Targets, life: int) -> Iterator[tuple[str, Digest, bytes]]:
        """Signed in advance, each one on top of the one before: a tag, its digest, a targets file."""
        now = datetime.now(UTC)
        for number in range(BURST):
            tag, image = f"life{life}-{number}", manifest(f"{life}-{number}")
            entry = make_target(Tag(tag), image, None, now=now, keep=timedelta(days=30))
            targets = next_targets(targets, put=[entry], now=now, life=LIFE.default["targets"])
            yield tag, image.digest, sign(targets, {self.signer.public_key.keyid: self.signer})

    def publish_until_killed(self, service: RunningService, life: int, seconds: float) -> bool:
        """Publishes one tag after the other while a kill is on its way; whether it came in the middle of one."""
        ready = list(self.uploads(self.check(), life))
        client = Context(home_flag=None, environ=self.alice.environment()).service
        client.online_keys(self.gun)  # logs in and connects
        killed: list[float] = []
        killer = threading.Timer(seconds, lambda: (killed.append(time.monotonic()), service.kill()))
        killer.start()
        try:
            for tag, digest, data in ready:
                began = time.monotonic()
                try:
                    versions = client.publish(self.gun, {"targets": data})
                except CouldNotCheck:
                    self.record.unanswered[tag] = digest
                    killer.join()
                    return began <= killed[0]
                self.record.acknowledged(tag, digest, data, dict(versions))
        finally:
            killer.join()
        return False


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[tuple[RunningService, Collection]]:
    service = RunningService(tmp_path).start()
    try:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        carol = service.principal("carol", "AcrPull")
        gun = Gun.parse(f"{service.host}/load/killed")
        assert alice("init", str(gun)).status == 0
        assert carol("pin", "add", str(gun), "--root-key", alice.root_key()).status == 0
        keys = Context(home_flag=None, environ=alice.environment()).key_store()
        (repository,) = [key for key in keys.list() if key.gun == gun]
        yield service, Collection(gun, alice, carol, keys.unlock(repository))
    finally:
        service.stop()


def one_publish_takes(collection: Collection) -> float:
    """Seconds, on this machine, now."""
    client = Context(home_flag=None, environ=collection.alice.environment()).service
    client.online_keys(collection.gun)
    tag, digest, data = next(collection.uploads(collection.check(), -1))
    began = time.monotonic()
    versions = client.publish(collection.gun, {"targets": data})
    collection.record.acknowledged(tag, digest, data, dict(versions))
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost_in_fifty_kills(collection: tuple[RunningService, Collection]) -> None:
    service, it = collection
    chance, kills, lives = random.Random(20261125), 0, 0
    usual = one_publish_takes(it)
    while kills < KILLS:
        assert lives < 3 * KILLS, f"only {kills} of {lives} kills came in the middle of a publish"
        kills += it.publish_until_killed(service, lives, chance.uniform(0, 3 * usual))
        lives += 1
        service.start()

    last = it.check()
    client = Context(home_flag=None, environ=it.carol.environment()).service
    for version in range(1, last.version + 1):
        data = client.fetch(it.gun, f"{version}.targets.json", 5_000_000)
        assert read(data, Targets).signed.version == version
        it.record.note("targets", version, data)
    stored = {tag for tag, digest in it.record.unanswered.items() if tag in last.targets}
    assert len(it.record.tags) + len(stored) == len(last.targets) == last.version - 1, "one version for each publish"
