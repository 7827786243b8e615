"""Collections in format docker, made with keys of the test's own: honest ones, and ones an attacker would make."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from securesystemslib.signer import CryptoSigner, Key, Signature, Signer
from tuf.api.metadata import Delegations, Role, Root, Snapshot, TargetFile, Targets, Timestamp

from trustkit.core.formats.docker import files
from trustkit.core.formats.docker.canonical import base64_text, escaped
from trustkit.core.formats.docker.certificates import root_certificate
from trustkit.core.formats.docker.keys import DockerKey, from_certificates, from_public
from trustkit.core.formats.docker.payloads_in import PrefixRole
from trustkit.core.names import Gun
from trustkit.core.openedsigner import OpenedSigner

NOW = datetime.now(UTC).replace(microsecond=0)
GUN = Gun.parse("localhost:5000/team/app")
RSA_2048 = rsa.generate_private_key(65537, 2048)
"""Made once: it takes longest."""

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class RawSigner(OpenedSigner):
    """Signs as securesystemslib does, on any curve over SHA-256."""

    def __init__(self, private: Private) -> None:
        self.private = private

    @property
    def public_key(self) -> Key:
        return from_public(self.private.public_key())

    def sign(self, payload: bytes) -> Signature:
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return Signature("", self.private.sign(payload, ec.ECDSA(SHA256())).hex())
        if isinstance(self.private, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(SHA256()), 32)
            return Signature("", self.private.sign(payload, pss, SHA256()).hex())
        return Signature("", self.private.sign(payload).hex())


Pair = tuple[DockerKey, Signer]


def ecdsa(curve: ec.EllipticCurve | None = None) -> Pair:
    private = ec.generate_private_key(curve or ec.SECP256R1())
    return from_public(private.public_key()), RawSigner(private)


def eddsa() -> Pair:
    private = ed25519.Ed25519PrivateKey.generate()
    return from_public(private.public_key()), CryptoSigner(private)


def rsa_pss() -> Pair:
    return from_public(RSA_2048.public_key()), CryptoSigner(RSA_2048)


def certified(
    private: Private | None = None,
    gun: Gun | str = GUN,
    *,
    now: datetime | None = None,
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda builder: builder,
) -> Pair:
    """A root key: a certificate of a key, P-256 unless given, as trustkit makes it, or changed."""
    private = private or ec.generate_private_key(ec.SECP256R1())
    builder = root_certificate(gun, private.public_key(), now=now or NOW, serial=x509.random_serial_number() >> 33)  # type: ignore[arg-type]  # a GUN that can't be is an attack
    return from_certificates([change(builder).sign(private, SHA256())]), RawSigner(private)


def tags(*names: str, digest: str = "ab" * 32, length: int = 500) -> dict[str, TargetFile]:
    return {name: TargetFile(length, {"sha256": digest}, name) for name in names}


def role_of(name: str, *keys: DockerKey, threshold: int = 1, paths: Iterable[str] = ("",)) -> PrefixRole:
    return PrefixRole(name, [key.keyid for key in keys], threshold, False, list(paths))


def envelope(data: bytes) -> dict[str, Any]:
    """A file as JSON values."""
    value: dict[str, Any] = json.loads(data)
    return value


def sealed(data: bytes, pairs: Iterable[Pair], change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another signed part, whatever that is, in Notary's spelling and truly signed."""
    value = envelope(data)["signed"]
    change(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    made = {key.keyid: files.signature_by(key, signer, text) for key, signer in pairs}
    entries = [
        {
            "keyid": key_id,
            "method": signature.unrecognized_fields["method"],
            "sig": base64_text(bytes.fromhex(signature.signature)),
        }
        for key_id, signature in sorted(made.items())
    ]
    tail = json.dumps(entries, separators=(",", ":")).encode()
    return b'{"signed":' + escaped(text) + b',"signatures":' + tail + b"}"


@dataclass
class Forge:
    """One collection.  ``signers`` by role; whatever is changed in ``root`` or ``roles`` is signed by ``files``.

    ``cosigners`` sign too, by role, and stand nowhere.  ``last`` has the root say that it is the last one.
    """

    gun: Gun = GUN
    signers: dict[str, list[Pair]] = field(default_factory=dict)
    roles: dict[str, Targets] = field(default_factory=dict)
    version: int = 1
    expires: datetime = NOW + timedelta(days=300)
    thresholds: dict[str, int] = field(default_factory=dict)
    sha512: bool = True
    versions: Mapping[str, int] = field(default_factory=dict)
    cosigners: Mapping[str, list[Pair]] = field(default_factory=dict)
    ends: Mapping[str, datetime] = field(default_factory=dict)
    last: bool = False

    def __post_init__(self) -> None:
        self.signers = {
            "root": [certified(gun=self.gun)],
            "targets": [ecdsa()],
            "snapshot": [ecdsa()],
            "timestamp": [eddsa()],
        } | self.signers
        self.roles.setdefault("targets", self.targets(tags("v1")))

    def targets(self, entries: Mapping[str, TargetFile], version: int = 1) -> Targets:
        return Targets(version, None, self.expires, dict(entries), Delegations({}, {}))

    def delegate(self, role: PrefixRole, entries: Mapping[str, TargetFile] | None, *pairs: Pair) -> None:
        """Has the role's parent delegate to it; ``entries`` is None where it has no file."""
        above = self.roles[role.name.rpartition("/")[0]].delegations
        assert above is not None
        assert above.roles is not None
        above.roles[role.name] = role
        above.keys.update({key.keyid: key for key, _ in pairs})
        self.signers[role.name] = list(pairs)
        if entries is not None:
            self.roles[role.name] = self.targets(entries)

    @property
    def root(self) -> Root:
        top = ("root", "targets", "snapshot", "timestamp")
        keys = {key.keyid: key for name in top for key, _ in self.signers[name]}
        roles = {
            name: Role([key.keyid for key, _ in self.signers[name]], self.thresholds.get(name, 1)) for name in top
        }
        return Root(self.version, None, self.expires, keys, roles, self.last)

    def files(self, change: Mapping[str, Callable[[bytes], bytes]] | None = None) -> dict[str, bytes]:
        """Every file, signed; ``change`` makes bytes of a role's into others before anything names them."""
        change = change or {}

        def made(role: str, signed: Any) -> bytes:
            copied = copy.deepcopy(signed)
            copied.version = self.versions.get(role, copied.version)
            copied.expires = self.ends.get(role, copied.expires)
            return change.get(role, bytes)(files.sign(copied, [*self.signers[role], *self.cosigners.get(role, ())]))

        found = {"root": made("root", self.root)}
        found |= {role: made(role, signed) for role, signed in self.roles.items()}
        meta = {files.meta_name(role): files.meta_of(data, sha512=self.sha512) for role, data in found.items()}
        found["snapshot"] = made("snapshot", Snapshot(self.version, None, self.expires, meta))
        named = files.meta_of(found["snapshot"], sha512=self.sha512)
        found["timestamp"] = made("timestamp", Timestamp(self.version, None, self.expires, named))
        return found
