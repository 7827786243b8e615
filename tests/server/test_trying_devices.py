"""At its start a service has keys on devices sign: one that is damaged or fails hides none of the others."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.authority.anvil import Anvil
from tests.simulator import NOW
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.sealing import Sealer
from trustkit.core.names import Gun
from trustkit.server import online
from trustkit.server.online import try_devices
from trustkit.store.database import SqlStore

GUNS = [Gun.parse(f"registry.example.com/team/{name}") for name in ("a", "b", "c")]
KEK = bytes(32)


def tried(folder: Path, anvil: Anvil, damage: str | None = None, gone: Gun | None = None) -> None:
    """Three collections with their keys on the anvil; what is done to the database, or the anvil; and the trial."""
    database = folder / "trustkit.db"

    async def run() -> None:
        keys = OnlineKeys(Sealer(KEK), forge=anvil, places=anvil)
        store = await SqlStore.open(database)
        try:
            async with store.write() as tx:
                for gun in GUNS:
                    await tx.collections.found(gun, NOW)
                    await keys.ensure(tx, gun, NOW)
            if damage:
                engine = create_engine(f"sqlite:///{database}")
                with engine.begin() as connection:
                    changed = connection.execute(text(damage), {"gun": str(GUNS[1]), "role": "snapshot"})
                    assert changed.rowcount == 1
                engine.dispose()
            if gone:
                async with store.read() as tx:
                    for sealed in await keys.on_devices(tx, gone):
                        del anvil.keys[keys.place(gone, sealed, opened=True)]
            await try_devices(store, keys)
        finally:
            await store.close()

    asyncio.run(run())


def signing(caplog: pytest.LogCaptureFixture) -> list[int]:
    """How many keys of each collection were told to sign."""
    said = [record.getMessage() for record in caplog.records]
    return [said.count(f"an online key of {gun} is on a device, which signs") for gun in GUNS]


@pytest.fixture(autouse=True)
def _all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trustkit.signer")


def test_each_key_on_a_device_is_tried(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tried(tmp_path, Anvil())
    assert signing(caplog) == [2, 2, 2]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


SET = "UPDATE online_keys SET {} WHERE gun = :gun AND role = :role"


@pytest.mark.parametrize(
    ("damage", "left", "said"),
    [
        ("public = '{'", 0, "holds an online key of {gun} that can't be read"),
        ("public = '[]'", 1, "The stored public half of the snapshot key"),
        ("public = '{\"keytype\":1}'", 1, "The stored public half of the snapshot key"),
        ('public = \'{"keytype":"x","scheme":"x","keyval":{"public":"x"}}\'', 1, "the snapshot key of {gun}"),
        ("sealed = substr(sealed, 1, 20)", 1, "A sealed private key doesn't open"),
        ("key_id = 'x'", 1, "A sealed private key doesn't open"),
    ],
    ids=["no JSON", "no object", "no key", "a type not known", "sealed cut short", "another id"],
)
def test_a_damaged_row_is_told_and_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, left: int, said: str
) -> None:
    damage = damage.replace(":", "\\:")
    tried(tmp_path, Anvil(), SET.format(damage))
    assert signing(caplog) == [2, left, 2]
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert said.format(gun=GUNS[1]) in told[0]
    assert str(GUNS[1]) in told[0]


def test_a_device_that_fails_is_told_and_the_others_are_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tried(tmp_path, Anvil(), gone=GUNS[0])
    assert signing(caplog) == [0, 2, 2]
    assert f"until that device is back, nothing of {GUNS[0]} is published or renewed" in caplog.text


def test_no_more_are_tried_than_a_start_has_time_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "DEVICES_TRIED", 3)
    tried(tmp_path, Anvil())
    assert signing(caplog) == [2, 1, 0]
