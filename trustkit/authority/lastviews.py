"""What the last publish of a collection came to, for the audit row of the next one.

What files say and whether they verify follows from their bytes and the collection's name alone, where no time is
asked about.  So what was evaluated before the publish that stored it isn't evaluated again, for the very same bytes,
nor is a signature verified again that stays under the same keys.  Nobody is trusted by it: what is uploaded is
judged, and the state that comes of it evaluated, each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from trustkit.core.names import Gun
from trustkit.core.view import SignedTarget, SignedView

LIMIT = 400_000
"""Bytes of files of which something is kept from one publish to the next: about ten times as much memory."""
LARGEST_PART = 4
"""A collection that takes more than this part of the limit isn't kept."""


@dataclass(frozen=True, slots=True)
class Last:
    """What a collection's files were worth.

    Attributes:
        verified: the roles whose files were verified, under the keys that these files give them.
    """

    files: Mapping[str, bytes]
    view: SignedView
    verified: Collection[str]


class LastViews:
    """Views by collection, of its last files, those of the newest publishes.

    Args:
        limit: bytes of files, all collections together.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[Gun, Last] = OrderedDict()
        self.bytes = 0

    def find(self, gun: Gun, files: Mapping[str, bytes]) -> Last | None:
        """What exactly these files are worth; None where that isn't known."""
        known = self._kept.get(gun)
        return known if known is not None and known.files == files else None

    def keep(
        self, gun: Gun, files: Mapping[str, bytes], view: SignedView, verified: Collection[str] = frozenset()
    ) -> None:
        """Remembers what files say, in the place of what the collection's files said before.

        Args:
            view: what ``evaluate_but_expiry`` made of these files.
            verified: see ``Last``.
        """
        if before := self._kept.pop(gun, None):
            self.bytes -= _size(before.files)
        if _size(files) * LARGEST_PART > self._limit:
            return
        self._kept[gun] = Last(files, view, verified)
        self.bytes += _size(files)
        while self.bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= _size(oldest.files)


def said(last: Last | None, changes: Mapping[str, SignedTarget | None]) -> dict[str, SignedTarget]:
    """By path what entries say that the judge has read just now, or found as they were when the last view was made.

    Args:
        last: what the stored files are worth; None where that isn't known.
        changes: ``Accepted.changed``.
    """
    targets = last.view.targets if last else {}
    there = {tag.name: target for tag, target in targets.items() if tag.name not in changes}
    return there | {path: target for path, target in changes.items() if target is not None}


def changed(before: SignedView | None, after: SignedView) -> dict[str, str | None]:
    """The tags that are signed for another digest than before, with that; None for one that isn't signed any more.

    Args:
        before: None where nothing was signed.
    """
    old, new = before.targets if before else {}, after.targets
    if old is new:
        return {}
    found: dict[str, str | None] = {}
    for tag in {**old, **new}:
        was, now = old.get(tag), new.get(tag)
        if was is not now and (was is None or now is None or was.digest != now.digest):
            found[tag.name] = str(now.digest) if now else None
    return found


def _size(files: Mapping[str, bytes]) -> int:
    return sum(map(len, files.values()))
