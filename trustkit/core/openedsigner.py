"""What signs with a key that somebody has opened already: a session, a client of a key service, a connection."""

from __future__ import annotations

from securesystemslib.signer import Key, SecretsHandler, Signer

from trustkit.errors import StateError


class OpenedSigner(Signer):
    """A signer that no URI makes, though securesystemslib's interface asks for that."""

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Signer:
        """Raises StateError: what opens the key makes these."""
        del priv_key_uri, public_key, secrets_handler
        raise StateError(f"No URI makes a {cls.__name__}; what opens its key does.")
