"""Programs of a few bytes for images that run with nothing else in them (x86-64 Linux)."""

from __future__ import annotations

import io
import struct
import tarfile

_BASE = 0x400000
_HEADERS = 64 + 56


def exits(status: int) -> bytes:
    """A program that ends with a status."""
    return _program(b"\xbf" + struct.pack("<I", status) + b"\xb8\x3c\0\0\0\x0f\x05")  # edi, eax = exit; syscall


def waits() -> bytes:
    """A program that waits for a signal."""
    return _program(b"\xb8\x22\0\0\0\x0f\x05\xeb\xf7")  # eax = pause; syscall; again


def _program(code: bytes) -> bytes:
    size = _HEADERS + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + header + segment + code


def archive(program: bytes) -> bytes:
    """A tar archive with the program as ``/run``, as ``docker import -`` takes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("run")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    return out.getvalue()
