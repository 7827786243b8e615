"""What the last publish of a collection came to, for the audit row of the next one.

What files say and whether they verify follows from their bytes and the collection's name alone, where no time is
asked about.  So what was evaluated before the publish that stored it isn't evaluated again, for the very same bytes.
Nobody is trusted by it: what is uploaded, and the state that comes of it, is judged and evaluated each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from trustkit.core.names import Gun
from trustkit.core.view import SignedTarget, SignedView

LIMIT = 400_000
"""Bytes of files of which something is kept from one publish to the next: about ten times as much memory."""
LARGEST_PART = 4
"""A collection that takes more than this part of the limit isn't kept."""


class LastViews:
    """Views by collection, of its last files, those of the newest publishes.

    Args:
        limit: bytes of files, all collections together.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[Gun, tuple[Mapping[str, bytes], SignedView]] = OrderedDict()
        self.bytes = 0

    def find(self, gun: Gun, files: Mapping[str, bytes]) -> SignedView | None:
        """What exactly these files say; None where that isn't known."""
        known = self._kept.get(gun)
        return known[1] if known is not None and known[0] == files else None

    def keep(self, gun: Gun, files: Mapping[str, bytes], view: SignedView) -> None:
        """Remembers what files say, in the place of what the collection's files said before.

        Args:
            view: what ``evaluate_but_expiry`` made of these files.
        """
        if before := self._kept.pop(gun, None):
            self.bytes -= _size(before[0])
        if _size(files) * LARGEST_PART > self._limit:
            return
        self._kept[gun] = files, view
        self.bytes += _size(files)
        while self.bytes > self._limit:
            _, (oldest, _) = self._kept.popitem(last=False)
            self.bytes -= _size(oldest)


def said(last: SignedView | None, changes: Mapping[str, SignedTarget | None]) -> dict[str, SignedTarget]:
    """By path what entries say that the judge has read just now, or found as they were when the last view was made.

    Args:
        last: of the stored files; None where that isn't known.
        changes: ``Accepted.changed``.
    """
    there = {tag.name: target for tag, target in last.targets.items() if tag.name not in changes} if last else {}
    return there | {path: target for path, target in changes.items() if target is not None}


def changed(before: SignedView | None, after: SignedView) -> dict[str, str | None]:
    """The tags that are signed for another digest than before, with that; None for one that isn't signed any more.

    Args:
        before: None where nothing was signed.
    """
    old, new = before.targets if before else {}, after.targets
    found: dict[str, str | None] = {}
    for tag in {**old, **new}:
        was, now = old.get(tag), new.get(tag)
        if was is not now and (was is None or now is None or was.digest != now.digest):
            found[tag.name] = str(now.digest) if now else None
    return found


def _size(files: Mapping[str, bytes]) -> int:
    return sum(map(len, files.values()))
