"""The text of a file, and pieces of it that know where each of their characters stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from trustkit.core.names import shown
from trustkit.errors import BuildFileInvalid

MAX_BYTES = 1024 * 1024
"""Nobody writes a Dockerfile or manifest of this size by hand; libraries take seconds for it."""

OUTSIDE = -1
"""Where a character stands that isn't in the file: it came from the environment or the command line."""

BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Traced:
    """Text with the index in its file of each character; ``OUTSIDE`` for those that come from elsewhere."""

    text: str
    at: Sequence[int]

    @classmethod
    def outside(cls, text: str) -> Traced:
        """Text that doesn't stand in the file."""
        return cls(text, [OUTSIDE] * len(text))

    def part(self, start: int, end: int) -> Traced:
        """The characters from ``start`` to before ``end``."""
        return Traced(self.text[start:end], self.at[start:end])

    @property
    def end(self) -> int:
        """The index in the file after the last character; ``OUTSIDE`` where that isn't in the file."""
        return self.at[-1] + 1 if self.text and self.at[-1] != OUTSIDE else OUTSIDE

    @property
    def span(self) -> tuple[int, int] | None:
        """Start and end in the file, where the characters stand there one after the other."""
        if not self.text or OUTSIDE in self.at:
            return None
        start = self.at[0]
        return (start, start + len(self.at)) if list(self.at) == list(range(start, start + len(self.at))) else None


class Source:
    """A file's name and text.

    Args:
        name: as the user wrote it; errors name it.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    @classmethod
    def decode(cls, name: str, data: bytes) -> Source:
        """The text of a file, its line ends and a byte order mark kept.

        Raises:
            BuildFileInvalid: it is too long, not UTF-8, or has control characters, which parsers disagree about.
        """
        if len(data) > MAX_BYTES:
            raise BuildFileInvalid(f"{shown(name)} is longer than {MAX_BYTES} bytes.", file=name)
        try:
            source = cls(name, data.decode("utf-8"))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise BuildFileInvalid(
                f"{shown(name)}:{line} is not UTF-8.", hint="Save it as UTF-8.", file=name, line=line
            ) from error
        for index, char in enumerate(source.text):
            if (char < " " and char not in "\t\n\r\f\v") or "\x7f" <= char <= "\x9f" or char in "\u2028\u2029":
                raise source.invalid(index, f"has the control character {char!a}.", hint="Remove it.")
        return source

    @property
    def traced(self) -> Traced:
        """All of it, without a byte order mark."""
        start = len(BOM) if self.text.startswith(BOM) else 0
        return Traced(self.text[start:], range(start, len(self.text)))

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(index + 1 for index, char in enumerate(self.text) if char == "\n")]

    def line(self, index: int) -> int:
        """The number of the line, from 1, in which a character stands."""
        return bisect_right(self._starts, max(index, 0))

    def invalid(self, index: int, what: str, *, hint: str = "") -> BuildFileInvalid:
        """An error about the file, at a character."""
        return self.invalid_line(self.line(index), what, hint=hint)

    def invalid_line(self, line: int, what: str, *, hint: str = "") -> BuildFileInvalid:
        """An error about the file, at a line."""
        return BuildFileInvalid(f"{shown_path(self.name)}:{line} {what}", hint=hint, file=self.name, line=line)


def shown_path(name: str) -> str:
    """A file's name as a message writes it: as it is, unless a terminal might obey it."""
    return name if name.isprintable() else ascii(name)
