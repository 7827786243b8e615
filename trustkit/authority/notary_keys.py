"""Online keys of collections in format ``docker``: ECDSA on P-256, as stock clients can read it."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from securesystemslib.signer import CryptoSigner, Signature

from trustkit.core.formats.docker.keys import DockerKey, from_public
from trustkit.core.openedsigner import OpenedSigner
from trustkit.core.ports.service import SealedKey
from trustkit.errors import StateError


class DockerSigner(OpenedSigner):
    """A private key in this process's memory; its signatures are securesystemslib's, as ``files.sign`` takes them."""

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        self._signer = CryptoSigner(private)
        self._public = from_public(private.public_key())

    @property
    def public_key(self) -> DockerKey:
        """The public half."""
        return self._public

    def sign(self, payload: bytes) -> Signature:
        """A signature over these bytes, by SHA-256."""
        return self._signer.sign(payload)


def is_docker(sealed: SealedKey) -> bool:
    """Whether this is a key for format ``docker``, whose key objects have no scheme."""
    return "scheme" not in sealed.public


def new_key() -> tuple[DockerKey, bytes]:
    """A new key: its public half, and its private half in DER."""
    private = generate_private_key(SECP256R1())
    raw = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return from_public(private.public_key()), raw


def opened(raw: bytes) -> DockerSigner:
    """The signer of a private half; raises StateError."""
    try:
        private = load_der_private_key(raw, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StateError("A stored online key can't be read.") from error
    if not isinstance(private, EllipticCurvePrivateKey):
        raise StateError("A stored online key is not of the kind that it is filed as.")
    return DockerSigner(private)
