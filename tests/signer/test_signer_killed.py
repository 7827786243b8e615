"""The signer is killed in the middle of publishes: nothing acknowledged is lost, and no version gets two payloads."""

from __future__ import annotations

import random
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load.test_service_killed import Collection, one_publish_takes
from tests.service import RunningService
from tests.signer.running import RunningSigner
from trustkit.cli.context import Context
from trustkit.core.names import Gun
from trustkit.errors import Conflict, CouldNotCheck

KILLS = 15
_SIGNED = re.compile(r"signed (snapshot|timestamp) version (\d+) of (\S+), payload (sha256:[0-9a-f]{64})")


@pytest.fixture
def split(tmp_path: Path) -> Iterator[tuple[RunningSigner, Collection]]:
    (tmp_path / "signer").mkdir()
    signer = RunningSigner(tmp_path / "signer").start()
    service = RunningService(tmp_path, *signer.options)
    try:
        service.start()
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        carol = service.principal("carol", "AcrPull")
        gun = Gun.parse(f"{service.host}/load/killed")
        assert alice("init", str(gun)).status == 0
        assert carol("pin", "add", str(gun), "--root-key", alice.root_key()).status == 0
        keys = Context(home_flag=None, environ=alice.environment()).key_store()
        (repository,) = [key for key in keys.list() if key.gun == gun]
        yield signer, Collection(gun, alice, carol, keys.unlock(repository))
    finally:
        service.stop()
        signer.end()


def publish_until_killed(signer: RunningSigner, it: Collection, life: int, seconds: float) -> bool:
    """Publishes one tag after the other while a kill is on its way; whether it came in the middle of one."""
    client = Context(home_flag=None, environ=it.alice.environment()).service
    client.online_keys(it.gun)
    ready = list(it.uploads(it.check(), life))
    killed: list[float] = []
    killer = threading.Timer(seconds, lambda: (killed.append(time.monotonic()), signer.end(signal.SIGKILL)))
    killer.start()
    try:
        for tag, digest, data in ready:
            began = time.monotonic()
            try:
                versions = client.publish(it.gun, {"targets": data})
            except Conflict:
                return False  # the state that the signer had signed in its last life has become current instead
            except CouldNotCheck:
                it.record.unanswered[tag] = digest
                killer.join()
                return began <= killed[0]
            it.record.acknowledged(tag, digest, data, dict(versions))
    finally:
        killer.join()
    return False


def payloads(signer: RunningSigner) -> dict[tuple[str, str, int], set[str]]:
    """What the signer says that it has signed, by collection, role and version."""
    found = defaultdict(set)
    for role, version, gun, digest in _SIGNED.findall(signer.log.read_text()):
        found[gun, role, int(version)].add(digest)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_signer_is_killed_in_publishes(split: tuple[RunningSigner, Collection]) -> None:
    signer, it = split
    chance, kills, lives = random.Random(20261125), 0, 0
    usual = one_publish_takes(it)
    while kills < KILLS:
        assert lives < 6 * KILLS, f"only {kills} of {lives} kills came in the middle of a publish"
        kills += publish_until_killed(signer, it, lives, chance.uniform(0.2 * usual, 5 * usual))
        lives += 1
        signer.start()

    last = it.check()
    client = Context(home_flag=None, environ=it.alice.environment()).service
    for _ in range(2):  # the first may meet the state that the signer signed last, which becomes current then
        tag, digest, data = next(it.uploads(it.check(), lives))
        try:
            it.record.acknowledged(tag, digest, data, dict(client.publish(it.gun, {"targets": data})))
        except Conflict:
            it.record.unanswered[tag] = digest
            lives += 1
        else:
            break
    assert it.check().version > last.version
    signed = payloads(signer)
    assert len(signed) > KILLS
    assert {key: digests for key, digests in signed.items() if len(digests) > 1} == {}
