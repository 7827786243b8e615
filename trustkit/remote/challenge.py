"""``WWW-Authenticate`` read as RFC 9110, 11.6.1 has it: several challenges, quoted strings, commas between all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from trustkit.core.records import dataclass

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"({_WORD})(?=[ \t]|,|\Z)")
_PARAMETER = re.compile(rf"({_WORD})[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|({_WORD}))[ \t]*(?=,|\Z)", re.DOTALL)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)")
_GAP = re.compile(r"[ \t,]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
MAX_HEADER = 16 * 1024


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: its scheme and parameter names in lower case.  Of a parameter that stands twice none is left."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Every challenge of the header's values, in order, as far as they can be read.

    Never raises: what follows a fault is left out, so a faulty header leads to fewer challenges, not to other ones.
    """
    found: list[Challenge] = []
    for value in values:
        found.extend(_parse(value[:MAX_HEADER]))
    return found


def _parse(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = _skip(text, 0)
    while scheme := _SCHEME.match(text, at):
        at = _skip(text, scheme.end())
        pairs: list[tuple[str, str]] = []
        while parameter := _PARAMETER.match(text, at):
            name, quoted, plain = parameter.groups()
            pairs.append((name.lower(), _ESCAPE.sub(r"\1", quoted) if plain is None else plain))
            at = _skip(text, parameter.end())
        if not pairs and (other := _TOKEN68.match(text, at)) and not _comma_follows(text, scheme.end()):
            at = _skip(text, other.end())
        found.append(Challenge(scheme[1].lower(), _once(pairs)))
    return found


def _comma_follows(text: str, at: int) -> bool:
    return "," in text[at : _skip(text, at)]


def _skip(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}
