"""What may wrap a key-encryption key, one suite for all: tokens (SoftHSM, AES and RSA), AWS (moto), Vault."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass

from tests.conftest import free_port
from tests.keys.services import Uninstalled, Vault
from tests.softhsm import MODULE, PIN, SoftHsm
from trustkit.core.ports.wrapping import KeyWrapper
from trustkit.errors import (
    InvalidSetting,
    KeyExists,
    KeyMissing,
    KeyUnavailable,
    KeyUnsupported,
    NoPassphrase,
    StateError,
    UsageError,
    WrongPassphrase,
)
from trustkit.keys import sdks
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.tokenwrap import AES, TokenWrapper
from trustkit.keys.wrapping import AWS, VAULT, key_wrapper

pytestmark = pytest.mark.real

SECRET = bytes(range(32))
CONTEXT = {"trustkit": "key-encryption key", "id": "0" * 32}
URI = "pkcs11:token=vault;object=kek"

Wrap = Callable[[str], KeyWrapper]
"""What wraps by the key of this name, at one place."""


def wrapper(uri: str, **environ: str) -> KeyWrapper:
    environ = environ or {"TRUSTKIT_HSM_PIN": PIN}
    return key_wrapper(uri, environ, PassphraseSource(environ=environ, option="--kek-pin-file"))


def on_token(make: Callable[[pkcs11.Session], Any]) -> Any:
    """What somebody does on the token 'vault' with a tool of their own."""
    pkcs11.lib(MODULE).finalize()
    with pkcs11.lib(MODULE).get_token(token_label="vault").open(rw=True, user_pin=PIN) as session:
        return make(session)


@pytest.fixture
def token_aes(tokens: SoftHsm) -> Iterator[Wrap]:
    tokens.insert("vault")
    made: list[KeyWrapper] = []

    def wrap(name: str) -> KeyWrapper:
        with_key = wrapper(f"pkcs11:token=vault;object={name}")
        assert isinstance(with_key, TokenWrapper)
        made.append(with_key)
        with_key.generate()
        return with_key

    yield wrap
    for each in made:
        each.close()


@pytest.fixture
def token_rsa(tokens: SoftHsm) -> Iterator[Wrap]:
    tokens.insert("vault")
    made: list[KeyWrapper] = []

    def wrap(name: str) -> KeyWrapper:
        on_token(lambda session: session.generate_keypair(KeyType.RSA, 2048, label=name, store=True))
        made.append(wrapper(f"pkcs11:token=vault;object={name}"))
        return made[-1]

    yield wrap
    for each in made:
        each.close()


@pytest.fixture
def in_aws(aws: Any) -> Wrap:
    def wrap(name: str) -> KeyWrapper:
        del name
        return wrapper(f"awskms:{aws.create_key()['KeyMetadata']['KeyId']}")

    return wrap


@pytest.fixture
def in_vault(vault: Vault) -> Wrap:
    def wrap(name: str) -> KeyWrapper:
        vault.ciphers[name] = [AESGCM(AESGCM.generate_key(256))]
        return wrapper(f"hv:{name}")

    return wrap


@pytest.fixture(params=["token_aes", "token_rsa", "in_aws", "in_vault"])
def place(request: pytest.FixtureRequest) -> Wrap:
    found: Wrap = request.getfixturevalue(request.param)
    return found


def changed(wrapped: bytes) -> list[bytes]:
    """The wrapped key with a byte changed here and there, cut, and with more behind it."""
    at = sorted({0, len(wrapped) // 3, len(wrapped) // 2, len(wrapped) - 2})
    flipped = [wrapped[:n] + bytes([wrapped[n] ^ 1]) + wrapped[n + 1 :] for n in at]
    return [*flipped, wrapped[:-8], wrapped + wrapped[-8:], os.urandom(len(wrapped))]


def test_what_was_wrapped_is_given_back_also_after_the_device_was_let_go(place: Wrap) -> None:
    one = place("kek")
    how, wrapped = one.wrap(SECRET, CONTEXT)
    assert SECRET not in wrapped
    one.close()
    assert one.unwrap(how, wrapped, CONTEXT) == SECRET
    one.close()
    one.close()
    assert wrapper(one.uri).unwrap(how, wrapped, CONTEXT) == SECRET


def test_what_was_changed_by_a_byte_cut_or_made_up_doesnt_open(place: Wrap) -> None:
    one = place("kek")
    how, wrapped = one.wrap(SECRET, CONTEXT)
    for bad in changed(wrapped):
        with pytest.raises(StateError, match=r"doesn't open under .*kek|doesn't open under awskms:") as refused:
            one.unwrap(how, bad, CONTEXT)
        assert "Its file was changed" in refused.value.hint
        assert SECRET.hex() not in str(refused.value)


def test_what_another_key_wrapped_doesnt_open(place: Wrap) -> None:
    one, other = place("kek"), place("other")
    how, wrapped = other.wrap(SECRET, CONTEXT)
    with pytest.raises(StateError, match="doesn't open under"):
        one.unwrap(how, wrapped, CONTEXT)


def test_another_way_of_wrapping_than_the_keys_own_is_refused(place: Wrap) -> None:
    one = place("kek")
    _, wrapped = one.wrap(SECRET, CONTEXT)
    with pytest.raises(StateError, match="it was wrapped by another-way"):
        one.unwrap("another-way", wrapped, CONTEXT)


@pytest.mark.parametrize("service", ["in_aws", "in_vault"])
def test_a_key_service_binds_what_it_wraps_to_what_it_is_for(request: pytest.FixtureRequest, service: str) -> None:
    one = request.getfixturevalue(service)("kek")
    how, wrapped = one.wrap(SECRET, CONTEXT)
    with pytest.raises(StateError, match="doesn't open under"):
        one.unwrap(how, wrapped, {**CONTEXT, "id": "1" * 32})


def test_a_place_is_the_same_in_its_own_spelling_only(place: Wrap) -> None:
    one = place("kek")
    assert one.same_place(one.uri)
    for other in ("hv:another", "awskms:alias/another", "pkcs11:token=vault;object=another", "", "nothing at all"):
        assert not one.same_place(other)


def test_the_module_is_no_part_of_the_place(tokens: SoftHsm) -> None:
    assert wrapper(URI).same_place(f"{URI}?module-path=/another/machines/module.so")
    assert not wrapper(URI).same_place(f"{URI};id=%01")


# --- tokens


def test_a_key_made_on_a_token_never_leaves_it(token_aes: Wrap) -> None:
    one = token_aes("kek")
    one.close()

    def facts(session: pkcs11.Session) -> list[tuple[Any, ...]]:
        names = (Attribute.SENSITIVE, Attribute.EXTRACTABLE, Attribute.PRIVATE, Attribute.LABEL, Attribute.VALUE_LEN)
        return [
            tuple(each[name] for name in names)
            for each in session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})
        ]

    assert on_token(facts) == [(True, False, True, "kek", 32)]


def test_nothing_of_the_key_encryption_key_stays_on_the_token(token_aes: Wrap) -> None:
    one = token_aes("kek")
    how, wrapped = one.wrap(SECRET, CONTEXT)
    one.unwrap(how, wrapped, CONTEXT)
    one.close()
    assert on_token(lambda session: len(list(session.get_objects({})))) == 1


def test_a_key_is_never_made_over_another(token_aes: Wrap) -> None:
    token_aes("kek;id=%01")
    for taken in ("kek", "kek;id=%02", "another;id=%01"):
        with pytest.raises(KeyExists, match="never overwritten"):
            token_aes(taken)
    token_aes("another;id=%02")
    unnamed = wrapper("pkcs11:token=vault")
    assert isinstance(unnamed, TokenWrapper)
    with pytest.raises(UsageError, match="needs a label"):
        unnamed.generate()


def _no_token(tokens: SoftHsm) -> KeyWrapper:
    return wrapper(URI)


def _pulled_out(tokens: SoftHsm) -> KeyWrapper:
    token = tokens.insert("vault")
    tokens.insert("another")
    tokens.pull_out(token)
    return wrapper(URI)


def _no_key(tokens: SoftHsm) -> KeyWrapper:
    tokens.insert("vault")
    return wrapper(URI)


def _wrong_pin(tokens: SoftHsm) -> KeyWrapper:
    tokens.insert("vault")
    return wrapper(URI, TRUSTKIT_HSM_PIN="not the pin")


def _no_pin(tokens: SoftHsm) -> KeyWrapper:
    tokens.insert("vault")
    return wrapper(URI, TRUSTKIT_HSM_PIN="")


def _no_module(tokens: SoftHsm) -> KeyWrapper:
    return wrapper(URI, TRUSTKIT_PKCS11_MODULE="/nonexistent/module.so")


def _two_keys(tokens: SoftHsm) -> KeyWrapper:
    tokens.insert("vault")
    for key_id in (b"\1", b"\2"):
        on_token(lambda s, key_id=key_id: s.generate_key(KeyType.AES, 256, id=key_id, label="kek", store=True))
    return wrapper(URI)


def _two_tokens(tokens: SoftHsm) -> KeyWrapper:
    tokens.insert("vault")
    tokens.insert("vault")
    return wrapper(URI)


@pytest.mark.parametrize(
    ("bad_day", "error", "said", "hint"),
    [
        (_no_token, KeyUnavailable, "The token 'vault' isn't here; .* shows none", "Plug it in"),
        (_pulled_out, KeyUnavailable, "The token 'vault' isn't here; .* shows 'another'", "Plug it in"),
        (_no_key, KeyMissing, "no AES or RSA key labelled 'kek' on the token 'vault'", "kek generate"),
        (_wrong_pin, WrongPassphrase, "PIN from the environment variable TRUSTKIT_HSM_PIN", "isn't tried again"),
        (_no_pin, NoPassphrase, "TRUSTKIT_HSM_PIN is set, and empty", "--kek-pin-file"),
        (_no_module, InvalidSetting, "no PKCS#11 module /nonexistent/module.so", ""),
        (_two_keys, UsageError, "2 keys on the token 'vault' fit: id=%0., id=%0.", "Say which"),
        (_two_tokens, UsageError, "2 tokens fit", "serial="),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) and not isinstance(value, type) else "",
)
def test_a_bad_day_with_a_token(
    tokens: SoftHsm,
    bad_day: Callable[[SoftHsm], KeyWrapper],
    error: type[Exception],
    said: str,
    hint: str,
) -> None:
    with pytest.raises(error, match=said) as refused:
        bad_day(tokens).wrap(SECRET, CONTEXT)
    assert hint in refused.value.hint  # type: ignore[attr-defined]
    assert "not the pin" not in str(refused.value)


def test_a_token_with_another_key_under_that_label_doesnt_open_it(tokens: SoftHsm) -> None:
    """Lost and bought anew, or swapped by somebody."""
    token = tokens.insert("vault")
    one = wrapper(URI)
    assert isinstance(one, TokenWrapper)
    one.generate()
    how, wrapped = one.wrap(SECRET, CONTEXT)
    one.close()
    tokens.pull_out(token)
    tokens.insert("vault")
    pkcs11.lib(MODULE).finalize()
    with pytest.raises(KeyMissing) as missing:
        one.unwrap(how, wrapped, CONTEXT)
    assert "another key or token is there" in missing.value.hint
    one.generate()
    with pytest.raises(StateError, match="doesn't open under the key labelled 'kek' on the token 'vault'"):
        one.unwrap(how, wrapped, CONTEXT)
    one.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda s, **a: s.generate_key(KeyType.AES, 128, **a), "has 128 bits"),
        (
            lambda s, **a: s.generate_key(KeyType.AES, 256, capabilities=MechanismFlag.ENCRYPT, **a),
            "may not both wrap",
        ),
        (lambda s, **a: s.generate_key(KeyType.AES, 256, capabilities=MechanismFlag.WRAP, **a), "may not both wrap"),
        (
            lambda s, **a: s.generate_key(KeyType.AES, 256, template={Attribute.SENSITIVE: False}, **a),
            "can be read out",
        ),
        (lambda s, **a: s.generate_keypair(KeyType.RSA, 1024, **a), "has 1024 bits"),
        (
            lambda s, **a: s.generate_keypair(KeyType.RSA, 2048, capabilities=MechanismFlag.SIGN, **a),
            "may not decrypt",
        ),
    ],
    ids=["AES-128", "AES that encrypts", "AES that can't unwrap", "AES in the clear", "RSA-1024", "RSA that signs"],
)
def test_a_key_on_a_token_that_cant_or_mustnt_wrap(tokens: SoftHsm, make: Callable[..., Any], said: str) -> None:
    tokens.insert("vault")
    on_token(lambda session: make(session, label="kek", store=True))
    one = wrapper(URI)
    with pytest.raises(KeyUnsupported, match=f"The key labelled 'kek' on the token 'vault' {said}") as refused:
        one.wrap(SECRET, CONTEXT)
    assert "AES-256" in refused.value.hint
    one.close()


# --- key services


@pytest.mark.parametrize(
    "uri",
    [
        "azurekms://v.vault.azure.net/keys/k",
        "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
    ],
)
def test_a_key_service_that_cant_wrap_here_is_named_with_those_that_can(uri: str) -> None:
    with pytest.raises(InvalidSetting, match=f"A key of {uri.partition(':')[0]}: can sign, but not wrap") as refused:
        wrapper(uri)
    assert "pkcs11: awskms: hv:" in refused.value.hint.replace(",", "")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("kek", "no URI of a key"),
        ("file:///etc/kek", "begin with file:"),
        ("hv:kek/1", "Vault knows itself which version"),
        ("hv://user:hunter2@vault/kek", "carries more than the name"),
        (f"{URI}?pin-value=hunter2", "'pin-value' is refused"),
    ],
)
def test_what_is_no_uri_of_a_wrapping_key(uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        wrapper(uri)
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    ("uri", "extra", "how"),
    [(URI, "hsm", AES), ("awskms:alias/kek", "aws", AWS), ("hv:kek", "vault", VAULT)],
    ids=["hsm", "aws", "vault"],
)
def test_a_package_that_isnt_installed_is_said_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, uri: str, extra: str, how: str
) -> None:
    packages = sdks.SDKS[uri.partition(":")[0]].packages
    for package in packages:
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled(packages), *sys.meta_path])
    one = wrapper(uri)
    for call in (lambda: one.wrap(SECRET, CONTEXT), lambda: one.unwrap(how, b"wrapped", CONTEXT)):
        with pytest.raises(InvalidSetting) as refused:
            call()
        assert f"pip install 'trustkit[{extra}]'" in refused.value.hint
    one.close()


def test_an_alias_that_points_to_another_key_now_is_found_out(aws: Any) -> None:
    alias = f"alias/kek-{secrets.token_hex(4)}"
    one, two = (aws.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    aws.create_alias(AliasName=alias, TargetKeyId=one)
    how, wrapped = wrapper(f"awskms:{alias}").wrap(SECRET, CONTEXT)
    assert wrapper(f"awskms:{alias}").unwrap(how, wrapped, CONTEXT) == SECRET
    aws.update_alias(AliasName=alias, TargetKeyId=two)
    with pytest.raises(StateError, match=f"awskms:{alias} .IncorrectKeyException"):
        wrapper(f"awskms:{alias}").unwrap(how, wrapped, CONTEXT)


def test_aws_that_doesnt_answer_or_has_no_such_key(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyUnavailable, match="awskms:alias/nobody can't be used: NotFoundException"):
        wrapper("awskms:alias/nobody").wrap(SECRET, CONTEXT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(KeyUnavailable, match="EndpointConnectionError") as refused:
        wrapper("awskms:alias/kek").wrap(SECRET, CONTEXT)
    assert "testing-secret" not in str(refused.value)


def test_a_vault_goes_on_opening_what_an_older_version_wrapped(vault: Vault, in_vault: Wrap) -> None:
    one = in_vault("kek")
    how, wrapped = one.wrap(SECRET, CONTEXT)
    vault.ciphers["kek"].append(AESGCM(AESGCM.generate_key(256)))
    assert one.unwrap(how, wrapped, CONTEXT) == SECRET
    assert one.wrap(SECRET, CONTEXT)[1].startswith(b"vault:v2:")


def test_a_vault_that_refuses_doesnt_know_the_key_or_isnt_there(
    vault: Vault, in_vault: Wrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = in_vault("kek")
    with pytest.raises(KeyUnavailable, match="hv:nobody can't be used: Forbidden"):
        wrapper("hv:nobody").wrap(SECRET, CONTEXT)
    monkeypatch.setenv("VAULT_TOKEN", "stolen-token")
    with pytest.raises(KeyUnavailable, match="hv:kek can't be used: Forbidden") as refused:
        one.wrap(SECRET, CONTEXT)
    assert "stolen-token" not in str(refused.value)
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(KeyUnavailable, match="hv:kek can't be used: ConnectionError"):
        one.wrap(SECRET, CONTEXT)
