"""Places of online keys: real tokens and key services, places that hang, and PINs that are tried once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pkcs11
import pytest

from tests.keys.conftest import Typist
from tests.softhsm import MODULE, PIN, SoftHsm
from trustkit.core.publickeys import algorithm
from trustkit.errors import (
    InvalidSetting,
    KeyMissing,
    KeyUnavailable,
    KeyUnsupported,
    NoPassphrase,
    TrustkitError,
    UsageError,
    WrongPassphrase,
)
from trustkit.keys.onlineplaces import OnlinePlaces, _Turn
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.uris import parse_token

TOKEN = parse_token("pkcs11:token=online")
real = pytest.mark.real


def places(pin: str = PIN, **source: Any) -> OnlinePlaces:
    environ = {"TRUSTKIT_HSM_PIN": pin} if pin else {}
    return OnlinePlaces(environ, PassphraseSource(environ=environ, **source))


@pytest.fixture
def token(tokens: SoftHsm) -> Path:
    return tokens.insert("online")


@real
def test_a_key_on_a_token_is_looked_at_by_its_label_and_signs(token: Path) -> None:
    there = places()
    public, uri = there.make(TOKEN, "one")
    assert there.look("pkcs11:object=one;token=online") == ("pkcs11:token=online;object=one", public)
    assert there.look(uri) == (uri, public)
    public.verify_signature(there.sign(uri, public, b"payload"), b"payload")
    there.close()
    public.verify_signature(there.sign(uri, public, b"payload"), b"payload")


@real
def test_a_wrong_pin_is_tried_once_however_often_is_signed(token: Path) -> None:
    public, uri = places().make(TOKEN, "one")
    pkcs11.lib(MODULE).finalize()
    typist = Typist("not the pin", PIN, PIN, PIN)
    wrong = places("", interactive=True, prompt=typist)
    for _ in range(4):
        with pytest.raises(WrongPassphrase, match="online keys") as refused:
            wrong.sign(uri, public, b"payload")
        assert "not the pin" not in str(refused.value)
    assert len(typist.asked) == 1


@real
def test_without_a_pin_the_token_is_not_asked(token: Path) -> None:
    public, uri = places().make(TOKEN, "one")
    pkcs11.lib(MODULE).finalize()
    with pytest.raises(NoPassphrase, match="There is no passphrase") as refused:
        places("").sign(uri, public, b"payload")
    assert refused.value.hint == "Start the service with --online-key-pin-file, or with TRUSTKIT_HSM_PIN set."


@real
def test_another_public_half_than_the_key_s_own_is_found_out(token: Path) -> None:
    there = places()
    one, uri = there.make(TOKEN, "one")
    other, _ = there.make(TOKEN, "other")
    for _ in range(2):
        with pytest.raises(KeyMissing, match="Another key than"):
            there.sign(uri, other, b"payload")
    one.verify_signature(there.sign(uri, one, b"payload"), b"payload")


@real
def test_a_token_that_comes_back_is_found_by_the_same_object(token: Path, tmp_path: Path) -> None:
    there = places()
    public, uri = there.make(TOKEN, "one")
    token.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(KeyUnavailable):
            there.sign(uri, public, b"payload")
    (tmp_path / "away").rename(token)
    public.verify_signature(there.sign(uri, public, b"payload"), b"payload")


@real
@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("pkcs11:token=online;object=none", KeyMissing),
        ("pkcs11:token=other;object=one", KeyUnavailable),
        ("pkcs11:token=online?module-path=/nonexistent.so", InvalidSetting),
        ("pkcs11:token=online", UsageError),
        ("https://example.com/key", UsageError),
    ],
    ids=["no key", "no token", "no module", "two keys", "no URI"],
)
def test_what_is_no_key_is_not_taken(token: Path, uri: str, error: type[TrustkitError]) -> None:
    there = places()
    there.make(TOKEN, "one")
    there.make(TOKEN, "two")
    with pytest.raises(error):
        there.look(uri)


@pytest.mark.parametrize(
    ("spec", "named"), [("ECC_NIST_P256", "ecdsa-p256"), ("ECC_NIST_P384", "ecdsa-p384"), ("RSA_2048", "rsa-2048")]
)
def test_keys_of_aws_are_looked_at_and_sign(aws: Any, spec: str, named: str) -> None:
    key_id = aws.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"]
    there = places()
    uri, public = there.look(f"awskms:{key_id}")
    assert (uri, algorithm(public)) == (f"awskms:{key_id}", named)
    public.verify_signature(there.sign(uri, public, b"payload"), b"payload")


def test_a_key_of_aws_that_encrypts_is_not_taken(aws: Any) -> None:
    key_id = aws.create_key()["KeyMetadata"]["KeyId"]
    with pytest.raises((KeyUnavailable, KeyUnsupported), match=key_id):
        places().look(f"awskms:{key_id}")


def test_a_key_of_vault_is_looked_at_and_signs(vault: Any) -> None:
    there = places()
    uri, public = there.look("hv:release")
    assert (uri, algorithm(public)) == ("hv:release/1", "ed25519")
    public.verify_signature(there.sign(uri, public, b"payload"), b"payload")


def test_a_call_that_hangs_is_given_up_and_those_after_it_fail_at_once() -> None:
    turn, end = _Turn(), threading.Event()
    with pytest.raises(KeyUnavailable, match="awskms:x doesn't answer"):
        turn.take(end.wait, 0.2, "awskms:x")
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(KeyUnavailable, match="doesn't answer"):
            turn.take(lambda: 1, 5, "awskms:x")
    assert time.monotonic() - began < 1
    end.set()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert turn.take(lambda: 7, 5, "awskms:x") == 7
        except KeyUnavailable:
            continue
        break
    assert turn.take(lambda: 8, 5, "awskms:x") == 8


def test_calls_take_turns_and_what_they_raise_comes_through() -> None:
    turn, inside, most = _Turn(), [0], [0]

    def call() -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.001)
        inside[0] -= 1
        raise KeyMissing("gone")

    def caller() -> None:
        with pytest.raises(KeyMissing, match="gone"):
            turn.take(call, 20, "x")

    threads = [threading.Thread(target=caller) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == ([0], [1])
    with pytest.raises(TimeoutError, match="own"):
        turn.take(_times_out, 20, "x")
    assert turn.take(lambda: 9, None, "x") == 9


def _times_out() -> None:
    raise TimeoutError("of its own")
