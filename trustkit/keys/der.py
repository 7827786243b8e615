"""DER, as much of it as key files take: elements of definite length, written and strictly read."""

from __future__ import annotations

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
_LONG = 0x80
_LENGTH_OCTETS = 3


class DerError(ValueError):
    """Not the DER that was expected; says nothing of what the bytes hold."""


def tlv(tag: int, content: bytes) -> bytes:
    """One element."""
    size = len(content)
    if size < _LONG:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(length))) + length + content


def integer(number: int) -> bytes:
    """An INTEGER that isn't negative."""
    return tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


class Reader:
    """The elements of some bytes, in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __repr__(self) -> str:
        return f"Reader({len(self._data)} bytes)"

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return not self._data

    def next_is(self, tag: int) -> bool:
        """Whether an element of this tag comes next."""
        return self._data[:1] == bytes((tag,))

    def take(self, tag: int) -> bytes:
        """The content of the next element; raises DerError where it is cut, of another tag or of a long spelling."""
        if not self.next_is(tag) or len(self._data) < 2:
            raise DerError("another element was expected")
        size, start = self._data[1], 2
        if size >= _LONG:
            start += size & ~_LONG
            size = int.from_bytes(self._data[2:start], "big")
            if not 0 < start - 2 <= _LENGTH_OCTETS or size < _LONG or self._data[2] == 0:
                raise DerError("a length that is not allowed")
        content, self._data = self._data[start : start + size], self._data[start + size :]
        if len(content) != size:
            raise DerError("an element is cut")
        return content

    def inside(self, tag: int = SEQUENCE) -> Reader:
        """The elements of the next element."""
        return Reader(self.take(tag))

    def number(self) -> int:
        """The next INTEGER, which is not negative; raises DerError."""
        content = self.take(INTEGER)
        if not content or content[0] >= 0x80 or len(content) > 8:
            raise DerError("a number that is not allowed")
        return int.from_bytes(content, "big")

    def end(self) -> None:
        """Raises DerError where something is left."""
        if self._data:
            raise DerError("something is left over")
