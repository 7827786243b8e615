"""Verdicts that are kept for seconds, so that what is pulled often doesn't wait for the trust service.

Shared by the hooks that run as servers.  Nothing outlives an expiry that it depends on, a refusal is kept for one
second, and what couldn't be checked is never kept.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeAlias, TypeVar

from trustkit.core.names import Gun, ImageRef
from trustkit.errors import CouldNotCheck, NotTrusted, TimedOut, TrustkitError

MAX_AGE = 10.0
"""Seconds that a good verdict is kept."""
REFUSAL_AGE = 1.0
"""Seconds that a refusal is kept: who signs a tag now can use it now."""
SIZE = 10_000
WORKERS = 16
REFRESH = 0.7
"""The part of its life after which a verdict that is asked for is looked up again, meanwhile."""
REFRESHING = 2
"""Collections at a time that are asked about ahead of need: more would take the processor from who waits."""
RETRY = 1.0
"""Seconds between two attempts to refresh one verdict."""
TOGETHER = 64
"""Questions about one collection that one thread asks together; none of them waits for more than so many."""


class Judged(Protocol):
    """What the cache has to know of a verdict."""

    @property
    def allowed(self) -> bool:
        """Whether the image may be used."""

    @property
    def error(self) -> TrustkitError | None:
        """Why it may not, or would not have been allowed if refusals counted."""

    @property
    def expires(self) -> datetime | None:
        """From when on the verdict says nothing; None for what depends on nothing that expires."""


V = TypeVar("V", bound=Judged)
V_co = TypeVar("V_co", covariant=True)
Key: TypeAlias = tuple[ImageRef, int | None]


class Enforcing(Protocol[V_co]):
    """The use case behind the cache (``trustkit.client.enforce``)."""

    def __call__(self, ref: ImageRef, *, length: int | None = None) -> V_co:
        """The verdict on an image; refusals are verdicts, not raised."""


@dataclass(slots=True)
class _Entry(Generic[V]):
    verdict: V
    began: float
    refresh_at: float
    until: float
    used: bool = False


class _Shelf(Generic[V]):
    """What is kept, the one that was asked for longest ago first, and by collection.

    Args:
        size: as many verdicts fit.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._all: OrderedDict[Key, _Entry[V]] = OrderedDict()
        self._of: dict[Gun, set[Key]] = {}

    def get(self, key: Key) -> _Entry[V] | None:
        """What is kept under a key, which is the newest from now on."""
        entry = self._all.get(key)
        if entry is not None:
            self._all.move_to_end(key)
        return entry

    def put(self, key: Key, entry: _Entry[V]) -> None:
        """Keeps an entry, and drops the oldest where there is no room."""
        self._all[key] = entry
        self._all.move_to_end(key)
        self._of.setdefault(key[0].gun, set()).add(key)
        while len(self._all) > self._size:
            self.drop(next(iter(self._all)))

    def drop(self, key: Key) -> None:
        """Forgets what is kept under a key, if anything is."""
        if self._all.pop(key, None) is None:
            return
        of = self._of[key[0].gun]
        of.discard(key)
        if not of:
            del self._of[key[0].gun]

    def due(self, gun: Gun, now: float) -> list[Key]:
        """What of a collection was asked for since it is kept, and is to be refreshed by now."""
        found = ((key, self._all[key]) for key in self._of.get(gun, ()))
        return [key for key, entry in found if entry.used and now >= entry.refresh_at]

    def retry(self, key: Key, at: float) -> None:
        """Has an entry wait until this moment, in ticks, before it is due again."""
        self._all[key].refresh_at = at


class VerdictCache(Generic[V]):
    """The same answers as ``enforce``, each up to ``max_age`` old.  Safe to use from several threads.

    - A good verdict is kept until its own ``expires``, and at most for ``max_age``, counted from before it was
      asked for.  A refusal, also one that detection mode let through, is kept for a second; one that says "could
      not check", or anything else that isn't about trust, not at all.
    - One collection is asked about by one thread at a time, and whoever wants the same answer waits for that one.
      What waits by then about the same collection is asked together, and is as old as the first of it.
    - A verdict past most of its life is asked for again in the background while it is still given out.  Where that
      can't be checked, it stays until its end; where it is refused, it is gone at once.
    - What is refused has a place of its own: no flood of made-up names drives good verdicts out.

    Args:
        enforce: called in threads of the cache, at most 16 at a time.
        together: gives what questions are asked with that are asked together, in the place of ``enforce``.
        clock: the time that ``expires`` is compared with.
        max_age: seconds; 0 keeps nothing.
        size: verdicts that are kept, and as many refusals; also how many questions may wait.
        ticks: seconds that go on whatever is done to the clock.
    """

    def __init__(
        self,
        enforce: Enforcing[V],
        *,
        clock: Callable[[], datetime],
        max_age: float = MAX_AGE,
        size: int = SIZE,
        ticks: Callable[[], float] = time.monotonic,
        together: Callable[[], Enforcing[V]] | None = None,
    ) -> None:
        self._enforce, self._clock, self._ticks = enforce, clock, ticks
        self._together = together or (lambda: enforce)
        self._max_age, self._size = max_age, size
        self._lock = threading.Lock()
        self._good: _Shelf[V] = _Shelf(size)
        self._refused: _Shelf[V] = _Shelf(size)
        self._flights: dict[Key, Future[V]] = {}
        self._waiting: dict[Gun, deque[Key]] = {}
        self._postponed: OrderedDict[Gun, None] = OrderedDict()
        self._refreshing: set[Gun] = set()
        self._ready: queue.SimpleQueue[Gun] = queue.SimpleQueue()
        self._workers = 0
        self.hits = 0
        self.misses = 0

    def __call__(self, ref: ImageRef, *, length: int | None = None) -> V:
        """The verdict on an image; waits where none is kept.

        Raises:
            TimedOut: too many questions are waiting already.
        """
        return self.future(ref, length=length).result()

    def future(self, ref: ImageRef, *, length: int | None = None, since: float | None = None) -> Future[V]:
        """The same at once, for who can't wait: done already where the verdict is kept.

        Args:
            since: no kept verdict that was asked for before this moment, in ``ticks``; None for any.
        """
        key = (ref, length)
        with self._lock:
            entry = self._fresh(key)
            if entry is not None and since is not None and entry.began < since:
                entry = None
            if entry is None:
                self.misses += 1
                future = self._flight(key)
                if key[0].gun in self._postponed:
                    del self._postponed[key[0].gun]
                    self._start(key[0].gun)
                return future
            self.hits += 1
            entry.used = True
            now = self._ticks()
            if now >= entry.refresh_at:
                self._refresh_of(key[0].gun, now)
        done: Future[V] = Future()
        done.set_result(entry.verdict)
        return done

    def _fresh(self, key: Key) -> _Entry[V] | None:
        for kept in (self._good, self._refused):
            entry = kept.get(key)
            if entry is None:
                continue
            expires = entry.verdict.expires
            if self._ticks() < entry.until and (expires is None or self._clock() < expires):
                return entry
            kept.drop(key)
        return None

    def _refresh_of(self, gun: Gun, now: float) -> None:
        """Asks again, ahead of need, for all of a collection that is in use and due; the lock is held."""
        for key in self._good.due(gun, now):
            if len(self._flights) >= self._size:
                return
            self._good.retry(key, now + RETRY)
            self._flight(key, ahead=True)

    def _flight(self, key: Key, *, ahead: bool = False) -> Future[V]:
        """The answer to come, with no hurry where it is ahead of need; the lock is held."""
        if (flight := self._flights.get(key)) is not None:
            return flight
        future: Future[V] = Future()
        if len(self._flights) >= self._size:
            future.set_exception(TimedOut("Too many images are being checked at this moment.", hint="Try again."))
            return future
        future.set_running_or_notify_cancel()  # from here on nobody who waits can cancel it for the others
        self._flights[key] = future
        if (waiting := self._waiting.get(key[0].gun)) is not None:
            waiting.append(key)
            return future
        self._waiting[key[0].gun] = deque([key])
        if ahead:
            self._postponed[key[0].gun] = None
            self._refresh()
        else:
            self._start(key[0].gun)
        return future

    def _start(self, gun: Gun) -> None:
        self._ready.put(gun)
        if self._workers < min(len(self._waiting) - len(self._postponed), WORKERS):
            self._workers += 1
            threading.Thread(target=self._work, name="trustkit-verdicts", daemon=True).start()

    def _refresh(self) -> None:
        while self._postponed and len(self._refreshing) < REFRESHING:
            gun, _ = self._postponed.popitem(last=False)
            self._refreshing.add(gun)
            self._start(gun)

    def _work(self) -> None:
        while True:
            gun = self._ready.get()
            while keys := self._next(gun):
                began, enforce = self._ticks(), self._enforce if len(keys) == 1 else None
                for key in keys:
                    try:
                        enforce = enforce or self._together()
                        verdict = enforce(key[0], length=key[1])
                    except BaseException as error:  # noqa: BLE001 - whoever waits gets it; this thread goes on
                        self._landed(key).set_exception(error)
                    else:
                        self._landed(key, verdict, began).set_result(verdict)

    def _next(self, gun: Gun) -> list[Key]:
        """What is asked together next; empty where nothing waits any more."""
        with self._lock:
            waiting = self._waiting[gun]
            if waiting:
                return [waiting.popleft() for _ in range(min(len(waiting), TOGETHER))]
            del self._waiting[gun]
            self._refreshing.discard(gun)
            self._refresh()
            return []

    def _landed(self, key: Key, verdict: V | None = None, began: float = 0.0) -> Future[V]:
        with self._lock:
            if verdict is not None:
                self._keep(key, verdict, began)
            return self._flights.pop(key)

    def _keep(self, key: Key, verdict: V, began: float) -> None:
        if verdict.error is None and verdict.allowed:
            life, kept, other = self._max_age, self._good, self._refused
        elif isinstance(verdict.error, NotTrusted) and not isinstance(verdict.error, CouldNotCheck):
            life, kept, other = min(REFUSAL_AGE, self._max_age), self._refused, self._good
        else:
            return
        other.drop(key)
        until = began + life
        kept.put(key, _Entry(verdict, began, began + life * REFRESH if kept is self._good else until, until))
