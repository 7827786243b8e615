"""What may go of a collection's files and what never does, on each implementation of the store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.store.test_store_contract import APP, NOW, OTHER, founded, stored
from trustkit.core.names import Gun
from trustkit.core.ports.past import Held, PastFile, Shelf
from trustkit.core.ports.service import DOCKER, Store, StoredFile, Transaction
from trustkit.errors import StateError

DAY = timedelta(days=1)
FOREVER = NOW + 1000 * DAY


async def add(tx: Transaction, *versions: int, role: str = "targets", at: int = 0, gun: Gun = APP) -> None:
    """Versions of a role, each added a day after the one before, from the day ``at`` on."""
    for day, version in enumerate(versions, at):
        await tx.collections.add_files(gun, [stored(role, version)], NOW + day * DAY)


async def shelf(tx: Transaction, gun: Gun = APP, *, frozen: bool = False) -> Shelf:
    return next(each for each in await tx.past.shelves() if each.gun == gun and each.frozen == frozen)


async def due(tx: Transaction, on: Shelf, before: timedelta, versions: int = 0) -> list[tuple[str, int]]:
    found = await tx.past.due(on, before=NOW + before, versions=versions, limit=100)
    return [(file.role, file.version) for file in found]


def test_what_another_version_has_taken_the_place_of_is_past(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
            await tx.collections.add_files(APP, [stored("root", 2, 3650)], NOW)
            await add(tx, 1, 2, 4, 5)
        async with store.read() as tx:
            on = await shelf(tx)
            assert await due(tx, on, 3 * DAY) == [("targets", 1), ("targets", 2), ("targets", 4)]
            assert await due(tx, on, 2 * DAY) == [("targets", 1), ("targets", 2)], "4 was current until the third day"
            assert await due(tx, on, 3 * DAY - timedelta(microseconds=1)) == [("targets", 1), ("targets", 2)]
            assert await due(tx, on, -DAY) == []
            assert await due(tx, on, 3 * DAY, versions=2) == [("targets", 1)]
            assert await due(tx, on, 3 * DAY, versions=3) == []
            assert await due(tx, on, 1000 * DAY) == [("targets", 1), ("targets", 2), ("targets", 4)], "roots stay"
            sizes = {name: len(stored(*name).data) for name in (("root", 1), ("timestamp", 1), ("targets", 1))}
            everything = 2 * sizes["root", 1] + sizes["timestamp", 1] + 4 * sizes["targets", 1]
            past = 3 * sizes["targets", 1]
            assert await tx.past.held(on, before=NOW + 2 * DAY, versions=0) == Held(
                7, everything, 3, past, 2, 2 * sizes["targets", 1]
            )
            assert await tx.past.held(on, before=None, versions=0) == Held(7, everything, 3, past)
            assert len(await tx.past.due(on, before=FOREVER, versions=0, limit=2)) == 2

    run(body)


def test_what_is_removed_is_gone_and_its_version_is_never_used_again(run) -> None:
    """TRUST 3.4: the file goes, its number doesn't come back."""

    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
            await add(tx, 1, 2, 3)
        async with store.write() as tx:
            on = await shelf(tx)
            files = await tx.past.due(on, before=FOREVER, versions=0, limit=100)
            assert await tx.past.remove(on, files) == files
            assert await tx.past.remove(on, files) == [], "another one was there first"
        async with store.read() as tx:
            assert await tx.collections.file(APP, "targets", 1) is None
            assert await tx.collections.file(APP, "targets", 3) == stored("targets", 3)
            assert set(await tx.collections.current(APP)) == {"root", "timestamp", "targets"}
        for version in (1, 2, 3):
            with pytest.raises(Exception, match="was used before"):
                async with store.write() as tx:
                    await tx.collections.add_files(APP, [stored("targets", version)], NOW)

    run(body)


@pytest.mark.parametrize(
    ("role", "version"), [("root", 1), ("root", 2), ("targets", 3), ("signer", 1)], ids=lambda it: str(it)
)
def test_the_database_removes_nothing_that_is_needed(run, role: str, version: int) -> None:
    """Whoever asks for it, with whatever statement; and nothing else goes with it."""

    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
            await tx.collections.add_files(APP, [stored("root", 2, 3650), stored("signer", 1)], NOW)
            await add(tx, 1, 2, 3)
            on = await shelf(tx)
        with pytest.raises(StateError, match="kept for good"):
            async with store.write() as tx:
                await tx.past.remove(on, [PastFile("targets", 0, 1, 0), PastFile(role, 0, version, 0)])
        async with store.read() as tx:
            assert await tx.collections.file(APP, "targets", 1) is not None
            assert await tx.collections.file(APP, role, version) is not None

    run(body)


def test_each_series_keeps_its_last_version(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await tx.collections.found(APP, NOW, DOCKER)
            for day, (series, version) in enumerate([(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]):
                file = StoredFile("targets", version, b'{"signed":%d' % day, NOW + DAY, series)
                await tx.collections.add_files(APP, [file], NOW + day * DAY)
            on = await shelf(tx)
            found = await tx.past.due(on, before=FOREVER, versions=0, limit=9)
            assert [(file.series, file.version) for file in found] == [(0, 1), (1, 1), (1, 2)]
        with pytest.raises(StateError):
            async with store.write() as tx:
                await tx.past.remove(on, [PastFile("targets", 0, 2, 0)])

    run(body)


def test_a_collection_that_was_in_both_formats_keeps_the_last_version_of_each(run) -> None:
    """A conversion back to ``tuf`` goes on after the last one that format had, whatever docker signed since."""

    async def body(store: Store) -> None:
        async with store.write() as tx:
            await tx.collections.found(APP, NOW)
            tuf = [stored("targets", version, data=b'{"signatures":%d' % version) for version in (1, 2, 3)]
            docker = [stored("targets", version, data=b'{"signed":%d' % version) for version in (40, 41)]
            for day, file in enumerate([*tuf, *docker]):
                await tx.collections.add_files(APP, [file], NOW + day * DAY)
            on = await shelf(tx)
            assert await due(tx, on, 1000 * DAY) == [("targets", 1), ("targets", 2), ("targets", 40)]
            await tx.past.remove(on, await tx.past.due(on, before=FOREVER, versions=0, limit=9))
            assert await tx.former.versions(APP) == {"targets": 3}
        with pytest.raises(StateError):
            async with store.write() as tx:
                await tx.past.remove(on, [PastFile("targets", 0, 3, 0)])

    run(body)


def test_a_frozen_side_has_a_shelf_of_its_own_which_a_conversion_does_not_move(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx, OTHER)
            await tx.collections.found(APP, NOW, DOCKER)
            for version in (1, 2, 3):
                file = stored("targets", version, data=b'{"signed":%d' % version)
                await tx.collections.add_files(APP, [file], NOW + version * DAY)
            before = await shelf(tx)
        async with store.write() as tx:
            await tx.upkeep.close(APP, "converted")
            await tx.former.begin(APP, NOW + 90 * DAY, NOW)
            await tx.collections.add_files(APP, [stored("targets", 4)], NOW)
        async with store.write() as tx:
            frozen, tuf = await shelf(tx, frozen=True), await shelf(tx)
            assert frozen == Shelf(APP, before.number, frozen=True)
            assert [(each.gun, each.frozen) for each in await tx.past.shelves()] == [
                (OTHER, False),
                (APP, True),
                (APP, False),
            ]
            assert await due(tx, tuf, 1000 * DAY) == []
            assert await due(tx, before, 1000 * DAY) == [("targets", 1), ("targets", 2)], "looked at before"
            await tx.past.remove(before, await tx.past.due(before, before=FOREVER, versions=0, limit=9))
            assert (await tx.former.current(APP))["targets"].version == 3
            assert (await tx.collections.current(APP))["targets"].version == 4

    run(body)


def test_two_that_remove_at_once_remove_each_file_once(opened) -> None:
    async def main() -> None:
        async with opened() as first, opened() as second:
            async with first.write() as tx:
                await founded(tx)
                await add(tx, *range(1, 60))
                on = await shelf(tx)
                files = await tx.past.due(on, before=FOREVER, versions=0, limit=100)

            async def remove(store: Store) -> int:
                gone = 0
                for start in range(0, len(files), 5):
                    async with store.write(APP) as tx:
                        gone += len(await tx.past.remove(on, files[start : start + 5]))
                return gone

            assert sum(await asyncio.gather(remove(first), remove(second))) == len(files) == 58
            async with second.read() as tx:
                assert await due(tx, on, 1000 * DAY) == []

    asyncio.run(main())
