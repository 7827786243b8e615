"""What the service changes collections with, as one value, which is made where the service is wired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.service import Store


@dataclass(frozen=True, slots=True)
class Means:
    """The same for all use cases of one service.

    Attributes:
        keys: the service's own, which sign snapshot and timestamp.
        changed: called after a commit with the GUN whose generation moved, so that this process's views are fresh.
    """

    store: Store
    keys: OnlineKeys
    lifetimes: Lifetimes
    clock: Callable[[], datetime]
    changed: Callable[[Gun], None] = lambda _: None
