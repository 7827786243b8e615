"""The instructions of a Dockerfile, by BuildKit's own parser, and where their words stand in the file.

The parser (the package ``dockerfile``, which is BuildKit's Go code) says what the instructions are, so that no
reading of ours differs from what is built.  It gives no positions: here the lines that it names are joined again,
and where the result isn't what the parser made of them, the file is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trustkit.builds.source import Source, Traced
from trustkit.errors import BuildFileInvalid, InvalidSetting

KNOWN = frozenset(
    (
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
        *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    )
)
_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*\Z")
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_HEREDOC = re.compile(r"<<(-?)([\"']?)([A-Za-z_][A-Za-z0-9_]*)\2")
_NEEDS_VALUE = frozenset({"--from", "--mount", "--platform"})
MAX_GOING_ON = 20_000
"""The parser copies what it has of an instruction with every line: 200,000 lines take it a minute.  So do those of a
here-document, which only a ``<`` can begin."""

MAX_TRIED = 10_000
"""Lines that are looked through for the one that an error is about."""

_SPACE = " \t\v\f\r\n"


@dataclass(frozen=True, slots=True)
class Directive:
    """A parser directive: ``# escape=...``, ``# syntax=...``, ``# check=...``."""

    name: str
    value: Traced


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Args:
        name: in upper case.
        flags: without their dashes; a quoted one has no places in the file.
        words: what follows the flags, as far as the parser divides it.
        trigger: of an ONBUILD, the instruction that it keeps for later.
    """

    name: str
    line: int
    flags: tuple[Traced, ...]
    words: tuple[Traced, ...]
    trigger: Instruction | None = None


class Instructions:
    """A Dockerfile's directives and instructions.

    Args:
        text: the Dockerfile, which may be a part of the file.

    Raises:
        BuildFileInvalid: a syntax error, with its line where that can be found.
        InvalidSetting: the parser isn't installed.
    """

    def __init__(self, source: Source, text: Traced) -> None:
        self._source = source
        self._text = text
        self._lines = _lines(text)
        goes_on = [
            number for number, line in enumerate(self._lines, 1) if line.text.rstrip(" \t")[-1:] in ("\\", "`")
        ]
        if len(goes_on) > MAX_GOING_ON:
            raise self._invalid(goes_on[MAX_GOING_ON], f"is past {MAX_GOING_ON} lines that go on in the next.")
        begins = next((number for number, line in enumerate(self._lines, 1) if "<" in line.text), len(self._lines))
        if len(self._lines) - begins > MAX_GOING_ON:
            raise self._invalid(begins, f"may begin a here-document, and more than {MAX_GOING_ON} lines follow it.")
        self.directives = list(self.directives_from(0))
        self.escape = next((each.value.text for each in self.directives if each.name == "escape"), "\\")
        if self.escape not in ("\\", "`"):
            raise self._invalid(1, "has an escape directive that is neither \\ nor `.")
        self._parsed = self._parse_all()

    def __iter__(self) -> Iterator[Instruction]:
        for command in self._parsed:
            name = (command.cmd or "").upper()
            if name not in KNOWN:
                raise self._invalid(command.start_line, f"has {name[:40]!a}, which is no instruction.")
            if name in ("FROM", "ARG", "ONBUILD") or (name in ("COPY", "RUN", "ADD") and command.flags):
                yield self._instruction(name, command)

    def line(self, number: int) -> int:
        """The line in the file of a line of this Dockerfile, both from 1."""
        at = self._lines[min(number, len(self._lines)) - 1].at
        return self._source.line(at[0]) if at else number

    def _invalid(self, number: int, what: str, hint: str = "") -> BuildFileInvalid:
        return self._source.invalid_line(self.line(number), what, hint=hint)

    def directives_from(self, first: int) -> Iterator[Directive]:
        """The directives that begin at a line, the first one being 0."""
        seen = set()
        for number, line in enumerate(self._lines[first:], first + 1):
            found = _DIRECTIVE.match(line.text)
            if not found or (name := found[1].lower()) not in _DIRECTIVES:
                return
            if name in seen:
                raise self._invalid(number, f"is a second {name} directive.", "Remove one.")
            seen.add(name)
            yield Directive(name, line.part(*found.span(2)))

    def _parse_all(self) -> list[Any]:
        parser = _parser()
        try:
            return list(parser.parse_string(self._text.text))
        except parser.GoParseError as error:
            number = self._line_of(parser, str(error))
            raise self._invalid(number, f"is not a Dockerfile: {ascii(str(error))[1:-1][:200]}.") from error

    def _line_of(self, parser: Any, problem: str) -> int:
        """The line of the instruction in which the parser finds the same problem when it reads that one alone."""
        number, prefix = 0, f"# escape={self.escape}\n"
        while number < min(len(self._lines), MAX_TRIED):
            start = number
            if self._lines[start].text.lstrip()[:1] in ("", "#"):
                number += 1
                continue
            number = self._end_of_logical(number)
            chunk = "\n".join(line.text for line in self._lines[start:number])
            try:
                parser.parse_string(f"{prefix}{chunk}\n")
            except parser.GoParseError as error:
                if "heredoc" in str(error):
                    end = self._end_of_heredocs(chunk, number)
                    if end is not None:
                        number = end
                        continue
                if str(error) == problem and problem != "file with no instructions":
                    return start + 1
        return 1

    def _end_of_logical(self, number: int) -> int:
        while number < len(self._lines):
            text = self._lines[number].text
            number += 1
            if not (text.rstrip(" \t").endswith(self.escape) or text.lstrip().startswith("#")):
                break
        return number

    def _end_of_heredocs(self, chunk: str, number: int) -> int | None:
        for dash, _, name in _HEREDOC.findall(chunk):
            for index in range(number, len(self._lines)):
                text = self._lines[index].text
                if (text.lstrip("\t") if dash else text) == name:
                    number = index + 1
                    break
            else:
                return None
        return number

    def _joined(self, first: int, last: int) -> Traced:
        """The lines as one, comments and line ends inside removed, as BuildKit does it."""
        text, at = [], list[int]()
        for number in range(first - 1, last):
            line = self._lines[number]
            stripped = line.text.lstrip()
            if number == first - 1:
                line = line.part(len(line.text) - len(stripped), len(line.text))
            elif not stripped or stripped.startswith("#"):
                continue
            kept = line.text.rstrip(" \t")
            goes_on = kept.endswith(self.escape) and not kept.endswith(self.escape * 2)
            part = line.part(0, len(kept) - 1) if goes_on else line
            text.append(part.text)
            at += part.at
            if not goes_on:
                break
        return Traced("".join(text), at)

    def _instruction(self, name: str, command: Any) -> Instruction:
        joined = self._joined(command.start_line, command.end_line)
        if command.original.partition("\n")[0] != joined.text:
            raise self._invalid(
                command.start_line, f"({name}) is written in a way that can't be followed.", "Write it on one line."
            )
        line = self.line(command.start_line)
        rest = _after(joined, len(command.cmd))
        rest = _after(rest, len(rest.text) - len(rest.text.lstrip()))
        if name == "ONBUILD":
            return Instruction(name, line, (), (), trigger=self._trigger(rest, line))
        return self._read(name, line, rest, command.flags, command.value)

    def _trigger(self, rest: Traced, line: int) -> Instruction | None:
        parser = _parser()
        try:
            (command,) = parser.parse_string(f"# escape={self.escape}\n{rest.text}\n")
        except ValueError as error:
            raise self._source.invalid_line(line, "(ONBUILD) can't be read.") from error
        name = command.cmd.upper()
        if name in ("FROM", "ONBUILD") or name not in KNOWN:
            raise self._source.invalid_line(line, f"(ONBUILD) can't have {name[:40]!a}.")
        return self._read(name, line, _after(rest, len(command.cmd)), command.flags, command.value)

    def _read(
        self, name: str, line: int, rest: Traced, flags: tuple[str, ...], values: tuple[str, ...]
    ) -> Instruction:
        if bare := _NEEDS_VALUE & {flag.partition("=")[0] for flag in flags if "=" not in flag}:
            raise self._source.invalid_line(line, f"({name}) has {min(bare)} without '=' and a value.")
        traced, rest = _flags(rest, flags)
        words = _words(rest, values) if name in ("FROM", "ARG") else ()
        if words is None:
            raise self._source.invalid_line(line, f"({name}) is written in a way that can't be followed.")
        return Instruction(name, line, traced, words)


def _flags(rest: Traced, flags: tuple[str, ...]) -> tuple[tuple[Traced, ...], Traced]:
    """The flags with their places, and what follows them.  Those that are quoted or escaped have no places."""
    found, position = [], 0
    for flag in flags:
        while position < len(rest.text) and rest.text[position] in _SPACE:
            position += 1
        end = position + len(flag)
        if rest.text[position:end] != flag or not (end == len(rest.text) or rest.text[end] in _SPACE):
            return tuple(Traced.outside(each[2:]) for each in flags), Traced("", [])
        found.append(rest.part(position + 2, end))
        position = end
    return tuple(found), rest.part(position, len(rest.text))


def _words(rest: Traced, values: tuple[str, ...]) -> tuple[Traced, ...] | None:
    """The parser's words with their places; None where they aren't all of what is written."""
    found, position = [], 0
    for value in values:
        while position < len(rest.text) and rest.text[position].isspace():
            position += 1
        end = position + len(value)
        if rest.text[position:end] != value:
            return None
        found.append(rest.part(position, end))
        position = end
    return None if rest.text[position:].strip() else tuple(found)


def _after(text: Traced, length: int) -> Traced:
    return text.part(length, len(text.text))


def _lines(text: Traced) -> list[Traced]:
    """Lines without their ends, divided at line feeds only."""
    found, start = [], 0
    for line in text.text.split("\n"):
        found.append(text.part(start, start + len(line.removesuffix("\r"))))
        start += len(line) + 1
    return found


def _parser() -> Any:
    try:
        import dockerfile
    except ImportError as error:
        raise InvalidSetting(
            "Reading Dockerfiles needs a parser that is not installed.", hint="pip install 'trustkit[resolve]'"
        ) from error
    return dockerfile
