"""Pruning on the real store: what goes, what never does, in which steps, and who may be at it at once."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.authority.test_publishing import ALICE, World, play
from tests.simulator import DAY, GUN, NOW, Publisher, manifest
from trustkit.authority import pruning as pruning_module
from trustkit.authority.prunerounds import ROUND, PruneRounds, last_round
from trustkit.authority.pruning import AWAY, STEP_BYTES, STEP_FILES, Pruning, steps
from trustkit.authority.reset import Resetting
from trustkit.authority.settings import set_policy
from trustkit.core.evaluate import evaluate
from trustkit.core.history import DEFAULT, GRACE, History
from trustkit.core.names import Gun, PrincipalName
from trustkit.core.ports.past import Held, PastFile
from trustkit.core.ports.service import Scope, Store, Transaction
from trustkit.errors import DatabaseUnavailable, InvalidSetting, NoCollection, StateError

OTHER = Gun.parse("registry.example.com/team/other")


async def history(world: World, value: str) -> None:
    async with world.store.write() as tx:
        await set_policy(tx, "history", value, actor="op", source="", now=world.now)


async def filled(world: World, days: int, gun: Gun = GUN) -> Publisher:
    """A collection that is signed and renewed each day."""
    publisher = await world.publisher(gun)
    upload = publisher.first_upload("v1", now=world.now)
    await world.publishing.publish(gun, upload, ALICE)
    publisher.files |= upload
    for day in range(days):
        world.now += DAY
        upload = publisher.sign_upload("v1", manifest(f"day {day}"), world.now)
        publisher.files |= upload
        await world.publishing.publish(gun, upload, ALICE)
    return publisher


async def versions(world: World, role: str, gun: Gun = GUN) -> list[int]:
    async with world.store.read() as tx:
        newest = (await tx.collections.current(gun))[role].version
        return [v for v in range(1, newest + 1) if await tx.collections.file(gun, role, v) is not None]


async def there(world: World, role: str, version: int) -> bool:
    async with world.store.read() as tx:
        return await tx.collections.file(GUN, role, version) is not None


def pruning(world: World) -> Pruning:
    return Pruning(world.store, clock=lambda: world.now, actor="operator:root", source="local")


KEPT = {
    "all": 1,
    "365d": 1,
    "4v": 7,
    "1d,4v": 7,
    "3d,1v": 8,
    "3d": 8,
    "1v": 10,
    "1d": 10,
}
"""By policy the first version that is left of eleven, the last of them of a quarter of a day ago; ever less."""


def test_what_the_policy_keeps(tmp_path: Path) -> None:
    """Signed at noon each day, looked at in the evening: what was current a day ago is there in any case."""

    async def scene(world: World) -> None:
        await filled(world, 10)
        world.now += DAY / 4
        before = await world.files()
        for text, first in KEPT.items():
            await history(world, text)
            done = await pruning(world).prune()
            assert done.failed == {}
            for role in ("targets", "snapshot", "timestamp"):
                assert await versions(world, role) == list(range(first, 12)), (text, role)
            assert await versions(world, "root") == [1]
            assert await world.files() == before
            again = await pruning(world).prune()
            assert (again.files, again.by) == (0, {})
        assert evaluate(before, GUN, world.now).targets

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "text",
    [
        *("", "0d", "-1d", "d", "90", "90 d", "90D", "90d,", ",", "9d,9d", "1v,2v", "90d;1v", "ALL", "all,1d"),
        *("36501d", "1000001v", "99999999d", "\N{ARABIC-INDIC DIGIT ONE}d", "01d", "1e3d", "90d\n", "x" * 1000),
    ],
)
def test_what_is_no_history_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        History.parse(text)
    assert "90d" in refused.value.hint
    assert len(refused.value.message) < 120


@pytest.mark.parametrize("text", ["all", "1d", "90d", "36500d", "1v", "90d,10v", "1000000v"])
def test_a_history_says_what_it_was_read_from(text: str) -> None:
    assert str(History.parse(text)) == text
    assert str(History.parse("10v,90d")) == "90d,10v"
    assert str(DEFAULT) == "90d"
    assert History.parse("5v").before(NOW) == NOW - GRACE


def test_a_dry_run_changes_nothing_and_says_what_would_go(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 10)
        await filled(world, 0, OTHER)
        await history(world, "2d")
        async with world.store.read() as tx:
            rows = await tx.audit.list()
        policy, found = await pruning(world).look()
        assert str(policy) == "2d"
        held = {str(shelf.gun): held for shelf, held in found.items()}
        assert held[str(OTHER)] == Held(4, held[str(OTHER)].bytes)
        assert (held[str(GUN)].files, held[str(GUN)].past, held[str(GUN)].due) == (1 + 3 * 11, 3 * 10, 3 * 8)
        async with world.store.read() as tx:
            assert await tx.audit.list() == rows
        done = await pruning(world).prune([GUN])
        assert (done.files, done.bytes) == (held[str(GUN)].due, held[str(GUN)].due_bytes)
        _, after = await pruning(world).look([GUN])
        assert next(iter(after.values())) == Held(
            10, held[str(GUN)].bytes - done.bytes, 6, next(iter(after.values())).past_bytes
        )

    play(tmp_path, scene)


def test_who_prunes_and_what_went_is_audited_in_the_same_transaction(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 40)
        await history(world, "5d")
        done = await pruning(world).prune()
        async with world.store.read() as tx:
            rows = [row for row in await tx.audit.list(limit=1000) if row.action == "history-pruned"]
        assert len(rows) == -(-done.files // STEP_FILES) > 1
        assert {(row.actor, row.source, row.subject) for row in rows} == {("operator:root", "local", str(GUN))}
        assert sum(row.detail["files"] for row in rows) == done.files == 3 * 35
        assert sum(row.detail["bytes"] for row in rows) == done.bytes
        assert {row.detail["history"] for row in rows} == {"5d"}
        told = [row.detail["versions"] for row in reversed(rows)]
        assert told == [{"snapshot": "1-35", "targets": "1-35", "timestamp": "1-30"}, {"timestamp": "31-35"}]

    play(tmp_path, scene)


def test_a_collection_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 1)
        for call in (pruning(world).look, pruning(world).prune):
            with pytest.raises(NoCollection, match="other"):
                await call([GUN, OTHER])

    play(tmp_path, scene)


def test_versions_of_a_closed_collection_go_and_its_last_ones_stay(tmp_path: Path) -> None:
    """TRUST 3.5: the tombstone has its roots and last versions, and a new beginning goes on from there."""

    async def scene(world: World) -> None:
        await filled(world, 5)
        resetting = Resetting(world.means)
        await resetting.reset(GUN, await _owner(world), confirmed=str(GUN), why="deleted")
        world.now += 400 * DAY
        await pruning(world).prune()
        assert await versions(world, "targets") == [6]
        assert await versions(world, "root") == [1]

    play(tmp_path, scene)


async def _owner(world: World):
    from trustkit.authority.publish import Requester
    from trustkit.core.access import Assignment, Role
    from trustkit.core.patterns import RepositoryPattern

    async with world.store.write() as tx:
        await tx.identities.add(PrincipalName("olga"), "x", NOW)
        await tx.identities.assign(PrincipalName("olga"), Assignment(Role.OWNER, RepositoryPattern("*")))
    return Requester(PrincipalName("olga"), "")


def test_publishes_go_on_between_steps(tmp_path: Path) -> None:
    """What is signed while a collection is pruned waits for one step, not for all of them."""

    async def scene(world: World) -> None:
        publisher = await filled(world, 70)
        await history(world, "1d")
        going = asyncio.create_task(pruning(world).prune())
        done = 0
        while not going.done():
            upload = publisher.sign_upload("v1", manifest(f"meanwhile {done}"), world.now)
            await world.publishing.publish(GUN, upload, ALICE)
            publisher.files |= upload
            done += 1
        assert (await going).files == 3 * 69
        assert done >= 2
        assert await versions(world, "targets") == list(range(70, 72 + done))

    play(tmp_path, scene)


def test_what_is_broken_off_is_whole_and_goes_on_the_next_time(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 50)
        await history(world, "1d")
        before = await world.files()
        going = asyncio.create_task(pruning(world).prune())
        while await there(world, "snapshot", 1):
            await asyncio.wait([going], timeout=0.001)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        left = sum([len(await versions(world, role)) for role in ("targets", "snapshot", "timestamp")])
        assert 6 < left < 3 * 51
        async with world.store.read() as tx:
            rows = [row for row in await tx.audit.list(limit=1000) if row.action == "history-pruned"]
        assert sum(row.detail["files"] for row in rows) == 3 * 51 - left, "each step with its row"
        assert await world.files() == before
        assert (await pruning(world).prune()).files == left - 6

    play(tmp_path, scene)


def test_a_policy_that_keeps_more_counts_from_the_next_step_on(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 50)
        await history(world, "1d")
        going = asyncio.create_task(pruning(world).prune())
        while await there(world, "snapshot", 1):
            await asyncio.wait([going], timeout=0.001)
        await history(world, "all")
        assert (await going).files == STEP_FILES
        assert await versions(world, "timestamp") == list(range(3, 52)), "the first step took 100 files"

    play(tmp_path, scene)


def test_one_collection_that_fails_keeps_no_other_from_being_pruned(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 5)
        await filled(world, 5, OTHER)
        world.now += 2 * DAY
        await history(world, "1d")
        async with world.store.write() as tx:
            trigger = (
                "CREATE TRIGGER broken BEFORE DELETE ON files WHEN OLD.collection = 1 "
                "BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
            )
            from sqlalchemy import text

            await tx.past._run(text(trigger))  # a failure of the database's own, for one collection
        done = await pruning(world).prune()
        assert list(done.failed) == [str(GUN)]
        assert "disk is full" in done.failed[str(GUN)]
        assert {str(shelf.gun) for shelf in done.by} == {str(OTHER)}
        assert len(await versions(world, "targets")) == 6

    play(tmp_path, scene)


class Unreliable:
    """A store whose database can't be reached for what some collections change."""

    def __init__(self, store: Store, away: set[Gun]) -> None:
        self.read, self._store, self._away = store.read, store, away

    def write(self, of: Scope = None) -> AbstractAsyncContextManager[Transaction]:
        if of in self._away:
            raise DatabaseUnavailable("The database took too long.")
        return self._store.write(of)


@pytest.mark.parametrize("away", [1, 2, 3, 4])
def test_a_database_that_is_gone_ends_the_round_and_one_slow_collection_does_not(tmp_path: Path, away: int) -> None:
    async def scene(world: World) -> None:
        guns = [Gun.parse(f"registry.example.com/team/a{number}") for number in range(5)]
        for gun in guns:
            await filled(world, 1, gun)
        world.now += 2 * DAY
        await history(world, "1d")
        store = Unreliable(world.store, set(guns[:away]))
        going = Pruning(store, clock=lambda: world.now).prune()
        if away < AWAY:
            done = await going
            assert list(done.failed) == [str(gun) for gun in guns[:away]]
            assert done.files == 3 * (5 - away)
        else:
            with pytest.raises(DatabaseUnavailable):
                await going
            assert await versions(world, "targets", guns[4]) == [1, 2]

    play(tmp_path, scene)


def test_steps_are_bounded_in_number_and_bytes() -> None:
    small = [PastFile("targets", 0, version, 10) for version in range(250)]
    assert [len(step) for step in steps(small)] == [STEP_FILES, STEP_FILES, 50]
    large = [PastFile("targets", 0, version, STEP_BYTES // 2) for version in range(5)]
    assert [len(step) for step in steps(large)] == [2, 2, 1]
    huge = [PastFile("targets", 0, version, 3 * STEP_BYTES) for version in range(2)]
    assert [len(step) for step in steps(huge)] == [1, 1]
    assert list(steps([])) == []


def test_more_than_is_looked_for_at_once_goes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World) -> None:
        await filled(world, 10)
        await history(world, "1d")
        monkeypatch.setattr(pruning_module, "AT_ONCE", 7)
        assert (await pruning(world).prune()).files == 3 * 9

    play(tmp_path, scene)


# Rounds


def test_there_is_a_round_a_day_whoever_asks(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 40)
        await history(world, "1d")
        replicas = [PruneRounds(world.store, clock=lambda: world.now) for _ in range(3)]
        assert await last_round(world.store) is None
        done = await asyncio.gather(*(each.round() for each in replicas))
        assert [each.files for each in done if each] == [3 * 39]
        last = await last_round(world.store)
        assert last is not None
        assert (last.began, last.removed, last.failed, last.ended) == (world.now, 3 * 39, 0, True)
        _, held = await pruning(world).look()
        assert last.held == next(iter(held.values()))
        world.now += DAY - timedelta(seconds=1)
        assert await replicas[0].round() is None
        world.now += timedelta(seconds=1)
        assert await replicas[1].round() is not None

    play(tmp_path, scene)


def test_a_round_leaves_what_is_hardly_worth_a_row_in_the_audit_log(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 10)
        await history(world, "1d")
        rounds = PruneRounds(world.store, clock=lambda: world.now)
        done = await rounds.round()
        assert done is not None
        assert done.files == 0
        last = await last_round(world.store)
        assert last is not None
        assert last.held.due == 3 * 9
        world.now += 4 * DAY
        await world.renewal.round()
        for _ in range(2):
            world.now += 4 * DAY
            await world.renewal.round()
        again = await rounds.round()
        assert again is not None
        assert again.files >= 32

    play(tmp_path, scene)


def test_a_round_that_was_cut_off_and_a_clock_that_was_ahead_keep_no_later_round_away(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await filled(world, 40)
        await history(world, "1d")
        rounds = PruneRounds(world.store, clock=lambda: world.now)
        going = asyncio.create_task(rounds.round())
        while await last_round(world.store) is None:
            await asyncio.wait([going], timeout=0.001)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        last = await last_round(world.store)
        assert last is not None
        assert not last.ended
        assert await rounds.round() is None
        world.now += DAY
        assert await rounds.round() is not None
        world.now -= timedelta(days=300)
        assert await rounds.round() is not None, "the last one is to come"

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"began": "x"}', json.dumps({"began": NOW.isoformat(), "more": 1})]
)
def test_what_is_no_round_is_told(tmp_path: Path, text: str) -> None:
    async def scene(world: World) -> None:
        async with world.store.write() as tx:
            await tx.settings.put(ROUND, text)
        with pytest.raises(StateError, match=ROUND):
            await last_round(world.store)

    play(tmp_path, scene)
