"""Signing with an online key that a separate signer holds."""

from __future__ import annotations

from collections.abc import Mapping

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, Signature

from trustkit.core.names import Gun
from trustkit.core.openedsigner import OpenedSigner
from trustkit.core.ports.signing import SeparateSigner
from trustkit.errors import ServerFailed


class JudgedSigner(OpenedSigner):
    """A key at a separate signer, for the span of one publish or renewal.  Signing waits for a network.

    Attributes:
        used: the last version that the signer is known to have used up.
        files: goes with the next payload, for the signer to read and keep.
    """

    def __init__(self, separate: SeparateSigner, gun: Gun, role: str, key: Key, *, used: int) -> None:
        self.used = used
        self.files: Mapping[str, bytes] = {}
        self._separate = separate
        self._gun = gun
        self._role = role
        self._key = key

    @property
    def public_key(self) -> Key:
        """The public half."""
        return self._key

    def sign(self, payload: bytes) -> Signature:
        """Asks for the signature, and checks it.

        Raises:
            ServerFailed, StateError, SignerAhead: as ``SeparateSigner.sign``.
        """
        signature = Signature(self._key.keyid, self._separate.sign(self._gun, self._role, payload, self.files))
        try:
            self._key.verify_signature(signature, payload)
        except (UnverifiedSignatureError, VerificationError) as error:
            raise ServerFailed(
                f"The signer's signature on {self._role} of {self._gun} is not by the key that it gave.",
                hint="Its data folder may have been changed for another one. Where it came from an older copy, the "
                f"publisher has the root name its keys: trustkit key rotate {self._gun} --role online",
            ) from error
        return signature
