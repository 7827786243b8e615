"""Collections in format ``docker`` over HTTP, verified into folders of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.metadata import Root

from trustkit.core.formats.docker.conversion import is_last
from trustkit.core.formats.docker.evaluate import evaluate, evaluate_but_expiry
from trustkit.core.formats.docker.files import MAX_BYTES, read
from trustkit.core.formats.docker.pins import anchor, meets
from trustkit.core.formats.docker.rollback import check_not_older
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.remote import CollectionFiles, Pin
from trustkit.core.readings import Reader, Readings
from trustkit.errors import (
    CollectionReset,
    Converted,
    Expired,
    FormatDowngraded,
    Garbage,
    NoCollection,
    NotFound,
    NotTrusted,
    RolledBack,
    SignatureInvalid,
    TrustkitError,
    WrongRoot,
)
from trustkit.remote.notary_folder import TOP, files_of, keep, kept_roots, version_of
from trustkit.remote.notary_walk import REPLACED, RootMoved, Walk
from trustkit.remote.scratch import scratch_copy
from trustkit.remote.source import LAG_SECONDS, anchor_file, gone, in_time, usable
from trustkit.remote.updater import Fetch, put


class NotarySource:
    """Collections in format ``docker``; implements ``MetadataSource``, ``KeptMetadata`` and ``LookingSource``.

    Args:
        fetcher: gives the fetch for one GUN.
        folder: gives the exclusively locked metadata folder for a GUN and pin.
        seen: whether this GUN's timestamp was ever verified here, under any pin.
        seen_as_tuf: whether one in format ``tuf`` was: nothing in this format is believed then (TRUST 5.4).
        now: the moment at which pinned authorities have to be valid where nothing else says one.
        sleep, clock: as for ``UpdaterSource``.
        reader: gives what reads the files of one refresh, or of a run of a command.
    """

    def __init__(
        self,
        *,
        fetcher: Callable[[Gun], Fetch],
        folder: Callable[[Gun, Pin], AbstractContextManager[Path]],
        seen: Callable[[Gun], bool],
        seen_as_tuf: Callable[[Gun], bool],
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        reader: Callable[[], Reader] = lambda: Readings(read),
    ) -> None:
        self._fetcher = fetcher
        self._folder = folder
        self._seen = seen
        self._seen_as_tuf = seen_as_tuf
        self._now = now
        self._sleep = sleep
        self._clock = clock
        self._reader = reader

    def first_root(self, gun: Gun, *, wire: str = "docker") -> bytes:
        """As ``MetadataSource.first_root``, in the one format that this knows."""
        if wire != "docker":
            raise NoCollection(f"There is no collection of {gun} in format {wire} here.")
        self._check_not_tuf(gun)
        try:
            return next(Walk(gun, self._fetcher(gun), {}, self._reader()).served_roots())
        except NotFound as error:
            raise _nothing(gun) from error

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``; ``targets/releases`` and ``targets`` answer for every tag."""
        self._check_not_tuf(gun)
        with self._folder(gun, pin) as folder, usable(gun):
            return self._refreshed(_Turn(gun, pin, folder, now, now, self._reader()), attributions=tags is None)

    def look(self, gun: Gun, pin: Pin) -> CollectionFiles:
        """As ``LookingSource.look``."""
        self._check_not_tuf(gun)
        with scratch_copy(self._folder, gun, pin) as folder:
            return self._refreshed(_Turn(gun, pin, folder, None, self._now(), self._reader()), attributions=True)

    def docker_roots(self, gun: Gun, pin: Pin) -> Iterator[bytes]:
        """As ``FormerSource.docker_roots``."""
        with self._folder(gun, pin) as folder, usable(gun):
            roots = kept_roots(folder)
        yield from roots
        yield from self.served_roots(gun)

    def served_roots(self, gun: Gun) -> Iterator[bytes]:
        """Those of ``docker_roots`` that are served; none where there are none.

        Raises:
            NotAllowed, CouldNotCheck.
        """
        try:
            yield from Walk(gun, in_time(self._fetcher(gun), gun, self._clock), {}, self._reader()).served_roots()
        except (NotFound, NoCollection):
            return

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        with self._folder(gun, pin) as folder, usable(gun):
            if (folder / "timestamp.json").exists():
                return
            if pin.root is None:
                put(anchor_file(folder), files["root"])
            keep(folder, files, {})

    def kept(self, gun: Gun, pin: Pin) -> Mapping[str, bytes] | None:
        """As ``KeptMetadata.kept``."""
        with self._folder(gun, pin) as folder:
            files = files_of(folder, self._reader())
            return files if files.keys() >= set(TOP) else None

    def verified_at(self, gun: Gun, pin: Pin) -> datetime | None:
        """As ``KeptMetadata.verified_at``: no file of this format says when it was signed."""
        with self._folder(gun, pin) as folder:
            try:
                return datetime.fromtimestamp((folder / "timestamp.json").stat().st_mtime, UTC)
            except OSError:
                return None

    def _check_not_tuf(self, gun: Gun) -> None:
        if self._seen_as_tuf(gun):
            raise FormatDowngraded(
                f"{gun} was verified here in format tuf, so what Docker's format says of it isn't believed any more.",
                hint="Pin its root keys of format tuf. If its Owner has reset it for good, delete what this home "
                "keeps of it under cache/metadata.",
                format="tuf",
            )

    def _refreshed(self, turn: _Turn, *, attributions: bool) -> CollectionFiles:
        begun, seen = turn.pin.root is not None or anchor_file(turn.folder).exists(), self._seen(turn.gun)
        fetch = in_time(self._fetcher(turn.gun), turn.gun, self._clock)
        try:
            return CollectionFiles(self._tried(turn, fetch, attributions=attributions))
        except NotFound as error:
            if begun or seen:
                raise gone(turn.gun, _nothing(turn.gun)) from error
            if anchor_file(turn.folder).exists():
                raise Garbage(f"{turn.gun}: the server has a root of it, and no timestamp.") from error
            raise _nothing(turn.gun) from error
        except NoCollection as error:
            if begun or (seen and not isinstance(error, CollectionReset)):
                raise gone(turn.gun, error) from error
            raise
        except NotTrusted as error:
            error.message = error.message if str(turn.gun) in error.message else f"{turn.gun}: {error.message}"
            raise

    def _tried(self, turn: _Turn, fetch: Fetch, *, attributions: bool) -> dict[str, bytes]:
        """As ``UpdaterSource`` does: a replica may lag, and a new root may come between two files (TRUST 6.3)."""
        waited, pause, walked_again = 0.0, 0.1, False
        while True:
            try:
                return self._walked(turn, fetch, attributions=attributions)
            except RolledBack:
                if waited >= LAG_SECONDS:
                    raise
            except (SignatureInvalid, RootMoved) as error:
                if walked_again:
                    raise _explained(error, turn, fetch) from error
                walked_again = True
                continue
            self._sleep(pause)
            waited += pause
            pause *= 2

    def _walked(self, turn: _Turn, fetch: Fetch, *, attributions: bool) -> dict[str, bytes]:
        kept = files_of(turn.folder, turn.reader)
        walk = Walk(turn.gun, fetch, kept, turn.reader)
        root = self._root(turn, walk, kept.get("root"))
        files = walk.files(root, attributions=attributions)
        self._judge(files, kept, turn)
        keep(turn.folder, files, kept)
        os.utime(turn.folder / "timestamp.json", times=(turn.at.timestamp(),) * 2)
        return files

    def _judge(self, files: Mapping[str, bytes], kept: Mapping[str, bytes], turn: _Turn) -> None:
        """An older state is told as one, whether or not it has expired meanwhile."""
        try:
            if turn.now is None:
                evaluate_but_expiry(files, turn.gun, turn.at, fresh=(), reader=turn.reader)
            else:
                evaluate(files, turn.gun, turn.now, tags=(), reader=turn.reader)
        except Expired:
            check_not_older(files, kept, turn.gun, reader=turn.reader)
            raise
        check_not_older(files, kept, turn.gun, reader=turn.reader)

    def _root(self, turn: _Turn, walk: Walk, kept: bytes | None) -> bytes:
        """The newest root, walked to from the pin or from where the last walk ended."""
        first = self._anchor(turn, walk)
        if kept is not None and version_of(kept, turn.reader) > version_of(first, turn.reader):
            first = kept
        newest = first
        _check_goes_on(newest, turn)
        for newest in walk.roots(first):
            put(turn.folder / "root.json", newest)
            _check_goes_on(newest, turn)
        if turn.pin.authorities is not None and not meets(turn.pin, turn.gun, newest, now=turn.at):
            raise WrongRoot(
                f"{turn.gun}: the certificates of its current root keys are not issued by the pinned authorities.",
                hint="Ask its publisher over another channel.",
                pin=turn.pin.pattern,
            )
        return newest

    def _anchor(self, turn: _Turn, walk: Walk) -> bytes:
        kept = anchor_file(turn.folder)
        if turn.pin.root is None and kept.exists():
            return anchor(turn.pin, turn.gun, [kept.read_bytes()], now=turn.at)
        found = anchor(turn.pin, turn.gun, walk.served_roots(), now=turn.at)
        if turn.pin.root is None:
            put(kept, found)
        return found


class _Turn:
    """One refresh: of which collection, under which pin, and when.

    Args:
        now: what expires is judged at; None leaves expiry out.
        at: when authorities have to be valid.
        reader: reads the files.
    """

    def __init__(self, gun: Gun, pin: Pin, folder: Path, now: datetime | None, at: datetime, reader: Reader) -> None:
        self.gun = gun
        self.pin = pin
        self.folder = folder
        self.now = now
        self.at = at
        self.reader = reader


def _check_goes_on(root: bytes, turn: _Turn) -> None:
    """Raises Converted for the last root of a collection; whatever is signed by its keys after it counts no more."""
    if is_last(turn.reader(root, Root).signed):
        raise Converted(
            f"Its publisher has converted {turn.gun} to format tuf; what Docker's format says of it counts no more.",
            hint=f"Its pin follows with: trustkit inspect {turn.gun}",
            format="tuf",
        )


def _explained(error: NotTrusted, turn: _Turn, fetch: Fetch) -> NotTrusted:
    """Why files don't fit the root that was walked to: another root, where that is what the server has now."""
    try:
        served = fetch("root.json", MAX_BYTES["root"])
        version = version_of(served, turn.reader)
    except TrustkitError:
        return error
    ours = files_of(turn.folder, turn.reader).get("root")
    seen = 0 if ours is None else version_of(ours, turn.reader)
    if version < seen:
        return RolledBack(f"{turn.gun}: root is served in version {version}; version {seen} was seen here before.")
    if version > seen or served == ours:
        return error
    return WrongRoot(f"{turn.gun}: the root that is served is another one than was verified here.", hint=REPLACED)


def _nothing(gun: Gun) -> NoCollection:
    return NoCollection(
        f"The trust server has no collection of {gun} in Docker's format.",
        hint="Nothing is signed there by docker trust or notary.",
        gun=str(gun),
    )
