"""What the service needs from the places of online keys that are not in its database."""

from __future__ import annotations

from typing import Protocol

from securesystemslib.signer import Key, Signature


class KeyPlaces(Protocol):
    """Tokens and key services that hold online keys.  Each call may wait for one; several threads may call.

    A place that doesn't answer in time is given up for that call, and one that is back works again by itself.

    Raises, each of them:
        KeyUnavailable: no such token or service, or it refuses, or doesn't answer.
        KeyMissing, KeyUnsupported: no such key there, or another one than the public half says; one of another type.
        WrongPassphrase, NoPassphrase: the PIN; a wrong one is tried once and not again.
        UsageError: no such URI; several tokens or keys fit.  InvalidSetting: what reaches it isn't installed.
    """

    def look(self, uri: str) -> tuple[str, Key]:
        """The one spelling of a key's URI and its public half, after it has signed a random text."""
        ...

    def sign(self, uri: str, public: Key, payload: bytes) -> Signature:
        """A signature by the key there, verified against this public half."""
        ...

    def close(self) -> None:
        """Lets go of what is open; a later call opens it anew."""
        ...
