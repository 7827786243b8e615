"""The keys of access tokens: a CA that registries keep, and leaves under it that change (TRUST 8.2)."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

from trustkit.authority.sealing import Sealer
from trustkit.core.ports.service import AuditRow, Store
from trustkit.errors import StateError

CA_LIFE = timedelta(days=20 * 365)
LEAF_LIFE = timedelta(days=30)
CLOCK_SKEW = timedelta(hours=1)
SETTING = "token-ca"
"""The setting that holds the CA: its certificate, and its private key sealed."""


class Leaf:
    """A key that signs tokens, with the header members that let others believe it."""

    def __init__(
        self, private: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, ca: x509.Certificate
    ) -> None:
        self.private = private
        self.certificate = certificate
        self.kid = thumbprint(private.public_key())
        chain = (certificate, ca)
        self.x5c = [base64.b64encode(link.public_bytes(Encoding.DER)).decode("ascii") for link in chain]
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        self.renew = certificate.not_valid_before_utc + life / 2

    def __repr__(self) -> str:
        return f"Leaf(kid={self.kid!r}, ...)"


class TokenKeys:
    """The CA of one service, the same in all its processes, and this process's current leaf.

    The CA's private key is sealed in the database and opened only to sign a leaf; a leaf's private key is in memory
    only.
    """

    def __init__(self, certificate: x509.Certificate, sealed: bytes, sealer: Sealer) -> None:
        self.certificate = certificate
        self._sealed = sealed
        self._sealer = sealer
        self._leaf: Leaf | None = None

    def __repr__(self) -> str:
        return f"TokenKeys(ca={self.certificate.fingerprint(hashes.SHA256()).hex()[:16]}, ...)"

    @staticmethod
    async def stored(store: Store) -> bool:
        """Whether there is a CA already: then something is sealed, and the key-encryption key must be there too."""
        async with store.read() as tx:
            return await tx.settings.get(SETTING) is not None

    @staticmethod
    async def require(store: Store, sealer: Sealer) -> None:
        """Returns where the CA opens, or there is none; raises StateError for another key-encryption key."""
        async with store.read() as tx:
            stored = await tx.settings.get(SETTING)
        if stored is not None:
            certificate, sealed = _read(stored)
            sealer.open(sealed, _context(certificate))

    @classmethod
    async def open(cls, store: Store, sealer: Sealer, *, issuer: str, now: datetime) -> TokenKeys:
        """The service's keys; the CA is made where there is none, once however many processes start.

        Raises:
            StateError: the stored CA can't be read, or was sealed under another key-encryption key.
        """
        async with store.read() as tx:
            stored = await tx.settings.get(SETTING)
        if stored is None:
            async with store.write() as tx:
                stored = await tx.settings.get(SETTING)
                if stored is None:
                    stored, fingerprint = _make_ca(sealer, issuer, now)
                    await tx.settings.put(SETTING, stored)
                    row = AuditRow(now, "service", "local", "token-ca-made", issuer, {"sha256": fingerprint})
                    await tx.audit.append(row)
        certificate, sealed = _read(stored)
        keys = cls(certificate, sealed, sealer)
        keys.leaf(now)
        return keys

    @property
    def pem(self) -> bytes:
        """The CA's certificate, for a registry's ``rootcertbundle``."""
        return self.certificate.public_bytes(Encoding.PEM)

    def leaf(self, now: datetime) -> Leaf:
        """The key to sign with now; a new one from half of its life on."""
        if self._leaf is None or now >= self._leaf.renew:
            self._leaf = self._make_leaf(now)
        return self._leaf

    def _make_leaf(self, now: datetime) -> Leaf:
        der = self._sealer.open(self._sealed, _context(self.certificate))
        ca_key = load_der_private_key(der, None)
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise StateError("The stored token CA has a key of another type.")
        private = ec.generate_private_key(ec.SECP256R1())
        builder = _builder("trustkit token", self.certificate.subject, private, now, LEAF_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(digital_signature=True), critical=True)
        return Leaf(private, builder.sign(ca_key, hashes.SHA256()), self.certificate)


def reseal_ca(stored: str, under: Sealer, new: Sealer) -> str | None:
    """The stored CA sealed under another key; None where it opens under that one already.

    Raises:
        StateError: it can't be read, or opens under neither.
    """
    certificate, sealed = _read(stored)
    context = _context(certificate)
    with suppress(StateError):
        new.open(sealed, context)
        return None
    changed = {
        **json.loads(stored),
        "sealed": base64.b64encode(new.seal(under.open(sealed, context), context)).decode(),
    }
    return json.dumps(changed)


def thumbprint(public: ec.EllipticCurvePublicKey) -> str:
    """The JWK thumbprint of a P-256 key (RFC 7638): SHA-256, base64url without padding."""
    numbers = public.public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    canonical = json.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode("ascii")).digest())


def _make_ca(sealer: Sealer, issuer: str, now: datetime) -> tuple[str, str]:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"trustkit tokens of {issuer}"[:64])])
    builder = _builder("", name, private, now, CA_LIFE).subject_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True), critical=True)
    certificate = builder.sign(private, hashes.SHA256())
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    sealed = sealer.seal(der, _context(certificate))
    pem = certificate.public_bytes(Encoding.PEM).decode("ascii")
    stored = {"certificate": pem, "sealed": base64.b64encode(sealed).decode("ascii")}
    return json.dumps(stored), certificate.fingerprint(hashes.SHA256()).hex()


def _read(stored: str) -> tuple[x509.Certificate, bytes]:
    try:
        value = json.loads(stored)
        certificate = x509.load_pem_x509_certificate(value["certificate"].encode("ascii"))
        return certificate, base64.b64decode(value["sealed"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError("The stored token CA can't be read.") from error


def _builder(
    subject: str, issuer: x509.Name, private: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        public_key=private.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - CLOCK_SKEW,
        not_valid_after=now + life,
    )
    if not subject:
        return builder
    return builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _context(certificate: x509.Certificate) -> bytes:
    return b"token-ca\n" + certificate.fingerprint(hashes.SHA256())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
