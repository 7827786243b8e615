"""Docker's and Notary's folders of private keys, as they lie on a disk: the layout of today and those before 0.4.

    private/<key id>.key                              today, all roles
    private/root_keys/<key id>[_root].key             before 0.4
    private/tuf_keys/<GUN>/<key id>[_<role>].key      before 0.4, the folder says the collection

Nothing in a folder is trusted: no link is followed, files and their number have bounds, and what a file's place says
of its key has to agree with what the file says itself.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trustkit.core.names import SignerName
from trustkit.errors import KeyExists, KeyFileInvalid, StateError, TrustkitError
from trustkit.keys import dockerpem
from trustkit.keys.dockerkeys import DockerKeyFile, Purpose

PRIVATE = "private"
SUFFIX = ".key"
MAX_FILES = 10_000
MAX_DEPTH = 16
_NAME = re.compile(r"(?P<id>[0-9a-f]{64})(?:_(?P<role>[a-z0-9_-]{1,64}))?\.key\Z")
_ID_DIGITS = 64
_ROOT_KEYS, _TUF_KEYS = "root_keys", "tuf_keys"


@dataclass(frozen=True, slots=True)
class Place:
    """A key's file, and what its place says of the key: its id, and in the old layouts role and collection.

    Attributes:
        inside: the path below the folder of private keys.
        mode: permissions, in which others have none.
    """

    path: Path
    inside: PurePosixPath
    file: DockerKeyFile
    id: str
    mode: int

    def purpose(self, name: SignerName | None = None) -> Purpose:
        """What the key is for, by its headers and its place; raises KeyFileInvalid, InvalidName.

        Args:
            name: what a signer is called whatever the file says.
        """
        match = _NAME.match(self.inside.name)
        folders = self.inside.parts[:-1]
        by_place = (match["role"] if match else None) or ("root" if folders[:1] == (_ROOT_KEYS,) else "")
        gun = "/".join(folders[1:]) if folders[:1] == (_TUF_KEYS,) else ""
        for what, placed, said in (("role", by_place, self.file.role), ("collection", gun, self.file.gun)):
            if placed and said and placed != said:
                raise KeyFileInvalid(
                    f"Its {what} is {said[:80]!r} by what it says, and {placed[:80]!r} by where it lies.",
                    hint="Put it where it belongs, or replace the key.",
                )
        return Purpose.read(self.file.role or by_place, self.file.gun or gun, name=name)

    @property
    def warning(self) -> str:
        """What is wrong with who may use the file; empty where it is in order."""
        if not self.mode & 0o077:
            return ""
        return (
            f"Others may use it (mode {self.mode:04o}). If anybody did, replace the key; else: chmod 600 {self.path}"
        )


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file that looks like a key's and can't be used."""

    path: Path
    error: TrustkitError

    @property
    def named(self) -> TrustkitError:
        """The error with the file's name."""
        return type(self.error)(f"The key file {self.path} can't be used. {self.error.message}", hint=self.error.hint)


def private_folder(folder: Path) -> Path | None:
    """The folder of private keys that is meant: a trust folder's, Docker's configuration's, or the folder itself.

    Returns:
        None where there is none.

    Raises:
        StateError: it is a link, or the folder can't be read.
    """
    try:
        return _private_folder(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{_short(folder)} can't be read: {error.strerror}.") from error


def _private_folder(folder: Path) -> Path | None:
    for below in (PRIVATE, f"trust/{PRIVATE}"):
        if (found := folder / below).is_symlink():
            raise StateError(f"{found} is a link, and isn't followed.", hint="Name the folder that it leads to.")
        if found.is_dir():
            return found
    itself = folder.name == PRIVATE or any(name.suffix == SUFFIX for name in folder.iterdir())
    return folder if itself and folder.is_dir() else None


def target_folder(folder: Path) -> Path:
    """The same where there may be none yet: ``private`` below it, then; raises StateError."""
    if found := private_folder(folder):
        return found
    if folder.exists() and not folder.is_dir():
        raise StateError(f"{folder} is no folder.")
    return folder if folder.name == PRIVATE else folder / PRIVATE


def _short(folder: Path) -> str:
    text = str(folder)
    return text if len(text) < 200 else f"{text[:80]}..."


def look(folder: Path, ids: Collection[str] | None = None) -> Iterator[Place | Unusable]:
    """Every file ``*.key`` in a folder of private keys, in order; other files are none of a key.

    Args:
        ids: read the files of these keys alone; unless given, all.

    Raises:
        StateError: the folder can't be read, or holds more than anybody's keys.
    """
    seen = 0
    walk = os.fwalk(folder, follow_symlinks=False, onerror=_unreadable(folder))
    for root, folders, names, descriptor in walk:
        folders.sort()
        below = PurePosixPath(Path(root).relative_to(folder).as_posix())
        seen += len(names) + len(folders)
        if seen > MAX_FILES or len(below.parts) > MAX_DEPTH:
            raise StateError(f"{folder} has over {MAX_FILES} files, or folders over {MAX_DEPTH} deep: no key folder.")
        yield from (Unusable(path, _link()) for name in folders if (path := Path(root, name)).is_symlink())
        for name in sorted(names):
            wanted = ids is None or name[:_ID_DIGITS] in ids
            if wanted and name.endswith(SUFFIX) and not name.startswith("."):
                yield _read(Path(root, name), below / name, descriptor)


def load(folder: Path, key_id: str) -> Place | Unusable | None:
    """The file of one key, wherever it lies in the folder; raises StateError."""
    return next((found for found in look(folder, (key_id,)) if found.path.name.startswith(key_id)), None)


def _read(path: Path, inside: PurePosixPath, descriptor: int) -> Place | Unusable:
    try:
        match = _NAME.match(path.name)
        if not match:
            raise KeyFileInvalid("Its name is no key id of 64 hex digits.", hint="Is it a key? key import FILE")
        data, mode = _bytes(path, descriptor)
        file = DockerKeyFile.parse(data)
        if mode & 0o077 and not file.is_encrypted:
            raise KeyFileInvalid(
                f"Others may use it (mode {mode:04o}), and no passphrase protects it.",
                hint="Replace the key, unless nobody else had it: then chmod 600 the file.",
            )
        return Place(path, inside, file, match["id"], mode)
    except TrustkitError as error:
        return Unusable(path, error)


def _bytes(path: Path, folder: int) -> tuple[bytes, int]:
    """What a file holds, and its permissions; it is opened below the folder that is being walked, and no link."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(path.name, flags, dir_fd=folder), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileInvalid("It is no regular file.")
            if status.st_nlink > 1:
                raise KeyFileInvalid(
                    f"It has {status.st_nlink} names (hard links): it may be another folder's file.",
                    hint="Copy it in the place of the link.",
                )
            return file.read(dockerpem.MAX_BYTES + 1), stat.S_IMODE(status.st_mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link() from error
        raise KeyFileInvalid(f"It can't be read: {error.strerror}.") from error


def _link() -> KeyFileInvalid:
    return KeyFileInvalid("It is a link, and isn't followed.", hint="Copy what it leads to in its place.")


def _unreadable(folder: Path) -> Callable[[OSError], None]:
    def fail(error: OSError) -> None:
        raise StateError(f"The key folder {error.filename or folder} can't be read: {error.strerror}.") from error

    return fail


def free_path(folder: Path, key_id: str) -> Path:
    """Where a new key's file goes.

    Raises:
        KeyExists: the key is there, under any name; StateError.
    """
    there = load(folder, key_id) if folder.exists() else None
    path = folder / f"{key_id}{SUFFIX}"
    if there is not None or os.path.lexists(path):
        raise KeyExists(
            f"{there.path if there else path} exists already, and is never overwritten.",
            hint="Move it away first, if it is no key that you need.",
            key_id=key_id,
        )
    return path
