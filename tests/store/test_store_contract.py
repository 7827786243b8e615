"""What every Store holds (core.ports.service), run on each implementation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from trustkit.core.access import Assignment, Role
from trustkit.core.names import Digest, Gun, PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.changefeed import Change
from trustkit.core.ports.proposals import DroppedPayload, OpenProposal, ProposedFile, Standing
from trustkit.core.ports.service import (
    AuditRow,
    Head,
    RefreshRecord,
    RoleExpiry,
    SealedKey,
    Store,
    StoredFile,
    Transaction,
)
from trustkit.errors import Conflict, NotFound, StateError

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
APP = Gun.parse("registry.example.com/team/app")
OTHER = Gun.parse("registry.example.com/other")
ALICE = PrincipalName("alice")
PULLS = Assignment(Role.ACR_PULL, RepositoryPattern.parse("team/*"))


def stored(role: str, version: int, days: int = 7, data: bytes | None = None) -> StoredFile:
    return StoredFile(role, version, data or f"{role}.{version}".encode(), NOW + timedelta(days=days))


async def founded(tx: Transaction, gun: Gun = APP) -> None:
    await tx.collections.found(gun, NOW)
    await tx.collections.add_files(gun, [stored("root", 1, 3650), stored("timestamp", 1)], NOW)


def test_a_collection_is_its_newest_files_and_keeps_the_old_ones(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
        async with store.write() as tx:
            assert await tx.collections.add_files(APP, [stored("timestamp", 3), stored("timestamp", 2)], NOW) == 2
        async with store.read() as tx:
            current = await tx.collections.current(APP)
            assert current == {"root": stored("root", 1, 3650), "timestamp": stored("timestamp", 3)}
            assert await tx.collections.file(APP, "timestamp", 1) == stored("timestamp", 1)
            assert await tx.collections.file(APP, "timestamp", 4) is None
            assert await tx.collections.current(OTHER) == {}
            record = await tx.collections.get(APP)
            assert record is not None
            assert (record.gun, record.generation, record.created) == (APP, 2, NOW)
            assert await tx.collections.of_repository(APP.repository) == record
            assert await tx.collections.list() == [record]

    run(body)


def test_of_hash_bins_those_that_are_asked_for(run) -> None:
    """A publish of one of a thousand bins reads that one; no version of any is used twice all the same."""

    async def body(store: Store) -> None:
        bins = [stored(f"bins-1-{number:03x}", 1) for number in range(1024)]
        async with store.write() as tx:
            await founded(tx)
            await tx.collections.add_files(APP, [*bins, stored("bins-2-0", 1), stored("bin", 1)], NOW)
        async with store.write() as tx:
            await tx.collections.add_files(APP, [stored("bins-1-0ef", 2)], NOW)
        async with store.read() as tx:
            assert len(await tx.collections.current(APP)) == 1024 + 4
            some = await tx.collections.current(APP, bins={"bins-1-0ef", "bins-1-fff"})
            assert {role: file.version for role, file in some.items()} == {
                "root": 1,
                "timestamp": 1,
                "bin": 1,
                "bins-1-0ef": 2,
            }
            assert set(await tx.collections.current(APP, bins=())) == {"root", "timestamp", "bin"}
            everything = await tx.collections.current(APP, bins=[file.role for file in bins])
            assert len(everything) == 1024 + 3
        for again in (stored("bins-1-0ef", 2), stored("bins-1-0ee", 1)):
            with pytest.raises(Conflict):
                async with store.write() as tx:
                    await tx.collections.add_files(APP, [again], NOW)

    run(body)


def test_what_a_transaction_has_read_of_versions_holds_for_what_it_adds_next(run) -> None:
    """It is read again after that, for hash bins that were left out, and for another collection."""

    async def add(store: Store, gun: Gun, *files: list[StoredFile]) -> int:
        async with store.write() as tx:
            assert await tx.collections.of_repository(APP.repository)
            await tx.collections.current(APP, bins={"bins-1-0"})
            for each in files:
                await tx.collections.add_files(gun, each, NOW)
            record = await tx.collections.get(gun)
            assert record is not None
            return record.generation

    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
            await founded(tx, OTHER)
            await tx.collections.add_files(APP, [stored("bins-1-0", 1), stored("bins-1-1", 5)], NOW)
        for gun, files in (
            (APP, [[stored("timestamp", 2)], [stored("timestamp", 2)]]),
            (APP, [[stored("timestamp", 2), stored("bins-1-0", 2)], [stored("bins-1-1", 5)]]),
            (OTHER, [[stored("timestamp", 2)], [stored("timestamp", 2)]]),
        ):
            with pytest.raises(Conflict):
                await add(store, gun, *files)
        assert await add(store, APP, [stored("bins-1-0", 2), stored("bins-1-2", 1), stored("new", 1)]) == 3
        async with store.read() as tx:
            versions = {role: file.version for role, file in (await tx.collections.current(APP)).items()}
            once = dict.fromkeys(("root", "timestamp", "new", "bins-1-2"), 1)
            assert versions == once | {"bins-1-0": 2, "bins-1-1": 5}

    run(body)


@pytest.mark.parametrize("version", [1, 2], ids=["an old one", "the current one"])
@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "read before"])
def test_no_version_is_used_twice(run, version: int, *, seen: bool) -> None:
    """TRUST 3.4."""

    async def again(store: Store) -> None:
        async with store.write() as tx:
            assert not seen or (await tx.collections.get(APP) and await tx.collections.current(APP, bins=()))
            await tx.collections.add_files(APP, [stored("timestamp", version, data=b"other")], NOW)

    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
            await tx.collections.add_files(APP, [stored("timestamp", 2)], NOW)
        with pytest.raises(Conflict) as caught:
            await again(store)
        assert caught.value.context["versions"] == {"root": 1, "timestamp": 2}
        async with store.read() as tx:
            assert (await tx.collections.current(APP))["timestamp"].data == b"timestamp.2"

    run(body)


@pytest.mark.parametrize("second", ["registry.example.com/team/app", "localhost:5080/team/app"])
def test_a_repository_has_one_collection(run, second: str) -> None:
    """TRUST 1.1."""

    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
        with pytest.raises(Conflict, match=r"registry\.example\.com/team/app"):
            async with store.write() as tx:
                await tx.collections.found(Gun.parse(second), NOW)

    run(body)


DOCKER_APP = Gun.parse("localhost:5080/docker/app")


def test_a_file_is_found_by_its_hash(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
            await tx.collections.add_files(APP, [stored("timestamp", 2)], NOW)
        async with store.read() as tx:
            old, digest = stored("timestamp", 1), Digest.of(b"timestamp.1")
            assert await tx.collections.file_by_digest(APP, "timestamp", digest) == old
            assert await tx.collections.file_by_digest(APP, "root", digest) is None
            assert await tx.collections.file_by_digest(OTHER, "timestamp", digest) is None
            newest = await tx.collections.newest(APP, "timestamp")
            assert newest == stored("timestamp", 2)
            assert newest is not None
            assert (newest.series, newest.stored) == (0, NOW)
            assert await tx.collections.newest(APP, "targets") is None

    run(body)


def test_versions_begin_anew_in_a_series_of_their_own(run) -> None:
    """TRUST 3.4: as Docker's clients have it for a delegation that was removed and comes back."""

    async def body(store: Store) -> None:
        role = "targets/alice"
        async with store.write() as tx:
            await tx.collections.found(DOCKER_APP, NOW, "docker")
            await tx.collections.add_files(DOCKER_APP, [stored(role, 1), stored(role, 2)], NOW)
            again = replace(stored(role, 1, data=b"again"), series=1)
            await tx.collections.add_files(DOCKER_APP, [again], NOW)
        for series, version in ((None, 1), (0, 3), (1, 1)):
            used = replace(stored(role, version, data=b"x"), series=series)
            with pytest.raises(Conflict, match="used before"):
                async with store.write() as tx:
                    await tx.collections.add_files(DOCKER_APP, [used], NOW)
        async with store.write() as tx:
            await tx.collections.add_files(DOCKER_APP, [stored(role, 2, data=b"next")], NOW)
        async with store.read() as tx:
            assert (await tx.collections.current(DOCKER_APP))[role].data == b"next"
            file = await tx.collections.file(DOCKER_APP, role, 1)
            assert file is not None
            assert file.data == b"again"
            for data in (b"targets/alice.1", b"targets/alice.2", b"again", b"next"):
                found = await tx.collections.file_by_digest(DOCKER_APP, role, Digest.of(data))
                assert found is not None
                assert found.data == data

    run(body)


def test_a_format_is_for_as_long_as_a_collection_is_open(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
            await tx.collections.found(DOCKER_APP, NOW, "docker")
            with pytest.raises(StateError, match="open"):
                await tx.collections.set_format(DOCKER_APP, "tuf")
            with pytest.raises(NotFound):
                await tx.collections.set_format(OTHER, "tuf")
            await tx.upkeep.close(DOCKER_APP, "deleted")
            assert {record.gun: record.format for record in await tx.collections.list()} == {
                APP: "tuf",
                DOCKER_APP: "docker",
            }
            await tx.collections.set_format(DOCKER_APP, "tuf")
        async with store.read() as tx:
            record = await tx.collections.get(DOCKER_APP)
            assert record is not None
            assert record.format == "tuf"

    run(body)


def test_a_publishers_snapshot_may_live_for_years(run) -> None:
    """In format docker; in the other one a clock that was ahead signed it."""

    async def body(store: Store) -> None:
        async with store.write() as tx:
            await founded(tx)
            await tx.collections.add_files(APP, [stored("snapshot", 1, 1000)], NOW)
            await tx.collections.found(DOCKER_APP, NOW, "docker")
            files = [stored("snapshot", 1, 1000), stored("timestamp", 1, 1000)]
            await tx.collections.add_files(DOCKER_APP, files, NOW)
        async with store.read() as tx:
            early, late = NOW, NOW + timedelta(days=30)
            assert await tx.collections.expiring(role="snapshot", before=early, beyond=late) == [APP]
            assert await tx.collections.expiring(role="timestamp", before=early, beyond=late) == [DOCKER_APP]

    run(body)


def test_the_changefeed_is_read_in_both_directions(run) -> None:
    def change(gun: Gun, version: int, category: str = "update") -> Change:
        return Change(NOW, gun, version, f"{version:064x}", category)

    async def body(store: Store) -> None:
        async with store.write() as tx:
            for version in range(1, 5):
                await tx.changefeed.append(change(APP, version))
                await tx.changefeed.append(change(OTHER, version))
            await tx.changefeed.append(change(APP, 0, "deletion"))
        async with store.read() as tx:
            feed = tx.changefeed
            every = await feed.after(0, 100)
            assert [(each.gun, each.version) for each in every[:3]] == [(APP, 1), (OTHER, 1), (APP, 2)]
            assert [each.id for each in every] == sorted({each.id for each in every})
            assert await feed.after(every[1].id, 2) == every[2:4]
            assert await feed.before(every[4].id, 2) == every[2:4]
            assert await feed.before(None, 2) == every[-2:]
            assert [each.version for each in await feed.after(0, 100, APP)] == [1, 2, 3, 4, 0]
            assert [each.version for each in await feed.before(None, 2, APP)] == [4, 0]
            assert await feed.after(every[-1].id, 5) == []
            assert await feed.before(every[0].id, 5) == []

    run(body)


def test_files_need_their_collection(run) -> None:
    async def body(store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.write() as tx:
                await tx.collections.add_files(APP, [stored("root", 1)], NOW)

    run(body)


def test_expiring_names_collections_by_their_current_file_soonest_first(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            for gun, days in ((APP, 5), (OTHER, 3)):
                await tx.collections.found(gun, NOW)
                await tx.collections.add_files(gun, [stored("timestamp", 1, 1)], NOW)
                await tx.collections.add_files(gun, [stored("timestamp", 2, days)], NOW)
        async with store.read() as tx:
            late, soon = NOW + timedelta(days=6), NOW + timedelta(days=4)
            assert list(await tx.collections.expiring(role="timestamp", before=late)) == [OTHER, APP]
            assert list(await tx.collections.expiring(role="timestamp", before=soon)) == [OTHER]
            assert list(await tx.collections.expiring(role="snapshot", before=late)) == []
            assert list(await tx.collections.expiring(role="timestamp", before=NOW, beyond=soon)) == [APP]
            assert list(await tx.collections.expiring(role="timestamp", before=soon, beyond=soon)) == [OTHER, APP]
            assert list(await tx.collections.expiring(role="timestamp", before=NOW, beyond=late)) == []

    run(body)


def test_expiry_counts_current_files_of_open_collections(run) -> None:
    known = ("root", "targets", "timestamp")

    async def body(store: Store) -> None:
        async with store.write() as tx:
            for gun, days in ((APP, 5), (OTHER, 3)):
                await tx.collections.found(gun, NOW)
                files = [stored("root", 1, 40), stored("targets", 7, days), stored("ci", 1, 9), stored("ci", 2, days)]
                await tx.collections.add_files(gun, files, NOW)
        moments = {"now": NOW + timedelta(days=3), "due": NOW + timedelta(days=30)}
        async with store.read() as tx:
            assert await tx.collections.expiry(known, **moments) == {
                "root": RoleExpiry(2, 0, 0, NOW + timedelta(days=40)),
                "targets": RoleExpiry(2, 1, 2, NOW + timedelta(days=3)),
            }
            others = [Head(OTHER, "ci", NOW + timedelta(days=3), 7), Head(APP, "ci", NOW + timedelta(days=5), 7)]
            assert list(await tx.collections.other_heads(known)) == others
        async with store.write() as tx:
            await tx.upkeep.close(OTHER, "lost-key")
        async with store.read() as tx:
            left = await tx.collections.expiry(known, **moments)
            assert left["targets"] == RoleExpiry(1, 0, 1, NOW + timedelta(days=5))
            assert list(await tx.collections.other_heads(known)) == others[1:]

    run(body)


def test_online_keys_need_no_collection_and_are_made_once(run) -> None:
    keys = [SealedKey(role, "ab" * 32, {"keytype": "ed25519"}, b"sealed") for role in ("snapshot", "timestamp")]

    async def body(store: Store) -> None:
        async with store.write() as tx:
            assert await tx.collections.online_keys(APP) == {}
            await tx.collections.add_online_keys(APP, keys, NOW)
            assert await tx.collections.online_keys(APP) == {key.role: key for key in keys}
            with pytest.raises(Conflict):
                await tx.collections.add_online_keys(APP, keys[:1], NOW)

    run(body)


def test_whose_online_key_it_is_counts_those_that_wait_and_those_of_no_collection(run) -> None:
    used, waits = (SealedKey("snapshot", each * 32, {"keytype": "ed25519"}, b"sealed") for each in ("ab", "cd"))

    async def work(store: Store) -> None:
        async with store.write() as tx:
            await tx.collections.add_online_keys(APP, [used], NOW)
            await tx.upkeep.add_pending_keys(OTHER, [waits], NOW)
        async with store.read() as tx:
            keys = (used.key_id, waits.key_id, "ef" * 32)
            assert [await tx.upkeep.online_key_of(key_id) for key_id in keys] == [APP, OTHER, None]
        async with store.write() as tx:
            await tx.upkeep.replace_online_keys(APP, [], NOW)
            await tx.upkeep.drop_pending_keys(OTHER, ["snapshot"])
        async with store.read() as tx:
            assert await tx.upkeep.online_key_of(used.key_id) == APP
            assert await tx.upkeep.online_key_of(waits.key_id) is None

    run(work)


def test_principals_and_what_goes_with_them(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await tx.identities.add(ALICE, "hash", NOW)
            with pytest.raises(Conflict):
                await tx.identities.add(ALICE, "other", NOW)
            for _ in range(2):
                await tx.identities.assign(ALICE, PULLS)
            await tx.identities.add_refresh(RefreshRecord(b"t" * 32, ALICE, "svc", 1, NOW + timedelta(days=30)))
        async with store.read() as tx:
            assert await tx.identities.assignments(ALICE) == await tx.identities.held(ALICE) == (PULLS,)
            assert await tx.identities.refresh(b"t" * 32) is not None
            assert await tx.identities.refresh(b"u" * 32) is None
        async with store.write() as tx:
            await tx.identities.remove(ALICE)
        async with store.write() as tx:
            assert await tx.identities.get(ALICE) is None
            assert await tx.identities.refresh(b"t" * 32) is None
            await tx.identities.add(ALICE, "again", NOW)
            assert await tx.identities.assignments(ALICE) == ()

    run(body)


def test_a_new_password_and_a_disable_raise_the_epoch_and_end_refresh_tokens(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await tx.identities.add(ALICE, "hash", NOW)
            for change in (
                lambda: tx.identities.set_password(ALICE, "new"),
                lambda: tx.identities.set_disabled(ALICE),
            ):
                before = await tx.identities.get(ALICE)
                assert before is not None
                record = RefreshRecord(b"t" * 32, ALICE, "svc", before.epoch, NOW + timedelta(days=30))
                await tx.identities.add_refresh(record)
                await change()
                after = await tx.identities.get(ALICE)
                assert after is not None
                assert after.epoch == before.epoch + 1
                assert await tx.identities.refresh(b"t" * 32) is None
            assert after.disabled
            await tx.identities.assign(ALICE, PULLS)
            assert await tx.identities.assignments(ALICE) == (PULLS,)
            assert await tx.identities.held(ALICE) == ()
            assert after.password_hash == "new"

    run(body)


def test_expired_refresh_tokens_are_dropped(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await tx.identities.add(ALICE, "hash", NOW)
            for name, days in ((b"a", 1), (b"b", 3)):
                await tx.identities.add_refresh(RefreshRecord(name * 32, ALICE, "s", 1, NOW + timedelta(days=days)))
            assert await tx.identities.drop_refresh_expired(NOW + timedelta(days=1)) == 1
            assert await tx.identities.refresh(b"b" * 32) is not None

    run(body)


@pytest.mark.parametrize(
    "call",
    [
        lambda ids: ids.set_password(ALICE, "x"),
        lambda ids: ids.set_disabled(ALICE),
        lambda ids: ids.remove(ALICE),
        lambda ids: ids.assign(ALICE, PULLS),
        lambda ids: ids.revoke(ALICE, PULLS),
        lambda ids: ids.add_refresh(RefreshRecord(b"t" * 32, ALICE, "s", 1, NOW)),
    ],
    ids=["password", "disable", "remove", "assign", "revoke", "refresh"],
)
def test_nothing_is_done_to_a_principal_that_is_not_there(run, call) -> None:
    async def body(store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.write() as tx:
                await call(tx.identities)

    run(body)


def test_a_role_is_revoked_as_it_was_assigned(run) -> None:
    async def body(store: Store) -> None:
        async with store.write() as tx:
            await tx.identities.add(ALICE, "hash", NOW)
            await tx.identities.assign(ALICE, PULLS)
            with pytest.raises(NotFound):
                await tx.identities.revoke(ALICE, Assignment(Role.ACR_PULL, RepositoryPattern.parse("team/app")))
            await tx.identities.revoke(ALICE, PULLS)
            assert await tx.identities.assignments(ALICE) == ()

    run(body)


def test_what_a_publish_has_to_reckon_with_is_what_stands(run) -> None:
    dropped = [DroppedPayload("targets", 2, "a" * 64), DroppedPayload("releases", 3, "b" * 64)]

    async def body(store: Store) -> None:
        async with store.write() as tx:
            for gun in (APP, OTHER):
                await founded(tx, gun)
                assert await tx.proposals.standing(gun) == Standing()
            files = {"root": ProposedFile("root", 2, b"x"), "targets": ProposedFile("targets", 3, b"y")}
            await tx.proposals.add(APP, OpenProposal("1234", NOW, ALICE, files))
            await tx.proposals.consume(APP, "targets", 2)
            for payload in dropped:
                await tx.proposals.drop(APP, payload)
            await tx.upkeep.set_jumps(APP, {"targets": 1002, "releases": 7})
        async with store.read() as tx:
            found = await tx.proposals.standing(APP)
            assert found == Standing(
                dict.fromkeys(("root", "targets"), "1234"),
                {"targets": 2},
                frozenset({"a" * 64, "b" * 64}),
                {"targets": 1002, "releases": 7},
            )
            assert found.holders == await tx.proposals.holders(APP)
            assert found.consumed == await tx.proposals.consumed(APP)
            assert found.dropped == {each.digest for each in await tx.proposals.dropped(APP)}
            assert found.ceilings == await tx.upkeep.jumps(APP)
            assert await tx.proposals.standing(OTHER) == Standing()

    run(body)


def test_settings_and_trust_only_patterns(run) -> None:
    every, team = RepositoryPattern.parse("*"), RepositoryPattern.parse("team/*")

    async def body(store: Store) -> None:
        async with store.write() as tx:
            assert await tx.settings.get("a") is None
            for value in ("1", "2"):
                await tx.settings.put("a", value)
                await tx.settings.set_trust_only(every, trust_only=value == "2")
            await tx.settings.set_trust_only(team, trust_only=False)
        async with store.read() as tx:
            assert await tx.settings.get("a") == "2"
            assert await tx.settings.several(("a", "b")) == {"a": "2"}
            assert await tx.settings.several(()) == {}
            assert await tx.settings.trust_only_patterns() == {every: True, team: False}

    run(body)


def test_audit_rows_come_newest_first(run) -> None:
    rows = [AuditRow(NOW, "alice", "::1", "published", str(APP), {"tags": {"v": n}}) for n in range(5)]

    async def body(store: Store) -> None:
        async with store.write() as tx:
            for row in rows:
                await tx.audit.append(row)
        async with store.read() as tx:
            assert await tx.audit.list(limit=2) == [rows[4], rows[3]]
            assert len(await tx.audit.list()) == 5

    run(body)


def test_a_block_that_raises_changes_nothing(run) -> None:
    async def body(store: Store) -> None:
        async def half() -> None:
            async with store.write() as tx:
                await founded(tx)
                raise StateError("on purpose")

        with pytest.raises(StateError, match="on purpose"):
            await half()
        async with store.read() as tx:
            assert await tx.collections.get(APP) is None

    run(body)


def test_a_read_changes_nothing_and_stays_in_its_moment(run) -> None:
    async def body(store: Store) -> None:
        async with store.read() as reading:
            assert await reading.settings.get("a") is None
            async with store.write() as tx:
                await tx.settings.put("a", "1")
            assert await reading.settings.get("a") is None
        async with store.read() as tx:
            assert await tx.settings.get("a") == "1"

    run(body)


def test_a_cancelled_write_is_rolled_back_and_the_next_one_goes_on(run) -> None:
    async def body(store: Store) -> None:
        inside = asyncio.Event()

        async def slow() -> None:
            async with store.write() as tx:
                await tx.settings.put("a", "cancelled")
                inside.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(slow())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with store.write() as tx:
            assert await tx.settings.get("a") is None
            await tx.settings.put("a", "next")

    run(body)


def test_writers_of_one_process_take_turns(run) -> None:
    async def body(store: Store) -> None:
        async def increment() -> None:
            async with store.write() as tx:
                count = int(await tx.settings.get("n") or 0)
                await asyncio.sleep(0)
                await tx.settings.put("n", str(count + 1))

        await asyncio.gather(*(increment() for _ in range(50)))
        async with store.read() as tx:
            assert await tx.settings.get("n") == "50"

    run(body)


@pytest.mark.parametrize("bins", [None, ("bins-1-0",), ()], ids=["all bins", "one bin", "no bins"])
def test_what_was_asked_ahead_is_what_is_read_and_no_more_once_something_changed(
    run, bins: tuple[str, ...] | None
) -> None:
    async def read(tx: Transaction) -> list[object]:
        return [
            await tx.settings.get("content-trust"),
            await tx.identities.held(ALICE),
            await tx.collections.of_repository(APP.repository),
            await tx.collections.current(APP, bins=bins),
            await tx.proposals.standing(APP),
            await tx.collections.online_keys(APP),
        ]

    async def body(store: Store) -> None:
        async with store.write() as tx:
            await tx.identities.add(ALICE, "hash", NOW)
            await founded(tx)
            await tx.collections.add_files(APP, [stored("bins-1-0", 1)], NOW)
        async with store.read() as tx:
            before = await read(tx)
        async with store.write() as tx:
            await tx.expect(APP, ALICE, "content-trust", bins)
            assert await read(tx) == await read(tx) == before
            await tx.identities.assign(ALICE, PULLS)
            await tx.settings.put("content-trust", "disabled")
            await tx.collections.add_files(APP, [stored("timestamp", 2)], NOW)
            await tx.upkeep.set_jumps(APP, {"targets": 7})
            after = await read(tx)
        async with store.read() as tx:
            assert after == await read(tx)
        changed = [was != now for was, now in zip(before, after, strict=True)]
        assert changed == [True, True, True, True, True, False]

    run(body)
