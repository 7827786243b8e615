"""What wraps a service's key-encryption key: a key on a token, in AWS KMS or in Vault's transit engine, by URI."""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Mapping
from typing import Any

from trustkit.core.ports.wrapping import KeyWrapper
from trustkit.errors import InvalidSetting, StateError, UsageError
from trustkit.keys import sdks
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.uris import KeyUri, KmsUri, Pkcs11Uri, parse_uri

SCHEMES = ("pkcs11", "awskms", "hv")
AWS, VAULT = "aws-kms-encrypt", "vault-transit-encrypt"
_ALTERED = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


def key_wrapper(text: str, environ: Mapping[str, str], pins: PassphraseSource) -> KeyWrapper:
    """What wraps by the key at this URI; nothing is loaded or asked yet.

    Args:
        environ: settings of PKCS#11 modules; key services' packages read their own from the process.
        pins: where the PIN of a token comes from.

    Raises:
        UsageError: no such URI, or one with a secret in it.
        InvalidSetting: a key service that this isn't made for.
    """
    uri = parse_uri(text)
    if isinstance(uri, Pkcs11Uri):
        from trustkit.keys.tokens import Tokens
        from trustkit.keys.tokenwrap import TokenWrapper

        return TokenWrapper(uri, Tokens(environ, pins))
    if uri.scheme == "awskms":
        return AwsWrapper(uri)
    if uri.scheme != "hv":
        raise InvalidSetting(
            f"A key of {uri.scheme}: can sign, but not wrap the key-encryption key.",
            hint=f"Use one of: {': '.join(SCHEMES)}:",
        )
    if "/" in uri.name:
        raise UsageError("Vault knows itself which version wrapped what.", hint="Write hv:NAME.")
    return VaultWrapper(uri)


class _ByService:
    """What the wrappers of key services have in common: a key's URI, and nothing held between calls."""

    def __init__(self, uri: KmsUri) -> None:
        self._uri = uri

    @property
    def uri(self) -> str:
        return str(self._uri)

    def same_place(self, uri: str) -> bool:
        return _same(uri, self._uri)

    def close(self) -> None:
        """Nothing is held."""


class AwsWrapper(_ByService):
    """The ``KeyWrapper`` of a symmetric key in AWS KMS, which binds the context as an encryption context."""

    def wrap(self, secret: bytes, context: Mapping[str, str]) -> tuple[str, bytes]:
        """Wraps, by KMS's Encrypt."""
        from trustkit.keys import kms

        with kms.speaking(self._uri, may="encrypt and decrypt"):
            said = self._client().encrypt(KeyId=self._uri.name, Plaintext=secret, EncryptionContext={**context})
            return AWS, bytes(said["CiphertextBlob"])

    def unwrap(self, how: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The secret, by KMS's Decrypt, under this key and no other."""
        from trustkit.keys import kms

        _require(how, AWS, self._uri)
        with kms.speaking(self._uri, may="encrypt and decrypt"):
            client = self._client()
            try:
                said = client.decrypt(KeyId=self._uri.name, CiphertextBlob=wrapped, EncryptionContext={**context})
            except client.exceptions.ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in _ALTERED:
                    raise
                raise _another(self._uri, code) from error
            return bytes(said["Plaintext"])

    @staticmethod
    def _client() -> Any:
        sdks.bring_in("awskms")
        return importlib.import_module("boto3").client("kms")


class VaultWrapper(_ByService):
    """The ``KeyWrapper`` of a symmetric key in Vault's transit engine, which binds the context as associated data."""

    def wrap(self, secret: bytes, context: Mapping[str, str]) -> tuple[str, bytes]:
        """Wraps, by transit's encrypt."""
        from trustkit.keys import kms

        with kms.speaking(self._uri, may="encrypt and decrypt"):
            transit = self._transit()
            text = base64.b64encode(secret).decode("ascii")
            said = transit.encrypt_data(self._uri.name, plaintext=text, associated_data=_associated(context))
            return VAULT, str(said["data"]["ciphertext"]).encode("ascii")

    def unwrap(self, how: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The secret, by transit's decrypt."""
        from trustkit.keys import kms

        _require(how, VAULT, self._uri)
        with kms.speaking(self._uri, may="encrypt and decrypt"):
            transit = self._transit()
            try:
                said = transit.decrypt_data(
                    self._uri.name,
                    ciphertext=wrapped.decode("ascii", "replace"),
                    associated_data=_associated(context),
                )
            except importlib.import_module("hvac.exceptions").InvalidRequest as error:
                raise _another(self._uri, " ".join(str(error).split())[:200]) from error
            return base64.b64decode(said["data"]["plaintext"], validate=True)

    @staticmethod
    def _transit() -> Any:
        sdks.bring_in("hv")
        return importlib.import_module("hvac").Client().secrets.transit


def _associated(context: Mapping[str, str]) -> str:
    text = json.dumps(context, sort_keys=True, separators=(",", ":"))
    return base64.b64encode(text.encode("ascii")).decode("ascii")


def _same(text: str, uri: KeyUri) -> bool:
    try:
        return parse_uri(text) == uri
    except UsageError:
        return False


def _require(how: str, known: str, uri: KmsUri) -> None:
    if how != known:
        raise _another(uri, f"it was wrapped by {how[:40]}")


def _another(uri: KmsUri, reason: str) -> StateError:
    return StateError(
        f"The wrapped key-encryption key doesn't open under {uri} ({reason}).",
        hint="Its file was changed, or another key is there than the one that wrapped it.",
        uri=str(uri),
    )
