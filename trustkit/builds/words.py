"""Variables in references: ``base:${V:-3}`` in Dockerfiles and in compose files, with where each character is from.

Dockerfile words are read as BuildKit's ``shell.Lex`` reads them, compose's values as compose-go's ``template`` does.
What cuts or replaces parts of a value (``#``, ``%``, ``/``) is refused: where such a value stands can't be said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from trustkit.builds.source import OUTSIDE, Traced

MAX_WORD = 4096
"""Variables may name variables, twice each: without a limit twenty lines make a gigabyte."""

_OPERATORS = ("-", "+", "?")


class BadWord(ValueError):
    """A word that can't be read; the sentence goes on after 'FILE:LINE'.

    Args:
        hint: the next step.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class UnknownValue(BadWord):
    """It depends on a variable whose value is known only where the file is used."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """A word with its variables replaced.

    Args:
        inner: where in the file text can be added at the end of the value that is the whole word, be it that of a
            variable; None where that value is set outside the file.
        outer: where text can be added at the end of the word itself.
    """

    text: Traced
    inner: int | None
    outer: int

    @classmethod
    def literal(cls, text: Traced) -> Expanded:
        """Text without variables."""
        return cls(text, text.end if text.end != OUTSIDE else None, text.end)

    @classmethod
    def given(cls, value: str) -> Expanded:
        """A value from outside the file."""
        return cls(Traced.outside(value), None, OUTSIDE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file's language writes words.

    Args:
        escape: takes the next character's meaning; empty where ``$$`` is what writes a dollar.
        empty_if_unset: a variable without a value is empty; otherwise it is an error.
        gives: how the user gives a variable its value; ``{}`` stands for its name.
        unknown: variables that may have a value where the file is used, and none here: whatever asks is refused.
        blank: variables that are empty for some builders and unset for others; what tells these apart is refused.
    """

    escape: str
    gives: str
    empty_if_unset: bool = False
    unknown: Collection[str] = ()
    blank: Collection[str] = ()


def expand(word: Traced, variables: Mapping[str, Expanded], dialect: Dialect) -> Expanded:
    """The word with its variables replaced.

    Raises:
        BadWord: it can't be read, a variable has no value, or it gets too long.
    """
    return _Reader(word, variables, dialect).until("")


class _Reader:
    def __init__(self, word: Traced, variables: Mapping[str, Expanded], dialect: Dialect) -> None:
        self._word = word
        self._variables = variables
        self._dialect = dialect
        self._next = 0
        self._depth = 0

    def until(self, stop: str, *, skipping: bool = False) -> Expanded:
        """Reads up to ``stop``, or to the end where that is empty.

        Args:
            skipping: what is read isn't used, so its variables need no values.
        """
        start, text, at = self._next, [], list[int]()
        values: list[Expanded] = []
        plain = False
        while (char := self._peek()) and char != stop:
            if char == "$":
                found = self._dollar(skipping=skipping)
                values.append(found)
            elif self._quotes(char, stop):
                found = self._quoted(char, skipping=skipping)
                values.append(found)
            else:
                found, plain = Expanded.literal(self._plain(stop)), True
            text.append(found.text.text)
            at += found.text.at
            if len(at) > max(MAX_WORD, 2 * len(self._word.text)):
                raise BadWord(f"has a word that grows beyond {MAX_WORD} characters.")
        if stop and not self._peek():
            raise BadWord(f"has a word in which {stop} is missing.", "Close the quote or the brace.")
        outer = self._word.part(start, self._next).end
        inner = values[0].inner if len(values) == 1 and not plain else outer
        return Expanded(Traced("".join(text), at), inner, outer)

    def _quotes(self, char: str, stop: str) -> bool:
        return bool(self._dialect.escape) and char in "\"'" and stop != '"'

    def _peek(self) -> str:
        return self._word.text[self._next : self._next + 1]

    def _take(self) -> Traced:
        self._next += 1
        return self._word.part(self._next - 1, self._next)

    def _plain(self, stop: str) -> Traced:
        """The characters up to the next that means something; an escaped one is one of its own."""
        if self._dialect.escape and self._peek() == self._dialect.escape:
            escape = self._take()
            if stop == '"' and self._peek() not in ('"', "$", self._dialect.escape):
                return escape
            return self._take() if self._peek() else Traced("", [])
        start = self._next
        special = {"$", '"', "'", stop, self._dialect.escape} if self._dialect.escape else {"$", stop}
        while (char := self._peek()) and (char not in special or self._next == start):
            self._next += 1
        return self._word.part(start, self._next)

    def _quoted(self, quote: str, *, skipping: bool) -> Expanded:
        self._next += 1
        if quote == '"':
            found = self.until(quote, skipping=skipping)
            self._next += 1
            return found
        end = self._word.text.find("'", self._next)
        if end < 0:
            raise BadWord("has a word in which ' is missing.", "Close the quote.")
        inside = self._word.part(self._next, end)
        self._next = end + 1
        return Expanded.literal(inside)

    def _dollar(self, *, skipping: bool) -> Expanded:
        dollar = self._take()
        if not self._dialect.escape and self._peek() == "$":
            self._next += 1
            return Expanded.literal(dollar)
        if self._peek() != "{":
            name = self._name()
            return self._value(name, skipping=skipping) if name else Expanded.literal(dollar)
        self._next += 1
        self._depth += 1
        if self._depth > 20:
            raise BadWord("has variables nested deeper than 20.")
        found = self._braces(skipping=skipping)
        self._depth -= 1
        return found

    def _braces(self, *, skipping: bool) -> Expanded:
        name = self._name()
        if not name:
            raise BadWord("has '${' without the name of a variable.", "Write ${NAME}.")
        colon = self._peek() == ":"
        self._next += colon
        operator = self._peek()
        self._next += 1
        if operator == "}" and not colon:
            return self._value(name, skipping=skipping)
        if not operator or operator not in _OPERATORS:
            raise BadWord(
                f"changes the variable {name} by a form that is not read here.",
                "Only ${V}, ${V:-x}, ${V-x}, ${V:+x}, ${V+x} and ${V:?x} are; write the value out.",
            )
        value = self._known(name, skipping=skipping)
        if value is None and not colon and name in self._dialect.blank and not skipping:
            raise self._without_value(name, UnknownValue)
        is_set = value is not None and not (colon and not value.text.text)
        uses_word = operator == "+" if is_set else operator == "-"
        word = self.until("}", skipping=skipping or not uses_word)
        self._next += 1
        if uses_word:
            return word
        if operator == "+":
            return Expanded.given("")
        if operator == "?" and not is_set and not skipping:
            raise BadWord(f"needs a value for {name}.", self._dialect.gives.format(name))
        return value if value is not None else Expanded.given("")

    def _value(self, name: str, *, skipping: bool) -> Expanded:
        value = self._known(name, skipping=skipping)
        if value is None:
            if not skipping and not self._dialect.empty_if_unset:
                raise self._without_value(name)
            return Expanded.given("")
        return value

    def _known(self, name: str, *, skipping: bool) -> Expanded | None:
        if name in self._dialect.unknown and not skipping:
            raise self._without_value(name, UnknownValue)
        return self._variables.get(name)

    def _without_value(self, name: str, kind: type[BadWord] = BadWord) -> BadWord:
        return kind(f"uses {name}, which has no value.", self._dialect.gives.format(name))

    def _name(self) -> str:
        start = self._next
        while (char := self._peek()) and (char.isalnum() or char == "_"):
            self._next += 1
        name = self._word.text[start : self._next]
        if name[:1].isdigit() or not name.isascii():
            raise BadWord(f"has {name!a}, which is no variable's name.", "Write ${NAME}.")
        return name
