"""Online keys on a token: made there one for each collection and role."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from securesystemslib.signer import Key

from trustkit.core.names import Gun
from trustkit.errors import InvalidSetting, UsageError
from trustkit.keys.onlineplaces import OnlinePlaces
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.uris import Pkcs11Uri, parse_uri


class TokenForge:
    """The ``KeyForge`` of a pkcs11: URI, which names the token.  ECDSA P-256.

    The token stays open.  One that was pulled out and is back is opened again, with the PIN that opened it first.

    Attributes:
        places: reaches the token, and every other place of an online key; what is made here signs by it.
    """

    def __init__(self, uri: Pkcs11Uri, environ: Mapping[str, str], pins: PassphraseSource) -> None:
        if uri.object or uri.id:
            raise UsageError(
                "Online keys are made on a token, each with a label of its own.", hint="Leave out object and id."
            )
        self._uri = uri
        self.places = OnlinePlaces(environ, pins)

    @property
    def uri(self) -> str:
        return str(self._uri)

    def check(self) -> None:
        """Opens the token; raises KeyProblem, UsageError or InvalidSetting."""
        self.places.unlock(self._uri)

    def make(self, gun: Gun, role: str) -> tuple[Key, str]:
        """A new key, labelled with collection and role; a random end keeps it apart from those before it."""
        return self.places.make(self._uri, f"trustkit {role} {gun} {secrets.token_hex(4)}")


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
