"""Public keys: the types that are allowed, and ids that are computed, never believed (TRUST 2.1, 2.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key, SSlibKey

from trustkit.errors import KeyUnsupported

ED25519 = ("ed25519", "ed25519")
P256 = ("ecdsa", "ecdsa-sha2-nistp256")
P384 = ("ecdsa", "ecdsa-sha2-nistp384")
RSA_PSS = ("rsa", "rsassa-pss-sha256")
ALLOWED = frozenset({ED25519, P256, P384, RSA_PSS})
RSA_BITS = range(2048, 4097)


def key_id(key: Key) -> str:
    """The id of a key: hex SHA-256 over the canonical JSON of its type, scheme and value (TUF 1.0, 4.2)."""
    portable = {"keytype": key.keytype, "scheme": key.scheme, "keyval": key.keyval}
    return hashlib.sha256(str(encode_canonical(portable)).encode("utf-8")).hexdigest()


def algorithm(key: Key) -> str:
    """One word for a key's algorithm, as shown to people: ``ed25519``, ``ecdsa-p256``, ``rsa-3072``."""
    kind = (key.keytype, key.scheme)
    if kind == RSA_PSS and isinstance(loaded := _loaded(key), rsa.RSAPublicKey):
        return f"rsa-{loaded.key_size}"
    return {ED25519: "ed25519", P256: "ecdsa-p256", P384: "ecdsa-p384"}.get(kind, f"{key.keytype}/{key.scheme}")


def check_key(key: Key) -> None:
    """Holds the key against the allow-list, and its id against its value.

    Raises:
        KeyUnsupported: unknown members, a type, scheme, curve or size that isn't allowed, a value that isn't the
            one spelling of its key, or an id that isn't the key's own hash.
    """
    kind = (key.keytype, key.scheme)
    if kind not in ALLOWED or key.unrecognized_fields or set(key.keyval) != {"public"}:
        raise KeyUnsupported(
            f"A key of type {key.keytype}/{key.scheme} is not allowed.",
            hint="Use Ed25519, ECDSA P-256 or P-384, or RSA-PSS with 2048 to 4096 bits.",
        )
    if key.keyid != key_id(key):
        raise KeyUnsupported(f"The key filed as {key.keyid[:16]} hashes to another id, {key_id(key)[:16]}.")
    _check_value(key, kind)


def _check_value(key: Key, kind: tuple[str, str]) -> None:
    loaded = _loaded(key)
    fits = {
        ED25519: isinstance(loaded, ed25519.Ed25519PublicKey),
        P256: isinstance(loaded, ec.EllipticCurvePublicKey) and isinstance(loaded.curve, ec.SECP256R1),
        P384: isinstance(loaded, ec.EllipticCurvePublicKey) and isinstance(loaded.curve, ec.SECP384R1),
        RSA_PSS: isinstance(loaded, rsa.RSAPublicKey) and loaded.key_size in RSA_BITS,
    }[kind]
    if not fits:
        raise KeyUnsupported(f"Key {key.keyid[:16]} is not of the type or size that it claims.")
    if SSlibKey.from_crypto(loaded, scheme=key.scheme).keyval != key.keyval:
        raise KeyUnsupported(
            f"Key {key.keyid[:16]} is not spelt the one canonical way, so one key could stand there twice."
        )


def _loaded(key: Key) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    public = key.keyval.get("public")
    try:
        if not isinstance(public, str):
            raise TypeError
        if key.keytype == "ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        loaded: Any = load_pem_public_key(public.encode("ascii"))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnsupported(f"Key {key.keyid[:16]} has a public value that can't be read.") from error
    if not isinstance(loaded, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise KeyUnsupported(f"Key {key.keyid[:16]} is of a type that is not allowed.")
    return loaded


def check_keys(keys: Iterable[Key]) -> None:
    """``check_key`` for each, and no public value twice (TRUST 2.2): one key under two ids would count as two."""
    seen: set[str] = set()
    for key in keys:
        check_key(key)
        public = str(key.keyval["public"])
        if public in seen:
            raise KeyUnsupported(f"The key {key.keyid[:16]} stands twice in one file.")
        seen.add(public)
