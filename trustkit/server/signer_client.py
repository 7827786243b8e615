"""The service's end of the line to a separate signer."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

from securesystemslib.signer import Key, SSlibKey

from trustkit.core.names import Gun, Host
from trustkit.core.ports.signing import BehindService, Held, SignerAhead
from trustkit.core.publickeys import check_key
from trustkit.core.roots import ONLINE
from trustkit.core.strictjson import parse
from trustkit.errors import (
    Conflict,
    ConsentMissing,
    InvalidName,
    InvalidSetting,
    Malformed,
    NotFound,
    ServerFailed,
    SignerBehind,
    StateError,
    TooLarge,
)
from trustkit.server.signer_app import MAX_BODY

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

log = logging.getLogger("trustkit.signer")

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 15.0
ATTEMPTS = 2
"""Asking again is safe: the same payload gets its signature again."""
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class SignerAddress:
    """Where the signer is, and how the two know each other.

    Attributes:
        ca: the authorities, PEM, one of which must have signed the signer's certificate.
        certificate, key: this service's own, PEM.
    """

    url: str
    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def of(cls, url: str | None, ca: Path | None, certificate: Path | None, key: Path | None) -> Self | None:
        """Reads the options; None without a URL.

        Raises:
            InvalidSetting: no https URL, or some of the options without the others.
        """
        if url is None:
            if ca or certificate or key:
                raise InvalidSetting("--signer-... options need --signer.")
            return None
        parts = urlsplit(url)
        try:
            Host.parse(parts.netloc)
        except InvalidName as error:
            raise InvalidSetting(f"--signer: {error.message}", hint="Write https://HOST:PORT.") from error
        if parts.scheme != "https" or parts.path not in ("", "/") or parts.query:
            raise InvalidSetting(f"--signer {url[:100]!r} is not https://HOST:PORT.")
        if ca is None or certificate is None or key is None:
            raise InvalidSetting("--signer needs --signer-ca, --signer-cert and --signer-key.")
        return cls(f"https://{parts.netloc}", ca, certificate, key)

    def context(self) -> ssl.SSLContext:
        """TLS that shows our certificate and believes these authorities only.

        Raises:
            InvalidSetting: a file that can't be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.ca)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSetting(
                f"--signer-ca {self.ca}, --signer-cert {self.certificate} and --signer-key {self.key} can't be used "
                f"together: {error}.",
                hint="All are PEM files; the key must belong to the certificate and have no passphrase.",
            ) from error
        return context


class RemoteSigner:
    """A ``SeparateSigner`` over HTTPS.

    While the signer doesn't answer, calls fail at once for as long as the last failure took, because a publish that
    waits for it keeps the others waiting.
    """

    def __init__(self, address: SignerAddress) -> None:
        import urllib3  # here, since most services have no separate signer: 3 MiB

        self._url = address.url
        parts = urlsplit(address.url)
        self._pool = urllib3.HTTPSConnectionPool(
            str(parts.hostname),
            parts.port or 443,
            maxsize=CONNECTIONS,
            block=True,
            ssl_context=address.context(),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
            retries=False,
        )
        self._silent_until = 0.0

    def make(self, gun: Gun) -> Mapping[str, Key]:
        """As ``SeparateSigner``."""
        return _keys(self._ask("/v1/keys", {"gun": str(gun)}), ONLINE)

    def stage(self, gun: Gun, roles: Iterable[str]) -> Mapping[str, Key]:
        """As ``SeparateSigner``."""
        answer = self._ask("/v1/stage", {"gun": str(gun), "roles": list(roles)})
        return _keys(answer, [role for role in ONLINE if role in answer])

    def replace(self, gun: Gun) -> Mapping[str, Key]:
        """As ``SeparateSigner``."""
        return _keys(self._ask("/v1/replace", {"gun": str(gun)}), ONLINE)

    def sign(self, gun: Gun, role: str, payload: bytes, files: Mapping[str, bytes]) -> str:
        """As ``SeparateSigner``."""
        sent = {name: _text(data) for name, data in files.items()}
        body = {"gun": str(gun), "role": role, "payload": _text(payload), "files": sent}
        signature = self._ask("/v1/sign", body).get("sig")
        if not isinstance(signature, str):
            raise self._garbage()
        return signature

    def held(self, gun: Gun) -> Held:
        """As ``SeparateSigner``."""
        answer = self._ask("/v1/held", {"gun": str(gun)})
        try:
            versions = {role: int(answer["versions"][role]) for role in ONLINE}
            files = {str(role): base64.b64decode(data, validate=True) for role, data in answer["files"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._garbage() from error
        return Held(versions, files)

    def catch_up(self, gun: Gun, files: Mapping[str, bytes]) -> None:
        """As ``SeparateSigner``."""
        self._ask("/v1/catch-up", {"gun": str(gun), "files": {name: _text(data) for name, data in files.items()}})

    def ready(self) -> None:
        """As ``SeparateSigner``."""
        self._ask("/healthz", None)

    def _ask(self, path: str, body: Mapping[str, object] | None) -> dict[str, Any]:
        from urllib3.exceptions import HTTPError

        if time.monotonic() < self._silent_until:
            raise self._unreachable("it did not answer a moment ago")
        data = None if body is None else json.dumps(body).encode("ascii")
        began = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                answer = self._pool.request(
                    "POST" if data else "GET", path, body=data, headers={"content-type": "application/json"}
                )
            except (HTTPError, OSError) as error:
                if attempt + 1 < ATTEMPTS and time.monotonic() - began < CONNECT_SECONDS:
                    continue  # a connection that was kept open ends when the signer is started anew
                now = time.monotonic()
                self._silent_until = now + (now - began)
                raise self._unreachable(_cause(error)) from error
            return self._read(answer)
        raise self._unreachable("it does not answer")

    def _read(self, answer: BaseHTTPResponse) -> dict[str, Any]:
        try:
            value = parse(answer.data, max_bytes=MAX_BODY, what="The signer's answer")
        except (Malformed, TooLarge) as error:
            raise self._garbage() from error
        if answer.status == 200:
            return value
        message, detail = _refusal(value)
        if answer.status >= 500:
            raise ServerFailed(f"The signer at {self._url} failed: {message}")
        slug, hint = detail.get("slug"), str(detail.get("hint") or "")[:500]
        if slug == Conflict.slug:
            raise SignerAhead(message, hint="Try again.", versions=detail.get("versions"))
        log.error("the signer refuses: %s %s", message, hint)
        if slug == ConsentMissing.slug:
            raise ConsentMissing(f"The signer refuses: {message}", hint=hint)
        kind = BehindService if slug in (SignerBehind.slug, NotFound.slug) else StateError
        raise kind(f"The signer refuses: {message}", hint=hint)

    def _unreachable(self, why: str) -> ServerFailed:
        return ServerFailed(
            f"The signer at {self._url} can't be reached: {why}.",
            hint="Snapshot and timestamp keys are there; until it answers nothing can be published.",
        )

    def _garbage(self) -> ServerFailed:
        return ServerFailed(f"What answers at {self._url} is no signer.")


def _refusal(value: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    try:
        (entry,) = value["errors"]
        return str(entry["message"])[:500], dict(entry["detail"])
    except (KeyError, TypeError, ValueError):
        return "without a word", {}


def _keys(answer: Mapping[str, Any], roles: Iterable[str]) -> Mapping[str, Key]:
    """Raises ServerFailed for keys that aren't, KeyUnsupported for some that are not allowed (TRUST 2.1)."""
    keys: dict[str, Key] = {}
    try:
        for role in roles:
            members = dict(answer[role])
            keys[role] = cast("Key", SSlibKey.from_dict(members.pop("keyid"), members))
    except (KeyError, TypeError, ValueError) as error:
        raise ServerFailed("The signer gave no keys.") from error
    for key in keys.values():
        check_key(key)
    return keys


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _cause(error: Exception) -> str:
    """The innermost cause that says something, on one line."""
    inner: BaseException = error
    while (nested := inner.__cause__ or getattr(inner, "reason", None)) and isinstance(nested, BaseException):
        inner = nested
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return " ".join(ascii(text)[1:-1].split())[:200]
