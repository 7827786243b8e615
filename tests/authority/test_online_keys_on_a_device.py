"""Places of online keys, sealed in the database: nobody who can write there points a role to another key."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner

from tests.authority.anvil import Anvil, Fallen
from trustkit.authority.sealedkeys import SealedKeys, on_device, public_half
from trustkit.authority.sealing import Sealer
from trustkit.core.names import Gun
from trustkit.core.ports.service import SealedKey
from trustkit.errors import (
    InvalidSetting,
    KeyMissing,
    KeyUnavailable,
    NoPassphrase,
    ServerFailed,
    StateError,
    TrustkitError,
    UsageError,
    WrongPassphrase,
)

GUN, OTHER = Gun.parse("registry.example.com/app"), Gun.parse("registry.example.com/other")
KEK = secrets.token_bytes(32)


ANVIL = Anvil()
HERE = SealedKeys(Sealer(KEK))
THERE = SealedKeys(Sealer(KEK), ANVIL, ANVIL)


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


@pytest.mark.parametrize(
    "kind", [KeyUnavailable, KeyMissing, WrongPassphrase, NoPassphrase, UsageError, InvalidSetting]
)
def test_who_publishes_learns_nothing_of_a_device_that_fails(
    kind: type[TrustkitError], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither where a key is made nor where it signs; the log has the place and the reason."""
    fallen = Fallen(kind("anvil:in-the-cellar fell", hint="Look into the cellar."))
    keys = SealedKeys(Sealer(KEK), fallen, fallen)
    made = THERE.make(GUN, "snapshot")
    for call in (lambda: keys.make(GUN, "snapshot"), lambda: keys.signer(GUN, made).sign(b"payload")):
        caplog.clear()
        with pytest.raises(ServerFailed, match="can't be used now; nothing was signed") as refused:
            call()
        assert "anvil" not in f"{refused.value} {refused.value.hint} {refused.value.context}"
        assert "cellar" not in f"{refused.value} {refused.value.hint} {refused.value.context}"
        assert "anvil:in-the-cellar fell" in caplog.text


def test_another_key_in_the_place_of_one_signs_nothing() -> None:
    made = THERE.make(GUN, "snapshot")
    place = THERE.place(GUN, made)
    there, ANVIL.keys[place] = ANVIL.keys[place], CryptoSigner(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ServerFailed, match="nothing was signed"):
        THERE.signer(GUN, made).sign(b"payload")
    ANVIL.keys[place] = there
    THERE.signer(GUN, made).sign(b"payload")


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
        SealedKeys(Sealer(bytes(32)), ANVIL, ANVIL).require(GUN, THERE.make(GUN, "snapshot"))
