"""The one module that touches python-tuf's updater (TRUST 6.1).

It lets ``tuf.ngclient.Updater`` fetch and verify into a folder that nobody else uses meanwhile, and hands out the
verified files as bytes; what they mean is for ``trustkit.core.evaluate``.  The updater has no clock of its own to
set, so its reference time is set here, once, from the caller's ``now``: ``tests/remote/test_updater.py`` guards the
private attribute that this takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, Signature, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from trustkit.core.bins import Near, holder_of, owners_of, peek_bins, read_bins, wanted_bins
from trustkit.core.delegations import TARGETS, Kind, read_delegations
from trustkit.core.evaluate import has_expired, trusted_roles
from trustkit.core.formats.tuf1 import covered, read, role_kind
from trustkit.core.names import Tag
from trustkit.core.readings import Reader, Readings
from trustkit.errors import (
    BadDelegation,
    Expired,
    Garbage,
    Malformed,
    NotFound,
    NotTrusted,
    StateError,
    TooLarge,
    TrustkitError,
)
from trustkit.folders import make_folder, sync_folder
from trustkit.remote.tuferrors import raise_ours

Fetch = Callable[[str, int], bytes]
"""Fetches one metadata file by name, of at most so many bytes.

Raises NotFound only for the service's own word that the collection has no such file, NoCollection for its word that
there is no collection, and otherwise NotAllowed or CouldNotCheck.
"""

ROLES = ("root", "timestamp", "snapshot", "targets")
ROOT_BYTES = 512_000
AT_ONCE = 8
"""How many hash bins are fetched at a time where all of them are asked for."""
_BASE = "tuf://"
_MEMORY: Mapping[str, type[Any]] = {"timestamp.json": Timestamp, "snapshot.json": Snapshot}
"""What tells of older versions, beside roots: the versions of a file stand in what names it."""
_ROOTS = "root_history"


class _Fetcher(FetcherInterface):
    """Gives the updater our fetch; ``last`` is the file it asked for last."""

    def __init__(self, fetch: Fetch) -> None:
        self._ours = fetch
        self.last = ""
        self.data = b""
        self._ahead: dict[str, bytes] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        return iter([self.download_bytes(url, ROOT_BYTES)])

    def download_bytes(self, url: str, max_length: int) -> bytes:
        self.last = url.removeprefix(_BASE)
        try:
            self.data = self._ahead.pop(self.last, b"") or self._ours(self.last, max_length)
            return self.data
        except NotFound as error:
            if self.last.endswith(".root.json"):
                raise DownloadHTTPError("no newer root", 404) from error
            raise Garbage(f"The service has no {self.last}, which it has to have.") from error

    def fetch_ahead(self, names: Collection[str], max_length: int) -> None:
        """Fetches many files at once, for the updater to ask for in turn; what fails is asked for again."""
        from concurrent.futures import ThreadPoolExecutor  # here, for who reads the whole of a large collection

        with ThreadPoolExecutor(AT_ONCE) as threads:
            coming = {name: threads.submit(self._ours, name, max_length) for name in names}
            for name, future in coming.items():
                try:
                    self._ahead[name] = future.result()
                except TrustkitError:
                    for other in coming.values():
                        other.cancel()
                    return


class _Updater(Updater):
    """python-tuf's, which writes the root that it starts with at every start, and links to it twice.

    What stands there already isn't written again: a verification that finds nothing new leaves the disk alone.  What
    tells of older versions is on the disk before it counts.  The caller has the folder's lock.  Both methods are
    private; ``tests/remote/test_updater.py`` guards them.
    """

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        try:
            stands = path.read_bytes() == data
        except OSError:
            stands = False
        if not stands:
            put(path, data, lasting=is_memory(path))

    def _update_root_symlink(self) -> None:
        link = Path(self._dir, "root.json")
        current = Path("root_history", f"{self._trusted_set.root.version}.root.json")
        if not (link.is_symlink() and link.readlink() == current):
            super()._update_root_symlink()


def is_memory(path: Path) -> bool:
    """Whether a file of a metadata folder tells of older versions; another one that is damaged is fetched again."""
    return path.name in _MEMORY or path.parent.name == _ROOTS


def put(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Writes a file of a metadata folder, whole or not at all; the caller has its lock.

    Args:
        lasting: it is on the disk afterwards, so that a power failure leaves it or what was there before.

    Raises:
        OSError
    """
    make_folder(path.parent)
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        if lasting:
            os.fsync(file.fileno())
    temporary.replace(path)
    if lasting:
        sync_folder(path.parent)


def unreadable(folder: Path, error: Exception | str) -> StateError:
    """What is told of a folder in which something else lies than what was verified into it."""
    return StateError(
        f"What was verified before can't be read: {error}",
        hint=f"Delete {folder}; what was seen of older versions is forgotten then.",
    )


def check_kept(folder: Path, reader: Reader, *, above: int) -> None:
    """Holds what tells of older versions to what it was when it was verified.

    The updater passes over a file that it can't read, as if nothing had been seen: an older state would count again.

    Args:
        above: the version of the root that the walk starts with, which is written anew where it has to be.

    Raises:
        StateError: it can't be read as what it is, or a root between others is gone.
    """
    roots = {_version(path): path for path in (folder / _ROOTS).glob("*.root.json") if _version(path) > above}
    if sorted(roots) != list(range(above + 1, above + 1 + len(roots))):
        raise unreadable(folder, f"the root after version {above}, or a later one, is gone.")
    found: dict[Path, type[Any]] = {folder / name: kind for name, kind in _MEMORY.items()}
    found |= dict.fromkeys(roots.values(), Root)
    for path, kind in found.items():
        try:
            reader(path.read_bytes(), kind, path.name)
        except FileNotFoundError:
            continue
        except (OSError, Malformed, TooLarge) as error:
            raise unreadable(folder, error) from error


def _version(path: Path) -> int:
    text = path.name.partition(".")[0]
    return int(text) if text.isascii() and text.isdecimal() else 0


def refresh_folder(
    folder: Path,
    fetch: Fetch,
    *,
    bootstrap: bytes,
    now: datetime | None,
    tags: Collection[Tag] | None = None,
    reader: Reader = read,
) -> tuple[str, ...]:
    """Runs the TUF client workflow (TUF 1.0, 5) over a metadata folder; the caller has its lock.

    Afterwards the folder has the verified ``root.json``, ``timestamp.json``, ``snapshot.json`` and ``targets.json``,
    and the verified files of the delegated roles that are returned.

    Args:
        bootstrap: the anchor's bytes; the walk starts there, whatever the folder says.
        now: the reference time for expiry; None for the wall clock.
        tags: load the delegated roles that answer for these tags only; None loads all, those that attribute as far
            as they verify.
        reader: reads the files, where the caller has one that knows some of them.

    Raises:
        NotTrusted: a leaf for what failed; CouldNotCheck, NotAllowed as ``fetch`` raises them.
        StateError: as ``check_kept``.
    """
    fetcher, reader = _Fetcher(fetch), Readings(reader)
    try:
        updater = open_updater(folder, fetcher, bootstrap=bootstrap, now=now)
        _set_reader(updater, reader)
        check_kept(folder, reader, above=reader(bootstrap, Root).signed.version)
        updater.refresh()
        return _load_delegated(updater, tags, lambda names: _fetch_ahead(updater, fetcher, folder, names))
    except BadDelegation as error:
        raise Garbage(f"targets.json can't be used: {error.message}") from error
    except ExpiredMetadataError as error:
        raise _expired(error, fetcher, folder) from error
    except (RepositoryError, DownloadError) as error:
        raise_ours(error, fetcher.last)
    except OSError as error:
        raise StateError(
            f"The metadata folder {folder} can't be used: {(error.strerror or type(error).__name__).lower()}.",
            hint="Mend that, and try again.",
        ) from error


def _fetch_ahead(updater: Updater, fetcher: _Fetcher, folder: Path, names: Collection[str]) -> None:
    """Fetches those of many delegated files at once that don't lie in the folder as the snapshot names them."""
    meta = updater._trusted_set.snapshot.meta  # noqa: SLF001 - as below
    wanted = []
    for name in names:
        path, named = folder / f"{name}.json", meta.get(f"{name}.json")
        if named and not (path.exists() and b'"version":%d,' % named.version in path.read_bytes()):
            wanted.append(f"{named.version}.{name}.json")
    if len(wanted) > AT_ONCE:
        fetcher.fetch_ahead(wanted, updater.config.targets_max_length)


def _load_delegated(
    updater: Updater, tags: Collection[Tag] | None, ahead: Callable[[Collection[str]], None]
) -> tuple[str, ...]:
    """Has the updater load delegated roles, each as it would on the way to a target; returns their names."""
    trusted = updater._trusted_set  # noqa: SLF001 - its public surface loads a role for one path only; guarded by a test
    delegations = read_delegations(trusted.targets, trusted.root)
    loaded = []
    for role in delegations.roles if delegations else ():
        attributes, edited = role.kind is Kind.ATTRIBUTION, tags is None or isinstance(tags, Near)
        if attributes and not (edited and f"{role.name}.json" in trusted.snapshot.meta):
            continue
        if not attributes and role.name not in trusted_roles(delegations, tags):
            continue
        try:
            updater._load_targets(role.name, "targets")  # noqa: SLF001 - as above
            loaded += [role.name, *(_load_said(updater, role.name, tags, ahead) if attributes else ())]
        except (RepositoryError, NotTrusted, BadDelegation):
            if not attributes:
                raise
    holder = holder_of(delegations)
    held = trusted[holder] if holder in (TARGETS, *loaded) else None
    if isinstance(held, Targets):
        bins = read_bins(delegations, trusted.root, held)
        names = list(wanted_bins(bins, None if tags is None else owners_of(delegations, tags)))
        ahead(names)
        for name in names:
            updater._load_targets(name, holder)  # noqa: SLF001 - as above
            loaded.append(name)
    return tuple(loaded)


def _load_said(
    updater: Updater, role: str, tags: Collection[Tag] | None, ahead: Callable[[Collection[str]], None]
) -> list[str]:
    """Has the updater load the bins in which a signer says what it signed, as far as they verify."""
    trusted = updater._trusted_set  # noqa: SLF001 - as above
    head = trusted[role]
    bins = peek_bins(role, head) if isinstance(head, Targets) else None
    wanted = () if bins is None else bins.names if tags is None else {bins.of(tag.name) for tag in sorted(tags)}
    names = [name for name in wanted if f"{name}.json" in trusted.snapshot.meta]
    ahead(names)
    loaded = []
    for name in names:
        try:
            updater._load_targets(name, role)  # noqa: SLF001 - as above
            loaded.append(name)
        except (RepositoryError, NotTrusted):
            continue  # it says nothing about anybody, then
    return loaded


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
    updater = _Updater(
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


def _set_reader(updater: Updater, reader: Reader) -> None:
    """Has the updater read files by our reader, and check signatures as ever.

    Its own makes what they cover twice for each file, in Python: of a thousand tags that is most of a refresh.  Ours
    takes it from the bytes, and refuses all but their one spelling.
    """

    def load(
        kind: type[Any], data: bytes, delegator: Root | Targets | None = None, role: str | None = None
    ) -> tuple[Any, bytes, Mapping[str, Signature]]:
        try:
            metadata: Metadata[Any] = reader(data, kind, f"{role or kind.type}.json")
        except (Malformed, TooLarge) as error:
            raise RepositoryError(error.message) from error
        signed = covered(metadata, data)
        if delegator is not None:
            delegator.verify_delegate(role or kind.type, signed, metadata.signatures)
        return metadata.signed, signed, metadata.signatures

    trusted = updater._trusted_set  # noqa: SLF001 - no public place for it; guarded by a test
    if not callable(getattr(trusted, "_load_data", None)):
        raise StateError("This version of python-tuf reads its files elsewhere.")
    trusted._load_data = load  # type: ignore[assignment]  # noqa: SLF001 - as above; wider than its two kinds of load


def _expired(error: ExpiredMetadataError, fetcher: _Fetcher, folder: Path) -> Expired:
    """Which role, and since when.

    The file fetched last needn't be the expired one: root is judged when the timestamp comes.  Which one it is stands
    in the sentence only.
    """
    fetched = role_of(fetcher.last) or "root"
    role = fetched if fetched not in ROLES else next((role for role in ROLES if role in str(error)), fetched)
    data = fetcher.data if role == fetched else (folder / f"{role}.json").read_bytes()
    return has_expired(role, read(data, role_kind(role), f"{role}.json").signed.expires)


def role_of(file_name: str) -> str:
    """``root`` of ``3.root.json``."""
    return file_name.rpartition(".json")[0].rpartition(".")[2]
