"""One refresh of a collection in a run of a command, however many of its tags the run asks about."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from threading import Lock

from tuf.api.metadata import Root, Targets

from trustkit.core.bins import Near, holder_of
from trustkit.core.delegations import RELEASES, TARGETS
from trustkit.core.names import Gun, Tag
from trustkit.core.places import peek_places
from trustkit.core.ports.remote import CollectionFiles, MetadataSource, Pin
from trustkit.core.readings import Reader
from trustkit.core.records import dataclass

SECONDS = 30.0
"""How long after it began a refresh counts in its run: a run that loads images for minutes asks again."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What a refresh gave: for all tags where ``tags`` is None, and until a moment of the monotonic clock."""

    collection: CollectionFiles
    tags: frozenset[Tag] | None
    until: float


class OnceSource:
    """A MetadataSource that refreshes a GUN under a pin once, and answers with these very files from then on.

    For one run of a command: nothing of it outlives the process, and nothing that runs for days may use it.  The
    files are judged each time, at the moment of each decision, expiry included.  What fails is not remembered.
    Several threads may ask; who asks for a GUN that another one is refreshing, waits for that.

    Args:
        reader: reads the files, where it has to be known which roles answer for a tag.
        clock: seconds, never going back.
    """

    def __init__(
        self, source: MetadataSource, *, reader: Reader, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._reader = reader
        self._clock = clock
        self._lock = Lock()
        self._turns: dict[tuple[Gun, Pin], Lock] = {}
        self._held: dict[tuple[Gun, Pin], _Held] = {}

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """As ``MetadataSource.first_root``."""
        return self._source.first_root(gun, wire=wire)

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        self._source.carry(gun, pin, files)

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``; asks nobody where this run has these files."""
        with self._turn(gun, pin):
            began, wanted = self._clock(), tags if tags is None or isinstance(tags, Near) else frozenset(tags)
            held = self._held.get((gun, pin))
            if held is None or began >= held.until or not self._answers(held, pin, wanted):
                held = _Held(self._source.refresh(gun, pin, now, tags=tags), wanted, began + SECONDS)
                self._held[gun, pin] = held
            return held.collection

    def _turn(self, gun: Gun, pin: Pin) -> Lock:
        with self._lock:
            return self._turns.setdefault((gun, pin), Lock())

    def _answers(self, held: _Held, pin: Pin, tags: frozenset[Tag] | None) -> bool:
        """Whether a refresh for some tags has loaded each role that answers for these."""
        if held.tags is None or held.tags == tags:
            return True
        if tags is None:
            return False
        if pin.format != "tuf":
            return True  # its two roles that tags come from are always there
        files = held.collection.files
        root, targets = self._reader(files["root"], Root).signed, self._reader(files["targets"], Targets).signed
        places = peek_places(root, self._delegated(files, targets))
        if places.bins is None and holder_of(places.delegations) not in files:
            return False  # whether its tags lie in bins isn't known here
        return {places.file_of(tag.name) for tag in tags} <= files.keys()

    def _delegated(self, files: Mapping[str, bytes], targets: Targets) -> Mapping[str, Targets]:
        held = {TARGETS: targets}
        if RELEASES in files:
            held[RELEASES] = self._reader(files[RELEASES], Targets, f"{RELEASES}.json").signed
        return held
