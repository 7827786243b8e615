"""Online keys on a token: made there one for each collection and role, and used there."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from securesystemslib.signer import Key, Signature

from trustkit.core.names import Gun
from trustkit.errors import InvalidSetting, KeyProblem, KeyUnavailable, ServerFailed, UsageError
from trustkit.keys import pkcs11
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.remote import CheckedSigner
from trustkit.keys.tokens import PIN, Tokens
from trustkit.keys.uris import Pkcs11Uri, parse_uri

log = logging.getLogger("trustkit.keys")

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class OnlineSubject:
    """The online keys of a service, for which a PIN is wanted."""

    key_id: str = ""
    place: str = ""
    variables: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return "the online keys"


class TokenForge:
    """The ``KeyForge`` of a pkcs11: URI, which names the token.  ECDSA P-256.

    The token stays open.  One that was pulled out and is back is opened again, with the PIN that opened it first.
    """

    def __init__(self, uri: Pkcs11Uri, environ: Mapping[str, str], pins: PassphraseSource) -> None:
        if uri.object or uri.id:
            raise UsageError(
                "Online keys are made on a token, each with a label of its own.", hint="Leave out object and id."
            )
        self._uri = uri
        self._environ = environ
        self._tokens = Tokens(environ, pins)
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return str(self._uri)

    def check(self) -> None:
        """Opens the token; raises KeyProblem, UsageError or InvalidSetting."""
        with self._lock:
            _, pin = self._tokens.session(self._uri, OnlineSubject())
            # From here on nobody is asked: the service runs.
            again = PassphraseSource(environ={PIN: pin.decode()}) if pin else PassphraseSource(environ={})
            self._tokens.close()
            self._tokens = Tokens(self._environ, again)

    def make(self, gun: Gun, role: str) -> tuple[Key, str]:
        """A new key, labelled with collection and role; a random end keeps it apart from those before it."""

        def made() -> tuple[Key, str]:
            session, _ = self._tokens.session(self._uri, OnlineSubject())
            label = f"trustkit {role} {gun} {secrets.token_hex(4)}"
            place = pkcs11.generate(session, self._uri, Algorithm.P256, label)
            return pkcs11.read_public(session, place), str(place)

        return self._asked(made)

    def sign(self, place: str, public: Key, payload: bytes) -> Signature:
        """A signature, verified."""
        uri = parse_uri(place)
        if not isinstance(uri, Pkcs11Uri):
            raise ServerFailed("An online key is in a place that this service can't reach.")

        def signed() -> Signature:
            session, pin = self._tokens.session(uri, OnlineSubject())
            return CheckedSigner(pkcs11.Pkcs11Signer(session, pin, uri, public), uri).sign(payload)

        return self._asked(signed)

    def _asked(self, call: Callable[[], Done]) -> Done:
        with self._lock, _told():
            try:
                return call()
            except KeyUnavailable:  # pulled out, maybe, and back
                self._tokens.look_anew(self._uri)
                return call()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What a client may know is that it fails; the log has the reason."""
    try:
        yield
    except (KeyProblem, UsageError, InvalidSetting) as error:
        log.error("the device with the online keys: %s", error.message)
        raise ServerFailed(
            "The device with this service's online keys can't be used now; nothing was signed.",
            hint="Its operator finds the reason in the log.",
        ) from error


def token_forge(text: str, environ: Mapping[str, str], pins: PassphraseSource) -> TokenForge:
    """Where online keys are made and stay; nothing is loaded or asked yet.

    Raises:
        UsageError: no such URI, or one of a single key.  InvalidSetting: a key service.
    """
    uri = parse_uri(text)
    if not isinstance(uri, Pkcs11Uri):
        raise InvalidSetting(
            f"Online keys are not made in {uri.scheme}:.",
            hint="Give a pkcs11: URI. A key service can wrap the key that they are encrypted under: --kek-uri.",
        )
    return TokenForge(uri, environ, pins)
