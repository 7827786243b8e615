"""The policy file: TOML that a person writes, read strictly, with line and column of what is wrong.

Its members are described by ``trustkit/home/policy.schema.json``; a test holds the two to each other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn

from trustkit.core.names import Gun, Host, Repository, SignerName, looks_like_host, shown
from trustkit.core.offline import parse_age
from trustkit.core.patterns import GunPattern
from trustkit.core.pincheck import FORMATS, check_pin
from trustkit.core.policy import EVERYTHING, Demand, Mirror, Mode, Policy, Rule
from trustkit.core.policyplaces import Place, locate, position
from trustkit.core.ports.remote import Pin
from trustkit.errors import InvalidSetting, UsageError

VERSION = 1
MAX_BYTES = 1024 * 1024
MAX_RULES = 10_000

_TOP = {"version": int, "rule": list, "mirror": list}
_RULE = {
    "pattern": str,
    "mode": str,
    "root_keys": list,
    "root_threshold": int,
    "root_file": str,
    "ca_file": str,
    "format": str,
    "signers": list,
    "signers_needed": int,
    "max_staleness": str,
    "digests": str,
    "detect": bool,
}
_MIRROR = {"location": str, "home": str}
_KINDS = {int: "a whole number", str: "text", list: "a list", bool: "true or false", dict: "a table"}
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


def parse(data: bytes, *, where: str, root_file: Callable[[str], bytes]) -> Policy:
    """The policy that a file holds.

    Args:
        data: the file's bytes.
        where: the file, for people.
        root_file: reads a file that a rule names; raises TrustkitError.

    Raises:
        InvalidSetting: it isn't one; the message has line and column, and the context ``line`` and ``column``.
    """
    return _File(data, where, root_file).policy()


class _File:
    """One file while it is read."""

    def __init__(self, data: bytes, where: str, root_file: Callable[[str], bytes]) -> None:
        self._where = where
        self._root_file = root_file
        if len(data) > MAX_BYTES:
            raise InvalidSetting(f"{where} has more than {MAX_BYTES} bytes.")
        try:
            self._text = data.decode()
        except UnicodeDecodeError as error:
            line, column = position(data[: error.start].decode(errors="replace"))
            self._refuse_at(line, column, "it is no UTF-8")
        try:
            self._document: dict[str, Any] = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            self._refuse_toml(str(error))
        except RecursionError:
            self._refuse_at(1, 1, "it is nested too deep")

    def policy(self) -> Policy:
        self._members((), self._document, _TOP)
        if self._document.get("version") != VERSION:
            self._refuse(("version",), f"version has to be {VERSION}")
        rules, mirrors = self._tables("rule"), self._tables("mirror")
        return Policy(
            tuple(self._unlike(rules, self._rule, "rule", lambda rule: rule.name)),
            tuple(self._unlike(mirrors, self._mirror, "mirror", lambda mirror: mirror.location)),
            self._where,
        )

    def _tables(self, name: str) -> Sequence[Mapping[str, Any]]:
        tables: list[Any] = self._document.get(name, [])
        if len(tables) > MAX_RULES:
            self._refuse((name,), f"more than {MAX_RULES} of [[{name}]]")
        for number, table in enumerate(tables):
            if not isinstance(table, dict):
                self._refuse((name, number), f"{name} has to be tables, each under [[{name}]]")
        return tables

    def _unlike(self, tables: Any, read: Any, name: str, key: Any) -> Any:
        seen: set[str] = set()
        for number, table in enumerate(tables):
            place = (name, number)
            value = self._ours(place, partial(read, place, table))
            if key(value) in seen:
                first = "pattern" if name == "rule" else "location"
                self._refuse((*place, first), f"{key(value)} stands twice, so nobody can say which one counts")
            seen.add(key(value))
            yield value

    def _rule(self, place: Place, table: Mapping[str, Any]) -> Rule:
        self._members(place, table, _RULE)
        if "pattern" not in table:
            self._refuse(place, "a rule has no pattern")
        text = table["pattern"]
        pattern = None if text == EVERYTHING else self._at(place, "pattern", lambda: GunPattern.parse(text))
        mode = self._mode(place, table)
        if mode is not Mode.TRUST_ONLY and (idle := sorted(set(table) - {"pattern", "mode", "detect"})):
            self._refuse((*place, idle[0]), f"{idle[0]} means nothing where mode is {mode}")
        keys = tuple(self._texts(place, table, "root_keys"))
        signers = tuple(
            self._at(place, "signers", partial(SignerName.parse, name))
            for name in self._texts(place, table, "signers")
        )
        rule = Rule(
            pattern,
            mode,
            root_keys=keys,
            root_threshold=self._count(place, table, "root_threshold", "root_keys", keys),
            root=self._root(place, table, pattern),
            authorities=self._at(place, "ca_file", lambda: self._root_file(table["ca_file"]))
            if "ca_file" in table
            else None,
            format=self._format(place, table),
            signers=signers,
            signers_needed=self._count(place, table, "signers_needed", "signers", signers),
            max_staleness=self._at(place, "max_staleness", lambda: parse_age(table["max_staleness"]))
            if "max_staleness" in table
            else timedelta(0),
            digests=self._digests(place, table),
            detect=table.get("detect", False),
        )
        self._check(place, rule)
        return rule

    def _check(self, place: Place, rule: Rule) -> None:
        """That pins and demands can be met."""
        given = {"root_keys": rule.root_keys or None, "root_file": rule.root, "ca_file": rule.authorities}
        named = [name for name, value in given.items() if value is not None]
        for one, other in pairwise(named):
            self._refuse((*place, other), f"{one} and {other} exclude each other")
        for name in named:
            pin = Pin(
                rule.name if rule.pattern else "any.example/*",
                rule.root,
                rule.root_keys,
                rule.root_threshold,
                rule.format,
                rule.authorities,
            )
            self._at(place, name, partial(check_pin, pin))
        if rule.signers:
            self._at(place, "signers", lambda: Demand(rule.pattern, rule.signers, rule.signers_needed))

    def _mode(self, place: Place, table: Mapping[str, Any]) -> Mode:
        try:
            return Mode(table.get("mode", Mode.TRUST_ONLY))
        except ValueError:
            self._refuse((*place, "mode"), f"mode has to be one of {', '.join(Mode)}")

    def _format(self, place: Place, table: Mapping[str, Any]) -> str:
        word = str(table.get("format", "tuf"))
        if word not in FORMATS:
            self._refuse((*place, "format"), f"format has to be one of {', '.join(sorted(FORMATS))}")
        if "format" in table and not table.keys() & {"root_keys", "root_file", "ca_file"}:
            self._refuse((*place, "format"), "format means nothing without root_keys, root_file or ca_file")
        return word

    def _digests(self, place: Place, table: Mapping[str, Any]) -> bool:
        word = table.get("digests", "signed")
        if word not in ("signed", "refuse"):
            self._refuse((*place, "digests"), "digests has to be signed or refuse")
        return bool(word == "signed")

    def _count(self, place: Place, table: Mapping[str, Any], name: str, of: str, values: Sequence[object]) -> int:
        if name in table and not values:
            self._refuse((*place, name), f"{name} means nothing without {of}")
        return int(table.get(name, len(values)))

    def _root(self, place: Place, table: Mapping[str, Any], pattern: GunPattern | None) -> bytes | None:
        if "root_file" not in table:
            return None
        if pattern is None or not pattern.exact:
            self._refuse((*place, "root_file"), "a root file belongs to one repository, and this is a pattern")
        root: bytes = self._at(place, "root_file", lambda: self._root_file(table["root_file"]))
        return root

    def _mirror(self, place: Place, table: Mapping[str, Any]) -> Mirror:
        self._members(place, table, _MIRROR)
        for name in _MIRROR:
            if name not in table:
                self._refuse(place, f"a mirror has no {name}")
            self._at(place, name, partial(_check_prefix, table[name]))
        return Mirror(table["location"], table["home"])

    def _texts(self, place: Place, table: Mapping[str, Any], name: str) -> list[str]:
        values: list[Any] = table.get(name, [])
        if name in table and not (values and all(isinstance(value, str) for value in values)):
            self._refuse((*place, name), f"{name} has to be a list of texts, and not an empty one")
        return values

    def _members(self, place: Place, table: Mapping[str, Any], known: Mapping[str, type]) -> None:
        for name, value in table.items():
            if name not in known:
                self._refuse((*place, name), f"{shown(name)} is no member here; there are {', '.join(known)}")
            if type(value) is not known[name]:
                self._refuse((*place, name), f"{name} has to be {_KINDS[known[name]]}")

    def _at(self, place: Place, name: str, read: Callable[[], Any]) -> Any:
        return self._ours((*place, name), read)

    def _ours(self, place: Place, read: Callable[[], Any]) -> Any:
        """What is read; an error of ours gets the place, unless it has one."""
        try:
            return read()
        except UsageError as error:
            if "line" in error.context:
                raise
            self._refuse(place, error.message.rstrip("."), hint=error.hint)

    def _refuse_toml(self, message: str) -> NoReturn:
        found = _AT.search(message)
        line, column = (int(found[1]), int(found[2])) if found and found[1] else position(self._text)
        what = _AT.sub("", message)
        self._refuse_at(line, column, what[:1].lower() + what[1:])

    def _refuse(self, place: Place, why: str, *, hint: str = "") -> NoReturn:
        self._refuse_at(*locate(self._text, place), why, hint=hint)

    def _refuse_at(self, line: int, column: int, why: str, *, hint: str = "") -> NoReturn:
        raise InvalidSetting(
            f"{self._where}, line {line}, column {column}: {why}.",
            hint=hint or "Mend the file; until then nothing that it is about is trusted. See trustkit policy schema.",
            line=line,
            column=column,
        )


def _check_prefix(text: str) -> None:
    """A HOST, or HOST/prefix."""
    host, slash, path = text.partition("/")
    if not slash and looks_like_host(host):
        Host.parse(host)
    else:
        Gun.parse(text)
        Repository.parse(path)
