"""Expiries as Go writes them: RFC 3339 with up to nine digits of a second and the zone of whoever wrote."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from tuf.api.metadata import Signed

from trustkit.errors import Malformed

EXPIRES = "expires"
"""In ``unrecognized_fields``: how the file that was read spelt its expiry."""

_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{0,8}[1-9])?(?:Z|([+-])([0-9]{2}):([0-9]{2}))\Z"
)
_BETWEEN = re.compile("[-T:]")


def read_time(text: object, what: str) -> datetime:
    """The moment, in UTC and cut to whole seconds: whatever is read expires up to a second early.

    Raises:
        Malformed: not RFC 3339 as Go's ``RFC3339Nano`` writes it: no zone, zeros at the end of a fraction, an offset
            of zero that isn't ``Z``; or a time that can't be.
    """
    match = _TIME.match(text) if isinstance(text, str) else None
    if match is None:
        raise Malformed(f"{what} is not a time as Go writes it, such as 2030-01-31T12:00:00.5+01:00.")
    try:
        year, month, day, hour, minute, second = map(int, _BETWEEN.split(match[1]))
        return datetime(year, month, day, hour, minute, second, tzinfo=_zone(match)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Malformed(f"{what} is not a time that can be.") from error


def _zone(match: re.Match[str]) -> timezone:
    if match[2] is None:
        return UTC
    hours, minutes = int(match[3]), int(match[4])
    if hours > 23 or minutes > 59 or not (hours or minutes):
        raise ValueError
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(offset if match[2] == "+" else -offset)


def write_time(moment: datetime) -> str:
    """The wire form of a moment: UTC, whole seconds, ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def expires_text(signed: Signed) -> str:
    """How a file spells its expiry: as it was read, while that is still what it says."""
    kept = signed.unrecognized_fields.get(EXPIRES)
    if kept is not None and read_time(kept, EXPIRES) == signed.expires:
        return str(kept)
    return write_time(signed.expires)
