"""One walk through a collection in format ``docker``, from a trusted root to what its tags say (TRUST 6).

Root is followed version by version before anything else, as TUF has it and Notary doesn't: a rotated key is gone for
whoever asks.  Then each file names the next one by its hash, and what was verified before isn't fetched again.
Nothing is believed for being fetched here: ``core.formats.docker.evaluate`` judges what comes of it as one state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import MetaFile, Root, Snapshot, Timestamp

from trustkit.core.evaluate import AS_NOT_TRUSTED
from trustkit.core.formats.docker.evaluate import check_received, missing
from trustkit.core.formats.docker.files import MAX_BYTES, meta_name, role_kind
from trustkit.core.formats.docker.pins import follow
from trustkit.core.formats.docker.roots import check_threshold
from trustkit.core.names import Gun
from trustkit.core.pinning import MAX_ROOTS
from trustkit.core.readings import Reader
from trustkit.errors import (
    BadSignature,
    BadVersion,
    Garbage,
    NotFound,
    NotTrusted,
    Rejected,
    RolledBack,
    WrongRoot,
)
from trustkit.remote.updater import Fetch

WHOLE_BYTES = 64_000_000
"""Files of so many bytes together are fetched of one collection."""
REPLACED = (
    "Its Owner may have reset the collection, or somebody else signs here. Ask its publisher over another channel: "
    "if the new root key is theirs, trustkit pin add GUN --format docker --root-key ID --replace."
)


class RootMoved(Garbage):
    """The root that snapshot names isn't the one that the walk came to: a new one came between, or it is hidden."""


class Walk:
    """The files of one collection.

    Args:
        fetch: fetches one file by name; raises NotFound only for the server's own word that it has none.
        kept: what was verified here before, by role.
    """

    def __init__(self, gun: Gun, fetch: Fetch, kept: Mapping[str, bytes], reader: Reader) -> None:
        self._gun = gun
        self._fetch = fetch
        self._kept = kept
        self._reader = reader
        self._left = WHOLE_BYTES

    def served_roots(self) -> Iterator[bytes]:
        """``1.root.json``, ``2.root.json``, ... as served; the current root alone where a server has no old ones.

        Raises:
            NotFound: there is no root at all.
        """
        for version in range(1, MAX_ROOTS + 1):
            try:
                data = self._fetch(f"{version}.root.json", MAX_BYTES["root"])
            except NotFound:
                if version > 1:
                    return
                data = self._fetch("root.json", MAX_BYTES["root"])
            self._readable(data, f"{version}.root.json")
            yield data

    def _readable(self, data: bytes, what: str) -> None:
        """What is no root at all, such as a portal's page, is no stranger's root (TRUST 6.2)."""
        try:
            self._reader(data, Root, what)
        except Rejected as error:
            raise Garbage(error.message, hint=error.hint) from error

    def roots(self, first: bytes) -> Iterator[bytes]:
        """Every root after a trusted one, each verified by the one before it.

        Raises:
            WrongRoot, RolledBack, WrongCollection, SignatureInvalid, Garbage: one that can't follow.
        """
        try:
            yield from follow(first, self._newer(self._reader(first, Root).signed.version), self._gun)
        except BadSignature as error:
            words = f"{self._gun}: a new root is not signed by the root keys before it, or not by its own."
            raise WrongRoot(words, hint=REPLACED) from error
        except BadVersion as error:
            raise RolledBack(error.message, hint="An older root is served in the place of a newer one.") from error
        except tuple(AS_NOT_TRUSTED) as error:
            raise AS_NOT_TRUSTED[type(error)](f"{self._gun}: {error}") from error

    def _newer(self, version: int) -> Iterator[bytes]:
        for number in range(version + 1, version + MAX_ROOTS + 1):
            try:
                data = self._fetch(f"{number}.root.json", MAX_BYTES["root"])
            except NotFound:
                return
            self._readable(data, f"{number}.root.json")
            yield data

    def files(self, root: bytes, *, attributions: bool) -> dict[str, bytes]:
        """The current files under a root; what only attributes is left out where it can't be had.

        Args:
            attributions: with the delegations that only say who else signed.

        Raises:
            RootMoved: ask again, from the walk to the root on.
            NotFound: there is no timestamp.
            SignatureInvalid, Garbage, NotAllowed, CouldNotCheck leaves.
        """
        files = {"root": root, "timestamp": self._fetch("timestamp.json", MAX_BYTES["timestamp"])}
        self._received(files, "timestamp")
        stamp = self._reader(files["timestamp"], Timestamp).signed
        files["snapshot"] = self._named("snapshot", stamp.snapshot_meta)
        self._received(files, "snapshot")
        meta = self._reader(files["snapshot"], Snapshot).signed.meta
        self._check_root(root, meta)
        while lacking := missing(files, reader=self._reader):
            for role in sorted(lacking):
                files[role] = self._received_as(role, self._named(role, self._entry(meta, role)))
        return self._with_attributions(files, meta) if attributions else files

    def _with_attributions(self, files: dict[str, bytes], meta: Mapping[str, MetaFile]) -> dict[str, bytes]:
        skipped = set[str]()
        while lacking := missing(files, attributions=True, reader=self._reader) - skipped:
            for role in sorted(lacking):
                try:
                    data = self._received_as(role, self._named(role, self._entry(meta, role)))
                    missing({**files, role: data}, attributions=True, reader=self._reader)
                    files[role] = data
                except NotTrusted:
                    skipped.add(role)
        return files

    def _received(self, files: Mapping[str, bytes], role: str) -> None:
        """Before a file is followed further, it has to be the root's."""
        self._received_as(role, files[role])
        try:
            root, data = self._reader(files["root"], Root).signed, files[role]
            check_threshold(root, role, self._reader(data, role_kind(role), f"{role}.json"), data)
        except tuple(AS_NOT_TRUSTED) as error:
            raise AS_NOT_TRUSTED[type(error)](f"{self._gun}: {error}") from error

    def _received_as(self, role: str, data: bytes) -> bytes:
        check_received(role, data, self._gun, self._reader)
        return data

    def _check_root(self, root: bytes, meta: Mapping[str, MetaFile]) -> None:
        if not _is(root, self._entry(meta, "root")):
            raise RootMoved(
                f"{self._gun}: the root that is served last is not the one that its snapshot names.",
                hint="A new root may just be published: try again. If it stays so, somebody hides the new root.",
            )

    def _entry(self, meta: Mapping[str, MetaFile], role: str) -> MetaFile:
        entry = meta.get(meta_name(role))
        if entry is None:
            raise Garbage(f"{self._gun}: its snapshot doesn't name {role}.")
        return entry

    def _named(self, role: str, entry: MetaFile) -> bytes:
        kept, digest = self._kept.get(role), (entry.hashes or {}).get("sha256")
        if kept is not None and _is(kept, entry):
            return kept
        length = entry.length or 0
        self._left -= length
        if digest is None or length > min(MAX_BYTES.get(role, MAX_BYTES["targets"]), self._left + length):
            raise Garbage(f"{self._gun}: {role} is named without a sha256, or with more bytes than it may have.")
        try:
            data = self._fetch(f"{role}.{digest}.json", length)
        except NotFound as error:
            raise Garbage(f"{self._gun}: the server has no {role} as it is signed now.") from error
        if not _is(data, entry):
            raise Garbage(f"{self._gun}: {role} has not the length or hash that is signed for it.")
        return data


def _is(data: bytes, entry: MetaFile) -> bool:
    try:
        entry.verify_length_and_hashes(data)
    except LengthOrHashMismatchError:
        return False
    return bool(entry.hashes and "sha256" in entry.hashes)
