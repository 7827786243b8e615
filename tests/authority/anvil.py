"""A device of online keys that is none: it makes them in memory, and fails where a test wants it to."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, Key, Signature, Signer

from trustkit.core.names import Gun
from trustkit.errors import KeyMissing, TrustkitError


@dataclass
class Anvil:
    """A ``KeyForge`` in memory, and the ``KeyPlaces`` that reach it."""

    uri: str = "anvil:"
    keys: dict[str, Signer] = field(default_factory=dict)

    def check(self) -> None:
        """It is here."""

    def make(self, gun: Gun, role: str) -> tuple[Key, str]:
        place = f"anvil:{len(self.keys)}"
        self.keys[place] = CryptoSigner(ec.generate_private_key(ec.SECP256R1()))
        return self.keys[place].public_key, place

    def look(self, uri: str) -> tuple[str, Key]:
        return uri, self.keys[uri].public_key

    def sign(self, uri: str, public: Key, payload: bytes) -> Signature:
        if uri not in self.keys or self.keys[uri].public_key != public:
            raise KeyMissing(f"Another key is at {uri}.")
        return self.keys[uri].sign(payload)

    def close(self) -> None:
        """Nothing is held."""


class Fallen(Anvil):
    """One whose calls fail, each as it is told."""

    def __init__(self, error: TrustkitError) -> None:
        super().__init__("anvil:in-the-cellar")
        self.error = error

    def make(self, gun: Gun, role: str) -> tuple[Key, str]:
        raise self.error

    def sign(self, uri: str, public: Key, payload: bytes) -> Signature:
        raise self.error
