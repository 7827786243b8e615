"""Online keys on a real token (SoftHSM): made one by one, used from several threads, and gone for a while."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters
from securesystemslib.signer import Key, Signature

from tests.keys.conftest import Typist
from tests.softhsm import MODULE, PIN, SoftHsm
from trustkit.authority.sealedkeys import DeviceSigner, SealedKeys
from trustkit.authority.sealing import Sealer
from trustkit.core.names import Gun
from trustkit.core.publickeys import algorithm, check_key
from trustkit.errors import InvalidSetting, KeyUnavailable, NoPassphrase, ServerFailed, UsageError, WrongPassphrase
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.tokenforge import TokenForge, token_forge
from trustkit.keys.uris import Pkcs11Uri, parse_uri

pytestmark = pytest.mark.real

GUN = Gun.parse("registry.example.com/app")
URI = "pkcs11:token=online"


@pytest.fixture
def token(tokens: SoftHsm) -> Path:
    return tokens.insert("online")


def forge(pin: str = PIN, **source: Any) -> TokenForge:
    """Checked, as at a service's start."""
    environ = {"TRUSTKIT_HSM_PIN": pin} if pin else {}
    made = token_forge(URI, environ, PassphraseSource(environ=environ, **source))
    made.check()
    return made


def sign(anvil: TokenForge, place: str, public: Key, payload: bytes) -> Signature:
    """A signature, as the service has it made."""
    return DeviceSigner(anvil.places, place, public).sign(payload)


def test_each_key_is_its_own_never_leaves_the_token_and_signs_in_a_later_run(token: Path) -> None:
    first = forge()
    made = [first.make(GUN, role) for role in ("snapshot", "timestamp", "snapshot")]
    assert len({public.keyid for public, _ in made}) == len({place for _, place in made}) == 3
    pkcs11.lib(MODULE).finalize()
    later = forge()
    for public, place in made:
        check_key(public)
        assert algorithm(public) == "ecdsa-p256"
        assert "object=trustkit%20" in place
        public.verify_signature(sign(later, place, public, b"payload"), b"payload")
    pkcs11.lib(MODULE).finalize()
    with pkcs11.lib(MODULE).get_token(token_label="online").open(user_pin=PIN) as session:
        private = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
        facts = [(each[Attribute.SENSITIVE], each[Attribute.EXTRACTABLE]) for each in private]
    assert facts == [(True, False)] * 3


def test_several_threads_sign_at_once(token: Path) -> None:
    anvil = forge()
    public, place = anvil.make(GUN, "timestamp")

    def signed(number: int) -> None:
        payload = b"payload %d" % number
        public.verify_signature(sign(anvil, place, public, payload), payload)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(signed, range(80))) == [None] * 80


def test_a_token_that_is_gone_and_back_signs_again_and_nobody_is_asked_for_its_pin(
    token: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    typist = Typist(PIN)
    anvil = forge("", interactive=True, prompt=typist)
    public, place = anvil.make(GUN, "snapshot")
    away = tmp_path / "away"
    token.rename(away)
    keys = SealedKeys(Sealer(bytes(32)), anvil, anvil.places)
    for call in (lambda: sign(anvil, place, public, b"x"), lambda: keys.make(GUN, "snapshot")):
        with caplog.at_level(logging.ERROR), pytest.raises(ServerFailed, match="can't be used now") as refused:
            call()
        told = f"{refused.value} {refused.value.hint}"
        assert "online'" not in told, "a client learns no name of a device"
        assert PIN not in told
    assert "The token 'online' isn't here" in caplog.text
    assert PIN not in caplog.text
    away.rename(token)
    public.verify_signature(sign(anvil, place, public, b"x"), b"x")
    assert len(typist.asked) == 1
    assert "for the online keys" in typist.asked[0]


def _replaced(place: str) -> None:
    """Another key under the label and id of this one."""
    uri = parse_uri(place)
    assert isinstance(uri, Pkcs11Uri)
    pkcs11.lib(MODULE).finalize()
    with pkcs11.lib(MODULE).get_token(token_label="online").open(rw=True, user_pin=PIN) as session:
        for each in list(session.get_objects({Attribute.ID: uri.id})):
            each.destroy()
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        domain = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        domain.generate_keypair(store=True, id=uri.id, label=uri.object)
    pkcs11.lib(MODULE).finalize()


def _destroyed(place: str) -> None:
    _replaced(place)
    uri = parse_uri(place)
    assert isinstance(uri, Pkcs11Uri)
    with pkcs11.lib(MODULE).get_token(token_label="online").open(rw=True, user_pin=PIN) as session:
        for each in list(session.get_objects({Attribute.ID: uri.id})):
            each.destroy()
    pkcs11.lib(MODULE).finalize()


@pytest.mark.parametrize(
    ("happened", "logged"),
    [(_replaced, "Another key than"), (_destroyed, "There is no private key")],
    ids=["replaced", "destroyed"],
)
def test_a_key_that_isnt_the_one_any_more_signs_nothing(
    token: Path, caplog: pytest.LogCaptureFixture, happened: Any, logged: str
) -> None:
    public, place = forge().make(GUN, "snapshot")
    happened(place)
    later = forge()
    with caplog.at_level(logging.ERROR), pytest.raises(ServerFailed):
        sign(later, place, public, b"payload")
    assert logged in caplog.text


@pytest.mark.parametrize("place", ["cellar:anvil", "anvil", "pkcs11:token=cellar;object=anvil"])
def test_a_place_that_cant_be_reached_signs_nothing_and_isnt_told(token: Path, place: str) -> None:
    anvil = forge()
    public, _ = anvil.make(GUN, "snapshot")
    with pytest.raises(ServerFailed, match="can't be used now; nothing was signed") as refused:
        sign(anvil, place, public, b"payload")
    assert "anvil" not in f"{refused.value} {refused.value.hint}"


def test_a_start_is_refused_without_the_token_or_its_pin(tokens: SoftHsm) -> None:
    with pytest.raises(KeyUnavailable, match="The token 'online' isn't here"):
        forge()
    tokens.insert("online")
    pkcs11.lib(MODULE).finalize()
    with pytest.raises(WrongPassphrase, match="it was wanted for the online keys"):
        forge("not the pin")
    with pytest.raises(NoPassphrase):
        forge("")


@pytest.mark.parametrize(
    ("uri", "error", "said"),
    [
        ("pkcs11:token=online;object=one", UsageError, "each with a label of its own"),
        ("pkcs11:token=online;id=%01", UsageError, "each with a label of its own"),
        ("awskms:alias/online", InvalidSetting, "not made in awskms"),
        ("hv:online", InvalidSetting, "not made in hv"),
        ("online", UsageError, "no URI of a key"),
        ("pkcs11:token=online?pin-value=hunter2", UsageError, "'pin-value' is refused"),
    ],
)
def test_what_is_no_token_to_make_keys_on(uri: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as refused:
        token_forge(uri, {}, PassphraseSource(environ={}))
    assert "hunter2" not in f"{refused.value}"


def test_the_key_is_the_type_that_clients_know(token: Path) -> None:
    public, _ = forge().make(GUN, "timestamp")
    assert isinstance(public, Key)
    assert (public.keytype, public.scheme) == ("ecdsa", "ecdsa-sha2-nistp256")
