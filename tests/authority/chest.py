"""A device that wraps keys, in memory: AES key wrap (RFC 3394), as a token does it, and no other kind of answer."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from trustkit.errors import KeyUnavailable, StateError

HOW = "chest"


@dataclass
class Chest:
    """A ``KeyWrapper`` that binds no context, and can be away.

    Attributes:
        opened: how often it was asked since it was last closed.
    """

    uri: str = "chest:one"
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    away: bool = False
    opened: int = 0
    closed: int = 0

    def same_place(self, uri: str) -> bool:
        return uri == self.uri

    def wrap(self, secret: bytes, context: Mapping[str, str]) -> tuple[str, bytes]:
        self._ask()
        return HOW, aes_key_wrap(self.key, secret)

    def unwrap(self, how: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        self._ask()
        try:
            return aes_key_unwrap(self.key, wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise StateError("The wrapped key-encryption key doesn't open under the chest.") from error

    def close(self) -> None:
        self.opened = 0
        self.closed += 1

    def _ask(self) -> None:
        if self.away:
            raise KeyUnavailable("The chest isn't here.")
        self.opened += 1
