"""A clock that is wrong: expiry hangs on it, so people are told (it changes no verdict)."""

from __future__ import annotations

from datetime import datetime, timedelta

from trustkit.core.names import Host

SLACK = timedelta(minutes=10)
_SECOND, _MINUTE, _HOUR, _DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))


def clock_words(host: Host, now: datetime, *, issued: datetime | None, offset: timedelta | None) -> str:
    """A sentence where a clock seems wrong by more than ten minutes; empty where none does.

    Args:
        now: what this machine's clock shows.
        issued: when the service signed its timestamp, as that says: signed, and never in the future.
        offset: how far the host's clock is ahead, by what it says; anybody on the way can have said it.
    """
    if issued is not None and issued - now > SLACK and (offset is None or issued - now - offset > SLACK):
        ahead = words_of(issued - now)
        if offset is not None and abs(offset) <= SLACK:
            return f"The clock of {host} was wrong: it signed its timestamp {ahead} ahead of what it shows now."
        return f"This machine's clock is behind: {host} signed its timestamp {ahead} ahead of it."
    if offset is None or abs(offset) <= SLACK:
        return ""
    side = "behind" if offset > timedelta(0) else "ahead of"
    return f"This machine's clock is {words_of(abs(offset))} {side} that of {host}; one of them is wrong."


def words_of(time: timedelta) -> str:
    """``3 days``, ``1 hour``: the largest unit that is there, rounded."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if (count := round(time / unit)) >= 1 and time >= unit * 0.95:
            return f"{count} {name}{'s' if count != 1 else ''}"
    return f"{round(time / _SECOND)} seconds"
