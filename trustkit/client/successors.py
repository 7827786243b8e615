"""The new keys of rotations: made, and noted before anything is signed by them.

What is interrupted goes on with the same new key when the command is run again.
"""

from __future__ import annotations

from collections.abc import Callable

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.core.ports.rotation import Begun, Rotations
from trustkit.errors import Conflict


class Successors:
    """Those of one run of a command; without a key that is given, one is made for all collections, but of repository
    keys, which are a collection's own.

    Args:
        rotations: what is noted.
        say: says one line to whoever rotates.
    """

    def __init__(self, keys: KeyStore, rotations: Rotations, say: Callable[[str], None]) -> None:
        self._keys = keys
        self._rotations = rotations
        self._say = say
        self._made: dict[KeyRole, KeyInfo] = {}

    def here(self, key_id: str) -> KeyInfo | None:
        """The key, where its private half is here."""
        return next(iter(self._keys.find(frozenset({key_id}))), None)

    def begun(self, gun: Gun, role: str) -> Begun | None:
        """The rotation that was begun and hasn't ended, as ``Rotations.begun``."""
        return self._rotations.begun(gun, role)

    def new(self, gun: Gun, role: KeyRole, begun: Begun | None, name: SignerName | None = None) -> KeyInfo:
        """The key of the rotation that was begun on this very state, or one that is made now.

        Args:
            name: the signer's, of a signer's key.
        """
        left = self.here(begun.new) if begun else None
        if left is not None and left.role is role:
            self._say(f"Going on with the new {role} key {left.id[:16]}, which an interrupted run made.")
            return left
        own = gun if role is KeyRole.REPOSITORY else None
        if own or role not in self._made:
            whose = own or name
            self._say(f"Making the new {role} key{f' of {whose}' if whose else ''}.")
            self._made[role] = self._keys.generate(role, gun=own, name=name)
        return self._made[role]

    def begin(self, rotation: Begun, seen: Begun | None) -> None:
        """Notes it; raises Conflict where another process of this home noted one meanwhile, which has the right."""
        there = self._rotations.begin(rotation, seen=seen)
        if there.new != rotation.new:
            raise Conflict(
                f"Another trustkit of this home is rotating the {rotation.role} key of {rotation.gun}, to "
                f"{there.new[:16]}.",
                hint="Run the command again once it has ended.",
            )

    def end(self, gun: Gun, role: str) -> None:
        """Forgets it: the new key is in use."""
        self._rotations.end(gun, role)
