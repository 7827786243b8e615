"""What the hosts that were asked say the time is: a hint where this machine's clock is wrong, and never more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from trustkit.core.names import Host
from trustkit.remote.messages import Headers


class Clocks:
    """The hosts' clocks, by the Date header of their last answers (RFC 9110, 6.6.1).

    Args:
        now: this machine's clock.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._offsets: dict[Host, timedelta] = {}

    def hear(self, host: Host, headers: Headers) -> None:
        """Takes note of an answer that came just now."""
        try:
            said = parsedate_to_datetime(headers.get("date"))
        except ValueError:
            return
        if said.tzinfo is not None:
            self._offsets[host] = said.astimezone(UTC) - self._now()

    def offset(self, host: Host) -> timedelta | None:
        """How far the host's clock is ahead of this machine's; None where it hasn't said."""
        return self._offsets.get(host)
