"""The bare key of a key in format ``docker`` as format ``tuf`` has it: what a converted collection keeps."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import Key, SSlibKey

from trustkit.core.formats.docker.keys import key_of
from trustkit.core.publickeys import check_key, key_id
from trustkit.errors import KeyUnsupported


def as_tuf(key: Key) -> Key:
    """The key itself, whatever certificate it stands in, under its id in format ``tuf``.

    Raises:
        KeyUnsupported: ECDSA on P-521, which python-tuf doesn't verify, or any other key that isn't allowed there.
    """
    own = key_of(key)
    if isinstance(own.loaded, ec.EllipticCurvePublicKey) and isinstance(own.loaded.curve, ec.SECP521R1):
        raise KeyUnsupported(
            f"The key {own.canonical_id[:16]} is ECDSA on P-521, which TUF clients don't verify.",
            hint="Rotate it to another one first.",
        )
    read = SSlibKey.from_crypto(own.loaded)
    made = SSlibKey(key_id(read), read.keytype, read.scheme, read.keyval)
    check_key(made)
    return made


def all_as_tuf(keys: Iterable[Key]) -> dict[str, Key]:
    """These keys by their ids in format ``tuf``, one under two certificates once; raises KeyUnsupported."""
    return {made.keyid: made for made in map(as_tuf, keys)}
