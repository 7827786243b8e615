"""Keys on real tokens (SoftHSM): made there, found, opened by a PIN once, and what happens on bad days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from pkcs11.util.ec import encode_named_curve_parameters

from tests.keys.conftest import Typist
from tests.softhsm import MODULE, PIN, SoftHsm
from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.core.publickeys import check_key
from trustkit.errors import (
    InvalidSetting,
    KeyExists,
    KeyMissing,
    KeyUnavailable,
    KeyUnsupported,
    NoPassphrase,
    TrustkitError,
    UsageError,
    WrongPassphrase,
)
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.remote import RemoteKeys
from trustkit.keys.store import FileKeyStore
from trustkit.keys.uris import parse_token, parse_uri

pytestmark = pytest.mark.real

GUN = Gun.parse("registry.example.com/app")
ENVIRON = {"TRUSTKIT_HSM_PIN": PIN}

Open = Callable[..., FileKeyStore]


@pytest.fixture
def opened(softhsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A key store that starts as a new run does; the module is loaded anew, so tokens that changed are seen."""
    monkeypatch.setenv("SOFTHSM2_CONF", softhsm.environ["SOFTHSM2_CONF"])
    runs: list[RemoteKeys] = []

    def run(environ: dict[str, str] = ENVIRON, **source: Any) -> FileKeyStore:
        end()
        passphrases = PassphraseSource(environ=environ, **source)
        runs.append(RemoteKeys(environ, passphrases))
        return FileKeyStore(tmp_path / "keys", passphrases, remote=runs[-1])

    def end() -> None:
        while runs:
            runs.pop().close()
        pkcs11.lib(MODULE).finalize()

    yield run
    end()


def make(store: FileKeyStore, uri: str = "pkcs11:token=ceremony", **given: Any) -> KeyInfo:
    wanted = {"role": KeyRole.ROOT, "gun": None, "name": None, "algorithm": Algorithm.P256, **given}
    return store.generate_at(parse_token(uri), **wanted)


def add(store: FileKeyStore, uri: str) -> KeyInfo:
    return store.register(parse_uri(uri), KeyRole.ROOT, gun=None, name=None)


def objects(label: str = "") -> list[Any]:
    """The private keys on the one token, seen by a session of the test's own that needs no PIN of its own."""
    token = next(slot.get_token() for slot in pkcs11.lib(MODULE).get_slots(token_present=True))
    with token.open() as session:
        wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}
        attributes = (pkcs11.Attribute.SENSITIVE, pkcs11.Attribute.EXTRACTABLE, pkcs11.Attribute.ID)
        found = session.get_objects(wanted | ({pkcs11.Attribute.LABEL: label} if label else {}))
        return [[each[attribute] for attribute in attributes] for each in found]


@pytest.mark.parametrize("algorithm", [Algorithm.P256, Algorithm.P384])
@pytest.mark.parametrize(
    ("purpose", "label"),
    [
        ({"role": KeyRole.ROOT}, "trustkit root"),
        ({"role": KeyRole.REPOSITORY, "gun": GUN}, f"trustkit repository {GUN}"),
        ({"role": KeyRole.SIGNER, "name": SignerName.parse("ci")}, "trustkit signer ci"),
    ],
)
def test_a_key_is_made_on_the_token_and_signs_in_a_later_run(
    softhsm: SoftHsm, opened: Open, algorithm: Algorithm, purpose: dict[str, Any], label: str
) -> None:
    softhsm.insert("ceremony")
    made = make(opened(), algorithm=algorithm, **purpose)
    ((sensitive, extractable, key_id),) = objects(label)
    assert (sensitive, extractable) == (True, False)
    assert made.uri is not None
    assert made.uri.endswith("id=" + "".join(f"%{byte:02X}" for byte in key_id))
    store = opened()
    assert store.list() == [made]
    check_key(made.public)
    signature = store.unlock(made).sign(b"payload")
    assert signature.keyid == made.id
    made.public.verify_signature(signature, b"payload")


def test_a_key_that_is_there_is_taken_in_by_label_by_id_and_by_the_librarys_own_uri(
    softhsm: SoftHsm, opened: Open
) -> None:
    softhsm.insert("ceremony")
    store = opened()
    made = make(store, "pkcs11:token=ceremony;object=mine;id=%01%02")
    for uri in ("pkcs11:object=mine", "pkcs11:token=ceremony;id=%01%02", "hsm:258?label=ceremony"):
        store.remove(made)
        assert add(store, uri).id == made.id
    with pytest.raises(KeyExists, match="here already"):
        add(store, "pkcs11:object=mine")


def test_a_pin_is_asked_for_once_for_all_keys_of_a_token(softhsm: SoftHsm, opened: Open) -> None:
    softhsm.insert("ceremony")
    store = opened()
    keys = [make(store), make(store, role=KeyRole.REPOSITORY, gun=GUN)]
    typist = Typist(PIN)
    store = opened({}, interactive=True, prompt=typist)
    for info in keys * 2:
        store.unlock(info).sign(b"payload")
    assert len(typist.asked) == 1
    assert "token 'ceremony' in slot" in typist.asked[0]
    assert "PIN" in typist.asked[0]


def test_a_keys_own_variable_counts_before_that_of_all_tokens(softhsm: SoftHsm, opened: Open) -> None:
    softhsm.insert("ceremony")
    made = make(opened())
    own = f"TRUSTKIT_PASSPHRASE_{made.id[:8]}"
    opened({"TRUSTKIT_HSM_PIN": "wrong pin", own: PIN}).unlock(made).sign(b"payload")
    with pytest.raises(WrongPassphrase, match=own):
        opened({"TRUSTKIT_HSM_PIN": PIN, own: "wrong pin"}).unlock(made)
    with pytest.raises(NoPassphrase) as nobody:
        opened({"TRUSTKIT_ROOT_PASSPHRASE": PIN}).unlock(made)
    assert own in nobody.value.hint, "the passphrase of root keys is no PIN"


def test_a_wrong_pin_is_tried_once_and_names_token_and_key(softhsm: SoftHsm, opened: Open) -> None:
    softhsm.insert("ceremony")
    made = make(opened())
    typist = Typist("wrong pin", "wrong again", PIN)
    store = opened({}, interactive=True, prompt=typist)
    for _ in range(2):
        with pytest.raises(WrongPassphrase, match=f"'ceremony'.*{made.id[:8]}") as wrong:
            store.unlock(made)
        assert "wrong pin" not in str(wrong.value)
    assert typist.answers == ["wrong again", PIN], "tokens lock, so nobody asks again"
    opened().unlock(made)


def _no_token(hsm: SoftHsm, token: Path) -> None:
    hsm.pull_out(token)


def _another_token(hsm: SoftHsm, token: Path) -> None:
    hsm.pull_out(token)
    hsm.insert("another")


def _same_label(hsm: SoftHsm, token: Path) -> None:
    hsm.pull_out(token)
    hsm.insert("ceremony")


def _two(hsm: SoftHsm, token: Path) -> None:
    hsm.insert("ceremony")


@pytest.mark.parametrize(
    ("happened", "error", "said"),
    [
        (_no_token, KeyUnavailable, "The token 'ceremony' isn't here; .*libsofthsm2.so shows none"),
        (_another_token, KeyUnavailable, "The token 'ceremony' isn't here; .* shows 'another'"),
        (_same_label, KeyMissing, "no private key labelled 'trustkit root' with id .* on the token 'ceremony'"),
        (_two, UsageError, "2 tokens fit: 'ceremony' .*serial="),
    ],
    ids=["none", "another", "empty", "two"],
)
def test_a_token_that_isnt_the_one(
    softhsm: SoftHsm,
    opened: Open,
    happened: Callable[[SoftHsm, Path], None],
    error: type[TrustkitError],
    said: str,
) -> None:
    token = softhsm.insert("ceremony")
    made = make(opened())
    happened(softhsm, token)
    with pytest.raises(error, match=said):
        opened().unlock(made)


def test_a_token_that_is_pulled_out_between_opening_and_signing(softhsm: SoftHsm, opened: Open) -> None:
    token = softhsm.insert("ceremony")
    store = opened()
    signer = store.unlock(make(store))
    signer.sign(b"payload")
    softhsm.pull_out(token)
    with pytest.raises(KeyUnavailable, match="'ceremony' was pulled out"):
        signer.sign(b"payload")


def test_another_key_under_the_same_label_is_found_out(softhsm: SoftHsm, opened: Open) -> None:
    token = softhsm.insert("ceremony")
    store = opened()
    store.remove(make(store, "pkcs11:token=ceremony;object=root"))
    registered = add(store, "pkcs11:token=ceremony;object=root")
    softhsm.pull_out(token)
    softhsm.insert("ceremony")
    store = opened()
    swapped = make(store, "pkcs11:token=ceremony;object=root")
    assert swapped.id != registered.id
    signer = store.unlock(registered)
    with pytest.raises(KeyMissing, match=f"Another key than {registered.id[:16]} is at pkcs11:token=ceremony"):
        signer.sign(b"payload")


def test_labels_and_ids_that_are_taken_or_fit_twice(softhsm: SoftHsm, opened: Open) -> None:
    softhsm.insert("ceremony")
    store = opened()
    make(store, "pkcs11:token=ceremony;object=a;id=%01")
    make(store, "pkcs11:token=ceremony;object=b;id=%02")
    for taken in ("object=a", "object=c;id=%02"):
        with pytest.raises(KeyExists, match="never overwritten"):
            make(store, f"pkcs11:token=ceremony;{taken}")
    with pytest.raises(UsageError, match=r"2 private keys .*id=%01, id=%02"):
        add(store, "pkcs11:token=ceremony")
    with pytest.raises(KeyMissing, match="labelled 'c'"):
        add(store, "pkcs11:token=ceremony;object=c")


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.RSA])
def test_other_algorithms_are_not_made(softhsm: SoftHsm, opened: Open, algorithm: Algorithm) -> None:
    softhsm.insert("ceremony")
    with pytest.raises(KeyUnsupported, match="ecdsa-p256 or ecdsa-p384"):
        make(opened(), algorithm=algorithm)
    assert objects() == []


def test_a_key_that_cant_be_registered_is_not_left_on_the_token(softhsm: SoftHsm, opened: Open) -> None:
    softhsm.insert("ceremony")
    store = opened()
    folder = Path(store.place)
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)
    with pytest.raises(TrustkitError, match="Others may write"):
        make(store)
    assert objects() == []


def _stranger(kind: str) -> Callable[[Any], None]:
    """Makes a key of another kind, labelled ``strange``, with python-pkcs11 itself."""

    def of_a_curve(session: Any) -> None:
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp521r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        parameters.generate_keypair(store=True, label="strange", id=b"\1")

    def rsa(session: Any) -> None:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="strange", id=b"\1")

    def without_half(session: Any) -> None:
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        parameters.generate_keypair(store=True, label="strange", id=b"\1")[0].destroy()

    return {"P-521": of_a_curve, "RSA": rsa, "no public half": without_half}[kind]


@pytest.mark.parametrize(
    ("kind", "error"), [("P-521", KeyUnsupported), ("RSA", KeyUnsupported), ("no public half", KeyMissing)]
)
def test_keys_that_are_not_taken_in(softhsm: SoftHsm, opened: Open, kind: str, error: type[TrustkitError]) -> None:
    softhsm.insert("ceremony")
    store = opened()
    token = next(slot.get_token() for slot in pkcs11.lib(MODULE).get_slots(token_present=True))
    with token.open(rw=True, user_pin=PIN) as session:
        _stranger(kind)(session)
    with pytest.raises(error, match=r"strange"):
        add(store, "pkcs11:object=strange")
    assert store.list() == []


def test_a_key_that_wants_its_pin_at_each_signature_gets_it(softhsm: SoftHsm, opened: Open) -> None:
    softhsm.insert("ceremony")
    store = opened()
    token = next(slot.get_token() for slot in pkcs11.lib(MODULE).get_slots(token_present=True))
    with token.open(rw=True, user_pin=PIN) as session:
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        each_time = {pkcs11.Attribute.ALWAYS_AUTHENTICATE: True}
        parameters.generate_keypair(store=True, label="piv", id=b"\2", private_template=each_time)
    signer = store.unlock(add(store, "hsm:?label=ceremony"))
    for payload in (b"one", b"two"):
        signer.public_key.verify_signature(signer.sign(payload), payload)


@pytest.mark.parametrize(
    ("environ", "query", "said"),
    [
        ({"TRUSTKIT_PKCS11_MODULE": "/nonexistent.so"}, "", "TRUSTKIT_PKCS11_MODULE"),
        ({}, "?module-path=/nonexistent.so", "module-path"),
    ],
)
def test_a_module_that_isnt_there(opened: Open, environ: dict[str, str], query: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=f"no PKCS#11 module /nonexistent.so, which {said}"):
        make(opened({**ENVIRON, **environ}), f"pkcs11:token=ceremony{query}")


def test_a_module_that_is_none(opened: Open) -> None:
    with pytest.raises(KeyUnavailable, match=f"{__file__} can't be used"):
        make(opened(), f"pkcs11:token=ceremony?module-path={__file__}")


def test_a_module_that_is_named_is_the_one_that_is_used(softhsm: SoftHsm, opened: Open) -> None:
    softhsm.insert("ceremony")
    named = opened({**ENVIRON, "TRUSTKIT_PKCS11_MODULE": MODULE})
    assert make(named, f"pkcs11:token=ceremony?module-path={MODULE}").uri.endswith(f"?module-path={MODULE}")
