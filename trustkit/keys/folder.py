"""The key folder's files: a key that is here, encrypted, or one that is elsewhere, by its place."""

from __future__ import annotations

from pathlib import Path

from trustkit.errors import KeyFileInvalid
from trustkit.keys import keyfile, placefile, private
from trustkit.keys.keyfile import KeyFile
from trustkit.keys.placefile import PlaceFile

HERE, ELSEWHERE = ".pem", ".uri"


def files(folder: Path) -> list[Path]:
    """The file of every key, ordered by id; raises StateError."""
    return sorted(private.names(folder, HERE) + private.names(folder, ELSEWHERE))


def load(path: Path) -> KeyFile | PlaceFile:
    """Reads one of them.

    Raises:
        KeyMissing: it isn't there.
        KeyFileInvalid: it isn't a key's file under its own id (TRUST 2.1), others may use it, or the key is here and
            elsewhere.
    """
    elsewhere = path.suffix == ELSEWHERE
    data = private.read(path, placefile.MAX_BYTES if elsewhere else keyfile.MAX_BYTES)
    try:
        read = PlaceFile.parse(data) if elsewhere else KeyFile.parse(data)
    except KeyFileInvalid as error:
        raise KeyFileInvalid(f"The key file {path} can't be used. {error.message}", hint=error.hint) from error
    if path.stem != read.info.id:
        raise KeyFileInvalid(
            f"The key file {path} holds the key {read.info.id[:16]}, not the one of its name.",
            hint="Move it out of the folder, then: trustkit key import FILE",
        )
    if elsewhere and path.with_suffix(HERE).exists():
        raise KeyFileInvalid(f"The key {read.info.id[:16]} is here twice: {path.with_suffix(HERE)} and {path}.")
    return read
