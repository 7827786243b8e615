"""A tag's entry: what is superseded, in which order, how much of it and until when."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator import DAY, NOW, manifest
from trustkit.core.names import Digest, Tag
from trustkit.core.targets import MAX_SUPERSEDED, make_target, read_target
from trustkit.core.view import SignedTarget

V1 = Tag("v1")
KEEP = 30 * DAY


def _sign(
    text: str, previous: SignedTarget | None = None, *, now: datetime = NOW, keep: timedelta = KEEP
) -> SignedTarget:
    return read_target("v1", make_target(V1, manifest(text), previous, now=now, keep=keep), "targets")


def _old(target: SignedTarget) -> list[Digest]:
    return [old.digest for old in target.superseded]


def _digest(text: str) -> Digest:
    return manifest(text).digest


def test_a_new_tag_supersedes_nothing() -> None:
    made = _sign("a")
    assert made.superseded == ()
    assert (made.tag, made.digest, made.length) == (V1, _digest("a"), len(manifest("a").data))


def test_the_newest_stands_first_with_its_own_time() -> None:
    made = _sign("b", _sign("a"))
    made = _sign("c", made, now=NOW + DAY)
    assert [(old.digest, old.until) for old in made.superseded] == [
        (_digest("b"), NOW + DAY + KEEP),
        (_digest("a"), NOW + KEEP),
    ]


def test_sixteen_are_kept_the_newest() -> None:
    made = _sign("0")
    for number in range(1, 25):
        made = _sign(str(number), made, now=NOW + number * timedelta(hours=1))
    assert _old(made) == [_digest(str(number)) for number in range(23, 23 - MAX_SUPERSEDED, -1)]


def test_a_short_keep_does_not_lose_to_longer_ones() -> None:
    made = _sign("0")
    for number in range(1, 20):
        made = _sign(str(number), made)
    assert _old(_sign("now", made, keep=DAY))[:2] == [_digest("19"), _digest("18")]


def test_what_is_over_goes() -> None:
    made = _sign("b", _sign("a"))
    just_before = _sign("c", made, now=NOW + KEEP - timedelta(seconds=1))
    assert _old(just_before) == [_digest("b"), _digest("a")]
    assert _old(_sign("c", made, now=NOW + KEEP)) == [_digest("b")]


def test_signing_a_superseded_digest_again_takes_it_off_the_list() -> None:
    made = _sign("a", _sign("b", _sign("a")), now=NOW + DAY)
    assert made.digest == _digest("a")
    assert _old(made) == [_digest("b")]


def test_signing_the_same_digest_again_changes_nothing() -> None:
    made = _sign("b", _sign("a"))
    assert _sign("b", made, now=NOW + DAY) == made


def test_nothing_is_kept_of_the_previous_one_with_zero() -> None:
    assert _old(_sign("b", _sign("a"), keep=timedelta(0))) == []
    assert _old(_sign("c", _sign("b", _sign("a")), keep=timedelta(0))) == [_digest("a")]


def test_part_of_a_second_is_cut() -> None:
    now = NOW + timedelta(microseconds=999_999)
    assert _sign("b", _sign("a"), now=now).superseded[0].until == NOW + KEEP


_STEP = st.tuples(st.sampled_from("abcdefghijklmnopqrstuv"), st.integers(0, 3), st.sampled_from([0, 1, 30, 365]))


@given(st.lists(_STEP, max_size=40))
def test_any_history_makes_an_entry_that_is_read_back(steps: list[tuple[str, int, int]]) -> None:
    now, target = NOW, None
    for text, days, keep in steps:
        now += days * DAY
        before, target = target, _sign(text, target, now=now, keep=keep * DAY)
        assert target.digest == _digest(text)
        assert target.digest not in _old(target)
        assert len(set(_old(target))) == len(target.superseded) <= MAX_SUPERSEDED
        assert all(old.until > now for old in target.superseded)
        if before and before.digest != target.digest:
            assert (before.digest in _old(target)) is (keep > 0)
            assert not keep or _old(target)[0] == before.digest


@pytest.mark.parametrize("keep", [timedelta(days=-1), timedelta(0)])
def test_no_time_is_no_entry(keep: timedelta) -> None:
    assert _sign("b", _sign("a"), keep=keep).superseded == ()
