"""Settings from the environment: each value with its origin, and no value that is guessed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from trustkit.config import lifetimes
from trustkit.core.lifetimes import Lifetimes
from trustkit.errors import InvalidSetting


def test_lifetimes_are_the_defaults_until_one_is_set() -> None:
    assert lifetimes({}).value == Lifetimes()
    assert lifetimes({}).origin == "default"
    found = lifetimes({"TRUSTKIT_TARGETS_DAYS": "30", "TRUSTKIT_TIMESTAMP_DAYS": " 1 ", "TRUSTKIT_ROOT_DAYS": ""})
    assert found.origin == "TRUSTKIT_TARGETS_DAYS, TRUSTKIT_TIMESTAMP_DAYS"
    assert found.value.default["targets"] == timedelta(days=30)
    assert found.value.default["timestamp"] == timedelta(days=1)
    assert found.value.default["root"] == Lifetimes().default["root"]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "ten", "1831", "٣", "1e3", "9" * 400])
def test_a_life_is_a_whole_number_of_days_within_the_bound_of_its_role(text: str) -> None:
    with pytest.raises(InvalidSetting, match="TRUSTKIT_TARGETS_DAYS"):
        lifetimes({"TRUSTKIT_TARGETS_DAYS": text})
