"""Keys that are not files, whatever holds them: taking them in, making them, signing with them.

Whatever a device or a service signs is held against the registered public half before anybody else sees it: a token
may have been swapped, an alias may point elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Mapping

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature, Signer

from trustkit.core.names import Gun, SignerName
from trustkit.core.openedsigner import OpenedSigner
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.core.publickeys import P256, P384, check_key
from trustkit.errors import KeyMissing, KeyUnsupported, TrustkitError, UsageError
from trustkit.keys import kms, pkcs11
from trustkit.keys.keyfile import check_purpose
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.placefile import PlaceFile
from trustkit.keys.subjects import KeySubject
from trustkit.keys.tokens import Tokens
from trustkit.keys.uris import KeyUri, KmsUri, Pkcs11Uri

_PROBE = b"trustkit asks whether this key signs: "


class RemoteKeys:
    """What a key store asks about keys that are on tokens and in key services.

    Args:
        environ: settings of modules; the services' packages read their own from the process.
        pins: where PINs come from, each asked for at most once per token.
    """

    def __init__(self, environ: Mapping[str, str], pins: PassphraseSource) -> None:
        self._tokens = Tokens(environ, pins)

    def open(self, file: PlaceFile) -> Signer:
        """The signer for a registered key; each signature is verified before it is given away.

        Raises:
            KeyUnavailable, KeyMissing, KeyUnsupported, WrongPassphrase, NoPassphrase; UsageError where several tokens
            or keys fit, InvalidSetting where a module or package is missing.  What it signs raises them too.
        """
        return self._signer(file.uri, file.info.public, KeySubject.of(file.info))

    def pin(self, file: PlaceFile) -> bytes:
        """The PIN of the token that holds a key, after it has opened it; raises as ``open``."""
        if isinstance(file.uri, KmsUri):
            raise UsageError(f"The key is in a key service ({file.uri}), which has no passphrase.")
        pin = self._tokens.session(file.uri, KeySubject.of(file.info))[1]
        if not pin:
            raise UsageError(f"{file.uri.where} takes its PIN on a keypad of its own.")
        return pin

    def take_in(self, uri: KeyUri, role: KeyRole, gun: Gun | None, name: SignerName | None) -> PlaceFile:
        """What there is to register of a key that exists: its public half, after it has signed a random text.

        Raises:
            as ``open``.
        """
        check_purpose(role, gun, name)
        subject = KeySubject(role, gun, name)
        if isinstance(uri, KmsUri):
            public, uri = kms.fetch_public(uri)
        else:
            public = pkcs11.read_public(self._tokens.session(uri, subject)[0], uri)
        check_key(public)
        self._signer(uri, public, dataclasses.replace(subject, key_id=public.keyid)).sign(
            _PROBE + secrets.token_bytes(32)
        )
        return PlaceFile.of(KeyInfo(public.keyid, role, public, gun, name), uri)

    def generate(
        self, uri: Pkcs11Uri, algorithm: Algorithm, role: KeyRole, gun: Gun | None, name: SignerName | None
    ) -> PlaceFile:
        """Makes a key on a token, after which it has signed; nothing of it is left there where that fails.

        Raises:
            KeyExists: its label or id is taken; otherwise as ``open``.
        """
        check_purpose(role, gun, name)
        session, _ = self._tokens.session(uri, KeySubject(role, gun, name))
        label = " ".join(filter(None, ("trustkit", str(role), str(gun or ""), str(name or ""))))
        made = pkcs11.generate(session, uri, algorithm, label)
        try:
            return self.take_in(made, role, gun, name)
        except TrustkitError:
            self.discard(made)
            raise

    def discard(self, uri: KeyUri) -> None:
        """Removes a key that ``generate`` made and that couldn't be registered, if its token still lets us."""
        if isinstance(uri, Pkcs11Uri):
            with contextlib.suppress(TrustkitError):
                pkcs11.destroy(self._tokens.session(uri, KeySubject(KeyRole.ROOT))[0], uri)

    def close(self) -> None:
        """Logs out of every token."""
        self._tokens.close()

    def _signer(self, uri: KeyUri, public: Key, subject: KeySubject) -> Signer:
        if isinstance(uri, KmsUri):
            return CheckedSigner(kms.open_signer(uri, public), uri)
        if (public.keytype, public.scheme) not in (P256, P384):
            raise KeyUnsupported(f"A token signs with ECDSA P-256 or P-384, and {subject} is of another type.")
        session, pin = self._tokens.session(uri, subject)
        return CheckedSigner(pkcs11.Pkcs11Signer(session, pin, uri, public), uri)


class CheckedSigner(OpenedSigner):
    """A signer whose signatures are verified before they are given away.

    Args:
        signer: what signs, somewhere else.
        uri: where; errors name it.
    """

    def __init__(self, signer: Signer, uri: KeyUri) -> None:
        self._signer = signer
        self._uri = uri

    @property
    def public_key(self) -> Key:
        return self._signer.public_key

    def sign(self, payload: bytes) -> Signature:
        """Signs, and verifies.

        Raises:
            KeyMissing: another key signed.
            KeyUnavailable: nothing did.
        """
        if isinstance(self._uri, KmsUri):
            with kms.speaking(self._uri):
                made = self._signer.sign(payload)
        else:
            made = self._signer.sign(payload)
        try:
            self.public_key.verify_signature(made, payload)
        except UnverifiedSignatureError as error:
            raise KeyMissing(
                f"Another key than {self.public_key.keyid[:16]} is at {self._uri} now: its signature doesn't verify.",
                hint="Bring back the token, version or alias that it was registered with; nothing was published.",
                key_id=self.public_key.keyid,
                uri=str(self._uri),
            ) from error
        return made
