"""The signed view of each repository, judged once a state and handed out until that state moves (TRUST 7.1)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from trustkit.authority.freshness import Freshness
from trustkit.core.grownview import Grown, evaluate_grown, may_have_bins, outdated
from trustkit.core.names import Gun, Repository
from trustkit.core.ports.service import TUF, Store, Transaction
from trustkit.core.rules import Formats
from trustkit.core.stamps import Stamp
from trustkit.core.view import SignedView
from trustkit.errors import Expired

KEEP = 1024
KEEP_GROWN = 16
"""Collections in hash bins of which each bin is kept as it was verified."""
IN_LOOP_BYTES = 64 * 1024


@dataclass(slots=True)
class _Entry:
    gun: Gun | None
    generation: int
    view: SignedView | None
    stamp: Stamp


class Views:
    """Signed views by repository.

    A view is less than a second behind a publish by another process (``freshness``), at once behind one by this
    process (``forget``), and is never handed out at or past its earliest expiry.
    """

    def __init__(self, store: Store, *, clock: Callable[[], datetime], fresh: Freshness | None = None) -> None:
        self._store = store
        self._clock = clock
        self._fresh = fresh or Freshness(clock=clock)
        self._entries: OrderedDict[Repository, _Entry] = OrderedDict()
        self._moves = 0
        self._formats = Formats()
        self._grown: OrderedDict[Gun, Grown] = OrderedDict()

    def forget(self, gun: Gun) -> None:
        """Drops what is kept for this collection."""
        self._moves += 1
        self._entries.pop(gun.repository, None)

    async def view(self, repository: Repository) -> SignedView | None:
        """The verified state of a repository's collection; None where it has none.

        Raises:
            NotTrusted: the stored state doesn't verify now; the gate then refuses.
        """
        now = self._clock()
        entry = self._entries.get(repository)
        if entry is None or not self._fresh.counts(entry.stamp, now):
            moves = self._moves
            entry = await self._load(repository, entry, now)
            if moves == self._moves:
                self._keep(repository, entry)
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

    def _keep(self, repository: Repository, entry: _Entry) -> None:
        """Keeps an entry that no publish overtook while it was loaded."""
        self._entries[repository] = entry
        self._entries.move_to_end(repository)
        while len(self._entries) > KEEP:
            self._entries.popitem(last=False)

    async def _load(self, repository: Repository, known: _Entry | None, now: datetime) -> _Entry:
        stamp = self._fresh.stamp(repository)
        async with self._store.read() as tx:
            record = await tx.collections.of_repository(repository)
            if record is None or record.closed is not None:
                return _Entry(None, 0, None, stamp)
            if known and known.gun == record.gun and known.generation == record.generation:
                return _Entry(record.gun, record.generation, known.view, stamp)
            files = await _files(tx, record.gun, bins=())
            if record.format == TUF and may_have_bins(files):
                grown = self._grown.get(record.gun)
                names = outdated(files, grown)
                files = await _files(tx, record.gun, bins=names)
                view = await asyncio.to_thread(self._evaluate_grown, files, record.gun, now, names, grown)
                return _Entry(record.gun, record.generation, view, stamp)
        rules = self._formats(record.format)
        if sum(map(len, files.values())) > IN_LOOP_BYTES:
            view = await asyncio.to_thread(rules.evaluate, files, record.gun, now)
        else:
            view = rules.evaluate(files, record.gun, now)
        return _Entry(record.gun, record.generation, view, stamp)

    def _evaluate_grown(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, names: list[str], known: Grown | None
    ) -> SignedView:
        """Of hash bins, those that changed are verified; of the others it is known what they say."""
        view, grown = evaluate_grown(files, gun, now, names, known)
        if grown is not None:
            self._grown[gun] = grown
            self._grown.move_to_end(gun)
            while len(self._grown) > KEEP_GROWN:
                self._grown.popitem(last=False)
        return view


async def _files(tx: Transaction, gun: Gun, *, bins: Collection[str]) -> dict[str, bytes]:
    return {role: file.data for role, file in (await tx.collections.current(gun, bins=bins)).items()}
