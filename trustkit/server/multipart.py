"""The body of a publish: ``multipart/form-data``, one part a role, read strictly (TRUST 3.2; RFC 7578)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from trustkit.core.bins import MAX_BITS
from trustkit.core.formats.tuf1 import MAX_BYTES
from trustkit.errors import Malformed, TooLarge

MAX_PARTS = 64
MAX_BINNED = MAX_PARTS + 2**MAX_BITS
"""Of format ``tuf``: every role and every hash bin at once, as where a key that signs them is rotated."""
MAX_BODY = sum(MAX_BYTES.values()) + 64 * 1024
MAX_LARGE = 32 * 1024 * 1024
"""What the bins of 150,000 tags come to; such an upload waits until there is no other like it."""
_TYPE = re.compile(r"multipart/form-data; ?boundary=(\"?)([0-9A-Za-z'()+_,./:=?-]{1,70})\1\Z", re.IGNORECASE)
PART = re.compile(rb'form-data; ?name="files"; ?filename="([a-z0-9][a-z0-9_-]{0,127})\.json"\Z')
NOTARY_PART = re.compile(
    rb'form-data; ?name="files"; ?filename="'
    rb'([1-9][0-9]{0,9}\.(?:root|snapshot|timestamp)|[a-z0-9][a-z0-9_/-]{0,254})(?:\.json)?"\Z'
)
"""Whole headers in the one spelling that clients use: of a parameter that stands twice, nobody has to guess which.
Notary's ``N.root.json`` and so on are what a collection brings along from another server."""


class _Reader:
    """Collects the parts; the callbacks are python-multipart's."""

    def __init__(self, part: re.Pattern[bytes], most: int) -> None:
        self._part = part
        self._most = most
        self.files: dict[str, bytes] = {}
        self.ended = False
        self._name = b""
        self._value = b""
        self._headers: dict[str, bytes] = {}
        self._data = bytearray()
        self._count = 0

    def on_part_begin(self) -> None:
        self._count += 1
        if self._count > self._most:
            raise TooLarge(f"The upload has more than {self._most} parts.")
        self._headers = {}
        self._data = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        name = self._name.decode("latin-1").lower()
        if name in self._headers:
            raise Malformed(f"A part of the upload has the header {name[:40]!r} twice.")
        self._headers[name] = self._value
        self._name = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def on_part_end(self) -> None:
        found = self._part.match(self._headers.get("content-disposition", b""))
        if not found:
            raise Malformed("A part of the upload is not form-data named files with a role's file name.")
        if "content-transfer-encoding" in self._headers:
            raise Malformed("A part of the upload has a transfer encoding.")
        role = found[1].decode("ascii")
        if role in self.files:
            raise Malformed(f"The upload has {role}.json twice.")
        self.files[role] = bytes(self._data)

    def on_end(self) -> None:
        self.ended = True


def read_upload(
    content_type: str, body: bytes, *, part: re.Pattern[bytes] = PART, most: int = MAX_PARTS
) -> Mapping[str, bytes]:
    """The uploaded files by role.

    Args:
        part: what the Content-Disposition of each has to be, the role in its one group.
        most: how many there may be.

    Raises:
        Malformed: not multipart, truncated, data after the end, a part that isn't a file of ours, one role twice.
        TooLarge: more parts.
    """
    found = _TYPE.match(content_type)
    if not found:
        raise Malformed("The upload is not multipart/form-data with a boundary.")
    boundary = found[2].encode("ascii")
    reader = _Reader(part, most)
    callbacks = {name: getattr(reader, name) for name in dir(reader) if name.startswith("on_")}
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        read = parser.write(body)
    except FormParserError as error:
        raise Malformed(f"The upload is not well-formed multipart: {error}.") from error
    if not reader.ended or read != len(body) or not _ends(body, boundary):
        raise Malformed("The upload is truncated, or goes on after its end.")
    return reader.files


def _ends(body: bytes, boundary: bytes) -> bool:
    """Whether the first end is the last thing: the parser reads over what comes after it, another upload even."""
    end = b"--" + boundary + b"--"
    return body.find(end) == len(body.removesuffix(b"\r\n")) - len(end)
