"""The one module that touches python-tuf's updater (TRUST 6.1).

It lets ``tuf.ngclient.Updater`` fetch and verify into a folder that nobody else uses meanwhile, and hands out the
verified files as bytes; what they mean is for ``trustkit.core.evaluate``.  The updater has no clock of its own to
set, so its reference time is set here, once, from the caller's ``now``: ``tests/remote/test_updater.py`` guards the
private attribute that this takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Root, Targets
from tuf.ngclient import FetcherInterface, Updater

from trustkit.core.delegations import Kind, read_delegations
from trustkit.core.evaluate import check_received, has_expired, trusted_roles
from trustkit.core.formats.tuf1 import read, role_kind
from trustkit.core.names import Gun, Tag
from trustkit.core.pinning import MAX_ROOTS, anchor
from trustkit.core.ports.remote import CollectionFiles, Pin
from trustkit.errors import (
    BadDelegation,
    CollectionGone,
    CollectionReset,
    Expired,
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
    WrongRoot,
)

Fetch = Callable[[str, int], bytes]
"""Fetches one metadata file by name, of at most so many bytes.

Raises NotFound only for the service's own word that the collection has no such file, NoCollection for its word that
there is no collection, and otherwise NotAllowed or CouldNotCheck.
"""

ROLES = ("root", "timestamp", "snapshot", "targets")
LAG_SECONDS = 2.0
REFRESH_SECONDS = 300.0
ROOT_BYTES = 512_000
_BASE = "tuf://"
REPLACED = (
    "Its Owner may have reset the collection, or somebody else signs here. Ask its publisher over another channel: "
    "if the new root key is theirs, trustkit pin add GUN --root-key ID --replace."
)


class _Fetcher(FetcherInterface):
    """Gives the updater our fetch; ``last`` is the file it asked for last."""

    def __init__(self, fetch: Fetch) -> None:
        self._ours = fetch
        self.last = ""
        self.data = b""

    def _fetch(self, url: str) -> Iterator[bytes]:
        return iter([self.download_bytes(url, ROOT_BYTES)])

    def download_bytes(self, url: str, max_length: int) -> bytes:
        self.last = url.removeprefix(_BASE)
        try:
            self.data = self._ours(self.last, max_length)
            return self.data
        except NotFound as error:
            if self.last.endswith(".root.json"):
                raise DownloadHTTPError("no newer root", 404) from error
            raise Garbage(f"The service has no {self.last}, which it has to have.") from error


def refresh_folder(
    folder: Path,
    fetch: Fetch,
    *,
    bootstrap: bytes,
    now: datetime | None,
    tags: Collection[Tag] | None = None,
) -> tuple[str, ...]:
    """Runs the TUF client workflow (TUF 1.0, 5) over a metadata folder; the caller has its lock.

    Afterwards the folder has the verified ``root.json``, ``timestamp.json``, ``snapshot.json`` and ``targets.json``,
    and the verified files of the delegated roles that are returned.

    Args:
        bootstrap: the anchor's bytes; the walk starts there, whatever the folder says.
        now: the reference time for expiry; None for the wall clock.
        tags: load the delegated roles that answer for these tags only; None loads all, those that attribute as far
            as they verify.

    Raises:
        NotTrusted: a leaf for what failed; CouldNotCheck, NotAllowed as ``fetch`` raises them.
    """
    fetcher = _Fetcher(fetch)
    try:
        updater = open_updater(folder, fetcher, bootstrap=bootstrap, now=now)
        updater.refresh()
        return _load_delegated(updater, tags)
    except BadDelegation as error:
        raise Garbage(f"targets.json can't be used: {error.message}") from error
    except ExpiredMetadataError as error:
        raise _expired(error, fetcher, folder) from error
    except (RepositoryError, DownloadError) as error:
        _raise_ours(error, fetcher.last)
    except OSError as error:
        raise StateError(f"The metadata folder {folder} can't be used: {error.strerror}.") from error


def _load_delegated(updater: Updater, tags: Collection[Tag] | None) -> tuple[str, ...]:
    """Has the updater load delegated roles, each as it would on the way to a target; returns their names."""
    trusted = updater._trusted_set  # noqa: SLF001 - its public surface loads a role for one path only; guarded by a test
    delegations = read_delegations(trusted.targets, trusted.root)
    loaded = []
    for role in delegations.roles if delegations else ():
        attributes = role.kind is Kind.ATTRIBUTION
        if attributes and (tags is not None or f"{role.name}.json" not in trusted.snapshot.meta):
            continue
        if not attributes and role.name not in trusted_roles(delegations, tags):
            continue
        try:
            updater._load_targets(role.name, "targets")  # noqa: SLF001 - as above
            loaded.append(role.name)
        except (RepositoryError, NotTrusted):
            if not attributes:
                raise
    return tuple(loaded)


def open_updater(
    folder: Path,
    fetcher: FetcherInterface,
    *,
    bootstrap: bytes,
    now: datetime | None,
    metadata_url: str = _BASE,
    target_dir: Path | None = None,
    target_url: str | None = None,
) -> Updater:
    """python-tuf's updater over a metadata folder, with our fetcher and clock; raises what python-tuf raises."""
    updater = Updater(
        str(folder),
        metadata_url,
        target_dir=str(target_dir) if target_dir else None,
        target_base_url=target_url,
        fetcher=fetcher,
        bootstrap=bootstrap,
    )
    if now is not None:
        _set_clock(updater, now)
    return updater


def _set_clock(updater: Updater, now: datetime) -> None:
    trusted = updater._trusted_set  # noqa: SLF001 - no public clock; guarded by a test
    if not isinstance(trusted.reference_time, datetime):
        raise StateError("This version of python-tuf keeps its reference time elsewhere.")
    trusted.reference_time = now


def _expired(error: ExpiredMetadataError, fetcher: _Fetcher, folder: Path) -> Expired:
    """Which role, and since when.

    The file fetched last needn't be the expired one: root is judged when the timestamp comes.  Which one it is stands
    in the sentence only.
    """
    fetched = _role(fetcher.last) or "root"
    role = fetched if fetched not in ROLES else next((role for role in ROLES if role in str(error)), fetched)
    data = fetcher.data if role == fetched else (folder / f"{role}.json").read_bytes()
    return has_expired(role, read(data, role_kind(role), f"{role}.json").signed.expires)


def _raise_ours(error: RepositoryError | DownloadError, last: str) -> NoReturn:
    if isinstance(error, BadVersionNumberError):
        raise RolledBack(
            f"{last} has another version than expected: {error}.",
            hint="An older state is being served; tell its publisher and the service's operator.",
        ) from error
    if isinstance(error, UnsignedMetadataError):
        if not last or last.endswith("root.json"):
            raise WrongRoot(
                f"{last or 'The root'} is not signed by the root keys before it: {error}.",
                hint=REPLACED,
            ) from error
        raise SignatureInvalid(f"{last} is not signed as its root asks: {error}.") from error
    raise Garbage(f"{last or 'The root'} can't be used: {error}.") from error


class UpdaterSource:
    """Collections over HTTP, verified into the home folder; implements ``MetadataSource``.

    Args:
        fetcher: gives the fetch for one GUN.
        folder: gives the exclusively locked metadata folder for a GUN and pin.
        seen: whether this GUN's timestamp was ever verified here, under any pin.
        sleep: waits between tries at a lagging replica.
        clock: seconds, never going back; no file is asked for when a refresh has taken 300 of them (TRUST 6.2).
    """

    def __init__(
        self,
        *,
        fetcher: Callable[[Gun], Fetch],
        folder: Callable[[Gun, Pin], AbstractContextManager[Path]],
        seen: Callable[[Gun], bool],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher = fetcher
        self._folder = folder
        self._seen = seen
        self._sleep = sleep
        self._clock = clock

    def first_root(self, gun: Gun) -> bytes:
        """As ``MetadataSource.first_root``."""
        return next(_served_roots(self._fetcher(gun)))

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``."""
        fetch = self._in_time(gun)
        with self._folder(gun, pin) as folder:
            try:
                bootstrap = self._anchor(gun, pin, folder, fetch)
                delegated = self._refresh(folder, _checked(fetch, gun), bootstrap, now, tags)
                return CollectionFiles(_read(folder, delegated))
            except NoCollection as error:
                had = pin.root is not None or _anchor_file(folder).exists()
                if had or (self._seen(gun) and not isinstance(error, CollectionReset)):
                    raise _gone(gun, error) from error
                raise
            except NotTrusted as error:
                error.message = error.message if str(gun) in error.message else f"{gun}: {error.message}"
                raise

    def kept(self, gun: Gun, pin: Pin) -> Mapping[str, bytes] | None:
        """As ``KeptMetadata.kept``."""
        with self._folder(gun, pin) as folder:
            if not all((folder / f"{role}.json").exists() for role in ROLES):
                return None
            files = dict(_read(folder, ()))
            delegations = read_delegations(read(files["targets"], Targets).signed, read(files["root"], Root).signed)
            names = [role.name for role in delegations.roles] if delegations else []
            return files | dict(_read(folder, [name for name in names if (folder / f"{name}.json").exists()]))

    def _in_time(self, gun: Gun) -> Fetch:
        """The fetch for one refresh: each file has a deadline of its own, and all of them together have one."""
        fetch, end = self._fetcher(gun), self._clock() + REFRESH_SECONDS

        def in_time(name: str, max_length: int) -> bytes:
            if self._clock() >= end:
                raise TimedOut(f"{gun}: its metadata did not come within {REFRESH_SECONDS:.0f} s.")
            return fetch(name, max_length)

        return in_time

    def _anchor(self, gun: Gun, pin: Pin, folder: Path, fetch: Fetch) -> bytes:
        kept = _anchor_file(folder)
        if pin.root is None and kept.exists():
            return anchor(pin, gun, [kept.read_bytes()])
        found = anchor(pin, gun, _served_roots(fetch))
        if pin.root is None:
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            temporary = kept.with_suffix(".new")
            temporary.write_bytes(found)
            temporary.replace(kept)
        return found

    def _refresh(
        self, folder: Path, fetch: Fetch, bootstrap: bytes, now: datetime, tags: Collection[Tag] | None
    ) -> tuple[str, ...]:
        """A lower timestamp is asked for again for two seconds: a replica may lag (TRUST 6.3)."""
        waited, pause = 0.0, 0.1
        while True:
            try:
                return refresh_folder(folder, fetch, bootstrap=bootstrap, now=now, tags=tags)
            except RolledBack:
                if waited >= LAG_SECONDS:
                    raise
            self._sleep(pause)
            waited += pause
            pause *= 2


def _gone(gun: Gun, told: NoCollection) -> CollectionGone:
    """A service's word alone ends no trust: what had a collection under this pin could not be checked (TRUST 6.4)."""
    if isinstance(told, CollectionReset):
        return CollectionGone(
            f"The service says that an Owner reset {gun}; nothing counts any more under the root that is pinned.",
            hint="Ask its publisher. Once it is founded anew, get its new root key ids over another channel, then: "
            f"trustkit pin add {gun} --root-key ID --replace. Who founds it anew first: trustkit pin remove {gun}",
            reset=True,
        )
    return CollectionGone(
        f"The service says that {gun} has no collection, but it had one.",
        hint="Ask the service's operator; nothing is believed until it is back.",
    )


def _anchor_file(folder: Path) -> Path:
    """Where the first root that met the pin lies; it proves that there is, or was, a collection."""
    return folder / "anchor" / "root.json"


def _checked(fetch: Fetch, gun: Gun) -> Fetch:
    """A fetch that hands on only what may be kept: python-tuf writes down what its own checks let through."""

    def checked(name: str, max_length: int) -> bytes:
        data = fetch(name, max_length)
        check_received(_role(name), data, gun)
        return data

    return checked


def _role(file_name: str) -> str:
    """``root`` of ``3.root.json``."""
    return file_name.rpartition(".json")[0].rpartition(".")[2]


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
