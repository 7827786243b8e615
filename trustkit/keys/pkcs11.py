"""Keys on tokens: their public half, signing with them, and making them there.

securesystemslib's HSMSigner finds tokens by label only and keys by a number only, asks for the PIN at each signature
and takes the module from the process's environment; so this is a signer of our own, with its formats.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.signer import Key, Signature

from trustkit.core.openedsigner import OpenedSigner
from trustkit.core.publickeys import P256, P384
from trustkit.errors import KeyExists, KeyMissing, KeyUnsupported, UsageError
from trustkit.keys import keypairs
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.tokens import speaking
from trustkit.keys.uris import Pkcs11Uri

if TYPE_CHECKING:
    import pkcs11

CURVES = {Algorithm.P256: "secp256r1", Algorithm.P384: "secp384r1"}
_HASHES = {P256[1]: hashlib.sha256, P384[1]: hashlib.sha384}


class Pkcs11Signer(OpenedSigner):
    """Signs with the private key on a token; ECDSA, hashed here.

    Args:
        session: open and logged in.
        pin: what opened it; keys that want it at each signature get it again.
        uri: which object it is.
        public: what the key is registered as; P-256 or P-384.

    Raises:
        KeyMissing: there is no such private key; UsageError: there are several; KeyUnavailable.
    """

    def __init__(self, session: pkcs11.Session, pin: bytes, uri: Pkcs11Uri, public: Key) -> None:
        self._uri = uri
        self._public = public
        with speaking(uri.where):
            self._private = _private(session, uri)
            self._pin = pin.decode() if pin and _asks_each_time(self._private) else None

    @property
    def public_key(self) -> Key:
        return self._public

    def sign(self, payload: bytes) -> Signature:
        """Raises KeyUnavailable; the token that is pulled out has a sentence of its own."""
        import pkcs11
        import pkcs11.util.ec

        digest = _HASHES[self._public.scheme](payload).digest()
        with speaking(self._uri.where):
            raw = self._private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA, pin=self._pin)
        return Signature(self._public.keyid, pkcs11.util.ec.encode_ecdsa_signature(raw).hex())


def read_public(session: pkcs11.Session, uri: Pkcs11Uri) -> Key:
    """The public half of the key that a URI means, with its own id (TRUST 2.1).

    Raises:
        KeyMissing: no such private key, or no public half beside it.
        KeyUnsupported: not ECDSA on P-256 or P-384.
        UsageError: several keys fit; KeyUnavailable.
    """
    import pkcs11

    with speaking(uri.where):
        private = _private(session, uri)
        key_id, label = bytes(private[pkcs11.Attribute.ID] or b""), str(private[pkcs11.Attribute.LABEL] or "")
        halves = objects(session, pkcs11.ObjectClass.PUBLIC_KEY, label="" if key_id else label, key_id=key_id)
        if len(halves) != 1:
            raise KeyMissing(
                f"Beside the private key {uri.what} on {uri.where} there are {len(halves)} public keys with its id.",
                hint="Put its public half on the token, under the same id.",
            )
        return _public_half(halves[0], uri)


def generate(session: pkcs11.Session, uri: Pkcs11Uri, algorithm: Algorithm, label: str) -> Pkcs11Uri:
    """Makes a key pair on the token, whose private half never leaves it; the URI that names it by label and id.

    Args:
        algorithm: ``ecdsa-p256`` or ``ecdsa-p384``.
        label: of the new objects, unless the URI gives one.

    Raises:
        KeyUnsupported: another algorithm, or the token would let the private half out.
        KeyExists: an object with this label or id is there; nothing is overwritten.
        KeyUnavailable.
    """
    import pkcs11
    import pkcs11.util.ec

    if algorithm not in CURVES:
        raise KeyUnsupported(f"On a token, keys are {' or '.join(CURVES)}, not {algorithm}.")
    label, key_id = uri.object or label, uri.id or secrets.token_bytes(8)
    attribute = pkcs11.Attribute
    with speaking(uri.where):
        _check_free(session, uri, label, key_id)
        curve = {attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters(CURVES[algorithm])}
        halves = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True).generate_keypair(
            mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN,
            store=True,
            id=key_id,
            label=label,
            capabilities=pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
            public_template={attribute.PRIVATE: False},
            private_template={attribute.PRIVATE: True, attribute.SENSITIVE: True, attribute.EXTRACTABLE: False},
        )
        if not halves[1][attribute.SENSITIVE] or halves[1][attribute.EXTRACTABLE]:
            for half in halves:
                half.destroy()
            raise KeyUnsupported(f"{uri.where} makes keys that can be read out of it; the new one is gone again.")
    return Pkcs11Uri(
        token=uri.token,
        manufacturer=uri.manufacturer,
        model=uri.model,
        serial=uri.serial,
        slot_id=uri.slot_id,
        object=label,
        id=key_id,
        module=uri.module,
    )


def destroy(session: pkcs11.Session, uri: Pkcs11Uri) -> None:
    """Removes both halves of a key that was made a moment ago; raises KeyUnavailable."""
    import pkcs11

    with speaking(uri.where):
        for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
            for each in objects(session, kind, label=uri.object, key_id=uri.id):
                each.destroy()


def _check_free(session: pkcs11.Session, uri: Pkcs11Uri, label: str, key_id: bytes) -> None:
    import pkcs11

    private = pkcs11.ObjectClass.PRIVATE_KEY
    for said, found in (
        (f"labelled {label!r}", objects(session, private, label=label, key_id=b"")),
        (f"with id {key_id.hex()}", objects(session, private, label="", key_id=key_id)),
    ):
        if found:
            raise KeyExists(
                f"On {uri.where} there is a key {said} already, and it is never overwritten.",
                hint="Give the new key a label of its own with object=, or register that one: trustkit key add URI",
            )


def _private(session: pkcs11.Session, uri: Pkcs11Uri) -> Any:
    import pkcs11

    found = objects(session, pkcs11.ObjectClass.PRIVATE_KEY, label=uri.object, key_id=uri.id)
    if len(found) == 1:
        return found[0]
    if not found:
        raise KeyMissing(f"There is no private key {uri.what}".rstrip() + f" on {uri.where}.")
    ids = ", ".join("id=" + "".join(f"%{byte:02X}" for byte in each[pkcs11.Attribute.ID]) for each in found)
    raise UsageError(f"{len(found)} private keys on {uri.where} fit: {ids}.", hint="Say which in the URI.")


def _asks_each_time(private: Any) -> bool:
    import pkcs11

    try:
        return bool(private[pkcs11.Attribute.ALWAYS_AUTHENTICATE])
    except pkcs11.AttributeTypeInvalid:
        return False


def objects(session: pkcs11.Session, kind: pkcs11.ObjectClass, *, label: str, key_id: bytes) -> list[Any]:
    """The objects of a kind with this label and id, whichever of the two is said; raises as the token does."""
    import pkcs11

    wanted: dict[pkcs11.Attribute, Any] = {pkcs11.Attribute.CLASS: kind}
    if label:
        wanted[pkcs11.Attribute.LABEL] = label
    if key_id:
        wanted[pkcs11.Attribute.ID] = key_id
    return list(session.get_objects(wanted))


def _public_half(half: Any, uri: Pkcs11Uri) -> Key:
    import pkcs11
    import pkcs11.util.ec

    if half.key_type is not pkcs11.KeyType.EC:
        raise KeyUnsupported(f"The key {uri.what} on {uri.where} is no ECDSA key.", hint="Use P-256 or P-384.")
    try:
        return keypairs.public_half(load_der_public_key(pkcs11.util.ec.encode_ec_public_key(half)))
    except KeyUnsupported as error:
        raise KeyUnsupported(
            f"The key {uri.what} on {uri.where} can't be used. {error.message}", hint=error.hint
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnsupported(f"The public key {uri.what} on {uri.where} can't be read.") from error
