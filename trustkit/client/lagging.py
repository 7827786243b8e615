"""Reading back what was just published, from a replica that may not know it yet (TRUST 6.3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from trustkit.errors import CollectionGone, CollectionReset, NoCollection, RolledBack

T = TypeVar("T")
LAG = timedelta(seconds=2)
_FIRST_PAUSE = 0.1


def patiently(read: Callable[[], T], *, sleep: Callable[[float], None], clock: Callable[[], datetime]) -> T:
    """What ``read`` returns, once it shows what was published; it is called again for two seconds.

    Args:
        read: raises RolledBack for an older state, and NoCollection or CollectionGone for none.

    Raises:
        whatever ``read`` raises then.
    """
    began, waited, pause = clock(), timedelta(0), _FIRST_PAUSE
    while True:
        try:
            return read()
        except (RolledBack, NoCollection, CollectionGone) as error:
            if isinstance(error, CollectionReset) or max(waited, clock() - began) >= LAG:
                raise
        sleep(pause)
        waited += timedelta(seconds=pause)
        pause *= 2
