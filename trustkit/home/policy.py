"""The policy file, read from disk, and the pins that it brings along."""

from __future__ import annotations

from pathlib import Path

from trustkit.core.names import Gun
from trustkit.core.pincheck import MAX_ROOT
from trustkit.core.policy import Policy
from trustkit.core.ports.remote import Pin, PinStore
from trustkit.errors import InvalidSetting
from trustkit.home.files import read_bounded

SCHEMA = Path(__file__).with_name("policy.schema.json")


def read_policy(path: Path) -> Policy:
    """The policy of a file.

    Raises:
        InvalidSetting: there is no such file, or it is no policy; the message has line and column.
        StateError: it can't be read.
    """
    from trustkit.core.policyfile import MAX_BYTES, parse

    data = read_bounded(path, MAX_BYTES, trusted=True)
    if data is None:
        raise InvalidSetting(
            f"There is no policy {path}.",
            hint="Nothing is trusted until it is there: write it, or name another one (--policy or TRUSTKIT_POLICY).",
        )
    return parse(data, where=str(path), root_file=lambda name: _root_file(path.parent / name))


def _root_file(path: Path) -> bytes:
    data = read_bounded(path, MAX_ROOT, trusted=True)
    if data is None:
        raise InvalidSetting(f"there is no root file {path}")
    return data


class PolicyPins:
    """A PinStore in which a policy's pins count before those of a home; changes go to the home's.

    Args:
        policy: None for none.
    """

    def __init__(self, pins: PinStore, policy: Policy | None) -> None:
        self._pins = pins
        self._policy = policy

    def find(self, gun: Gun) -> Pin | None:
        """The pin of the rule for a GUN, or else the home's.

        Raises:
            PolicyDenies: no rule is about the GUN.
            StateError: the home's file is damaged.
        """
        return self._own(gun) or self._pins.find(gun)

    def _own(self, gun: Gun) -> Pin | None:
        return self._policy.rule(gun).pin(gun) if self._policy is not None else None

    def list(self) -> list[Pin]:
        """The home's."""
        return self._pins.list()

    def add(self, pin: Pin, *, replace: bool = False) -> None:
        """As the home's."""
        self._pins.add(pin, replace=replace)

    def remove(self, pattern: str) -> None:
        """As the home's."""
        self._pins.remove(pattern)

    def follow(self, old: Pin, new: Pin) -> Pin | None:
        """As ``PinStore.follow``: a policy's pin is for who keeps the policy to change."""
        return None if self._own(Gun.parse(new.pattern)) is not None else self._pins.follow(old, new)
