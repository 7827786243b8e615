"""Places of online keys, sealed in the database: nobody who can write there points a role to another key."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, Key, Signature, Signer

from trustkit.authority.sealedkeys import SealedKeys, on_device, public_half
from trustkit.authority.sealing import Sealer
from trustkit.core.names import Gun
from trustkit.core.ports.service import SealedKey
from trustkit.errors import ServerFailed, StateError

GUN, OTHER = Gun.parse("registry.example.com/app"), Gun.parse("registry.example.com/other")
KEK = secrets.token_bytes(32)


@dataclass
class Anvil:
    """A ``KeyForge`` in memory."""

    uri: str = "anvil:"
    keys: dict[str, Signer] = field(default_factory=dict)

    def check(self) -> None:
        """It is here."""

    def make(self, gun: Gun, role: str) -> tuple[Key, str]:
        place = f"anvil:{len(self.keys)}"
        self.keys[place] = CryptoSigner(ec.generate_private_key(ec.SECP256R1()))
        return self.keys[place].public_key, place

    def sign(self, place: str, public: Key, payload: bytes) -> Signature:
        if self.keys[place].public_key != public:
            raise ServerFailed("Another key is there.")
        return self.keys[place].sign(payload)


ANVIL = Anvil()
HERE = SealedKeys(Sealer(KEK))
THERE = SealedKeys(Sealer(KEK), ANVIL)


def test_a_key_on_a_device_signs_and_only_its_place_is_stored() -> None:
    made = THERE.make(GUN, "snapshot")
    assert on_device(made)
    assert b"anvil" not in made.sealed
    signature = THERE.signer(GUN, made).sign(b"payload")
    public_half(made).verify_signature(signature, b"payload")
    THERE.require(GUN, made)
    HERE.require(GUN, made)


def test_keys_from_before_go_on_beside_it() -> None:
    before = HERE.make(GUN, "snapshot")
    assert not on_device(before)
    public_half(before).verify_signature(THERE.signer(GUN, before).sign(b"payload"), b"payload")


def test_without_the_device_it_is_said_which_option_is_missing() -> None:
    with pytest.raises(StateError, match=f"The snapshot key of {GUN} is on a token") as refused:
        HERE.signer(GUN, THERE.make(GUN, "snapshot"))
    assert "--online-key-uri" in refused.value.hint


Bend = Callable[[SealedKey], SealedKey]


@pytest.mark.parametrize(
    ("gun", "bend"),
    [
        (OTHER, lambda key: key),
        (GUN, lambda key: replace(key, role="timestamp")),
        (GUN, lambda key: replace(key, sealed=THERE.make(GUN, "snapshot").sealed)),
        (GUN, lambda key: replace(key, sealed=THERE.make(OTHER, "snapshot").sealed)),
        (GUN, lambda key: replace(key, sealed=key.sealed[1:])),
        (GUN, lambda key: replace(key, sealed=key.sealed[:1] + HERE.make(GUN, "snapshot").sealed)),
        (GUN, lambda key: replace(key, sealed=key.sealed[:1] + b"anvil:0")),
        (GUN, lambda key: replace(key, sealed=key.sealed[:-1] + bytes([key.sealed[-1] ^ 1]))),
        (GUN, lambda key: replace(key, sealed=key.sealed[:1])),
    ],
    ids=["another collection", "another role", "another key's place", "another collection's place", "as a sealed key",
         "a sealed key as a place", "in the clear", "a bit", "nothing"],
)  # fmt: skip
def test_a_place_that_was_put_there_is_refused(gun: Gun, bend: Bend) -> None:
    changed = bend(THERE.make(GUN, "snapshot"))
    for act in (THERE.signer, THERE.require):
        with pytest.raises(StateError, match="A sealed private key doesn't open"):
            act(gun, changed)


def test_another_key_encryption_key_opens_no_place() -> None:
    with pytest.raises(StateError, match="doesn't open"):
        SealedKeys(Sealer(bytes(32)), ANVIL).require(GUN, THERE.make(GUN, "snapshot"))
