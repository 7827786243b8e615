"""Where short-lived access tokens wait to be used again."""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from trustkit.core.records import dataclass


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token.  ``expires`` is in seconds since the epoch, as the token endpoint said."""

    value: str = field(repr=False)
    expires: float


class TokenCache(Protocol):
    """Access tokens by an opaque key.  Losing one costs a request; a damaged one counts as lost."""

    def get(self, key: str) -> AccessToken | None: ...
    def put(self, key: str, token: AccessToken) -> None: ...
    def drop(self, key: str) -> None: ...
