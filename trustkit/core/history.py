"""How much of what collections were is kept: the operator's policy ``history``.

What verification needs is kept whatever it says: every root, the last version of each role, and what was current at
any moment of the last day, for whoever began to read then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from trustkit.errors import InvalidSetting

ALL = "all"
GRACE = timedelta(days=1)
"""What was current within it is never pruned: a client that has read a timestamp reads the rest of that state."""
MOST_DAYS, MOST_VERSIONS = 36_500, 1_000_000
_PART = re.compile(r"([1-9][0-9]{0,6})([dv])", re.ASCII)
_HINT = "Say all, days as 90d, versions of each role as 10v, or 90d,10v to keep what either keeps."


@dataclass(frozen=True, slots=True)
class History:
    """Which versions that others have taken the place of are kept; both None keeps all of them.

    Attributes:
        days: those that were current within so many days.
        versions: so many of each role, the newest ones.
    """

    days: int | None = None
    versions: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``all``, ``90d``, ``10v`` or ``90d,10v``; raises InvalidSetting."""
        if text == ALL:
            return cls()
        found: dict[str, int] = {}
        for part in text.split(","):
            match = _PART.fullmatch(part)
            if match is None or match[2] in found:
                raise InvalidSetting(f"The policy history can't be {ascii(text)[:60]}.", hint=_HINT)
            found[match[2]] = int(match[1])
        made = cls(found.get("d"), found.get("v"))
        if (made.days or 0) > MOST_DAYS or (made.versions or 0) > MOST_VERSIONS:
            raise InvalidSetting(
                f"The policy history can't be {text}: at most {MOST_DAYS}d and {MOST_VERSIONS}v.", hint=_HINT
            )
        return made

    def __str__(self) -> str:
        parts = [f"{number}{unit}" for number, unit in ((self.days, "d"), (self.versions, "v")) if number]
        return ",".join(parts) or ALL

    @property
    def everything(self) -> bool:
        """Whether nothing is ever pruned."""
        return self.days is None and self.versions is None

    def before(self, now: datetime) -> datetime:
        """Whatever was current at this moment, or later, is kept."""
        return now - max(GRACE, timedelta(days=self.days or 0))


DEFAULT = History(days=90)
"""Until an operator sets another one."""
