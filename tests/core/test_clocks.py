"""Which sentence a clock that is wrong comes to; both sides' words are held against each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trustkit.core.clocks import clock_words, words_of
from trustkit.core.names import Host

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HOST = Host.parse("registry.example.com")
BEHIND = "This machine's clock is 1 day behind that of registry.example.com; one of them is wrong."
AHEAD = "This machine's clock is 1 day ahead of that of registry.example.com; one of them is wrong."
SIGNED = "This machine's clock is behind: registry.example.com signed its timestamp 1 day ahead of it."
WAS = "The clock of registry.example.com was wrong: it signed its timestamp 1 day ahead of what it shows now."


@pytest.mark.parametrize(
    ("issued", "offset", "words"),
    [
        pytest.param(None, None, "", id="nothing is known"),
        pytest.param(-3.0, 0.0, "", id="both agree"),
        pytest.param(0.1, 0.1, "", id="within ten minutes"),
        pytest.param(-3.0, 24.0, BEHIND, id="the host is ahead"),
        pytest.param(-3.0, -24.0, AHEAD, id="the host is behind"),
        pytest.param(23.0, 24.0, BEHIND, id="the host is ahead, and signed by that clock"),
        pytest.param(24.01, 24.0, BEHIND, id="the host is ahead, and signed just now"),
        pytest.param(24.0, None, SIGNED, id="signed in the future, and the host says no time"),
        pytest.param(24.0, 1.0, SIGNED, id="signed in the future, and the host says less"),
        pytest.param(24.0, 0.0, WAS, id="signed in the future, and now both agree"),
        pytest.param(24.0, -0.1, WAS, id="signed in the future, and now both nearly agree"),
    ],
)
def test_the_sentence_names_the_clock_that_seems_wrong(
    issued: float | None, offset: float | None, words: str
) -> None:
    moment = None if issued is None else NOW + timedelta(hours=issued)
    away = None if offset is None else timedelta(hours=offset)
    assert clock_words(HOST, NOW, issued=moment, offset=away) == words


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(seconds=40), "40 seconds"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=89), "1 hour"),
        (timedelta(hours=23), "1 day"),
        (timedelta(days=30, hours=3), "30 days"),
    ],
)
def test_a_time_is_told_in_its_largest_unit(time: timedelta, words: str) -> None:
    assert words_of(time) == words
