"""Signatures as Notary writes them: ECDSA as r||s over SHA-256 whatever the curve, RSA-PSS, Ed25519.

``Signature.signature`` is hex in the domain objects, as everywhere in TUF; ``unrecognized_fields`` hold the method.
RSA with PKCS #1 v1.5, which Notary reads and never wrote, isn't allowed (TRUST 2.2).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature

from trustkit.core.names import shown
from trustkit.errors import KeyUnsupported, Malformed

ECDSA, RSA_PSS, EDDSA = "ecdsa", "rsapss", "eddsa"
METHODS = frozenset({ECDSA, RSA_PSS, EDDSA})
METHOD = "method"
MAX_SIGNATURE = 1024
SALT = 32


def make(key_id: str, method: str, value: bytes) -> Signature:
    """A signature as the domain objects hold it."""
    return Signature(key_id, value.hex(), {METHOD: method})


def method_of(signature: Signature) -> str:
    """The method of a signature; raises Malformed where it has none that is known, or more than a method."""
    method = signature.unrecognized_fields.get(METHOD)
    if method not in METHODS or set(signature.unrecognized_fields) != {METHOD}:
        raise Malformed(
            f"A signature is made by {shown(str(method))}, a method that is not allowed here.",
            hint=f"Notary writes {', '.join(sorted(METHODS))}.",
        )
    return str(method)


def verify(
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey,
    signature: Signature,
    covered: bytes,
    method: str,
) -> None:
    """Holds a signature against a key.

    Args:
        method: the one that the key's type has; the signature's own has to be the same.

    Raises:
        UnverifiedSignatureError: anything but a valid signature.
    """
    try:
        if method_of(signature) != method:
            raise UnverifiedSignatureError(f"The signature is not made by {method}, as its key's are.")
        value = bytes.fromhex(signature.signature)
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(value, covered)
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(value, covered, padding.PSS(padding.MGF1(SHA256()), SALT), SHA256())
        else:
            public.verify(_der(value, public), covered, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError, Malformed) as error:
        raise UnverifiedSignatureError("The signature is not valid.") from error


def _width(public: ec.EllipticCurvePublicKey) -> int:
    return (public.curve.key_size + 7) // 8


def _der(value: bytes, public: ec.EllipticCurvePublicKey) -> bytes:
    width = _width(public)
    if len(value) != 2 * width:
        raise ValueError("not r||s")
    r, s = int.from_bytes(value[:width], "big"), int.from_bytes(value[width:], "big")
    if not r or not s:
        raise ValueError("a number of the signature is zero")
    return encode_dss_signature(r, s)


def from_securesystemslib(
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey,
    signature: Signature,
    key_id: str,
    method: str,
) -> Signature:
    """What a signer of securesystemslib made, as Notary writes it: ECDSA has another form there.

    Raises:
        KeyUnsupported: an ECDSA signature that isn't one.
    """
    try:
        value = bytes.fromhex(signature.signature)
        if isinstance(public, ec.EllipticCurvePublicKey):
            r, s = decode_dss_signature(value)
            width = _width(public)
            value = r.to_bytes(width, "big") + s.to_bytes(width, "big")
    except (ValueError, OverflowError) as error:
        raise KeyUnsupported(f"Key {key_id[:16]} made a signature that can't be read.") from error
    return make(key_id, method, value)
