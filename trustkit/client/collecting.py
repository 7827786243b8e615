"""A whole collection as it is served: every file that a client of any age asks for, verified from one's own pin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tuf.api.metadata import Root

from trustkit.client.trust import Current, Trust
from trustkit.core.bundles import FORMER
from trustkit.core.formats.tuf1 import MAX_BYTES, read, role_kind
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.converting import DockerSides
from trustkit.core.roots import check_gun, check_root_keys, check_threshold
from trustkit.core.rules import DOCKER
from trustkit.errors import Expired, NotFound, Rejected, TrustDisabled, WrongRoot

_TOP = ("root", "timestamp", "snapshot", "targets")


class MetadataFiles(Protocol):
    """Metadata files as a service serves them, nothing verified."""

    def fetch(self, gun: Gun, file_name: str, max_length: int) -> bytes:
        """Raises NotFound, NotAllowed and CouldNotCheck leaves."""
        ...


@dataclass(frozen=True, slots=True)
class Collected:
    """A collection's verified state, and its files by the names that TUF clients ask for."""

    current: Current
    files: Mapping[str, bytes]


class FormerRoots:
    """The roots in format ``docker`` of a collection that was converted, for whoever has pinned a certificate there.

    Args:
        sides: says which collections were.
        served: the roots in format ``docker`` that a service has.
    """

    def __init__(self, sides: DockerSides, served: Callable[[Gun], Iterator[bytes]]) -> None:
        self._sides = sides
        self._served = served

    def __call__(self, gun: Gun) -> Mapping[str, bytes]:
        """By their names in a bundle; nothing of them is verified, as a certificate that fits its id is that one.

        Raises:
            NotAllowed, CouldNotCheck.
        """
        from trustkit.core.formats.docker import files as docker

        if self._sides.docker_side(gun) is None:
            return {}
        try:
            roots = list(self._served(gun))
        except TrustDisabled:
            return {}  # Notary's API is off, so nobody follows by it either
        return {f"{FORMER}{docker.read(data, Root).signed.version}.root.json": data for data in roots}


class Collect:
    """Fetches whole collections.

    Args:
        trust: pins and verified state.
        served: where the older roots come from; each has to lead to the next one, up to the verified one.
        notary: the same of collections in format ``docker``, made when the first one is asked for.
    """

    def __init__(self, trust: Trust, served: MetadataFiles, notary: Callable[[], MetadataFiles]) -> None:
        self._trust = trust
        self._served = served
        self._notary = notary

    def __call__(self, gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None) -> Collected:
        """All files of a collection.

        Args:
            tags: where another signer's file has expired, those that answer for these tags are enough.

        Raises:
            NoPin, NotTrusted and its leaves, NotAllowed.
        """
        current = self._current(gun, now, tags)
        if current.pin.format == DOCKER:
            return Collected(current, self._docker_files(gun, current))
        files = {f"{version}.root.json": data for version, data in self._roots(gun, current.files["root"]).items()}
        for role, data in current.files.items():
            version = read(data, role_kind(role), f"{role}.json").signed.version
            files["timestamp.json" if role == "timestamp" else f"{version}.{role}.json"] = data
        return Collected(current, files)

    def _docker_files(self, gun: Gun, current: Current) -> Mapping[str, bytes]:
        """By role, since no snapshot of this format names versions; of roots those that the server still has."""
        from trustkit.core.formats.docker import files as docker
        from trustkit.core.formats.docker.roots import check_successor

        newest = current.files["root"]
        root = docker.read(newest, Root)
        last, files = root.signed.version, {f"{role}.json": data for role, data in current.files.items()}
        files[f"{last}.root.json"] = files.pop("root.json")
        notary = self._notary()
        try:
            for version in range(last - 1, 0, -1):
                name = f"{version}.root.json"
                before = notary.fetch(gun, name, docker.MAX_BYTES["root"])
                check_successor(docker.read(before, Root), root, newest, gun)
                files[name], newest, root = before, before, docker.read(before, Root)
        except NotFound:
            pass  # who pinned an older root can't use such a server either
        except Rejected as error:
            raise WrongRoot(f"The served roots of {gun} don't lead to the one that is verified: {error}") from error
        return files

    def _current(self, gun: Gun, now: datetime, tags: Collection[Tag] | None) -> Current:
        try:
            return self._trust.current(gun, now)
        except Expired as error:
            if tags is None or error.context.get("role") in _TOP:
                raise
        return self._trust.current(gun, now, tags=tags)

    def _roots(self, gun: Gun, newest: bytes) -> Mapping[int, bytes]:
        """Every root from the first one on, for whoever pinned an older one than we did."""
        last = read(newest, Root).signed.version
        roots = {n: self._served.fetch(gun, f"{n}.root.json", MAX_BYTES["root"]) for n in range(1, last)}
        roots[last] = newest
        try:
            before = read(roots[1], Root)
            check_threshold(before.signed, "root", before)
            for version, data in roots.items():
                root = read(data, Root)
                check_gun(root.signed, gun)
                check_root_keys(root.signed)
                check_threshold(before.signed, "root", root)
                check_threshold(root.signed, "root", root)
                if root.signed.version != version:
                    raise WrongRoot(f"{gun}: {version}.root.json is of another version.")
                before = root
        except Rejected as error:
            raise WrongRoot(f"The served roots of {gun} don't lead to the one that is verified: {error}") from error
        return roots
