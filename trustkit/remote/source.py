"""Collections over HTTP, verified into folders of their own: a deadline, lagging replicas, what is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

from tuf.api.metadata import Root, Targets

from trustkit.core.delegations import TARGETS, Delegations, read_delegations
from trustkit.core.evaluate import check_received
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Gun, Tag
from trustkit.core.pinning import MAX_ROOTS, anchor
from trustkit.core.places import peek_places
from trustkit.core.ports.remote import CollectionFiles, Pin
from trustkit.core.readings import Reader
from trustkit.core.saidbins import peek_said
from trustkit.errors import (
    BadDelegation,
    CollectionGone,
    CollectionReset,
    Garbage,
    Malformed,
    NoCollection,
    NotFound,
    NotTrusted,
    RolledBack,
    SignatureInvalid,
    StateError,
    TimedOut,
    TooLarge,
)
from trustkit.remote.updater import ROLES, ROOT_BYTES, Fetch, is_memory, put, refresh_folder, role_of, unreadable

LAG_SECONDS = 2.0
REFRESH_SECONDS = 300.0


class UpdaterSource:
    """Collections over HTTP, verified into the home folder; implements ``MetadataSource``.

    Args:
        fetcher: gives the fetch for one GUN.
        folder: gives the exclusively locked metadata folder for a GUN and pin.
        seen: whether this GUN's timestamp was ever verified here, under any pin.
        sleep: waits between tries at a lagging replica.
        clock: seconds, never going back; no file is asked for when a refresh has taken 300 of them (TRUST 6.2).
        reader: reads the files that come, and those that lie in the folder.
        kept_roots: those of a GUN that were verified here, under whatever pin.
    """

    def __init__(
        self,
        *,
        fetcher: Callable[[Gun], Fetch],
        folder: Callable[[Gun, Pin], AbstractContextManager[Path]],
        seen: Callable[[Gun], bool],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        reader: Reader = read,
        kept_roots: Callable[[Gun], Iterable[bytes]] = lambda _: (),
    ) -> None:
        self._kept_roots = kept_roots
        self._fetcher = fetcher
        self._folder = folder
        self._seen = seen
        self._sleep = sleep
        self._clock = clock
        self._reader = reader

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """As ``MetadataSource.first_root``, in the one format that this knows."""
        if wire != "tuf":
            raise NoCollection(f"There is no collection of {gun} in format {wire} here.")
        return next(_served_roots(self._fetcher(gun)))

    def tuf_roots(self, gun: Gun) -> Iterator[bytes]:
        """As ``FormerSource.tuf_roots``."""
        yield from self._kept_roots(gun)
        yield from _served_roots(in_time(self._fetcher(gun), gun, self._clock))

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``."""
        fetch = in_time(self._fetcher(gun), gun, self._clock)
        with self._folder(gun, pin) as folder, usable(gun):
            try:
                bootstrap = self._anchor(gun, pin, folder, fetch)
                delegated = self._refresh(folder, _checked(fetch, gun, self._reader), bootstrap, now, tags)
                return CollectionFiles(_read(folder, delegated))
            except NoCollection as error:
                had = pin.root is not None or anchor_file(folder).exists()
                if had or (self._seen(gun) and not isinstance(error, CollectionReset)):
                    raise gone(gun, error) from error
                raise
            except NotTrusted as error:
                error.message = error.message if str(gun) in error.message else f"{gun}: {error.message}"
                raise

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``; the updater verifies every one of the files again before it relies on it."""
        with self._folder(gun, pin) as folder, usable(gun):
            if (folder / "timestamp.json").exists():
                return
            if pin.root is None:
                put(anchor_file(folder), files["root"])
            for role in sorted(set(files) - {"root"}, key=lambda role: role == "timestamp"):
                path = folder / f"{role}.json"
                put(path, files[role], lasting=is_memory(path))

    def kept(self, gun: Gun, pin: Pin) -> Mapping[str, bytes] | None:
        """As ``KeptMetadata.kept``."""
        with self._folder(gun, pin) as folder, usable(gun):
            if not all((folder / f"{role}.json").exists() for role in ROLES):
                return None
            try:
                return _whole(folder)
            except (Malformed, TooLarge, BadDelegation) as error:
                raise unreadable(folder, error) from error

    def verified_at(self, gun: Gun, pin: Pin) -> datetime | None:  # noqa: ARG002 - the port's
        """As ``KeptMetadata.verified_at``: a timestamp of format ``tuf`` says when it was signed."""
        return None

    def _anchor(self, gun: Gun, pin: Pin, folder: Path, fetch: Fetch) -> bytes:
        kept = anchor_file(folder)
        if pin.root is None and kept.exists() and _is_root(data := kept.read_bytes()):
            return anchor(pin, gun, [data])
        found = anchor(pin, gun, _served_roots(fetch))
        if pin.root is None:
            put(kept, found)
        return found

    def _refresh(
        self, folder: Path, fetch: Fetch, bootstrap: bytes, now: datetime, tags: Collection[Tag] | None
    ) -> tuple[str, ...]:
        """A lower timestamp is asked for again for two seconds: a replica may lag (TRUST 6.3).

        One that isn't signed as its root asks is asked for once more, after the walk to a root that may have come
        between the two: a rotation of the online keys is one publish, and what a client fetches are two files.
        """
        waited, pause, walked_again = 0.0, 0.1, False
        while True:
            try:
                return refresh_folder(folder, fetch, bootstrap=bootstrap, now=now, tags=tags, reader=self._reader)
            except RolledBack:
                if waited >= LAG_SECONDS:
                    raise
            except SignatureInvalid:
                if walked_again:
                    raise
                walked_again = True
                continue
            self._sleep(pause)
            waited += pause
            pause *= 2


def in_time(fetch: Fetch, gun: Gun, clock: Callable[[], float]) -> Fetch:
    """The fetch for one refresh: each file has a deadline of its own, and all of them together have one."""
    end = clock() + REFRESH_SECONDS

    def timed(name: str, max_length: int) -> bytes:
        if clock() >= end:
            raise TimedOut(f"{gun}: its metadata did not come within {REFRESH_SECONDS:.0f} s.")
        return fetch(name, max_length)

    return timed


def gone(gun: Gun, told: NoCollection) -> CollectionGone:
    """A service's word alone ends no trust: what had a collection under this pin could not be checked (TRUST 6.4)."""
    if isinstance(told, CollectionReset):
        return CollectionGone(
            f"The service says that an Owner reset {gun}; nothing counts any more under the root that is pinned.",
            hint="Ask its publisher. Once it is founded anew, get its new root key ids over another channel, then: "
            f"trustkit pin add {gun} --root-key ID --replace. Who founds it anew first: trustkit pin remove {gun}",
            reset=True,
        )
    if "format" in told.context:
        return CollectionGone(told.message, hint=told.hint, format=told.context["format"])
    return CollectionGone(
        f"The service says that {gun} has no collection, but it had one.",
        hint="Ask the service's operator; nothing is believed until it is back.",
    )


def anchor_file(folder: Path) -> Path:
    """Where the first root that met the pin lies; it proves that there is, or was, a collection."""
    return folder / "anchor" / "root.json"


@contextmanager
def usable(gun: Gun) -> Iterator[None]:
    """Raises StateError for what the disk refuses in the metadata folder of a GUN."""
    try:
        yield
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise StateError(f"The cache for {gun} can't be used: {why}.", hint=_CLEAR) from error


_CLEAR = "Mend that, or remove the folder cache of TRUSTKIT_HOME; what was seen of older versions is forgotten then."


def _is_root(data: bytes) -> bool:
    """Whether these bytes are a root, whoever's: what a crash has left of one is fetched again."""
    try:
        read(data, Root)
    except (Malformed, TooLarge):
        return False
    return True


def _checked(fetch: Fetch, gun: Gun, reader: Reader) -> Fetch:
    """A fetch that hands on only what may be kept: python-tuf writes down what its own checks let through."""

    def checked(name: str, max_length: int) -> bytes:
        data = fetch(name, max_length)
        check_received(role_of(name), data, gun, reader)
        return data

    return checked


def _served_roots(fetch: Fetch) -> Iterator[bytes]:
    """The roots as served; what is no root at all, such as a portal's page, is no stranger's root (TRUST 6.2)."""
    for version in range(1, MAX_ROOTS + 1):
        name = f"{version}.root.json"
        try:
            data = fetch(name, ROOT_BYTES)
            read(data, Root, name)
        except NotFound as error:
            if version == 1:
                raise Garbage("The service has no 1.root.json.") from error
            return
        except (Malformed, TooLarge) as error:
            raise Garbage(error.message) from error
        yield data


def _read(folder: Path, delegated: Iterable[str]) -> Mapping[str, bytes]:
    return {role: (folder / f"{role}.json").read_bytes() for role in (*ROLES, *delegated)}


def _read_existing(folder: Path, delegated: Iterable[str]) -> Mapping[str, bytes]:
    paths = {name: folder / f"{name}.json" for name in delegated}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def _whole(folder: Path) -> Mapping[str, bytes]:
    """Every file of a verified state that lies there; raises Malformed, TooLarge, BadDelegation."""
    files = dict(_read(folder, ()))
    delegations = read_delegations(read(files[TARGETS], Targets).signed, read(files["root"], Root).signed)
    names = [role.name for role in delegations.roles] if delegations else []
    files.update(_read_existing(folder, names))
    return {**files, **_read_existing(folder, _bins(files, delegations))}


def _bins(files: Mapping[str, bytes], delegations: Delegations | None) -> tuple[str, ...]:
    """The names of the bins that the holder among these files delegates to, and signers who say what they signed."""
    named = [role.name for role in delegations.roles] if delegations else []
    heads = {role: read(files[role], Targets, f"{role}.json").signed for role in (TARGETS, *named) if role in files}
    bins = peek_places(read(files["root"], Root).signed, heads).bins
    said = peek_said(delegations, heads).values()
    return tuple(name for each in (*([bins] if bins else []), *said) for name in each.names)
