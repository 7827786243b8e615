"""Small files of a home: one JSON object each, locked while it changes, whole or as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from trustkit.core import strictjson
from trustkit.errors import StateError, TrustkitError
from trustkit.home.files import read_bounded, write_atomically
from trustkit.home.locks import exclusive

SCHEMA = 1
MIB = 1024 * 1024

Value = TypeVar("Value")


class Document(Generic[Value]):
    """A file ``{"version": 1, MEMBER: ...}``, with its lock file beside it.

    One that is damaged is an error, never an empty one.

    Args:
        path: the file; it need not exist.
        member: the name of the one member beside ``version``.
        read: that member's value from JSON; raises TrustkitError, ValueError or TypeError for what is none.
        written: the value as JSON.
        what: what it holds, as the beginning of a sentence: ``The pins in``; empty for the path alone.
        hint: what to do about a damaged one.
        max_bytes: a longer file is refused.
    """

    def __init__(
        self,
        path: Path,
        member: str,
        *,
        read: Callable[[Any], Value],
        written: Callable[[Value], Any],
        hint: str,
        what: str = "",
        max_bytes: int = 4 * MIB,
    ) -> None:
        self.path = path
        self._member = member
        self._read = read
        self._written = written
        self._what = what
        self._hint = hint
        self._max = max_bytes

    def changing(self) -> AbstractContextManager[None]:
        """The lock, for reading and saving in one step; not reentrant; raises StateError where it can't be had."""
        return exclusive(self.path.with_name(f".{self.path.name}.lock"))

    def load(self) -> Value | None:
        """What the file holds; None where there is none; raises StateError where it is damaged."""
        data = read_bounded(self.path, self._max, trusted=True)
        return None if data is None else self.parse(data, str(self.path), hint=self._hint)

    def save(self, value: Value) -> None:
        """Puts this in the file's place, on disk when it returns; raises StateError."""
        write_atomically(self.path, self.serialise(value))

    def parse(self, data: bytes, where: str, *, hint: str = "") -> Value:
        """What bytes hold that ``serialise`` gave.

        Args:
            where: where they came from, for errors.

        Raises:
            StateError: they are damaged.
        """
        try:
            document = strictjson.parse(data, max_bytes=self._max, what=where)
            if document.keys() != {"version", self._member}:
                raise ValueError(f"its members are not 'version' and '{self._member}'")
            if document["version"] != SCHEMA:
                raise ValueError("another version of trustkit wrote it")
            return self._read(document[self._member])
        except (TrustkitError, ValueError, TypeError) as error:
            why = str(getattr(error, "message", error)).removesuffix(".")
            raise StateError(f"{self._what} {where} can't be read: {why}.".lstrip(), hint=hint) from error

    def serialise(self, value: Value) -> bytes:
        """The bytes of the file, which a person can read and mend."""
        document = {"version": SCHEMA, self._member: self._written(value)}
        return json.dumps(document, indent=1).encode("ascii") + b"\n"
