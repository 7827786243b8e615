"""What the service remembers of its database, and how it learns that this counts no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from trustkit.asgi.forwarded import HEADER, Proxies, client_of
from trustkit.asgi.logs import log_request
from trustkit.asgi.quick import Answer, Headers, Nobody, Quick
from trustkit.authority.expiry import Expiries
from trustkit.authority.freshness import Freshness
from trustkit.authority.reads import Reads
from trustkit.authority.views import DIGEST_BYTES, Views
from trustkit.core.names import Gun
from trustkit.core.ports.service import Store
from trustkit.server.fileanswers import at_hand
from trustkit.server.metrics import Kept, Metrics
from trustkit.server.quickreads import QuickReads


@dataclass(frozen=True, slots=True)
class Remembered:
    """Everything that is remembered, under one freshness."""

    fresh: Freshness
    views: Views
    expiries: Expiries
    reads: Reads
    quick: QuickReads

    @classmethod
    def of(cls, store: Store, *, clock: Callable[[], datetime], limit: int, view_limit: int) -> Self:
        """Nothing yet.

        Args:
            limit: bytes that files take in memory, half of it for whole answers.
            view_limit: bytes that what collections sign takes.
        """
        fresh = Freshness(clock=clock)
        reads = Reads(store, fresh, clock=clock, limit=limit // 2)
        return cls(
            fresh,
            Views(store, clock=clock, fresh=fresh, limit=view_limit // (2 * DIGEST_BYTES)),
            Expiries(store, clock=clock),
            reads,
            QuickReads(fresh, clock=clock, limit=limit // 2, ready=at_hand(reads)),
        )

    def changed(self, gun: Gun) -> None:
        """What is remembered of a collection counts no more."""
        if not self.fresh.told:
            self.fresh.forget(gun)
        self.views.forget(gun)
        self.expiries.forget(gun)

    def kept(self) -> Kept:
        """What reads were answered from memory, and what it takes."""
        return Kept(
            {"answer": self.quick.given, **self.reads.counts},
            self.quick.size + self.reads.bytes,
            self.views.counts,
            self.views.size * DIGEST_BYTES,
        )

    def answers(self, nobody: Nobody, *, metrics: Metrics | None, access_log: bool, proxies: Proxies) -> Quick:
        """What answers at once; it is counted and logged as if it had gone the long way."""

        def told(peer: str, headers: Headers, target: bytes, answer: Answer, seconds: float) -> None:
            if metrics:
                metrics.quick(answer, seconds)
            if access_log:
                client = client_of(peer, (value for name, value in headers if name == HEADER), proxies)
                log_request(client, "GET", target, str(answer.status.value), len(answer.body), seconds)

        return Quick(self.quick.find, nobody, told=told if metrics or access_log else None)
