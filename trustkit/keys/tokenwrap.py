"""A key on a token that wraps another key: AES-256 by the key wrap of RFC 3394, or RSA by OAEP.

Both give back what they wrapped, or nothing.  OAEP is with SHA-1 and MGF1, which every token has and whose collisions
mean nothing there; its half that encrypts needs no token.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA1

from trustkit.errors import KeyExists, KeyMissing, KeyUnsupported, StateError, UsageError
from trustkit.keys.pkcs11 import objects
from trustkit.keys.tokens import Tokens, speaking
from trustkit.keys.uris import Pkcs11Uri, parse_uri

if TYPE_CHECKING:
    import pkcs11

AES, RSA = "pkcs11-aes-key-wrap", "pkcs11-rsa-oaep-sha1"
KEY_BYTES, RSA_BITS = 32, (2048, 8192)
_MAKE = "Make one there: trustkit admin --data-dir DIR kek generate --kek-uri URI"
_SUITS = "It takes an AES-256 key that may wrap and unwrap, or an RSA key of 2048 to 8192 bits that may decrypt."
_ANOTHER = "Its file was changed, or another key or token is there than the one that wrapped it."


@dataclass(frozen=True, slots=True)
class KekSubject:
    """The key-encryption key of a service, for which a PIN is wanted."""

    key_id: str = ""
    place: str = ""
    variables: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return "the key-encryption key"


class TokenWrapper:
    """The ``KeyWrapper`` of a pkcs11: URI.

    The token stays open from the first call to ``close``.
    """

    def __init__(self, uri: Pkcs11Uri, tokens: Tokens) -> None:
        self._uri = uri
        self._tokens = tokens

    @property
    def uri(self) -> str:
        return str(self._uri)

    def same_place(self, uri: str) -> bool:
        """The module is the way there, and not part of the place."""
        try:
            other = parse_uri(uri)
        except UsageError:
            return False
        return isinstance(other, Pkcs11Uri) and _placed(other) == _placed(self._uri)

    def wrap(self, secret: bytes, context: Mapping[str, str]) -> tuple[str, bytes]:
        """Wraps; a token has no way to bind the context."""
        del context
        session = self._session()
        with speaking(self._uri.where):
            how, key = self._find(session, hint=_MAKE)
            with self._unsupported(how):
                return how, _wrap_aes(session, key, secret) if how == AES else _wrap_rsa(key, secret)

    def unwrap(self, how: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The secret."""
        del context
        session = self._session()
        import pkcs11

        refused = (pkcs11.GeneralError, pkcs11.FunctionFailed, pkcs11.WrappedKeyInvalid, pkcs11.WrappedKeyLenRange,
                   pkcs11.EncryptedDataInvalid, pkcs11.EncryptedDataLenRange, pkcs11.DataInvalid,
                   pkcs11.DataLenRange, pkcs11.ArgumentsBad)  # fmt: skip
        with speaking(self._uri.where):
            known, key = self._find(session, hint=_ANOTHER)
            if known != how:
                raise self._another(f"that key is for {known}, and it was wrapped by {how}")
            try:
                with self._unsupported(how):
                    return _unwrap_aes(key, wrapped) if how == AES else _unwrap_rsa(key, wrapped)
            except refused as error:
                raise self._another(type(error).__name__) from error

    def close(self) -> None:
        """Logs out, so that the token may be taken away and the PIN is forgotten."""
        self._tokens.close()

    def generate(self) -> None:
        """Makes an AES-256 key on the token that never leaves it, labelled as the URI says.

        Raises:
            UsageError: the URI has no label.  KeyExists: there is a key with its label or id.
            KeyUnsupported: the token makes no such keys, or would let them out.  Others as ``wrap``.
        """
        uri = self._uri
        if not uri.object:
            raise UsageError("The new key needs a label.", hint="Write object=LABEL into the URI.")
        session = self._session()
        import pkcs11

        attribute, flag = pkcs11.Attribute, pkcs11.MechanismFlag
        with speaking(uri.where), self._unsupported(AES):
            if _candidates(session, uri.object, b"") or (uri.id and _candidates(session, "", uri.id)):
                raise KeyExists(
                    f"On {uri.where} there is a key {uri.what} already, and it is never overwritten.",
                    hint="Use that one, or give the new key a label of its own with object=.",
                )
            made = session.generate_key(
                pkcs11.KeyType.AES,
                KEY_BYTES * 8,
                id=uri.id or secrets.token_bytes(8),
                label=uri.object,
                store=True,
                capabilities=flag.WRAP | flag.UNWRAP,
                template={attribute.PRIVATE: True, attribute.SENSITIVE: True, attribute.EXTRACTABLE: False},
            )
            if not made[attribute.SENSITIVE] or made[attribute.EXTRACTABLE]:
                made.destroy()
                raise KeyUnsupported(f"{uri.where} makes keys that can be read out of it; the new one is gone again.")

    def _session(self) -> pkcs11.Session:
        """Comes before any other use of python-pkcs11, which it loads."""
        return self._tokens.session(self._uri, KekSubject())[0]

    def _find(self, session: pkcs11.Session, *, hint: str) -> tuple[str, Any]:
        """The one key that the URI means, and how it wraps."""
        import pkcs11

        uri = self._uri
        found = _candidates(session, uri.object, uri.id)
        if not found:
            raise KeyMissing(f"There is no AES or RSA key {uri.what}".rstrip() + f" on {uri.where}.", hint=hint)
        if len(found) > 1:
            ids = ", ".join("id=" + "".join(f"%{b:02X}" for b in each[pkcs11.Attribute.ID]) for each in found)
            raise UsageError(f"{len(found)} keys on {uri.where} fit: {ids}.", hint="Say which in the URI.")
        (key,) = found
        flaw = _flaw(key)
        if flaw:
            raise KeyUnsupported(f"The key {uri.what}".rstrip() + f" on {uri.where} {flaw}.", hint=_SUITS)
        return (AES if key.key_type is pkcs11.KeyType.AES else RSA), key

    @contextlib.contextmanager
    def _unsupported(self, how: str) -> Iterator[None]:
        import pkcs11

        cannot = (pkcs11.MechanismInvalid, pkcs11.KeyTypeInconsistent, pkcs11.WrappingKeyTypeInconsistent,
                  pkcs11.UnwrappingKeyTypeInconsistent, pkcs11.FunctionNotSupported)  # fmt: skip
        uri = self._uri
        try:
            yield
        except cannot as error:
            raise KeyUnsupported(
                f"The key {uri.what}".rstrip() + f" on {uri.where} can't be used for {how} ({type(error).__name__}).",
                hint=_SUITS,
            ) from error

    def _another(self, reason: str) -> StateError:
        uri = self._uri
        return StateError(
            f"The wrapped key-encryption key doesn't open under the key {uri.what}".rstrip()
            + f" on {uri.where} ({reason}).",
            hint=_ANOTHER,
            uri=str(uri),
        )


def _candidates(session: pkcs11.Session, label: str, key_id: bytes) -> list[Any]:
    import pkcs11

    kinds = (
        (pkcs11.ObjectClass.SECRET_KEY, pkcs11.KeyType.AES),
        (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.KeyType.RSA),
    )
    return [
        each
        for kind, key_type in kinds
        for each in objects(session, kind, label=label, key_id=key_id)
        if each.key_type is key_type
    ]


def _flaw(key: Any) -> str:
    """Why a key can't or must not wrap; empty where it may."""
    import pkcs11

    attribute = pkcs11.Attribute
    if not key[attribute.SENSITIVE]:
        return "can be read out of it"
    if key.key_type is pkcs11.KeyType.AES:
        if key[attribute.VALUE_LEN] != KEY_BYTES:
            return f"has {key[attribute.VALUE_LEN] * 8} bits"
        return "" if key[attribute.WRAP] and key[attribute.UNWRAP] else "may not both wrap and unwrap"
    bits = int.from_bytes(key[attribute.MODULUS], "big").bit_length()
    if not RSA_BITS[0] <= bits <= RSA_BITS[1]:
        return f"has {bits} bits"
    return "" if key[attribute.DECRYPT] else "may not decrypt"


def _wrap_aes(session: pkcs11.Session, key: Any, secret: bytes) -> bytes:
    import pkcs11

    attribute = pkcs11.Attribute
    template = {attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, attribute.VALUE: secret, **_readable()}
    inside = session.create_object(template)
    try:
        return bytes(key.wrap_key(inside, mechanism=pkcs11.Mechanism.AES_KEY_WRAP))
    finally:
        inside.destroy()


def _unwrap_aes(key: Any, wrapped: bytes) -> bytes:
    import pkcs11

    inside = key.unwrap_key(
        pkcs11.ObjectClass.SECRET_KEY,
        pkcs11.KeyType.GENERIC_SECRET,
        wrapped,
        mechanism=pkcs11.Mechanism.AES_KEY_WRAP,
        template=_readable(),
    )
    try:
        return bytes(inside[pkcs11.Attribute.VALUE])
    finally:
        inside.destroy()


def _readable() -> dict[Any, Any]:
    """A key that is on the token for the moment in which we read it or hand it in."""
    import pkcs11

    attribute = pkcs11.Attribute
    return {
        attribute.KEY_TYPE: pkcs11.KeyType.GENERIC_SECRET,
        attribute.TOKEN: False,
        attribute.SENSITIVE: False,
        attribute.EXTRACTABLE: True,
    }


def _wrap_rsa(key: Any, secret: bytes) -> bytes:
    import pkcs11

    exponent, modulus = key[pkcs11.Attribute.PUBLIC_EXPONENT], key[pkcs11.Attribute.MODULUS]
    public = RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    return public.encrypt(secret, OAEP(MGF1(SHA1()), SHA1(), None))  # noqa: S303 - what tokens have, see above


def _unwrap_rsa(key: Any, wrapped: bytes) -> bytes:
    import pkcs11

    oaep = (pkcs11.Mechanism.SHA_1, pkcs11.MGF.SHA1, None)
    return bytes(key.decrypt(wrapped, mechanism=pkcs11.Mechanism.RSA_PKCS_OAEP, mechanism_param=oaep))


def _placed(uri: Pkcs11Uri) -> Pkcs11Uri:
    return dataclasses.replace(uri, module="")
