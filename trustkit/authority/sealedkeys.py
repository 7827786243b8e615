"""Online keys on our own disk: Ed25519, each sealed for one collection and one role (TRUST 8.5).

Or on a device: then it is the place of the key that is sealed, so that nobody points to another one.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer import CryptoSigner, Key, Signature, Signer, SSlibKey

from trustkit.authority.notary_keys import is_docker, new_key, opened
from trustkit.authority.sealing import Sealer
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.names import Gun
from trustkit.core.openedsigner import OpenedSigner
from trustkit.core.ports.forging import KeyForge
from trustkit.core.ports.places import KeyPlaces
from trustkit.core.ports.service import SealedKey
from trustkit.core.publickeys import check_key
from trustkit.errors import InvalidSetting, KeyProblem, Malformed, ServerFailed, StateError, UsageError

log = logging.getLogger("trustkit.keys")

KEEP_OPEN = 512
"""One of format ``docker`` takes 8 KiB, most of it in OpenSSL, the others 2.6."""
_PLACE = b"\x10"
"""Before a sealed place, which is no sealed key; ``Sealer`` itself begins with its version."""


class DeviceSigner(OpenedSigner):
    """A key on a device.  Signing waits for it."""

    def __init__(self, places: KeyPlaces, place: str, public: Key) -> None:
        self._places = places
        self._place = place
        self._public = public

    @property
    def public_key(self) -> Key:
        """The public half."""
        return self._public

    def sign(self, payload: bytes) -> Signature:
        """A signature, verified.

        Raises:
            ServerFailed: the device doesn't sign.  Who publishes is told so much, and the log has the reason.
        """
        with _asked(f"the online key at {self._place}"):
            return self._places.sign(self._place, self._public, payload)


@contextmanager
def _asked(what: str) -> Iterator[None]:
    """Around a call of a device.  What a client may know is that it fails: no name of it, and no reason."""
    try:
        yield
    except (KeyProblem, UsageError, InvalidSetting) as error:
        log.error("%s: %s", what, error)
        raise ServerFailed(
            "The device with this service's online keys can't be used now; nothing was signed.",
            hint="Its operator finds the reason in the log.",
        ) from error


class SealedKeys:
    """Makes and opens sealed keys.  Opened signers stay in this process's memory, the newest ``KEEP_OPEN``.

    Args:
        forge: the device on which new keys are made, if they are to be on one.
        places: reaches the devices that keys are on, that of ``forge`` included.
    """

    def __init__(self, sealer: Sealer, forge: KeyForge | None = None, places: KeyPlaces | None = None) -> None:
        self._sealer = sealer
        self._forge = forge
        self._places = places
        self._open: OrderedDict[tuple[Gun, str, str], Signer] = OrderedDict()

    @property
    def slow(self) -> bool:
        """Whether making a key may wait for a device."""
        return self._forge is not None

    def make(self, gun: Gun, role: str, *, docker: bool = False) -> SealedKey:
        """A new key for this collection and role; raises ServerFailed where the device can't.

        Args:
            docker: for a collection in format ``docker``; such a key is on no device.
        """
        if docker:
            public, raw = new_key()
            sealed = self._sealer.seal(raw, _context(gun, role, public.keyid))
            return SealedKey(role, public.keyid, public.to_dict(), sealed)
        if self._forge is not None:
            with _asked(f"the device of new online keys, {self._forge.uri}"):
                key, place = self._forge.make(gun, role)
            return self.at(gun, role, key, place)
        private = Ed25519PrivateKey.generate()
        key = CryptoSigner(private).public_key
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        sealed = self._sealer.seal(raw, _context(gun, role, key.keyid))
        return SealedKey(role, key.keyid, key.to_dict(), sealed)

    def at(self, gun: Gun, role: str, public: Key, place: str) -> SealedKey:
        """What there is to store of a key at this place."""
        context = _context(gun, role, public.keyid, "online-key-place")
        return SealedKey(
            role, public.keyid, public.to_dict(), _PLACE + self._sealer.seal(place.encode("utf-8"), context)
        )

    def signer(self, gun: Gun, sealed: SealedKey) -> Signer:
        """Opens a key.

        Raises:
            StateError: it doesn't open under this key-encryption key for this collection and role, or it is on a
                device and none can be reached.
        """
        if on_device(sealed):
            return self._on_device(gun, sealed)
        at = (gun, sealed.role, sealed.key_id)
        if at in self._open:
            self._open.move_to_end(at)
            return self._open[at]
        raw = self._sealer.open(sealed.sealed, _context(gun, sealed.role, sealed.key_id))
        signer: Signer
        signer = opened(raw) if is_docker(sealed) else CryptoSigner(Ed25519PrivateKey.from_private_bytes(raw))
        if signer.public_key.keyid != sealed.key_id:
            raise StateError(f"The stored {sealed.role} key of {gun} is not the one that it is filed as.")
        self._open[at] = signer
        while len(self._open) > KEEP_OPEN:
            self._open.popitem(last=False)
        return signer

    def require(self, gun: Gun, sealed: SealedKey) -> None:
        """Returns where it opens under this key-encryption key; no device is asked.  Raises StateError."""
        if on_device(sealed):
            self.place(gun, sealed)
        else:
            self.signer(gun, sealed)

    def place(self, gun: Gun, sealed: SealedKey) -> str:
        """The URI of a key on a device; raises StateError where it wasn't sealed for this collection and role."""
        context = _context(gun, sealed.role, sealed.key_id, "online-key-place")
        return self._sealer.open(sealed.sealed[len(_PLACE) :], context).decode("utf-8")

    def _on_device(self, gun: Gun, sealed: SealedKey) -> Signer:
        place = self.place(gun, sealed)
        if self._places is None:
            raise StateError(
                f"The {sealed.role} key of {gun} is on a token.", hint="Give --online-key-uri, as when it was made."
            )
        return DeviceSigner(self._places, place, public_half(sealed))


@dataclass(frozen=True, slots=True)
class Opened:
    """A sealed key or place, opened to be sealed under another key-encryption key."""

    key: SealedKey
    _plain: bytes
    _context: bytes
    _prefix: bytes

    def __repr__(self) -> str:
        return f"Opened({self.key.role!r}, ...)"

    def under(self, sealer: Sealer) -> bool:
        """Whether it opens under this one, too."""
        try:
            sealer.open(self.key.sealed[len(self._prefix) :], self._context)
        except StateError:
            return False
        return True

    def sealed(self, sealer: Sealer) -> bytes:
        """What there is to store of it."""
        return self._prefix + sealer.seal(self._plain, self._context)


def reopen(gun: Gun, key: SealedKey, sealer: Sealer) -> Opened | None:
    """Opens what is stored of a key; None for one that a separate signer holds.  Raises StateError."""
    if not key.sealed:
        return None
    prefix, what = (_PLACE, "online-key-place") if on_device(key) else (b"", "online-key")
    context = _context(gun, key.role, key.key_id, what)
    return Opened(key, sealer.open(key.sealed[len(prefix) :], context), context, prefix)


def on_device(sealed: SealedKey) -> bool:
    """Whether it is the place of a key on a device."""
    return sealed.sealed.startswith(_PLACE)


def public_half(sealed: SealedKey) -> Key:
    """The public half, with its id recomputed (TRUST 2.1); raises KeyUnsupported, and StateError where it is none."""
    try:
        if is_docker(sealed):
            return DockerKey.from_dict(sealed.key_id, dict(sealed.public))
        key = SSlibKey.from_dict(sealed.key_id, dict(sealed.public))
    except (KeyError, TypeError, ValueError, Malformed) as error:
        raise StateError(
            f"The stored public half of the {sealed.role} key {sealed.key_id[:16]} is damaged."
        ) from error
    check_key(key)
    return cast("Key", key)


def _context(gun: Gun, role: str, key_id: str, what: str = "online-key") -> bytes:
    return f"{what}\n{gun}\n{role}\n{key_id}".encode("ascii")
