"""A new key-encryption key at a separate signer that goes on signing: everything opens at every step (TRUST 8.5)."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.authority.conftest import NOW
from tests.service import Result, run
from tests.signer.running import RunningSigner
from tests.signer.test_whole_job import Split, split
from trustkit.authority.kekrotation import KekRotation
from trustkit.authority.sealedkeys import SealedKeys, reopen
from trustkit.authority.sealing import Sealer
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.core.names import Gun
from trustkit.errors import StateError, TrustkitError
from trustkit.server.database import DatabaseSource
from trustkit.server.kek import KekSource, sealed_places
from trustkit.store.kek import KekFolder
from trustkit.store.ledger import SqliteLedger
from trustkit.store.opening import open_store

__all__ = ["split"]

GUNS = [Gun.parse(f"registry.example.com/team/{name}") for name in ("one", "two")]
ROLES = ("snapshot", "timestamp")
FILES = (os.replace, os.fsync, os.link)


def kek(signer: RunningSigner, *arguments: str) -> Result:
    return run(["admin", "--data-dir", str(signer.data), "kek", *arguments], {})


def keys_in(folder: Path) -> list[bytes]:
    return [base64.b64decode(line) for line in (folder / "kek").read_bytes().split()]


def opens(folder: Path, key: bytes) -> list[bool]:
    """Whether each sealed value of a signer's database opens under this key alone."""
    found = []
    with closing(SqliteLedger.open(folder / "signer.db")) as ledger, ledger.sealed() as rows:
        for row in rows.all():
            try:
                found.append(reopen(row.gun, row.key, Sealer(key)) is not None)
            except StateError:
                found.append(False)
    return found


def test_the_signer_goes_on_signing_while_its_key_is_changed(split: Split) -> None:
    gun = split.pinned("kek")
    (old,) = keys_in(split.signer.data)
    ended, failed = threading.Event(), []

    def sign_on() -> None:
        number = 0
        while not ended.is_set() or number < 2:
            number += 1
            split.alice.push(f"{gun}:while{number}")
            done = split.alice("sign", f"{gun}:while{number}")
            failed.extend([done.err] if done.status else [])

    thread = threading.Thread(target=sign_on)
    thread.start()
    try:
        staged = kek(split.signer, "rotate", "--stage")
        assert staged.status == 0, staged.err
        assert len(keys_in(split.signer.data)) == 2
        assert split.alice("key", "rotate", gun, "--role", "timestamp").status in (0, 1), "a key is made meanwhile"
        done = kek(split.signer, "rotate")
        assert done.status == 0, done.err
    finally:
        ended.set()
        thread.join()
    assert failed == []
    (new,) = keys_in(split.signer.data)
    assert new != old
    assert set(opens(split.signer.data, new)) == {True}
    assert set(opens(split.signer.data, old)) == {False}
    split.signer.end()
    split.signer.start()
    split.sign(f"{gun}:after")
    assert split.carol("verify", f"{gun}:v1", f"{gun}:while1", f"{gun}:after").status == 0
    told = run(["admin", "--data-dir", str(split.signer.data), "audit", "list", "--limit", "50"], {})
    assert "kek-rotated" in told.out
    assert "sealed anew" in done.out
    assert base64.b64encode(new).decode() not in told.out + done.out + done.err + split.signer.log.read_text()


def test_a_copy_of_its_database_from_before_opens_with_the_key_from_before_only(split: Split, tmp_path: Path) -> None:
    split.pinned("copied")
    before = tmp_path / "kek"
    shutil.copy(split.signer.data / "kek", before)
    with (
        closing(sqlite3.connect(split.signer.data / "signer.db")) as there,
        closing(sqlite3.connect(tmp_path / "signer.db")) as copy,
    ):
        there.backup(copy)
    assert kek(split.signer, "rotate").status == 0
    restored = RunningSigner(tmp_path / "restored")
    restored.data.mkdir(mode=0o700)
    shutil.copy(tmp_path / "signer.db", restored.data)
    (restored.data / "signer.db").chmod(0o600)
    shutil.copy(split.signer.data / "kek", restored.data)
    with pytest.raises(AssertionError, match="key-encryption key is another one"):
        restored.start()
    shutil.copy(before, restored.data)
    try:
        restored.start()
    finally:
        restored.end()


async def made(folder: Path) -> None:
    """A data folder that a service and a signer share, and with it one key-encryption key."""
    store = await open_store(folder / "trustkit.db")
    ledger = SqliteLedger.open(folder / "signer.db")
    try:
        sealer = KekSource().of(folder).sealer(create=True)
        await TokenKeys.open(store, sealer, issuer="registry.example.com", now=NOW)
        keys = SealedKeys(sealer)
        async with store.write() as tx:
            await tx.collections.add_online_keys(GUNS[0], [keys.make(GUNS[0], role) for role in ROLES], NOW)
        with ledger.entry(GUNS[1]) as entry:
            entry.add_keys({role: keys.make(GUNS[1], role) for role in ROLES})
            entry.add_pending({"timestamp": keys.make(GUNS[1], "timestamp")})
    finally:
        ledger.close()
        await store.close()


async def rotate(folder: Path) -> int:
    async with sealed_places(folder, DatabaseSource().of(folder)) as places:
        assert len(places) == 2
        rotation = KekRotation(places, KekFolder(folder), actor="operator:root", clock=lambda: NOW, grace=0.0)
        return (await rotation.rotate()).resealed


async def require(folder: Path) -> None:
    """Returns where a service and a signer that start now open everything."""
    sealer = KekSource().of(folder).sealer(create=False)
    async with sealed_places(folder, DatabaseSource().of(folder)) as places:
        for place in places:
            await place.require(sealer)


def test_cut_short_anywhere_everything_opens_in_both_databases_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "both"
    asyncio.run(made(folder))
    (old,) = keys_in(folder)
    step, ended = 0, False
    while not ended:
        sys.setprofile(_dying(step))
        try:
            asyncio.run(rotate(folder))
            ended = True
        except (KeyboardInterrupt, TrustkitError):
            pass
        finally:
            sys.setprofile(None)
        asyncio.run(require(folder))
        step += 1
    assert step > 10, "it was cut short many times"
    (new,) = keys_in(folder)
    assert opens(folder, new) == [True] * 3
    assert opens(folder, old) == [False] * 3


def _dying(steps: int) -> Callable[[object, str, object], None]:
    """Ends what runs before one change more than these is made to a file, or one statement sent to a database."""
    left = [steps]

    def dying(frame: object, event: str, function: object) -> None:
        if event == "c_call" and getattr(function, "__name__", "") in (
            "replace",
            "fsync",
            "link",
            "commit",
            "execute",
        ):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

    return dying


def test_a_key_that_is_not_the_signers_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "both"
    asyncio.run(made(folder))
    right = (folder / "kek").read_bytes()
    (folder / "kek").write_bytes(base64.b64encode(bytes(32)) + b"\n")
    with pytest.raises(StateError, match="opens under"):
        asyncio.run(rotate(folder))
    (folder / "kek").write_bytes(right)
    assert asyncio.run(rotate(folder)) == 6, "a CA, and five keys in two databases"
