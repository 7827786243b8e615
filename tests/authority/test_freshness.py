"""How long what was read counts: stamps, changes by this process and by others, a database that says nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Set
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trustkit.authority import freshness
from trustkit.authority.freshness import FRESH, Freshness
from trustkit.authority.reads import Found, Reads
from trustkit.core.names import Gun
from trustkit.core.ports.changes import Changed, Listener
from trustkit.core.ports.service import AuditRow, StoredFile, Transaction
from trustkit.errors import NoCollection, NotFound, StateError, TrustkitError
from trustkit.store import writing
from trustkit.store.database import SqlStore

ONE, OTHER = Gun.parse("h.example/one"), Gun.parse("h.example/other")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_a_stamp_counts_for_half_a_second_where_nobody_asks() -> None:
    clock = Clock()
    fresh = Freshness(clock=clock)
    stamp = fresh.stamp(ONE.repository)
    assert fresh.counts(stamp, NOW)
    assert fresh.counts(stamp, NOW + FRESH - MOMENT)
    assert not fresh.counts(stamp, NOW + FRESH)
    assert not fresh.counts(stamp, NOW - MOMENT), "a clock that was set back proves nothing"


def test_what_this_process_changed_counts_no_more_and_everything_else_does() -> None:
    fresh = Freshness(clock=Clock())
    one, other, roles = fresh.stamp(ONE.repository), fresh.stamp(OTHER.repository), fresh.stamp()
    fresh.forget(ONE)
    assert not fresh.counts(one, NOW)
    assert fresh.counts(other, NOW)
    assert fresh.counts(roles, NOW)
    assert fresh.counts(fresh.stamp(ONE.repository), NOW)


def test_a_stamp_from_before_the_last_change_of_all_never_counts_again() -> None:
    fresh = Freshness(clock=Clock())
    fresh.forget(ONE)
    old = fresh.stamp(ONE.repository)
    fresh.forget_everything()
    fresh.forget(ONE)  # the collection has been changed as many times as when the stamp was taken
    assert not fresh.counts(old, NOW)


class Silent:
    """A database that can't be asked, and then can."""

    def __init__(self) -> None:
        self.down = False
        self.asked = 0

    async def changed_since(self, mark: str) -> Changed:
        self.asked += 1
        if self.down:
            raise StateError("It is down.")
        return Changed("1", frozenset({OTHER}) if mark else None)

    def tell_own(self, listener: Listener) -> bool:
        return False


def test_while_the_database_says_nothing_stamps_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "EVERY_SECONDS", 0.0)
    clock, changes = Clock(), Silent()
    fresh = Freshness(clock=clock)

    async def asked(times: int) -> None:
        until = changes.asked + times
        while changes.asked < until:  # noqa: ASYNC110 - the port has no event, and the wait is for questions
            await asyncio.sleep(0)

    async def main() -> None:
        following = asyncio.create_task(fresh.follow(changes))
        await asked(2)
        stamp = fresh.stamp(ONE.repository)
        clock.now += 10 * FRESH
        await asked(2)
        assert fresh.counts(stamp, clock.now), "nothing was committed meanwhile, as the database says"
        assert not fresh.counts(fresh.stamp(OTHER.repository), clock.now + FRESH)
        changes.down = True
        await asked(2)
        clock.now += FRESH
        await asked(2)
        assert not fresh.counts(stamp, clock.now)
        changes.down = False
        await asked(3)
        assert fresh.counts(stamp, clock.now), "and nothing was, as the same mark says afterwards"
        following.cancel()

    asyncio.run(main())


def test_a_commit_of_another_process_is_known_by_the_next_question(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "d" / "trustkit.db"
        ours, theirs = await SqlStore.open(path), await SqlStore.open(path)
        try:
            first = await ours.changed_since("")
            assert first.guns is None
            assert (await ours.changed_since(first.mark)).guns == frozenset()
            async with theirs.read() as tx:
                await tx.settings.get("content-trust")
            assert (await ours.changed_since(first.mark)).guns == frozenset(), "reading is no change"
            async with theirs.write() as tx:
                await tx.settings.put("content-trust", "disabled")
            second = await ours.changed_since(first.mark)
            assert second.guns is None
            async with ours.write() as tx:
                await tx.settings.put("content-trust", "enabled")
            assert (await ours.changed_since(second.mark)).guns is None, "by itself, too"
        finally:
            await ours.close()
            await theirs.close()

    asyncio.run(main())


def test_own_commits_are_told_at_once_by_name_and_others_by_the_next_question(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "d" / "trustkit.db"
        ours, theirs = await SqlStore.open(path), await SqlStore.open(path)
        told: list[Set[Gun] | None] = []
        try:
            assert ours.tell_own(told.append)
            async with ours.write() as tx:
                await tx.settings.put("content-trust", "enabled")
            assert told == [None], "a switch is of every collection"
            told.clear()
            mark = (await ours.changed_since("")).mark
            async with ours.write(ONE) as tx:
                await tx.collections.found(ONE, NOW)
                first = await ours.changed_since(mark)
                assert first.guns == frozenset(), "nothing is committed yet"
            assert told == [frozenset({ONE})]
            mine = await ours.changed_since(mark)
            assert mine.guns == frozenset(), "it was told"
            async with ours.write(ONE) as tx:
                await tx.audit.append(AuditRow(NOW, "alice", "here", "looked", str(ONE), {}))
            assert told.pop() == frozenset(), "nobody remembers what the audit says"
            with suppress(KeyError):
                async with ours.write(ONE) as tx:
                    await tx.collections.add_files(ONE, [file()], NOW)
                    raise KeyError
            assert told == [frozenset({ONE})]
            assert (await ours.changed_since(mine.mark)).guns in (frozenset(), None), "a rollback may be told"
            mark = (await ours.changed_since(mine.mark)).mark
            async with theirs.write(OTHER) as tx:
                await tx.collections.found(OTHER, NOW)
            async with ours.write(ONE) as tx:
                await tx.collections.add_files(ONE, [file()], NOW)
                seen = await ours.changed_since(mark)
                assert seen.guns is None, "theirs, asked for in the midst of ours"
            assert (await ours.changed_since(seen.mark)).guns == frozenset()
            async with theirs.write(OTHER) as tx:
                await tx.collections.add_files(OTHER, [file()], NOW)
            assert (await ours.changed_since(seen.mark)).guns is None
        finally:
            await ours.close()
            await theirs.close()

    asyncio.run(main())


def test_a_table_that_another_version_makes_anew_while_we_serve_is_noted_still(tmp_path: Path) -> None:
    """As migrations do that change a column, run by the service that takes over from this one."""
    anew = """
BEGIN IMMEDIATE;
CREATE TABLE anew AS SELECT * FROM settings;
DROP TABLE settings;
ALTER TABLE anew RENAME TO settings;
COMMIT;
"""

    async def main() -> None:
        path = tmp_path / "d" / "trustkit.db"
        ours = await SqlStore.open(path)
        told: list[Set[Gun] | None] = []
        ours.tell_own(told.append)
        for value in ("disabled", "enabled"):
            async with ours.write() as tx:
                await tx.collections.found(Gun.parse(f"h.example/{value}"), NOW)
            with closing(sqlite3.connect(path)) as theirs:
                theirs.executescript(anew)
            async with ours.write() as tx:
                await tx.settings.put(f"content-trust-{value}", value)
            assert told.pop() is None, "a switch is of every collection"
        await ours.close()

    asyncio.run(main())


@pytest.mark.timeout(60)
def test_no_commit_of_others_is_missed_among_many_of_ours(tmp_path: Path) -> None:
    """Another process commits, and has then to be told of, whatever of ours begins and ends meanwhile."""
    other = """
import sqlite3, sys
there = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
for line in sys.stdin:
    there.execute("UPDATE collections SET generation = generation + 1 WHERE gun = ?", (line.strip(),))
    print(flush=True)
"""

    async def main() -> None:
        path = tmp_path / "d" / "trustkit.db"
        ours = await SqlStore.open(path)
        told: list[Set[Gun] | None] = []
        ours.tell_own(told.append)
        async with ours.write() as tx:
            for gun in (ONE, OTHER):
                await tx.collections.found(gun, NOW)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", other, str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        busy = True

        async def write() -> None:
            while busy:
                async with ours.write(ONE) as tx:
                    await tx.collections.add_files(ONE, [], NOW)
                await asyncio.sleep(0.002)

        writers = [asyncio.create_task(write()) for _ in range(3)]
        mark, quiet = (await ours.changed_since("")).mark, 0
        for _ in range(20):
            process.stdin.write(f"{OTHER}\n".encode())
            await process.stdout.readline()
            changed = await ours.changed_since(mark)
            assert changed.guns is None, "it was committed before the question"
            mark = changed.mark
            for _ in range(5):
                changed = await ours.changed_since(mark)
                quiet += changed.guns == frozenset()
                mark = changed.mark
                await asyncio.sleep(0)
        busy = False
        await asyncio.gather(*writers)
        process.stdin.close()
        await process.wait()
        await ours.close()
        assert set(told[1:]) == {frozenset({ONE})}
        assert quiet > 70, "our own commits alone are no news"

    asyncio.run(main())


def test_a_writer_that_is_cancelled_leaves_the_connection_to_the_next_one(tmp_path: Path) -> None:
    async def main() -> None:
        ours = await SqlStore.open(tmp_path / "d" / "trustkit.db")
        told: list[Set[Gun] | None] = []
        ours.tell_own(told.append)

        async def found(name: str) -> None:
            async with ours.write() as tx:
                await tx.collections.found(Gun.parse(f"h.example/{name}"), NOW)

        for number in range(60):  # wherever it is when it is cancelled: waiting, beginning, committing
            task = asyncio.create_task(found(f"app{number}"))
            for _ in range(number % 12):
                await asyncio.sleep(0.0001 * (number % 5))
            told.clear()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            async with asyncio.timeout(5), ours.read() as tx:
                there = await tx.collections.get(Gun.parse(f"h.example/app{number}"))
            assert there is None or task.cancelled() is False or told, "what is in the file was told"
        async with asyncio.timeout(5):
            await found("last")
        await ours.close()

    asyncio.run(main())


def test_a_connection_that_can_not_be_rolled_back_is_given_up_and_the_next_writer_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an error of the disk.  Until then it can't be said what others changed, so nothing is remembered."""

    def broken(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async def fails(store: SqlStore) -> None:
        async with store.write() as tx:
            await tx.settings.put("a", "2")
            raise StateError("It can't go on.")

    async def main() -> None:
        ours = await SqlStore.open(tmp_path / "d" / "trustkit.db")
        ours.tell_own(lambda _: None)
        async with ours.write() as tx:
            await tx.settings.put("a", "1")
        mark = (await ours.changed_since("")).mark
        with monkeypatch.context() as patch:
            patch.setattr(writing, "let_go", broken)
            with pytest.raises(StateError):
                await fails(ours)
        async with ours.read() as tx:
            assert await tx.settings.get("a") == "1"
        other = await SqlStore.open(tmp_path / "d" / "trustkit.db")
        async with other.write() as tx:
            await tx.settings.put("a", "3")
        assert (await ours.changed_since(mark)).guns is None
        async with ours.write() as tx:
            assert await tx.settings.get("a") == "3"
            await tx.settings.put("a", "4")
        async with other.read() as tx:
            assert await tx.settings.get("a") == "4"
        quiet = (await ours.changed_since("")).mark
        assert (await ours.changed_since(quiet)).guns == frozenset()
        await ours.close()
        await other.close()

    asyncio.run(main())


def file(size: int = 10, version: int = 1) -> StoredFile:
    return StoredFile("targets", version, b"x" * size, NOW)


class Finder:
    """Finds what it is told, and counts how often it is asked."""

    def __init__(self, found: Found | TrustkitError) -> None:
        self.found = found
        self.asked = 0
        self.before: Found | None = None

    async def __call__(self, tx: Transaction, before: Found | None) -> Found:
        self.asked += 1
        self.before = before
        if isinstance(self.found, TrustkitError):
            raise self.found
        return self.found


@pytest.fixture
def clock() -> Clock:
    return Clock()


def remembering(tmp_path: Path, clock: Clock, *, limit: int = 1 << 20) -> tuple[Freshness, Reads]:
    fresh = Freshness(clock=clock)
    store = asyncio.run(SqlStore.open(tmp_path / "d" / "trustkit.db"))
    return fresh, Reads(store, fresh, clock=clock, limit=limit)


def test_a_file_is_read_again_only_when_something_changed(tmp_path: Path, clock: Clock) -> None:
    fresh, reads = remembering(tmp_path, clock)
    finder = Finder(Found(file(), 1))

    async def main() -> None:
        first = await reads.get("k", ONE, finder)
        assert (await reads.get("k", ONE, finder)).file is first.file
        assert finder.asked == 1
        fresh.forget(ONE)
        again = await reads.get("k", ONE, finder)
        assert finder.before is first.found, "so that the same generation needs no bytes"
        assert again.etag == first.etag
        fresh.forget(ONE)
        finder.found = Found(file(version=2, size=11), 2)
        assert (await reads.get("k", ONE, finder)).file.version == 2
        assert dict(reads.counts) == {"file": 1, "checked": 1, "nothing": 2}

    asyncio.run(main())


def test_what_is_read_while_it_changes_is_not_kept(tmp_path: Path, clock: Clock) -> None:
    fresh, reads = remembering(tmp_path, clock)

    async def overtaken(tx: Transaction, before: Found | None) -> Found:
        fresh.forget(ONE)  # a publish commits between our reading and our keeping
        return Found(file(version=1), 1)

    async def main() -> None:
        await reads.get("k", ONE, overtaken)
        finder = Finder(Found(file(version=2), 2))
        assert (await reads.get("k", ONE, finder)).file.version == 2

    asyncio.run(main())


@pytest.mark.parametrize("error", [NotFound("no such root", hint="look"), NoCollection("nothing", gun="h/x")])
def test_that_there_is_none_is_remembered_until_there_is(error: TrustkitError, tmp_path: Path, clock: Clock) -> None:
    fresh, reads = remembering(tmp_path, clock)
    finder = Finder(error)

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(type(error)) as caught:
                await reads.get("k", ONE, finder)
            assert (caught.value.hint, caught.value.context) == (error.hint, error.context)
        assert finder.asked == 1
        fresh.forget(ONE)
        finder.found = Found(file(), 1)
        assert (await reads.get("k", ONE, finder)).file.version == 1

    asyncio.run(main())


def test_a_failure_is_not_remembered(tmp_path: Path, clock: Clock) -> None:
    _, reads = remembering(tmp_path, clock)
    finder = Finder(StateError("The disk is gone."))

    async def main() -> None:
        with pytest.raises(StateError):
            await reads.get("k", ONE, finder)
        finder.found = Found(file(), 1)
        assert (await reads.get("k", ONE, finder)).file.version == 1

    asyncio.run(main())


def test_what_ends_at_a_moment_is_not_handed_out_from_then_on(tmp_path: Path, clock: Clock) -> None:
    _, reads = remembering(tmp_path, clock)
    finder = Finder(Found(file(), None, until=NOW + 100 * MOMENT))

    async def main() -> None:
        await reads.get("k", ONE, finder)
        clock.now = NOW + 99 * MOMENT
        await reads.get("k", ONE, finder)
        assert finder.asked == 1
        clock.now = NOW + 100 * MOMENT
        await reads.get("k", ONE, finder)
        assert finder.asked == 2

    asyncio.run(main())


def test_memory_is_bounded_and_what_was_used_last_stays(tmp_path: Path, clock: Clock) -> None:
    limit = 100_000
    _, reads = remembering(tmp_path, clock, limit=limit)
    finder = Finder(Found(file(9_000), 1))

    async def main() -> None:
        for number in range(50):
            await reads.get(number, ONE, finder)
            await reads.get("often", ONE, finder)
            assert reads.bytes <= limit
        asked = finder.asked
        await reads.get("often", ONE, finder)
        assert finder.asked == asked
        await reads.get(0, ONE, finder)
        assert finder.asked == asked + 1
        big = Finder(Found(file(30_000), 1))
        await reads.get("big", ONE, big)
        await reads.get("big", ONE, big)
        assert big.asked == 2, "one file doesn't push out the others"

    asyncio.run(main())


def test_with_a_limit_of_nothing_nothing_is_kept(tmp_path: Path, clock: Clock) -> None:
    _, reads = remembering(tmp_path, clock, limit=0)
    finder = Finder(Found(file(), 1))

    async def main() -> None:
        await reads.get("k", ONE, finder)
        await reads.get("k", ONE, finder)
        assert (finder.asked, reads.bytes) == (2, 0)

    asyncio.run(main())
