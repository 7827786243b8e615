"""Public keys as Notary writes them, and their ids, which are computed and never believed (TRUST 2.1).

A key has two ids.  Its *key id* is the hash of the object in the file, a certificate's included; ``docker trust
inspect`` shows it.  Its *canonical id* is that of the bare key, whatever certificate it stands in: private key files
are named after it, and one key under two certificates counts once (TRUST 2.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from securesystemslib.signer import Key, Signature

from trustkit.core.certerrors import UNREADABLE
from trustkit.core.formats.docker import signatures
from trustkit.core.formats.docker.canonical import base64_text, from_base64
from trustkit.core.formats.docker.values import members, text
from trustkit.core.names import shown
from trustkit.errors import KeyUnsupported, Malformed

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

ECDSA, ECDSA_X509, RSA, RSA_X509, ED25519 = "ecdsa", "ecdsa-x509", "rsa", "rsa-x509", "ed25519"
METHODS: Mapping[str, str] = {
    ECDSA: signatures.ECDSA,
    ECDSA_X509: signatures.ECDSA,
    RSA: signatures.RSA_PSS,
    RSA_X509: signatures.RSA_PSS,
    ED25519: signatures.EDDSA,
}
"""By key type the one method of its signatures."""

CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
RSA_BITS = range(2048, 4097)
MAX_PUBLIC = 32_768
MAX_CERTIFICATES = 8
_FIELD = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})
"""The y of Ed25519's points of order 1, 2, 4 and 8."""
_BEGIN = b"-----BEGIN CERTIFICATE-----\n"


class DockerKey(Key):
    """A public key in format ``docker``.

    Attributes:
        loaded: the key itself.
        certificates: those of an x509 key, its own first; empty for a bare key.
        canonical_id: the id of the bare key.
    """

    def __init__(self, keytype: str, public: bytes) -> None:
        """Reads the public value as it stands in the file, base64 undone.

        Raises:
            KeyUnsupported: a type, curve or size that isn't allowed, or a value that isn't the one spelling of a key.
        """
        if keytype not in METHODS:
            raise KeyUnsupported(
                f"A key of type {shown(keytype)} is not known here.",
                hint=f"Notary has {', '.join(METHODS)}.",
            )
        value = base64_text(public)
        super().__init__(_hash(keytype, value), keytype, METHODS[keytype], {"private": None, "public": value})
        x509_type = keytype in (ECDSA_X509, RSA_X509)
        self.certificates = _certificates(public) if x509_type else ()
        self.loaded = _loaded(keytype, public, self.certificates)
        bare, bytes_ = _bare(self.loaded)
        if not x509_type and bytes_ != public:
            raise KeyUnsupported("A public key is not spelt the one canonical way.")
        self.canonical_id = _hash(bare, base64_text(bytes_))

    @property
    def is_certificate(self) -> bool:
        """Whether this is a certificate, as a root key has to be."""
        return bool(self.certificates)

    @classmethod
    def from_dict(cls, keyid: str, key_dict: dict[str, Any]) -> Self:
        """Reads a key object as it stands in a file.

        Raises:
            Malformed: other members, a private value.
            KeyUnsupported: as the constructor, and where ``keyid`` isn't the key's own (TRUST 2.1).
        """
        what = f"Key {keyid[:16]}"
        fields = members(key_dict, what, ("keytype", "keyval"))
        values = members(fields["keyval"], what, ("private", "public"))
        if values["private"] is not None:
            raise Malformed(f"{what} has a private value: it is no secret any more.")
        public = from_base64(values["public"], what, longest=MAX_PUBLIC)
        key = cls(text(fields["keytype"], what), public)
        if key.keyid != keyid:
            raise KeyUnsupported(f"The key filed as {shown(keyid[:16])} hashes to another id, {key.keyid[:16]}.")
        return key

    def to_dict(self) -> dict[str, Any]:
        """The key object of the file."""
        return {"keytype": self.keytype, "keyval": dict(self.keyval)}

    def verify_signature(self, signature: Signature, data: bytes) -> None:
        """As ``Key.verify_signature``; the signature's method has to be the one of this key's type.

        Raises:
            UnverifiedSignatureError: it isn't this key's signature over ``data``.
        """
        signatures.verify(self.loaded, signature, data, self.scheme)

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing in it changes, and a certificate can't be copied

    def __repr__(self) -> str:
        return f"DockerKey({self.keytype}, {self.keyid})"


def from_public(public: PublicKey) -> DockerKey:
    """The bare key; raises KeyUnsupported."""
    return DockerKey(*_bare(public))


def from_certificates(certificates: Sequence[x509.Certificate]) -> DockerKey:
    """The key of a certificate, which comes first, and of those that issued it, each by the next.

    Raises:
        KeyUnsupported: no certificate, or one of a key that isn't allowed.
    """
    if not certificates:
        raise KeyUnsupported("There is no certificate.")
    keytype = RSA_X509 if isinstance(certificates[0].public_key(), rsa.RSAPublicKey) else ECDSA_X509
    return DockerKey(keytype, pem(certificates))


def pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """The certificates as Go writes them."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def key_of(key: Key) -> DockerKey:
    """A key of a file of this format, as what it is; raises KeyUnsupported for one of another format."""
    if not isinstance(key, DockerKey):
        raise KeyUnsupported(f"Key {key.keyid[:16]} is not one of format docker.")
    return key


def from_tuf(key: Key) -> DockerKey:
    """A key of format ``tuf`` as it stands in this one, or a key of this one itself; raises KeyUnsupported."""
    if isinstance(key, DockerKey):
        return key
    value = str(key.keyval["public"])
    if key.keytype == ED25519:
        return DockerKey(ED25519, bytes.fromhex(value))
    loaded = load_pem_public_key(value.encode("ascii"))
    if not isinstance(loaded, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise KeyUnsupported(f"Key {key.keyid[:16]} is of a type that format docker doesn't have.")
    return from_public(loaded)


def canonical_ids(keys: Iterable[Key]) -> frozenset[str]:
    """The ids of the bare keys: as many as there are keys, whatever they stand in."""
    return frozenset(key_of(key).canonical_id for key in keys)


def _hash(keytype: str, value: str) -> str:
    object_ = f'{{"keytype":"{keytype}","keyval":{{"private":null,"public":"{value}"}}}}'
    return hashlib.sha256(object_.encode("ascii")).hexdigest()


def _certificates(public: bytes) -> tuple[x509.Certificate, ...]:
    """Reads PEM as Go writes it: Notary derives a root key's id from what it encodes again."""
    if not 1 <= public.count(_BEGIN) <= MAX_CERTIFICATES or len(public) > MAX_PUBLIC:
        raise KeyUnsupported(f"A key of an x509 type has to hold 1 to {MAX_CERTIFICATES} certificates.")
    try:
        found = tuple(x509.load_pem_x509_certificates(public))
        again = pem(found)
    except UNREADABLE as error:
        raise KeyUnsupported("A certificate can't be read.") from error
    if again != public:
        raise KeyUnsupported("A certificate is not spelt the one way that Go writes PEM.")
    return found


def _loaded(keytype: str, public: bytes, certificates: Sequence[x509.Certificate]) -> PublicKey:
    try:
        if keytype == ED25519:
            _check_point(public)
            return ed25519.Ed25519PublicKey.from_public_bytes(public)
        loaded = certificates[0].public_key() if certificates else load_der_public_key(public)
    except UNREADABLE as error:
        raise KeyUnsupported(f"The public value of a key of type {keytype} can't be read.") from error
    if isinstance(loaded, ec.EllipticCurvePublicKey) and keytype in (ECDSA, ECDSA_X509):
        if isinstance(loaded.curve, CURVES):
            return loaded
    elif isinstance(loaded, rsa.RSAPublicKey) and keytype in (RSA, RSA_X509) and loaded.key_size in RSA_BITS:
        return loaded
    raise KeyUnsupported(
        f"A key of type {keytype} is not of the kind or size that it claims, or of one that isn't allowed.",
        hint="Use ECDSA on P-256, P-384 or P-521, RSA of 2048 to 4096 bits, or Ed25519.",
    )


def _check_point(public: bytes) -> None:
    """Raises ValueError for a point of small order or in a second spelling: signatures by it prove nothing."""
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if len(public) != 32 or y >= _FIELD or y in _SMALL_ORDER:
        raise ValueError


def _bare(public: PublicKey) -> tuple[str, bytes]:
    """Type and public value of a bare key."""
    if isinstance(public, ed25519.Ed25519PublicKey):
        return ED25519, public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    keytype = RSA if isinstance(public, rsa.RSAPublicKey) else ECDSA
    return keytype, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
