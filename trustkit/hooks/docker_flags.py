"""Docker's command lines, read as docker reads them (pflag), by the flags that its own ``--help`` lists.

No list of docker's flags is kept here, so a flag that is new in docker is known as soon as docker is.  Where it can't
be said whether the next word is a flag's value or an image, the command line is refused: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from trustkit.core.names import shown
from trustkit.errors import EngineFailed, UsageError

OURS = "disable-content-trust"
"""Docker's flag, which newer dockers only ignore or don't have: it is read and taken out here."""
_HIDDEN = {"net": True, "net-alias": True, "dns-opt": True, OURS: False}
"""Flags that docker has and doesn't list (``container/opts.go`` of docker/cli), and whether they take a value."""
_LINE = re.compile(r"\s{2,6}(?:-([A-Za-z0-9]), )?\s*--([A-Za-z0-9][A-Za-z0-9-]*)(?: ?(\S+))?(?:\s{2,}.*)?\Z")
FALSE = ("0", "f", "F", "false", "FALSE", "False")


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of one of docker's commands.

    Args:
        values: the name of each flag, and whether it takes a value.
        short: the one-letter spellings, with the name that each stands for.
    """

    values: dict[str, bool]
    short: dict[str, str]

    @classmethod
    def of_help(cls, text: str) -> Flags:
        """What ``docker COMMAND --help`` lists.

        Raises:
            EngineFailed: it lists no flag, so it is no help of docker's.
        """
        values, short = dict(_HIDDEN), {}
        for line in text.splitlines():
            found = _LINE.match(line)
            if not found:
                continue
            letter, name, kind = found.groups()
            values[name] = bool(kind) and kind != "count" and "[=" not in kind
            if letter:
                short[letter] = name
        if len(values) == len(_HIDDEN):
            raise EngineFailed("docker's --help lists no flags, so its command line can't be read.")
        return cls(values, short)


@dataclass(frozen=True, slots=True)
class Given:
    """A flag on a command line.

    Args:
        name: its long name.
        value: None for a flag without one.
        start: the first of its words.
        end: after the last of its words.
        within: where its value begins in the word before ``end``.
    """

    name: str
    value: str | None
    start: int
    end: int
    within: int = 0


@dataclass(slots=True)
class Line:
    """A command line, read.

    Args:
        words: as given, after the command's name.
        arguments: the indexes of the words that are no flags; after the first one all of them, where flags end there.
    """

    words: tuple[str, ...]
    given: list[Given] = field(default_factory=list)
    arguments: list[int] = field(default_factory=list)

    def value(self, name: str) -> str | None:
        """The value that counts for a flag: the last one."""
        return next(reversed(self.values(name)), None)

    def values(self, name: str) -> list[str]:
        """All values of a flag, in their order; a flag without a value is ``true``."""
        return ["true" if each.value is None else each.value for each in self.given if each.name == name]

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        value = self.value(name)
        return value is not None and value not in FALSE

    def flags(self, *but: str) -> list[str]:
        """The words of the flags alone, without those of some flags."""
        kept = {at for each in self.given if each.name not in but for at in range(each.start, each.end)}
        return [word for at, word in enumerate(self.words) if at in kept]

    def edited(self, *, arguments: dict[int, str], flags: dict[int, str | None] | None = None) -> list[str]:
        """The words with others in their places.

        Args:
            arguments: new words, by index.
            flags: new values of flags, by their place in ``given``; None takes a flag out.
        """
        words: list[str | None] = list(self.words)
        for index, word in arguments.items():
            words[index] = word
        for place, value in (flags or {}).items():
            each = self.given[place]
            if value is None:
                words[each.start : each.end] = [None] * (each.end - each.start)
            else:
                words[each.end - 1] = self.words[each.end - 1][: each.within] + value
        return [word for word in words if word is not None]


def read_line(words: Sequence[str], flags: Callable[[], Flags], *, interspersed: bool) -> Line:
    """Reads a command line.

    Args:
        words: after the command's name.
        flags: gives the command's flags; asked only where there is one to look up.
        interspersed: whether flags may come after arguments (``build``), or end with the first one (``run``).

    Raises:
        UsageError: nobody can say where a flag ends, or it has no value.
        EngineFailed: docker doesn't tell its flags.
    """
    line, index, flags = Line(tuple(words)), 0, cache(flags)
    while index < len(words):
        word = words[index]
        if word == "--":
            line.arguments += range(index + 1, len(words))
            break
        if not word.startswith("-") or word == "-":
            line.arguments.append(index)
            if not interspersed:
                line.arguments += range(index + 1, len(words))
                break
            index += 1
            continue
        found = list(_long(words, index, flags) if word.startswith("--") else _short(words, index, flags()))
        line.given += found
        index = found[-1].end
    return line


def _long(words: Sequence[str], index: int, flags: Callable[[], Flags]) -> Iterator[Given]:
    word = words[index]
    name, equals, value = word[2:].partition("=")
    if equals:  # whatever the flag is, it ends here
        yield Given(name, value, index, index + 1, 2 + len(name) + 1)
    elif name == "help":
        yield Given(name, None, index, index + 1)
    elif name not in flags().values:
        raise _unknown(f"--{name}", f"--{name}=VALUE")
    elif flags().values[name]:
        yield Given(name, _next(words, index, f"--{name}"), index, index + 2)
    else:
        yield Given(name, None, index, index + 1)


def _short(words: Sequence[str], index: int, flags: Flags) -> Iterator[Given]:
    """The flags of a word such as ``-it`` or ``-p80:80``; the word is told apart as a whole, so none is taken out."""
    letters = words[index][1:]
    for place, letter in enumerate(letters):
        rest = letters[place + 1 :]
        name = flags.short.get(letter)
        if name is None:
            raise _unknown(f"-{letter}", "its long name, with =VALUE")
        if rest.startswith("="):
            yield Given(name, rest[1:], index, index + 1, place + 3)
            return
        if flags.values[name]:
            if rest:
                yield Given(name, rest, index, index + 1, place + 2)
            else:
                yield Given(name, _next(words, index, f"-{letter}"), index, index + 2)
            return
        yield Given(name, None, index, index + 1)


def _next(words: Sequence[str], index: int, flag: str) -> str:
    if index + 1 == len(words):
        raise UsageError(f"{flag} has no value.", hint="Write one after it.")
    return words[index + 1]


def _unknown(flag: str, instead: str) -> UsageError:
    return UsageError(
        f"docker's --help lists no flag {shown(flag)}, so nobody can say whether the next word is its value or the "
        "image.",
        hint=f"Write {instead if instead.isprintable() else '--FLAG=VALUE'}, which can't be misread.",
    )
