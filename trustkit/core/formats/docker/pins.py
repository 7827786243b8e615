"""Which root is the first one to believe in format ``docker``, and which roots follow it (TRUST 5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from tuf.api.metadata import Root

from trustkit.core.certerrors import UNREADABLE
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.keys import DockerKey, key_of
from trustkit.core.formats.docker.roots import check_root, check_successor, check_threshold, root_signers
from trustkit.core.names import Gun
from trustkit.core.pinning import MAX_ROOTS
from trustkit.core.ports.remote import Pin
from trustkit.errors import InvalidSetting, Rejected, WrongCollection, WrongGun, WrongRoot

MAX_AUTHORITIES = 16


def anchor(pin: Pin, gun: Gun, roots: Iterable[bytes], *, now: datetime | None = None) -> bytes:
    """As ``core.pinning.anchor``: the pinned file, or the lowest version that meets a key pin.

    Args:
        roots: ``1.root.json``, ``2.root.json``, ... as served; read only as far as needed, at most 256.
        now: as for ``meets``.

    Raises:
        WrongRoot: no version meets the pin.
        WrongCollection: the pinned root file belongs to another collection.
    """
    if pin.root is not None:
        try:
            signing_keys(pin.root, gun)
        except WrongGun as error:
            raise WrongCollection(f"The pinned root is not one of {gun}: {error.message}") from error
        except Rejected as error:
            raise WrongRoot(f"The root pinned for {gun} can't be used: {error.message}") from error
        return pin.root
    served = 0
    for data in roots:
        served += 1
        if meets(pin, gun, data, now=now):
            return data
        if served == MAX_ROOTS:
            break
    if pin.authorities is not None:
        raise WrongRoot(
            f"None of the {served} root versions of {gun} is signed by keys whose certificates the pinned "
            "authorities have issued, and are valid.",
            hint="Ask its publisher for the certificate of the authority over another channel.",
            pin=pin.pattern,
        )
    raise WrongRoot(
        f"None of the {served} root versions of {gun} is signed by the pinned keys "
        f"({', '.join(key[:16] for key in pin.key_ids)}).",
        hint="Ask its publisher for the root key ids over another channel; if they differ, somebody else signs here.",
        pin=pin.pattern,
    )


def meets(pin: Pin, gun: Gun, data: bytes, *, now: datetime | None = None) -> bool:
    """Whether a root is the GUN's and enough pinned keys of its root role have *signed* it (TRUST 5.1).

    A pinned id is that of a root certificate, as ``docker trust inspect`` shows it, or the canonical id of its key,
    after which Docker names key files; one key counts once.  Under a pin by authority, those whose certificates it
    has issued have to meet the root's own threshold.

    Args:
        now: when the authorities have to be valid; a pin by authority is met at no time where None.
    """
    try:
        signers = signing_keys(data, gun)
    except Rejected:
        return False
    if pin.authorities is not None:
        return now is not None and _is_issued(signers, data, authorities(pin.authorities), now)
    pinned = set(pin.key_ids)
    met = {key.canonical_id for key in signers if pinned & {key.keyid, key.canonical_id}}
    return 0 < pin.threshold <= len(met)


def _is_issued(
    signers: Iterable[DockerKey], data: bytes, issuers: Collection[x509.Certificate], now: datetime
) -> bool:
    issued = {key.canonical_id for key in signers if issued_by(key, issuers, now)}
    return len(issued) >= read(data, Root).signed.roles["root"].threshold


def authorities(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a pin by authority; raises InvalidSetting where they are none, or not of authorities."""
    try:
        found = tuple(x509.load_pem_x509_certificates(data))
    except UNREADABLE as error:
        raise InvalidSetting(
            "The certificates of the pinned authorities can't be read; they have to be PEM."
        ) from error
    if not 1 <= len(found) <= MAX_AUTHORITIES or not all(_may_issue(one, 0) for one in found):
        raise InvalidSetting(
            f"A pin takes 1 to {MAX_AUTHORITIES} certificates, each of an authority (CA:TRUE, certificate signing)."
        )
    return found


def signing_keys(data: bytes, gun: Gun) -> tuple[DockerKey, ...]:
    """The root keys that have signed a root, which is the GUN's and meets its own threshold; raises Rejected."""
    root = read(data, Root)
    check_root(root.signed, gun)
    check_threshold(root.signed, "root", root, data)
    return tuple(key_of(root.signed.keys[key_id]) for key_id in sorted(root_signers(root, data)))


def follow(first: bytes, newer: Iterable[bytes], gun: Gun) -> Iterator[bytes]:
    """The roots after a trusted one, each as soon as it is verified by the one before.

    Args:
        first: a root that is trusted.
        newer: the next versions as served, in order.

    Raises:
        Rejected: one of them can't follow; ``roots.check_successor``.
    """
    old = read(first, Root)
    for data in newer:
        new = read(data, Root)
        check_successor(old, new, data, gun)
        yield data
        old = new


def issued_by(key: DockerKey, authorities: Collection[x509.Certificate], now: datetime) -> bool:
    """Whether a root key's certificate comes from one of these authorities, for a pin by authority.

    Each of the key's certificates has to be issued by the next, and the last one by an authority that is valid at
    ``now``; whether its own are, is for ``certificates.is_live``.
    """
    chain = key.certificates
    if not chain or not all(_issued(child, issuer) for child, issuer in pairwise(chain)):
        return False
    return any(
        _issued(chain[-1], authority)
        and authority.not_valid_before_utc <= now <= authority.not_valid_after_utc
        and _may_issue(authority, len(chain) - 1)
        for authority in authorities
    ) and all(_may_issue(issuer, below) for below, issuer in enumerate(chain[1:]))


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _may_issue(issuer: x509.Certificate, below: int) -> bool:
    """Whether an authority may stand above so many others."""
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (*UNREADABLE, x509.ExtensionNotFound):
        return False
    try:
        signs = issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        signs = True
    return basic.ca and signs and (basic.path_length is None or below <= basic.path_length)
