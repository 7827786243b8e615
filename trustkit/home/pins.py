"""Pins in one file, ``pins.json``: what is accepted as the root of which GUNs (TRUST 5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trustkit.core.names import Gun
from trustkit.core.patterns import GunPattern
from trustkit.core.pincheck import check_pin
from trustkit.core.ports.remote import Pin
from trustkit.errors import Conflict, NotFound
from trustkit.home.documents import MIB, Document

MAX_FILE = 16 * MIB
_MEMBERS = frozenset({"pattern", "root", "root_keys", "threshold", "format"})
_AUTHORITIES = "authorities"


class FilePinStore:
    """The PinStore of one TRUSTKIT_HOME.  A damaged file is an error, never an absence of pins.

    Args:
        path: the file; it need not exist.  Its lock file lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._file = _document(path)

    def __repr__(self) -> str:
        return f"FilePinStore({str(self._file.path)!r})"

    def find(self, gun: Gun) -> Pin | None:
        """The pin of the most specific pattern that matches.

        Raises:
            StateError: the file is damaged.
        """
        return _find(self._load(), gun)

    def list(self) -> list[Pin]:
        """All pins, ordered by pattern."""
        return [pin for _, pin in sorted(self._load().items())]

    def add(self, pin: Pin, *, replace: bool = False) -> None:
        """Adds a pin; the same pin a second time changes nothing.

        Raises:
            Conflict: the pattern is pinned otherwise, and ``replace`` is False.
            InvalidName, InvalidSetting: not a pin that can be met.
            StateError: the file is damaged or can't be written.
        """
        pattern = check_pin(pin)
        with self._file.changing():
            pins = self._load()
            there = pins.get(pattern)
            if there == pin:
                return
            if there is not None:
                _check_replaced(pattern, there, pin, replace=replace)
            self._file.save({**pins, pattern: pin})

    def remove(self, pattern: str) -> None:
        """Removes a pin.

        Raises:
            NotFound: no pin has exactly this pattern.
            InvalidName, StateError.
        """
        parsed = GunPattern.parse(pattern)
        with self._file.changing():
            pins = self._load()
            if parsed not in pins:
                raise NotFound(f"{parsed} is not pinned.", hint="See: trustkit pin list")
            self._file.save({other: pin for other, pin in pins.items() if other != parsed})

    def follow(self, old: Pin, new: Pin) -> Pin | None:
        """As ``PinStore.follow``, in one step.

        Raises:
            InvalidSetting, StateError.
        """
        pattern = check_pin(new)
        with self._file.changing():
            pins = self._load()
            there = _find(pins, Gun.parse(new.pattern))
            if there != old:
                return there
            self._file.save({**pins, pattern: new})
        return new

    def document(self) -> bytes | None:
        """All pins as the file has them, for a backup; None where nothing is pinned; raises StateError."""
        pins = self._load()
        return self._file.serialise(pins) if pins else None

    def merge(self, pins: Iterable[Pin]) -> dict[Pin, bool]:
        """Adds those of these pins whose patterns aren't pinned here, in one step.

        Returns:
            For each pin whether this home now has it; False where another pin for its pattern was here, and stays.

        Raises:
            InvalidName, InvalidSetting: not a pin that can be met; none is added then.
            StateError: the file is damaged or can't be written.
        """
        given = {check_pin(pin): pin for pin in pins}
        with self._file.changing():
            here = self._load()
            merged = {**given, **here}
            if merged != here:
                self._file.save(merged)
        return {pin: merged[pattern] == pin for pattern, pin in given.items()}

    def _load(self) -> Mapping[GunPattern, Pin]:
        return self._file.load() or {}


def _find(pins: Mapping[GunPattern, Pin], gun: Gun) -> Pin | None:
    matching = [(pattern, pin) for pattern, pin in pins.items() if pattern.matches(gun)]
    if not matching:
        return None
    return max(matching, key=lambda item: item[0].specificity)[1]


def _check_replaced(pattern: GunPattern, there: Pin, pin: Pin, *, replace: bool) -> None:
    """Raises Conflict where a pin can't just take another one's place."""
    if there.format == "tuf" and pin.format != "tuf":
        raise Conflict(
            f"{pattern} is pinned in format tuf, and what was pinned so is not taken in format {pin.format} again.",
            hint=f"If it really is to be, first: trustkit pin remove {pattern}",
            pattern=str(pattern),
        )
    if not replace:
        raise Conflict(
            f"{pattern} is pinned to another root.",
            hint="If the new root came to you from its publisher, repeat with --replace.",
            pattern=str(pattern),
        )


def read_document(data: bytes, where: str) -> list[Pin]:
    """The pins of a document that ``FilePinStore.document`` gave, ordered by pattern.

    Raises:
        StateError: it isn't one.
    """
    return [pin for _, pin in sorted(_document(Path()).parse(data, where).items())]


def _document(path: Path) -> Document[Mapping[GunPattern, Pin]]:
    return Document(
        path,
        "pins",
        read=_read,
        written=lambda pins: [_written(pin) for _, pin in sorted(pins.items())],
        what="The pins in",
        hint="Mend the file, or move it away and pin again; nothing is trusted until then.",
        max_bytes=MAX_FILE,
    )


def _read(value: Any) -> Mapping[GunPattern, Pin]:
    pins = [_read_one(entry) for entry in list(value)]
    by_pattern = {check_pin(pin): pin for pin in pins}
    if len(by_pattern) != len(pins):
        raise ValueError("a pattern stands twice")
    return by_pattern


def _written(pin: Pin) -> dict[str, object]:
    authorities = {} if pin.authorities is None else {_AUTHORITIES: pin.authorities.decode("ascii")}
    return authorities | {
        "pattern": pin.pattern,
        "format": pin.format,
        "root": None if pin.root is None else pin.root.decode("ascii"),
        "root_keys": list(pin.key_ids),
        "threshold": pin.threshold,
    }


def _read_one(entry: Any) -> Pin:
    if not isinstance(entry, dict) or entry.keys() - {_AUTHORITIES} != _MEMBERS:
        raise ValueError("a pin has other members than it should")
    root, keys, threshold = entry["root"], entry["root_keys"], entry["threshold"]
    texts = [entry["pattern"], entry["format"], *(keys if isinstance(keys, list) else [None])]
    if not all(isinstance(text, str) for text in texts) or type(threshold) is not int:
        raise ValueError("a pin has a member of the wrong type")
    if root is not None and not (isinstance(root, str) and root.isascii()):
        raise ValueError("a pin has a root that is no ASCII text")
    authorities = entry.get(_AUTHORITIES)
    if _AUTHORITIES in entry and not (isinstance(authorities, str) and authorities.isascii()):
        raise ValueError("a pin has authorities that are no ASCII text")
    return Pin(
        pattern=entry["pattern"],
        root=None if root is None else root.encode("ascii"),
        key_ids=tuple(keys),
        threshold=threshold,
        format=entry["format"],
        authorities=None if authorities is None else authorities.encode("ascii"),
    )
