"""What is kept within a bound, held to a model that remembers everything and forgets the oldest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trustkit.core.bounded import Bounded

LIMIT = 10
_STEPS = st.lists(st.tuples(st.sampled_from("gkd"), st.integers(0, 6), st.integers(1, 12)), max_size=60)


@given(_STEPS)
def test_it_holds_what_was_used_last_and_no_more_than_it_may(steps: list[tuple[str, int, int]]) -> None:
    kept: Bounded[int, tuple[int, int]] = Bounded(LIMIT)
    model: dict[int, tuple[int, int]] = {}
    for number, (what, key, size) in enumerate(steps):
        found = model.pop(key, None)
        if what == "g":
            assert kept.get(key) == found
        elif what == "d":
            kept.drop(key)
            found = None
        else:
            found = (number, size)
            kept.keep(key, found, size)
        if found is not None:
            model[key] = found
        while len(model) > 1 and sum(each for _, each in model.values()) > LIMIT:
            del model[next(iter(model))]
        assert kept.size == sum(each for _, each in model.values())
        assert len(kept) == len(model)


def test_one_that_is_larger_than_the_bound_is_kept_alone() -> None:
    kept: Bounded[str, int] = Bounded(LIMIT)
    kept.keep("small", 1)
    kept.keep("large", 2, 10 * LIMIT)
    assert (kept.get("large"), kept.get("small"), kept.size) == (2, None, 10 * LIMIT)
    kept.keep("next", 3)
    assert (kept.get("large"), kept.get("next"), kept.size) == (None, 3, 1)
