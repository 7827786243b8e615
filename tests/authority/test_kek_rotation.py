"""A new key-encryption key: everything opens at every step, under the new one alone at the end, and in who serves."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.authority.conftest import NOW
from tests.postgres import Postgres
from trustkit.authority.kekrotation import KekRotation
from trustkit.authority.keks import Keks
from trustkit.authority.sealedkeys import SealedKeys
from trustkit.authority.sealedplaces import InService
from trustkit.authority.sealing import Sealer
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.core.names import Gun
from trustkit.errors import StateError, TrustkitError
from trustkit.server.kek import KekSource
from trustkit.store.kek import KekFolder
from trustkit.store.opening import open_store

CHANGES = (os.replace, os.fsync, os.link)
GUNS = [Gun.parse(f"registry.example.com/team/{name}") for name in ("one", "two", "three")]


class Service:
    """A data folder with a token CA, keys of collections, and a process that has it open."""

    def __init__(self, store: Any, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.files = KekFolder(folder)

    @classmethod
    async def made(cls, folder: Path, url: str = "") -> Service:
        made = cls(await open_store(url or folder / "trustkit.db"), folder)
        sealer = made.running(create=True)
        await TokenKeys.open(made.store, sealer, issuer="registry.example.com", now=NOW)
        keys = SealedKeys(sealer)
        async with made.store.write() as tx:
            for gun in GUNS[:2]:
                await tx.collections.add_online_keys(gun, [keys.make(gun, r) for r in ("snapshot", "timestamp")], NOW)
            placed = keys.at(
                GUNS[2], "snapshot", keys.signer(GUNS[0], keys.make(GUNS[0], "x")).public_key, "pkcs11:x"
            )
            await tx.collections.add_online_keys(GUNS[2], [placed], NOW)
            await tx.upkeep.add_pending_keys(GUNS[0], [keys.make(GUNS[0], "timestamp")], NOW)
        return made

    def running(self, *, create: bool = False) -> Sealer:
        """What a process that starts now has."""
        return Keks(KekFolder(self.folder)).sealer(create=create)

    def rotation(self) -> KekRotation:
        return KekRotation([InService(self.store)], self.files, actor="operator:root", clock=lambda: NOW, grace=0.0)

    async def require(self, sealer: Sealer) -> int:
        """How many values open under this; raises StateError for one that doesn't."""
        await TokenKeys.require(self.store, sealer)
        keys = SealedKeys(sealer)
        async with self.store.read() as tx:
            rows = await tx.sealed.all()
        for row in rows:
            keys.require(row.gun, row.key)
        return len(rows)

    def lines(self) -> list[bytes]:
        return (self.folder / "kek").read_bytes().split()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = asyncio.run(Service.made(tmp_path))
    yield made
    asyncio.run(made.store.close())


def test_everything_is_sealed_under_the_new_key_and_nothing_opens_under_the_old(service: Service) -> None:
    async def play() -> None:
        (old,) = service.lines()
        running = service.running()
        done = await service.rotation().rotate()
        (new,) = service.lines()
        assert new != old
        assert done.resealed == 7, "the CA, five keys and a place"
        fresh = Sealer(base64.b64decode(new))
        assert await service.require(fresh) == 6
        before = Sealer(base64.b64decode(old))
        async with service.store.read() as tx:
            rows = await tx.sealed.all()
        for row in rows:
            with pytest.raises(StateError):
                SealedKeys(before).require(row.gun, row.key)
        with pytest.raises(StateError):
            await TokenKeys.require(service.store, before)
        assert await service.require(running) == 6, "a process from before goes on"
        async with service.store.read() as tx:
            assert [row.action for row in await tx.audit.list(limit=1)] == ["kek-rotated"]

    asyncio.run(play())
    assert (service.folder / "kek").stat().st_mode & 0o777 == 0o600
    assert not list(service.folder.glob("kek.*.new"))


@pytest.mark.real
def test_on_postgresql_as_well(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database()

    async def play() -> None:
        service = await Service.made(tmp_path, url)
        try:
            assert (await service.rotation().rotate()).resealed == 7
            (new,) = service.lines()
            assert await service.require(Sealer(base64.b64decode(new))) == 6
            assert (await service.rotation().rotate()).resealed == 7
        finally:
            await service.store.close()

    try:
        asyncio.run(play())
    finally:
        postgres.drop(url)


def test_who_serves_seals_under_the_new_key_as_soon_as_the_file_has_it(service: Service) -> None:
    async def play() -> None:
        running = service.running()
        await service.rotation().stage()
        new, old = service.lines()
        sealed = SealedKeys(running).make(GUNS[1], "snapshot")
        SealedKeys(Sealer(base64.b64decode(new))).require(GUNS[1], sealed)
        with pytest.raises(StateError):
            SealedKeys(Sealer(base64.b64decode(old))).require(GUNS[1], sealed)
        assert await service.require(running) == 6, "what was sealed before still opens"
        assert await service.require(service.running()) == 6, "also in a process that starts now"

    asyncio.run(play())


def test_who_serves_from_an_older_file_opens_what_is_sealed_under_the_new_key_once_it_has_to(
    service: Service,
) -> None:
    async def play() -> None:
        running = service.running()
        await service.rotation().rotate()
        assert await service.require(running) == 6
        keys = await TokenKeys.open(service.store, running, issuer="registry.example.com", now=NOW)
        await service.rotation().rotate()
        keys._leaf = None
        assert keys.leaf(NOW).x5c, "what it has in memory was sealed under a key that the file has no more"

    asyncio.run(play())


def test_cut_short_anywhere_everything_opens_and_the_next_call_ends_it(service: Service) -> None:
    """The calls of the rotation that change something, each of which a killed process may not have come to."""
    step, ended = 0, False
    while not ended:
        sys.setprofile(_dying(step))
        try:
            asyncio.run(service.rotation().rotate())
            ended = True
        except (KeyboardInterrupt, TrustkitError):
            pass
        finally:
            sys.setprofile(None)
        assert asyncio.run(service.require(service.running())) == 6, step
        step += 1
    assert len(service.lines()) == 1
    assert step > 4, "it was cut short a few times"


def _dying(steps: int) -> Callable[[object, str, object], None]:
    """Ends what runs before one change more than these are made to a file or the database."""
    left = [steps]

    def dying(frame: object, event: str, function: object) -> None:
        if event == "c_call" and (function in CHANGES or getattr(function, "__name__", "") == "commit"):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

    return dying


def test_a_staged_key_is_the_one_that_is_taken(service: Service) -> None:
    staged = asyncio.run(service.rotation().stage())
    again = asyncio.run(service.rotation().stage())
    done = asyncio.run(service.rotation().rotate())
    assert staged.new == again.new == done.new
    assert staged.old == again.old == done.old


def test_a_file_that_is_not_this_services_changes_nothing(service: Service) -> None:
    kek = service.folder / "kek"
    right = kek.read_bytes()
    for wrong in (
        base64.b64encode(secrets.token_bytes(32)) + b"\n",
        right * 3,
        right + b"not a key\n",
        b"",
    ):
        kek.write_bytes(wrong)
        with pytest.raises(StateError):
            asyncio.run(service.rotation().rotate())
        assert kek.read_bytes() == wrong
    kek.write_bytes(right)
    assert asyncio.run(service.require(service.running())) == 6


def test_a_strangers_key_before_ours_is_what_whoever_can_write_the_file_can_do_anyway(service: Service) -> None:
    """It seals nothing that we then can't open, and a rotation takes it for a staged one: the file is ours alone."""
    kek = service.folder / "kek"
    kek.write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n" + kek.read_bytes())
    assert asyncio.run(service.require(service.running())) == 6


def test_a_key_that_is_wrapped_or_a_link_is_refused(service: Service, tmp_path: Path) -> None:
    kek = service.folder / "kek"
    elsewhere = tmp_path / "elsewhere"
    kek.rename(elsewhere)
    kek.symlink_to(elsewhere)
    with pytest.raises(StateError, match="is a link"):
        asyncio.run(service.rotation().rotate())
    kek.unlink()
    elsewhere.rename(kek)
    (service.folder / "kek.wrapped").write_text("{}")
    (service.folder / "kek.wrapped").chmod(0o600)
    with pytest.raises(StateError, match="is wrapped"):
        asyncio.run(service.rotation().rotate())


def test_a_key_that_is_being_changed_is_not_wrapped(service: Service) -> None:
    from tests.authority.chest import Chest

    asyncio.run(service.rotation().stage())
    with pytest.raises(StateError, match="is being changed"):
        KekSource(wrapper=Chest()).of(service.folder).wrap(lambda _: None)
