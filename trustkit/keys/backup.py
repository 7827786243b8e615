"""Backups of a home's keys and pins: one encrypted file, checked by opening it again before it counts.

The key files lie in it as they are, each still under its own passphrase: what the backup's passphrase alone gives is
which keys there are, never a key that signs.  To sign again takes the file, its passphrase, and the key's own.  Of a
key on a token or in a key service it holds where that is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from trustkit.core import strictjson
from trustkit.core.ports.keys import KeyInfo
from trustkit.errors import KeyExists, KeyFileInvalid, KeyMissing, StateError, TrustkitError
from trustkit.keys import private, sealed
from trustkit.keys.keyfile import MAX_BYTES, KeyFile
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.placefile import PlaceFile
from trustkit.keys.sealed import ANOTHER_COPY, Sealed
from trustkit.keys.subjects import BackupSubject

SCHEMA = 1
TIME = "%Y-%m-%dT%H:%M:%SZ"
_NAME = re.compile(r"(?P<id>[0-9a-f]{64})(?P<kind>\.pem|\.uri)\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
_MEMBERS = frozenset({"version", "created", "keys", "pins"})
_CHANGED = "Or the file was changed: take another copy of the backup."


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds.

    Attributes:
        created: in UTC, whole seconds.
        files: each file of the key folder by its name; ``checked`` has passed for each.
        pins: the document of ``pins.json``; None where nothing was pinned.
    """

    created: datetime
    files: Mapping[str, bytes]
    pins: bytes | None

    def pack(self) -> bytes:
        """The one spelling as JSON."""
        return strictjson.serialise(
            {
                "version": SCHEMA,
                "created": self.created.strftime(TIME),
                "keys": {name: data.decode("ascii") for name, data in self.files.items()},
                "pins": None if self.pins is None else self.pins.decode("ascii"),
            }
        )

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Reads what ``pack`` wrote, and holds each key against its id (TRUST 2.1).

        Raises:
            KeyFileInvalid: anything else: a name that no key file has, a key under another's id, an entry twice.
        """
        try:
            document = strictjson.parse(data, max_bytes=sealed.MAX_BYTES, what="It")
            made = cls._of(document)
        except (TrustkitError, ValueError) as error:
            message = getattr(error, "message", f"It isn't what trustkit writes: {error}.")
            raise KeyFileInvalid(message, hint=ANOTHER_COPY) from error
        if made.pack() != data:
            raise KeyFileInvalid("It isn't spelled as trustkit writes it.", hint=ANOTHER_COPY)
        return made

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Self:
        if document.get("version") != SCHEMA:
            raise ValueError("another version of trustkit wrote its content")
        keys, pins, created = document.get("keys"), document.get("pins"), document.get("created")
        if document.keys() != _MEMBERS or not isinstance(keys, dict) or not isinstance(pins, str | None):
            raise ValueError("its members are others")
        if not isinstance(created, str) or not _TIME.match(created):
            raise ValueError("its time is none")
        if not all(isinstance(text, str) and text.isascii() for text in (*keys.values(), pins or "")):
            raise ValueError("a file in it is no text")
        files = {name: text.encode("ascii") for name, text in keys.items()}
        if len({checked(name, content).id for name, content in files.items()}) != len(files):
            raise ValueError("a key stands twice in it")
        at = datetime.strptime(created, TIME).replace(tzinfo=UTC)
        return cls(at, files, None if pins is None else pins.encode("ascii"))

    @property
    def keys(self) -> list[KeyInfo]:
        """The keys in it, by id."""
        return [checked(name, data) for name, data in sorted(self.files.items())]

    def only(self, key_ids: Collection[str]) -> Self:
        """The same backup with these keys alone, and without pins.

        Args:
            key_ids: whole ids, or the start of one key's.

        Raises:
            KeyMissing: no key in it, or several, begin like one of these.
        """
        chosen = {}
        for key_id in key_ids:
            found = [name for name in self.files if name.startswith(key_id)]
            if len(found) != 1:
                raise KeyMissing(
                    f"{len(found) or 'No'} keys in the backup begin with {key_id[:64]}.",
                    hint="See what is in it with --list.",
                    key_id=key_id[:64],
                )
            chosen[found[0]] = self.files[found[0]]
        return type(self)(self.created, chosen, None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What restoring would do to a key folder: files to write, and keys that are there already, the same."""

    new: Mapping[Path, bytes]
    same: frozenset[str]


def checked(name: str, data: bytes) -> KeyInfo:
    """The key of a file, by the rules of the key folder.

    Raises:
        KeyFileInvalid: a name that no file of the folder has, a damaged file, or one filed under another's id.
    """
    match = _NAME.match(name)
    if not match:
        raise KeyFileInvalid(f"It holds a file that is none of a key, {name[:80]!r}.")
    try:
        info = _parse(match["kind"], data)
    except KeyFileInvalid as error:
        raise KeyFileInvalid(f"The key file {name[:16]} in it can't be used. {error.message}") from error
    if info.id != match["id"]:
        raise KeyFileInvalid(f"It files the key {info.id[:16]} as {name[:16]}.")
    return info


def _parse(kind: str, data: bytes) -> KeyInfo:
    return KeyFile.parse(data).info if kind == ".pem" else PlaceFile.parse(data).info


def collect(folder: Path, key_ids: Collection[str] | None = None) -> dict[str, bytes]:
    """The files of the keys here, each of them checked.

    Args:
        key_ids: whole ids of those to take; all unless given.

    Raises:
        KeyFileInvalid: one can't be read, others may read it, or it isn't the key of its name.
        KeyMissing, StateError: it went away, or the folder can't be read.
    """
    found = {}
    for path in (*private.names(folder, ".pem"), *private.names(folder, ".uri")):
        if key_ids is None or path.stem in key_ids:
            data = private.read(path, MAX_BYTES)
            try:
                checked(path.name, data)
            except KeyFileInvalid as error:
                raise KeyFileInvalid(f"{path} can't be backed up. {error.message}", hint=error.hint) from error
            found[path.name] = data
    return found


def write(path: Path, backup: Backup, passphrases: PassphraseSource) -> None:
    """Writes a backup, reads it back from the disk, opens it and compares; 0600, and never over another file.

    Raises:
        KeyExists: something has this name.
        WeakPassphrase, NoPassphrase, InvalidSetting: of the backup's own passphrase.
        StateError: it can't be written or read back; no file is left then.
    """
    if os.path.lexists(path):
        raise KeyExists(f"{path} exists already, and is never overwritten.", hint="Give another name.")
    passphrase = passphrases.new(BackupSubject(str(path))).value
    private.create(path, Sealed.seal(backup.pack(), passphrase).render())
    try:
        back = Backup.unpack(Sealed.parse(_bytes(path)).open(passphrase))
    except TrustkitError as error:
        path.unlink(missing_ok=True)
        raise StateError(f"The backup {path} can't be read back, and was removed: {error.message}") from error
    if back != backup:
        path.unlink(missing_ok=True)
        raise StateError(f"The backup {path} isn't what was written when it is read back, and was removed.")


def read(path: Path, passphrases: PassphraseSource) -> Backup:
    """Opens a backup; nothing in it is believed before it has proved who wrote it.

    Raises:
        KeyMissing: no such file.
        KeyFileInvalid: damaged, too long, no backup, or one with content that trustkit doesn't write.
        WrongPassphrase, NoPassphrase, InvalidSetting.
    """
    try:
        envelope = Sealed.parse(_bytes(path))
        plain, _ = passphrases.open(BackupSubject(str(path)), envelope.open, hint=_CHANGED)
        return Backup.unpack(plain)
    except KeyFileInvalid as error:
        raise KeyFileInvalid(f"The backup {path} can't be used. {error.message}", hint=error.hint) from error


def plan(backup: Backup, folder: Path) -> Plan:
    """What restoring into this folder would do; changes nothing.

    Raises:
        KeyExists: another file, or anything that is no file, has the name of a key in the backup.
        KeyFileInvalid: what has the name can't be read, so nobody knows what it is.
    """
    new, same = {}, set()
    for name, data in backup.files.items():
        path = folder / name
        if not os.path.lexists(path):
            new[path] = data
        elif path.exists() and private.read(path, MAX_BYTES) == data:
            same.add(path.stem)
        else:
            raise KeyExists(
                f"{path} is another file than the one in the backup, and is never overwritten; nothing was restored.",
                hint="Its passphrase may have been changed since. Name the other keys to restore them alone, or "
                "restore into another home: trustkit --home DIR key restore",
                key_id=path.stem,
            )
    return Plan(new, frozenset(same))


def _bytes(path: Path) -> bytes:
    return private.read(path, sealed.MAX_BYTES, what="backup", others=True)
