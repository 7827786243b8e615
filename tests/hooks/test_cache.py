"""Verdicts that are kept: how long, for whom they are asked, and what they can't be driven out by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from trustkit.core.names import ImageRef
from trustkit.errors import NotAllowed, TimedOut, TrustkitError, Unreachable, Unsigned
from trustkit.hooks.cache import VerdictCache

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    """A verdict, with its number among all that were asked for."""

    number: int
    allowed: bool = True
    error: TrustkitError | None = None
    expires: datetime | None = None


@dataclass
class Door:
    """What stands behind the cache: says what it is told to, and counts."""

    asked: list[str] = field(default_factory=list)
    error: TrustkitError | None = None
    detect: bool = False
    expires: datetime | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most: int = 0
    raises: Exception | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, ref: ImageRef, *, length: int | None = None) -> Said:
        with self.lock:
            self.asked.append(f"{ref} {length or ''}".strip())
            number = len(self.asked)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        assert self.gate.wait(30)
        with self.lock:
            self.at_once -= 1
        if self.raises:
            raise self.raises
        return Said(number, self.error is None or self.detect, self.error, self.expires)


class Now:
    """A clock that is moved by hand, and its ticks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.skew = timedelta(0)

    def clock(self) -> datetime:
        return START + timedelta(seconds=self.seconds) + self.skew

    def ticks(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def door() -> Door:
    made = Door()
    made.gate.set()
    return made


@pytest.fixture
def cache(door: Door, now: Now) -> VerdictCache[Said]:
    return VerdictCache(door, clock=now.clock, ticks=now.ticks, size=3)


def ref(text: str = "app:v1") -> ImageRef:
    return ImageRef.parse(f"registry.example.com/{text}")


def until(true: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(3000):
        if true():
            return
        waiting.wait(0.01)
    pytest.fail("it didn't happen")


def test_a_good_verdict_is_kept_for_ten_seconds_and_no_longer(cache: VerdictCache[Said], now: Now) -> None:
    assert cache(ref()).number == 1
    now.seconds = 6.9
    assert cache(ref()).number == 1
    now.seconds = 10
    assert cache(ref()).number == 2


def test_it_ends_with_what_it_depends_on(cache: VerdictCache[Said], door: Door, now: Now) -> None:
    door.expires = START + timedelta(seconds=3)
    assert cache(ref()).number == 1
    now.seconds = 2.9
    assert cache(ref()).number == 1
    now.seconds = 3
    assert cache(ref()).number == 2
    now.seconds, door.expires = 3.5, START + timedelta(hours=1)
    assert cache(ref()).number == 3, "what had expired when it came was not kept"
    now.skew = timedelta(hours=2)
    assert cache(ref()).number == 4, "a clock that was set counts at once"


@pytest.mark.parametrize("detect", [False, True])
def test_a_refusal_is_kept_for_one_second(cache: VerdictCache[Said], door: Door, now: Now, detect: bool) -> None:
    door.error, door.detect = Unsigned("no"), detect
    assert cache(ref()).number == 1
    now.seconds = 0.9
    assert cache(ref()).number == 1
    now.seconds, door.error = 1, None
    assert cache(ref()) == Said(2)


@pytest.mark.parametrize("error", [Unreachable("no"), TimedOut("no"), NotAllowed("no")], ids=lambda e: e.slug)
@pytest.mark.parametrize("detect", [False, True])
def test_what_could_not_be_checked_is_never_kept(
    cache: VerdictCache[Said], door: Door, error: TrustkitError, detect: bool
) -> None:
    door.error, door.detect = error, detect
    assert [cache(ref()).number for _ in range(3)] == [1, 2, 3]


def test_who_wants_no_older_one_gets_a_new_one_and_so_do_the_others_then(cache: VerdictCache[Said], now: Now) -> None:
    assert cache(ref()).number == 1
    now.seconds = 3
    assert cache.future(ref(), since=0).result(30).number == 1
    assert cache.future(ref(), since=2).result(30).number == 2
    assert cache(ref()).number == 2


def test_what_is_raised_reaches_everybody_and_the_next_is_asked(cache: VerdictCache[Said], door: Door) -> None:
    door.raises = RuntimeError("a bug")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="a bug"):
            cache(ref())
    door.raises = None
    assert cache(ref()).number == 3


def test_a_length_is_part_of_the_question(cache: VerdictCache[Said], door: Door) -> None:
    assert [cache(ref()).number, cache(ref(), length=7).number, cache(ref(), length=7).number] == [1, 2, 2]


def test_fifty_that_ask_the_same_are_one_question(cache: VerdictCache[Said], door: Door) -> None:
    door.gate.clear()
    futures = [cache.future(ref()) for _ in range(50)]
    assert not any(future.cancel() for future in futures), "nobody takes the answer from the others"
    door.gate.set()
    assert {future.result(30).number for future in futures} == {1}


def test_a_collection_is_asked_about_once_at_a_time_and_others_meanwhile(door: Door, now: Now) -> None:
    cache = VerdictCache(door, clock=now.clock, ticks=now.ticks)
    door.gate.clear()
    same = [cache.future(ref(f"app:v{number}")) for number in range(8)]
    until(lambda: len(door.asked) == 1)
    others = [cache.future(ref(f"app{number}:v1")) for number in range(8)]
    until(lambda: door.at_once == 9)
    door.gate.set()
    assert len({future.result(30).number for future in same + others}) == 16
    assert door.most == 9


def test_a_warm_verdict_is_refreshed_while_it_is_given_out(cache: VerdictCache[Said], door: Door, now: Now) -> None:
    cache(ref())
    now.seconds = 8
    door.gate.clear()
    assert [cache.future(ref()).result(0).number for _ in range(3)] == [1, 1, 1]
    until(lambda: len(door.asked) == 2)
    door.gate.set()
    until(lambda: cache(ref()).number == 2)
    now.seconds = 14
    assert cache.future(ref()).result(0).number == 2
    assert len(door.asked) == 2


def test_a_refresh_that_cannot_check_changes_nothing_and_a_refusal_counts_at_once(
    cache: VerdictCache[Said], door: Door, now: Now
) -> None:
    cache(ref())
    now.seconds, door.error = 8, Unreachable("no")
    assert cache(ref()).number == 1
    until(lambda: len(door.asked) == 2)
    until(lambda: door.at_once == 0)
    assert cache(ref()).allowed
    now.seconds, door.error = 9.5, Unsigned("revoked")
    assert cache(ref()).number == 1
    until(lambda: not cache(ref()).allowed)


def test_a_refresh_that_waits_for_its_turn_is_taken_by_who_needs_it_now(door: Door, now: Now) -> None:
    cache = VerdictCache(door, clock=now.clock, ticks=now.ticks)
    warm = [ref(f"app{number}:v1") for number in range(6)]
    for each in warm:
        cache(each)
    now.seconds = 8
    door.gate.clear()
    for each in warm:
        cache.future(each).result(0)
    until(lambda: door.at_once == 2)
    hurried = cache.future(ref("app5:v2"))
    until(lambda: door.at_once == 3)
    door.gate.set()
    assert hurried.result(30).allowed
    until(lambda: len(door.asked) == 13)


def test_the_oldest_goes_and_refusals_drive_no_good_one_out(cache: VerdictCache[Said], door: Door) -> None:
    good = [ref(f"app{number}:v1") for number in range(3)]
    assert [cache(each).number for each in good] == [1, 2, 3]
    door.error = Unsigned("no")
    for number in range(100):
        assert not cache(ref(f"made-up{number}:v1")).allowed
    door.error = None
    assert [cache(each).number for each in good] == [1, 2, 3]
    cache(ref("app4:v1"))
    assert [cache(each).number for each in good[1:]] == [2, 3]
    assert cache(good[0]).number == 105


def test_only_so_many_wait(cache: VerdictCache[Said], door: Door) -> None:
    door.gate.clear()
    waiting = [cache.future(ref(f"app{number}:v1")) for number in range(3)]
    with pytest.raises(TimedOut, match="Too many"):
        cache.future(ref("app4:v1")).result(0)
    door.gate.set()
    assert all(future.result(30).allowed for future in waiting)
    assert cache(ref("app4:v1")).allowed


def test_what_is_in_use_of_a_collection_is_refreshed_together(door: Door, now: Now) -> None:
    runs: list[Door] = []

    def together() -> Door:
        runs.append(Door(gate=door.gate))
        return runs[-1]

    cache = VerdictCache(door, clock=now.clock, ticks=now.ticks, together=together)
    tags = [ref(f"app:v{number}") for number in range(5)]
    for each in [*tags, ref("other:v1")]:
        cache(each)
    for each in tags[:4]:
        cache(each)
    asked, now.seconds = len(door.asked), 8
    cache(tags[0])
    until(lambda: sum(len(run.asked) for run in runs) + len(door.asked) - asked == 4)
    until(lambda: door.at_once == 0 and all(run.at_once == 0 for run in runs))
    asked_anew = door.asked[asked:] + [each for run in runs for each in run.asked]
    assert sorted(asked_anew) == sorted(str(each) for each in tags[:4]), "nobody used the fifth, nor the other"
    assert len(runs) <= 2


def test_what_is_asked_together_is_as_old_as_the_first_of_it(door: Door, now: Now) -> None:
    class Slow(Door):
        def __call__(self, ref: ImageRef, *, length: int | None = None) -> Said:
            said = super().__call__(ref, length=length)
            now.seconds += 4
            return said

    run = Slow(gate=door.gate)
    cache = VerdictCache(door, clock=now.clock, ticks=now.ticks, together=lambda: run)
    door.gate.clear()
    futures = [cache.future(ref("app:v0"))]
    until(lambda: len(door.asked) == 1)
    futures += [cache.future(ref(tag)) for tag in ("app:v1", "app:v2")]
    door.gate.set()
    assert [future.result(30).number for future in futures] == [1, 1, 2]
    assert now.seconds == 8
    now.seconds = 10
    assert cache(ref("app:v2")).number == 2, "it was asked for at 0, as the first of those that were asked together"
    assert len(door.asked) == 2


def test_what_cannot_be_asked_together_reaches_everybody(door: Door, now: Now) -> None:
    def together() -> Door:
        raise TrustkitError("The policy can't be read.")

    cache = VerdictCache(door, clock=now.clock, ticks=now.ticks, together=together)
    door.gate.clear()
    futures = [cache.future(ref("app:v0"))]
    until(lambda: len(door.asked) == 1)
    futures += [cache.future(ref(tag)) for tag in ("app:v1", "app:v2")]
    door.gate.set()
    assert futures[0].result(30).number == 1
    for future in futures[1:]:
        with pytest.raises(TrustkitError, match="policy"):
            future.result(30)
    door.error = None
    assert cache(ref("app:v1")).number == 2
