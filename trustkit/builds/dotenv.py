"""The variables of a ``.env`` file, as far as every reader of such files takes them alike.

docker-compose reads it by python-dotenv, docker's plugin compose by compose-go, and a shell may source it.  They
differ in quotes, escapes and variables; whoever has one of them in mind can hide a value from the other.
"""

from __future__ import annotations

import re

from trustkit.builds.source import Source

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NOTHING = re.compile(r"\s*(?:#.*)?\Z")
_VALUE = r"(?:'([^'\\$`]*)'|\"([^\"\\$`]*)\"|([^\s'\"`$\\#]*))"
_ALIKE = re.compile(rf"\s*(?:export[ \t]+)?({_NAME})[ \t]*=[ \t]*{_VALUE}[ \t]*(?:[ \t]#.*)?\Z")
_ONE_LINE = re.compile(rf"\s*(?:export[ \t]+)?({_NAME})(?:[ \t]*([=:])[ \t]*(?!['\"`]).*|[ \t]*)\Z")
_ANY = re.compile(rf"({_NAME})[ \t]*[=:]")


def read_dotenv(name: str, data: bytes) -> dict[str, str | None]:
    """The variables with their values; None for a value that readers differ about, or that asks for other variables.

    A name alone leaves its value to the environment, and isn't among them.

    Raises:
        BuildFileInvalid: a line can't be read.
    """
    source, found = Source.decode(name, data), dict[str, str | None]()
    lines = source.traced.text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        if "\r" in line:  # which ends a line for some
            raise source.invalid_line(number, "is not NAME=VALUE.")
        if _NOTHING.match(line):
            continue
        if alike := _ALIKE.match(line):
            variable, *values = alike.groups()
            found[variable] = next((value for value in values if value is not None), "")
        elif one := _ONE_LINE.match(line):
            found |= {one[1]: None} if one[2] else {}
        elif names := _ANY.findall("\n".join(lines[number - 1 :])):  # a quote, and nobody knows where it ends
            return found | dict.fromkeys(names)
        else:
            raise source.invalid_line(number, "is not NAME=VALUE.")
    return found
