"""The signed view of each repository, judged once a state and handed out until that state moves (TRUST 7.1)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from trustkit.authority.freshness import Freshness
from trustkit.core.bounded import Bounded
from trustkit.core.grownview import Grown, evaluate_grown, may_have_bins, outdated
from trustkit.core.names import Gun, Repository
from trustkit.core.ports.service import TUF, Store, Transaction
from trustkit.core.rules import Formats, Rules
from trustkit.core.stamps import Stamp
from trustkit.core.view import SignedView
from trustkit.errors import Expired

LIMIT = 11 * 1024 * 1024
"""Bytes for what is signed, unless it is said otherwise."""
DIGEST_BYTES = 550
"""What a digest takes that a view signs: a tag's, one that it had before, a child's."""
KEEP_DIGESTS = LIMIT // (2 * DIGEST_BYTES)
"""That all views sign together.  As many more of collections in hash bins, of which each bin is kept as it was
verified."""
OF_A_VIEW, OF_A_BIN = 8, 3
"""What a view, or a bin, takes besides: as much as so many digests."""
IN_LOOP_BYTES = 64 * 1024


@dataclass(slots=True)
class _Entry:
    gun: Gun | None
    generation: int
    view: SignedView | None
    stamp: Stamp
    size: int = OF_A_VIEW


class Views:
    """Signed views by repository.

    A view is less than a second behind a publish by another process (``freshness``), at once behind one by this
    process (``forget``), and is never handed out at or past its earliest expiry.

    Args:
        limit: how many digests are kept of all views together, and again of bins.

    Attributes:
        counts: questions for a view that was in memory (``view``), was there to be ``checked`` for having changed, or
            had to be judged, there being ``nothing``.  That a repository has no collection is checked, too.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], datetime],
        fresh: Freshness | None = None,
        limit: int = KEEP_DIGESTS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._fresh = fresh or Freshness(clock=clock)
        self._entries: Bounded[Repository, _Entry] = Bounded(limit)
        self._moves = 0
        self._formats = Formats()
        self._grown: Bounded[Gun, Grown] = Bounded(limit)
        self.counts = Counter({"view": 0, "checked": 0, "nothing": 0})

    @property
    def size(self) -> int:
        """How many digests are kept, or what takes as much, bins included."""
        return self._entries.size + self._grown.size

    def forget(self, gun: Gun) -> None:
        """Drops what is kept for this collection."""
        self._moves += 1
        self._entries.drop(gun.repository)

    async def view(self, repository: Repository) -> SignedView | None:
        """The verified state of a repository's collection; None where it has none.

        Raises:
            NotTrusted: the stored state doesn't verify now; the gate then refuses.
        """
        now = self._clock()
        entry = self._entries.get(repository)
        if entry is not None and self._fresh.counts(entry.stamp, now):
            self.counts["view"] += 1
        else:
            known, moves = entry.view if entry else None, self._moves
            entry = await self._load(repository, entry, now)
            self.counts["checked" if entry.view is known else "nothing"] += 1
            if moves == self._moves:
                self._entries.keep(repository, entry, entry.size)  # no publish overtook it while it was loaded
        if entry.view is not None and entry.view.expires <= now:
            raise Expired(f"{entry.gun}: its metadata expired at {entry.view.expires:%Y-%m-%d %H:%M} UTC.")
        return entry.view

    async def standing(self, repository: Repository) -> SignedView | None:
        """What the collection signs, whatever of it has expired: for who asks what has to stay, never to serve it.

        Raises:
            NotTrusted: the stored state doesn't verify.
        """
        async with self._store.read() as tx:
            record = await tx.collections.of_repository(repository)
            if record is None or record.closed is not None:
                return None
            files = {role: file.data for role, file in (await tx.collections.current(record.gun)).items()}
        rules = self._formats(record.format)
        return await asyncio.to_thread(rules.evaluate_but_expiry, files, record.gun, self._clock(), fresh=())

    async def _load(self, repository: Repository, known: _Entry | None, now: datetime) -> _Entry:
        stamp = self._fresh.stamp(repository)
        async with self._store.read() as tx:
            record = await tx.collections.of_repository(repository)
            if record is None or record.closed is not None:
                return _Entry(None, 0, None, stamp)
            if known and known.gun == record.gun and known.generation == record.generation:
                return _Entry(record.gun, record.generation, known.view, stamp, known.size)
            files = await _files(tx, record.gun, bins=())
            if record.format == TUF and may_have_bins(files):
                grown = self._grown.get(record.gun)
                names = outdated(files, grown)
                files = await _files(tx, record.gun, bins=names)
                view, size, grown = await asyncio.to_thread(
                    _evaluated_grown, files, record.gun, now, names, grown
                )  # of bins, those that changed are verified; of the others it is known what they say
                if grown is not None:
                    self._grown.keep(record.gun, grown, size + OF_A_BIN * len(grown.bins))
                return _Entry(record.gun, record.generation, view, stamp, size)
        rules = self._formats(record.format)
        if sum(map(len, files.values())) > IN_LOOP_BYTES:
            view, size = await asyncio.to_thread(_evaluated, rules, files, record.gun, now)
        else:
            view, size = _evaluated(rules, files, record.gun, now)
        return _Entry(record.gun, record.generation, view, stamp, size)


def _evaluated(rules: Rules, files: Mapping[str, bytes], gun: Gun, now: datetime) -> tuple[SignedView, int]:
    view = rules.evaluate(files, gun, now)
    return view, _size(view)


def _evaluated_grown(
    files: Mapping[str, bytes], gun: Gun, now: datetime, names: list[str], known: Grown | None
) -> tuple[SignedView, int, Grown | None]:
    view, grown = evaluate_grown(files, gun, now, names, known)
    return view, _size(view), grown


def _size(view: SignedView) -> int:
    return OF_A_VIEW + sum(1 + len(each.superseded) + len(each.children) for each in view.targets.values())


async def _files(tx: Transaction, gun: Gun, *, bins: Collection[str]) -> dict[str, bytes]:
    return {role: file.data for role, file in (await tx.collections.current(gun, bins=bins)).items()}
