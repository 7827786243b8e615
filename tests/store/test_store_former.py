"""What every Store holds of converted collections (core.ports.former), run on each implementation."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.store.test_store_contract import APP, NOW, OTHER, stored
from trustkit.core.names import Digest
from trustkit.core.ports.former import FormerRecord
from trustkit.core.ports.service import DOCKER, TUF, SealedKey, Store, StoredFile, Transaction
from trustkit.errors import Conflict, NotFound

LATER = NOW + timedelta(days=90)


def docker(role: str, version: int, days: int = 7) -> StoredFile:
    return stored(role, version, days, b'{"signed":' + f'"{role}.{version}"}}'.encode())


def key(role: str, name: str) -> SealedKey:
    return SealedKey(role, (name.encode().hex() * 32)[:64], {"keytype": name}, name.encode())


def keys(name: str) -> list[SealedKey]:
    return [key("snapshot", f"{name}s"), key("timestamp", f"{name}t")]


def by_role(sealed: list[SealedKey]) -> dict[str, SealedKey]:
    return {each.role: each for each in sealed}


async def founded(tx: Transaction) -> None:
    await tx.collections.found(APP, NOW, DOCKER)
    await tx.collections.add_files(APP, [docker("root", 1, 3650), docker("targets/releases", 3)], NOW)
    await tx.collections.add_files(APP, [docker("timestamp", 8)], NOW)
    await tx.collections.add_online_keys(APP, keys("old"), NOW)
    await tx.upkeep.add_pending_keys(APP, [key("snapshot", "waits")], NOW)
    await tx.former.add_coming_keys(APP, keys("new"), NOW)


def test_the_frozen_side_keeps_what_was_and_a_new_collection_has_the_name(run) -> None:
    async def body(store: Store) -> None:
        async with store.write(APP) as tx:
            await founded(tx)
            before = await tx.collections.get(APP)
            frozen = dict(await tx.collections.current(APP))
        async with store.write(APP) as tx:
            assert dict(await tx.collections.current(APP)) == frozen
            await tx.former.begin(APP, LATER, NOW)
            converted = await tx.collections.get(APP)
            await tx.former.add_files(APP, [docker("timestamp", 9)], NOW)
            renewed = await tx.collections.get(APP)
            assert converted is not None
            assert renewed is not None
            assert renewed.generation > converted.generation
            await tx.collections.add_files(APP, [stored("root", 1), stored("timestamp", 1)], NOW)
        async with store.read() as tx:
            assert await tx.former.get(APP) == FormerRecord(APP, NOW, LATER)
            assert await tx.former.list() == [FormerRecord(APP, NOW, LATER)]
            assert dict(await tx.former.current(APP)) == {**frozen, "timestamp": docker("timestamp", 9)}
            assert await tx.former.newest(APP, "timestamp") == docker("timestamp", 9)
            assert await tx.former.file(APP, "timestamp", 8) == docker("timestamp", 8)
            digest = Digest.of(docker("targets/releases", 3).data)
            assert await tx.former.file_by_digest(APP, "targets/releases", digest) == docker("targets/releases", 3)
            assert await tx.collections.file_by_digest(APP, "targets/releases", digest) is None
            assert dict(await tx.collections.current(APP)) == {"root": stored("root", 1),
                                                               "timestamp": stored("timestamp", 1)}  # fmt: skip
            assert await tx.collections.file(APP, "timestamp", 8) is None
            record = await tx.collections.get(APP)
            assert record is not None
            assert before is not None
            assert (record.format, record.created, record.closed) == (TUF, before.created, None)
            assert record.generation > before.generation
            assert await tx.collections.list() == [record]
            assert await tx.collections.of_repository(APP.repository) == record
            assert dict(await tx.collections.online_keys(APP)) == by_role(keys("new"))
            assert dict(await tx.former.keys(APP)) == by_role(keys("old"))
            assert dict(await tx.former.coming_keys(APP)) == dict(await tx.upkeep.pending_keys(APP)) == {}
            assert await tx.upkeep.online_key_of(keys("old")[0].key_id) == APP
            assert await tx.collections.expiring(role="timestamp", before=NOW + timedelta(days=30)) == [APP]
            expiry = await tx.collections.expiry(["timestamp"], now=NOW, due=NOW)
            assert expiry["timestamp"].files == 1
            assert await tx.collections.other_heads(["root", "timestamp"]) == []

    run(body)


def test_no_version_is_used_twice_on_either_side(run) -> None:
    async def body(store: Store) -> None:
        async with store.write(APP) as tx:
            await founded(tx)
            await tx.former.begin(APP, LATER, NOW)
            with pytest.raises(Conflict):
                await tx.former.add_files(APP, [docker("timestamp", 8)], NOW)
            with pytest.raises(Conflict):
                await tx.former.begin(APP, LATER, NOW)
            with pytest.raises(NotFound):
                await tx.former.begin(OTHER, LATER, NOW)
            with pytest.raises(NotFound):
                await tx.former.add_files(OTHER, [docker("timestamp", 8)], NOW)

    run(body)


def test_what_was_in_format_tuf_before_stays_with_the_new_collection(run) -> None:
    async def body(store: Store) -> None:
        async with store.write(APP) as tx:
            await tx.collections.found(APP, NOW)
            await tx.collections.add_files(APP, [stored("root", 1), stored("root", 2), stored("releases", 4)], NOW)
            await tx.upkeep.close(APP, "reset")
            await tx.collections.set_format(APP, DOCKER)
            await tx.upkeep.close(APP, None)
            await tx.collections.add_files(APP, [docker("root", 3), docker("targets", 1)], NOW)
            assert await tx.former.versions(APP) == {"root": 2, "releases": 4}
            await tx.former.begin(APP, LATER, NOW)
        async with store.write(APP) as tx:
            current = {role: file.version for role, file in (await tx.collections.current(APP)).items()}
            assert current == {"root": 2, "releases": 4}
            assert await tx.collections.file(APP, "root", 1) == stored("root", 1)
            with pytest.raises(Conflict):
                await tx.collections.add_files(APP, [stored("root", 2)], NOW)
            assert await tx.former.newest(APP, "root") == docker("root", 3)

    run(body)


def test_a_frozen_side_is_due_until_it_ends(run) -> None:
    async def body(store: Store) -> None:
        soon, week = NOW + timedelta(days=1), NOW + timedelta(days=8)
        async with store.write(APP) as tx:
            await founded(tx)
            await tx.former.begin(APP, LATER, NOW)
            assert await tx.former.due(before=soon, now=NOW) == []
            assert [record.gun for record in await tx.former.due(before=week, now=NOW)] == [APP]
            assert await tx.former.due(before=week, now=LATER) == []
        async with store.write(APP) as tx:
            assert dict(await tx.former.keys(APP)) == by_role(keys("old"))
            await tx.former.end(APP, "because", NOW)
            assert dict(await tx.former.keys(APP)) == {}
            await tx.former.end(APP, "once more", soon)
            assert await tx.former.get(APP) == FormerRecord(APP, NOW, LATER, NOW, "because")
            assert await tx.former.due(before=week, now=NOW) == []

    run(body)


def test_a_frozen_side_that_expires_with_its_timestamp_is_never_due(run) -> None:
    async def body(store: Store) -> None:
        async with store.write(APP) as tx:
            await founded(tx)
            await tx.former.begin(APP, NOW + timedelta(days=7), NOW)
            assert await tx.former.due(before=NOW + timedelta(days=8), now=NOW) == []
            await tx.former.add_coming_keys(APP, keys("a"), NOW)
            with pytest.raises(Conflict):
                await tx.former.add_coming_keys(APP, keys("b"), NOW)

    run(body)


async def cut_short(store: Store) -> None:
    async with store.write(APP) as tx:
        await tx.former.begin(APP, LATER, NOW)
        raise ZeroDivisionError


def test_a_rolled_back_conversion_leaves_everything_as_it_was(run) -> None:
    async def body(store: Store) -> None:
        async with store.write(APP) as tx:
            await founded(tx)
        with pytest.raises(ZeroDivisionError):
            await cut_short(store)
        async with store.read() as tx:
            assert await tx.former.get(APP) is None
            record = await tx.collections.get(APP)
            assert record is not None
            assert record.format == DOCKER
            assert dict(await tx.collections.online_keys(APP)) == by_role(keys("old"))
            assert dict(await tx.former.coming_keys(APP)) == by_role(keys("new"))

    run(body)
