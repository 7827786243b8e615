"""The rows of one table in a dump of SQL, found without reading the dump into memory.

Three forms: what ``pg_dump`` writes as COPY, what it writes as INSERT, and ``mysqldump`` of MySQL's and MariaDB's.
A row is told with its place in the file, from which it is read again.  Nothing here is believed: a dump that is put
together by somebody else gives rows that don't verify.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from trustkit.core.records import dataclass
from trustkit.errors import Garbage, TooLarge

MAX_ROW = 64 * 1024 * 1024
"""Bytes of one row, or of one line; a file of metadata has 10 MB at most, as hexadecimal digits 20."""

CHUNK = 1024 * 1024
COPY, POSTGRES, MYSQL = "copy", "postgres", "mysql"

_HEX = re.compile(rb"\\x((?:[0-9A-Fa-f]{2})*)\Z")
_NAME = rb'(?:[`"]?[A-Za-z_][A-Za-z0-9_$]*[`"]?\.)?[`"]?%s[`"]?'
_COPY = re.compile(rb"COPY (\S+) \(([^)]*)\) FROM stdin;\r?\n\Z")
_IDENTIFIER = re.compile(rb'[`"]?([A-Za-z_][A-Za-z0-9_]*)[`"]?')
_NOT_COLUMNS = {b"primary", b"unique", b"key", b"constraint", b"index", b"check", b"fulltext"}
_SPACE = re.compile(rb"[ \t\r\n]*")
_VALUES = {
    POSTGRES: re.compile(rb"[ \t\r\n]*(NULL|true|false|-?[0-9.]++(?![0-9.])|E?'(?:[^']++|'')*+')[ \t\r\n]*([,)])"),
    MYSQL: re.compile(
        rb"[ \t\r\n]*(NULL|0x[0-9A-Fa-f]*+|-?[0-9.]++|(?:_[a-z0-9]+ ?)?'(?:[^'\\]++|\\.|'')*+')[ \t\r\n]*([,)])",
        re.DOTALL,
    ),
}
_OF_COPY = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_OF_MYSQL = re.compile(rb"\\(.)|''", re.DOTALL)
_BYTEA = re.compile(rb"\\(?:([0-7]{3})|\\)")
_COPY_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_MYSQL_LETTERS = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}

Row = Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row begins in the file, in which form, and what its columns are."""

    offset: int
    form: str
    columns: tuple[str, ...]


def rows(file: BinaryIO, table: str, usual: Sequence[str]) -> Iterator[tuple[RowPlace, Row]]:
    """Every row of a table, in the order of the file.

    Args:
        usual: its columns where the dump says nowhere which they are.

    Raises:
        Garbage: the statements about this table break off, or are none of these forms.
        TooLarge: a row, or a line.
    """
    yield from _Scan(file, table, tuple(usual))()


def row_at(file: BinaryIO, place: RowPlace) -> Row:
    """A row once more; raises Garbage where the file has changed."""
    file.seek(place.offset)
    if place.form == COPY:
        return _copied(_line(file), place.columns)
    buffer = b""
    while True:
        more = file.read(CHUNK)
        buffer += more
        found = _tuple(buffer, 0, place.form)
        if found is not None:
            return _named(found[0], place)
        if not more or len(buffer) > MAX_ROW:
            raise _broken_off()


def is_plain(start: bytes) -> bool:
    """Whether a file is one of text: no archive of ``pg_dump -Fc``, and nothing compressed."""
    return not start.startswith((b"PGDMP", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"PK")) and (
        b"\0" not in start
    )


class _Scan:
    """One pass over a file."""

    def __init__(self, file: BinaryIO, table: str, usual: tuple[str, ...]) -> None:
        self._file = file
        self._table = table
        self._columns = usual
        self._mysql = False
        name = _NAME % table.encode("ascii")
        self._create = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?" + name + rb" \(", re.IGNORECASE)
        self._insert = re.compile(
            rb"INSERT (?:IGNORE )?INTO " + name + rb"(?: \(([^)]*)\))? VALUES\s*", re.IGNORECASE
        )

    def __call__(self) -> Iterator[tuple[RowPlace, Row]]:
        while line := _line(self._file):
            if line.startswith((b"-- MySQL dump", b"-- MariaDB dump", b"/*M!")):
                self._mysql = True
            elif found := _COPY.match(line):
                yield from self._copy(found)
            elif self._create.match(line):
                self._columns = self._created()
            elif found := self._insert.match(line):
                yield from self._inserted(found, line)

    def _copy(self, found: re.Match[bytes]) -> Iterator[tuple[RowPlace, Row]]:
        table, columns = found[1].rpartition(b".")[2].strip(b'"'), _columns(found[2])
        ours = table == self._table.encode("ascii")
        while True:
            offset = self._file.tell()
            line = _line(self._file)
            if line.rstrip(b"\r\n") == b"\\.":
                return
            if not line:
                raise _broken_off()
            if ours:
                yield RowPlace(offset, COPY, columns), _copied(line, columns)

    def _created(self) -> tuple[str, ...]:
        names = list[str]()
        while (line := _line(self._file)) and not line.lstrip().startswith(b")"):
            found = _IDENTIFIER.match(line.strip())
            if found and found[1].lower() not in _NOT_COLUMNS:
                names.append(found[1].decode("ascii"))
        return tuple(names)

    def _inserted(self, found: re.Match[bytes], line: bytes) -> Iterator[tuple[RowPlace, Row]]:
        """The tuples of one statement, which may go over several lines."""
        form = MYSQL if self._mysql or b"`" in line[: found.end()] else POSTGRES
        columns = _columns(found[1]) if found[1] else self._columns
        buffer, position = line, found.end()
        begins = self._file.tell() - len(line)
        while True:
            position = _past_spaces(buffer, position)
            read = _tuple(buffer, position, form)
            if read is None:
                if not (more := _line(self._file)) or len(buffer) - position > MAX_ROW:
                    raise _broken_off()
                begins += position
                buffer, position = buffer[position:] + more, 0
                continue
            place = RowPlace(begins + position, form, columns)
            yield place, _named(read[0], place)
            position = _past_spaces(buffer, read[1])
            if position == len(buffer):
                begins, buffer, position = self._file.tell(), _line(self._file), 0
                position = _past_spaces(buffer, position)
            if buffer[position : position + 1] == b",":
                position += 1
            else:
                return  # a semicolon, or ON CONFLICT DO NOTHING and then one


def _line(file: BinaryIO) -> bytes:
    line = file.readline(MAX_ROW + 1)
    if len(line) > MAX_ROW:
        raise TooLarge(f"The dump has a line of more than {MAX_ROW:,} bytes.")
    return line


def _past_spaces(buffer: bytes, position: int) -> int:
    found = _SPACE.match(buffer, position)
    return found.end() if found else position


def _tuple(buffer: bytes, position: int, form: str) -> tuple[list[bytes | None], int] | None:
    """The values of a tuple, and where it ends; None where it goes on behind the buffer, or is none."""
    if buffer[position : position + 1] != b"(":
        return None
    values, position = list[bytes | None](), position + 1
    while found := _VALUES[form].match(buffer, position):
        values.append(_mysql_value(found[1]) if form == MYSQL else _postgres_value(found[1]))
        position = found.end()
        if found[2] == b")":
            return values, position
    return None


def _postgres_value(text: bytes) -> bytes | None:
    if text == b"NULL":
        return None
    if text.startswith(b"E'"):
        return _OF_COPY.sub(_copy_letter, text[2:-1].replace(b"''", b"'"))
    return text[1:-1].replace(b"''", b"'") if text.startswith(b"'") else text


def _mysql_value(text: bytes) -> bytes | None:
    if text == b"NULL":
        return None
    if text.startswith(b"0x"):
        return bytes.fromhex(text[2:].decode("ascii")) if len(text) % 2 == 0 else b""
    if not text.endswith(b"'"):
        return text
    return _OF_MYSQL.sub(lambda found: _MYSQL_LETTERS.get(found[1], found[1]) if found[1] else b"'",
                         text[text.index(b"'") + 1 : -1])  # fmt: skip


def _copied(line: bytes, columns: Sequence[str]) -> Row:
    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) != len(columns):
        raise Garbage(f"The dump has a row of {len(fields)} values for {len(columns)} columns.")
    return {
        name: None if field == b"\\N" else _OF_COPY.sub(_copy_letter, field)
        for name, field in zip(columns, fields, strict=True)
    }


def _copy_letter(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes([int(found[1], 8) & 255])
    if found[2]:
        return bytes([int(found[2], 16)])
    return _COPY_LETTERS.get(found[3], found[3])


def bytea(value: bytes) -> bytes:
    """The bytes of a text that PostgreSQL writes for them, in either of its forms; raises Garbage."""
    if found := _HEX.match(value):
        return bytes.fromhex(found[1].decode("ascii"))
    try:
        return _BYTEA.sub(lambda found: bytes([int(found[1], 8)]) if found[1] else b"\\", value)
    except ValueError as error:
        raise Garbage("The dump has bytes that can't be read.") from error


def _named(values: Sequence[bytes | None], place: RowPlace) -> Row:
    if len(values) != len(place.columns):
        raise Garbage(
            f"The dump has a row of {len(values)} values for the columns {', '.join(place.columns)}.",
            hint="Dump with --column-inserts (pg_dump) or --complete-insert (mysqldump).",
        )
    return dict(zip(place.columns, values, strict=True))


def _columns(text: bytes) -> tuple[str, ...]:
    return tuple(found.decode("ascii") for found in _IDENTIFIER.findall(text))


def _broken_off() -> Garbage:
    return Garbage(
        "The dump breaks off, or has statements that can't be read.",
        hint="Dump the table tuf_files anew: pg_dump -t tuf_files, or mysqldump DATABASE tuf_files.",
    )
