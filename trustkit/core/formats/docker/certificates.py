"""The certificates of root keys: what binds a root to its collection in this format (TRUST 1.3).

Notary's rules (trustpinning/certs.go, tuf/utils/x509.go), and three stricter ones: every key of the root role has to
be a certificate for the collection, not just enough of them; its common name is the GUN itself, never a pattern of
GUNs, for a root that two collections share could stand in for the other's; and a certificate that says what it is
for has to say signing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trustkit.core.certerrors import UNREADABLE
from trustkit.core.formats.docker.keys import DockerKey, PublicKey
from trustkit.core.names import Gun, shown
from trustkit.errors import BadKeys, WrongGun

LIFETIME = timedelta(days=3650)
EARLY = timedelta(days=1)
"""How long before its time a certificate counts already, as clocks differ."""


def check_root_key(key: DockerKey, gun: Gun) -> None:
    """Holds a root key to what it has to be, at any time.

    Raises:
        BadKeys: no certificate, or not one of its own followed by those of authorities; one that is signed over SHA-1
            or is for another use than signing; a life that ends before it begins.
        WrongGun: its common name isn't the GUN.
    """
    if not key.is_certificate:
        raise BadKeys(f"Root key {key.keyid[:16]} is no certificate; in format docker each has to be one.")
    try:
        kinds = [_is_authority(certificate) for certificate in key.certificates]
        if kinds != [False, *[True] * (len(kinds) - 1)]:
            raise BadKeys(f"Root key {key.keyid[:16]} is not one certificate, followed by those of authorities.")
        for certificate in key.certificates:
            _check(certificate, key.keyid)
        _check_use(key.certificates[0], key.keyid)
        names = common_names(key.certificates[0])
    except UNREADABLE as error:
        raise BadKeys(f"The certificate of root key {key.keyid[:16]} can't be read.") from error
    if names != [str(gun)]:
        raise WrongGun(f"The root key {key.keyid[:16]} is for {shown(', '.join(names))}, not for {gun}.")


def common_names(certificate: x509.Certificate) -> list[str]:
    """The common names of a certificate's subject; one, the GUN, where Notary made it."""
    _allow_long_names()
    return [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _allow_long_names() -> None:
    """A GUN may be longer than the 64 characters that X.520 gives a common name; nobody needs to hear of it."""
    warnings.filterwarnings("ignore", message="Attribute's length must be >= 1 and <= 64", category=UserWarning)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _check(certificate: x509.Certificate, key_id: str) -> None:
    if not isinstance(certificate.signature_hash_algorithm, SHA256 | SHA384 | SHA512 | None):
        raise BadKeys(f"The certificate of root key {key_id[:16]} is signed over a hash that is not allowed.")
    if certificate.not_valid_before_utc > certificate.not_valid_after_utc:
        raise BadKeys(f"The certificate of root key {key_id[:16]} ends before it begins.")


def _check_use(certificate: x509.Certificate, key_id: str) -> None:
    try:
        signs = certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return
    if not signs:
        raise BadKeys(f"The certificate of root key {key_id[:16]} is not for signing.")


def is_live(key: DockerKey, now: datetime) -> bool:
    """Whether a root key's certificates are valid at ``now``; Notary lets them begin a day later."""
    return all(
        certificate.not_valid_before_utc <= now + EARLY and now <= certificate.not_valid_after_utc
        for certificate in key.certificates
    )


def ends(keys: Iterable[DockerKey], threshold: int) -> datetime:
    """When fewer than ``threshold`` of these certificates are valid any more."""
    last = [min(certificate.not_valid_after_utc for certificate in key.certificates) for key in keys]
    return sorted(last, reverse=True)[threshold - 1]


def root_certificate(gun: Gun, public: PublicKey, *, now: datetime, serial: int) -> x509.CertificateBuilder:
    """A root key's certificate as Notary makes it, to be signed with its own key: ``.sign(private, SHA256())``.

    Args:
        serial: random, of at most 127 bits and not zero.
    """
    _allow_long_names()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(gun), _validate=False)])
    begins = now.astimezone(UTC).replace(microsecond=0)
    usage = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"), False
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(begins + LIFETIME)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_encipherment=True, encipher_only=False, decipher_only=False, **usage
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )


def self_signed(builder: x509.CertificateBuilder, sign: Callable[[bytes], bytes]) -> x509.Certificate:
    """A certificate of an ECDSA key whose private half only signs, as one in a key store does.

    Args:
        sign: gives the signature, ASN.1 of ECDSA over SHA-256, of what it is given.
    """
    stand_in = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    body = stand_in.tbs_certificate_bytes
    algorithm = _ECDSA_SHA256
    return x509.load_der_x509_certificate(_der(0x30, body + algorithm + _der(0x03, b"\0" + sign(body))))


_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def _der(tag: int, value: bytes) -> bytes:
    size = len(value)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + value
