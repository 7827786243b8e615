"""A thief of the service's own keys drives versions up; new keys end it, for warm clients of both kinds (3.7)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import BadVersionNumberError, DownloadError, RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Snapshot, Timestamp

from tests.service import Person, RunningService
from tests.warmstock import WarmStock
from trustkit.authority.sealedkeys import SealedKeys
from trustkit.authority.sealing import Sealer
from trustkit.core.build import next_snapshot, next_timestamp
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import Gun
from trustkit.core.ports.remote import Pin
from trustkit.core.ports.service import SealedKey
from trustkit.errors import NotTrusted, RolledBack, TrustkitError
from trustkit.home.metadata import MetadataFolders
from trustkit.remote.source import UpdaterSource
from trustkit.store.kek import load_kek

HUGE = 2**31 - 2
DAY = timedelta(days=1)


class Heist:
    """A running service, a thief of its online keys, and two consumers who kept what they verified."""

    def __init__(self, folder: Path) -> None:
        self.service = RunningService(folder).start()
        self.owner: Person = self.service.principal("owner", "AcrPush", "AcrImageSigner")
        self.gun = Gun.parse(f"{self.service.host}/stolen/app")
        self.owner.push(f"{self.gun}:v1")
        assert self.owner("sign", f"{self.gun}:v1").status == 0
        self.pin = Pin(str(self.gun), key_ids=(self.owner.root_key(),), threshold=1)
        self.stock = WarmStock(self.service, self.owner, str(self.gun), folder / "stock")
        self.lies: dict[str, bytes] = {}
        folders = MetadataFolders(folder / "ours")
        self.ours = UpdaterSource(fetcher=lambda _: self._fetch, folder=folders.locked, seen=folders.seen)

    def _fetch(self, name: str, limit: int) -> bytes:
        from trustkit.cli.context import Context

        if name in self.lies:
            return self.lies[name]
        return Context(home_flag=None, environ=self.owner.environment()).service.fetch(self.gun, name, limit)

    def look(self) -> int:
        """Our client's look; the version of the timestamp that it believes."""
        files = self.ours.refresh(self.gun, self.pin, datetime.now(UTC)).files
        return read(files["timestamp"], Timestamp).signed.version

    def steal(self, **claims: int) -> None:
        """Makes what a thief signs: everything as it is, under the highest versions.

        Args:
            claims: versions that the thief's snapshot names, by role; no files of these can be made.
        """
        database = sqlite3.connect(self.service.data / "trustkit.db")
        select = "SELECT role, key_id, public, sealed FROM online_keys WHERE gun = ?"
        rows = database.execute(select, (str(self.gun),))
        keys = SealedKeys(Sealer(load_kek(self.service.data / "kek", create=False)))
        stolen = {
            role: keys.signer(self.gun, SealedKey(role, key, json.loads(public), data))
            for role, key, public, data in rows
        }
        database.close()
        now = datetime.now(UTC)
        self.look()
        snapshot = next_snapshot(self.gun, self._kept("snapshot", Snapshot), claims, now=now, life=DAY)
        timestamp = next_timestamp(self.gun, self._kept("timestamp", Timestamp), HUGE, now=now, life=DAY)
        snapshot.version = timestamp.version = HUGE
        for name, file in {f"{HUGE}.snapshot.json": snapshot, "timestamp.json": timestamp}.items():
            signer = stolen[file.type]
            self.lies[name] = sign(file, {signer.public_key.keyid: signer})

    def _kept(self, role: str, kind: type[Snapshot] | type[Timestamp]) -> object:
        files = self.ours.refresh(self.gun, self.pin, datetime.now(UTC)).files
        return read(files[role], kind).signed

    def serve_lies(self) -> None:
        """The victims meet the thief once."""
        assert self.look() == HUGE
        self.stock.lies = dict(self.lies)
        assert self.stock.digest("v1")
        assert self.stock.version("snapshot") == HUGE
        self.truth()

    def truth(self) -> None:
        self.lies, self.stock.lies = {}, {}


@pytest.fixture
def heist(tmp_path: Path) -> Iterator[Heist]:
    made = Heist(tmp_path)
    yield made
    made.service.stop()


def test_new_keys_of_both_roles_mend_warm_clients(heist: Heist) -> None:
    heist.steal()
    stolen = dict(heist.lies)
    heist.serve_lies()
    with pytest.raises(RolledBack):
        heist.look()
    with pytest.raises(BadVersionNumberError):
        heist.stock.digest("v1")
    assert heist.owner("key", "rotate", str(heist.gun), "--role", "online").status == 0
    assert heist.look() < 10, "versions go on from the service's own counters"
    assert heist.stock.digest("v1")
    assert heist.stock.version("snapshot") < 10
    heist.lies = heist.stock.lies = stolen
    with pytest.raises(NotTrusted):
        heist.look()
    with pytest.raises(UnsignedMetadataError):
        heist.stock.digest("v1")


def test_a_new_timestamp_key_alone_does_not(heist: Heist) -> None:
    """A snapshot that names a targets of the highest version is kept, though that file never comes."""
    heist.steal(targets=HUGE)
    with pytest.raises(TrustkitError):
        heist.look()
    heist.stock.lies = dict(heist.lies)
    with pytest.raises((RepositoryError, DownloadError, TrustkitError)):
        heist.stock.digest("v1")
    heist.truth()
    done = heist.owner("key", "rotate", str(heist.gun), "--role", "timestamp")
    assert done.status == 0
    assert "--role online" in done.err
    with pytest.raises(RolledBack):
        heist.look()
    with pytest.raises(BadVersionNumberError):
        heist.stock.digest("v1")
    assert heist.owner("key", "rotate", str(heist.gun), "--role", "snapshot").status == 0
    assert heist.look() < 10
    assert heist.stock.digest("v1")
