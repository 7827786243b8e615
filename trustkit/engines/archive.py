"""A plain tar of an OCI image layout, read so strictly that nothing in it means two things.

Nothing is ever unpacked: a member is a place in the file, found by a header that is exactly a regular file's or one
of the layout's two folders'.  Links, devices, extended headers, sparse files, foreign or double names, sizes past the
end and compression are refused before a byte of content is looked at.  Python's ``tarfile`` decodes each header and
writes; its reader would follow extended headers of any size, and take garbage for an end.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trustkit.engines.layout import replacing
from trustkit.errors import BadBundle, StateError

BLOCK = 512
MAX_MEMBERS = 50_000
_PADDING = 64 * 1024
_CHUNK = 128 * 1024
_NAME = re.compile(r"oci-layout\Z|index\.json\Z|blobs/sha256/[0-9a-f]{64}\Z")
_FOLDERS = frozenset({"blobs", "blobs/sha256"})
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.XHDTYPE: "an extended header",
    tarfile.XGLTYPE: "an extended header",
    tarfile.GNUTYPE_LONGNAME: "an extended header",
    tarfile.GNUTYPE_LONGLINK: "an extended header",
}


@dataclass(frozen=True, slots=True)
class Member:
    """Where a file's bytes lie, and how many there are."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Archive:
    """An open file, with what lies where in it."""

    path: Path
    descriptor: int
    members: dict[str, Member]

    def read(self, name: str, max_bytes: int) -> bytes:
        """A member's bytes; raises BadBundle where there is none, or it is longer than ``max_bytes``."""
        member = self.member(name)
        if member.size > max_bytes:
            raise BadBundle(
                f"{self.path}: {name} has {member.size} bytes, more than the {max_bytes} that it may have."
            )
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's bytes, in pieces; raises BadBundle where the file has become shorter meanwhile."""
        member = self.member(name)
        at, end = member.start, member.start + member.size
        while at < end:
            chunk = self._at(at, min(_CHUNK, end - at))
            if not chunk:
                raise BadBundle(f"{self.path} became shorter while it was read.")
            at += len(chunk)
            yield chunk

    def member(self, name: str) -> Member:
        """Raises BadBundle where there is none."""
        try:
            return self.members[name]
        except KeyError:
            raise BadBundle(f"{self.path} has no {name}.") from None

    def _at(self, start: int, size: int) -> bytes:
        try:
            return os.pread(self.descriptor, size, start)
        except OSError as error:
            raise StateError(f"{self.path} can't be read: {(error.strerror or 'unknown').lower()}.") from error


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Opens an archive for a block, and reads every header of it.

    Raises:
        BadBundle: anything but a plain tar of a layout.
        StateError: it can't be read, or is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"{path} can't be read: {(error.strerror or 'unknown').lower()}.") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StateError(f"{path} is not a file.")
        archive = Archive(path, descriptor, {})
        _scan(archive, status.st_size)
        yield archive
    finally:
        os.close(descriptor)


def _scan(archive: Archive, end: int) -> None:
    at, count = 0, 0
    while True:
        block = archive._at(at, BLOCK)  # noqa: SLF001 - the same module
        if len(block) < BLOCK:
            raise BadBundle(f"{archive.path} breaks off: it has no end mark.", hint="Copy it again.")
        if block == bytes(BLOCK):
            _check_end(archive, at, end)
            return
        count += 1
        if count > MAX_MEMBERS:
            raise BadBundle(f"{archive.path} has more than {MAX_MEMBERS} members.")
        at = _member(archive, block, at, end)


def _member(archive: Archive, block: bytes, at: int, end: int) -> int:
    """Takes note of one member, and returns where the next header is."""
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.TarError, ValueError) as error:
        raise BadBundle(
            f"{archive.path} is no plain tar, or damaged at byte {at}.",
            hint="A bundle is not compressed. Copy it again, or unpack what has packed it.",
        ) from error
    name = ascii(info.name)[1:-1][:100]
    if info.type == tarfile.DIRTYPE and info.name in _FOLDERS and info.size == 0:
        return at + BLOCK
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise BadBundle(f"{archive.path}: {name} is {_KINDS.get(info.type, 'no file')}, which no bundle has.")
    if not _NAME.match(info.name):
        raise BadBundle(f"{archive.path} has a member {name}, which no bundle has.")
    if info.name in archive.members:
        raise BadBundle(f"{archive.path} has the member {name} twice.")
    start = at + BLOCK
    if info.size < 0 or start + info.size > end:
        raise BadBundle(f"{archive.path} breaks off: {name} says it has {info.size} bytes.", hint="Copy it again.")
    archive.members[info.name] = Member(start, info.size)
    return start + -(-info.size // BLOCK) * BLOCK


def _check_end(archive: Archive, at: int, end: int) -> None:
    if end - at > _PADDING or any(archive._at(at, end - at)):  # noqa: SLF001 - the same module
        raise BadBundle(f"{archive.path} goes on after its end mark.")


def pack(folder: Path, path: Path) -> None:
    """Writes a layout folder as a tar, whole or not at all: members by name, no times, no owners.

    Raises:
        StateError: the disk doesn't let us.
    """
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    with replacing(path) as out, tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in files:
            with (folder / name).open("rb") as file:
                info = tarfile.TarInfo(name)
                info.size, info.mode = os.fstat(file.fileno()).st_size, 0o644
                tar.addfile(info, file)
