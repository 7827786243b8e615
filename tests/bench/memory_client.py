"""One connection after the other to a service, and the tokens that its client has."""

from __future__ import annotations

import http.client
import json
import random
import string
import time
import urllib.parse
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.memory_made import NAME, Made, gun_of

FORM = "application/x-www-form-urlencoded"
REQUESTS_OF_A_CONNECTION = 40
TOKENS = 1_500
"""That each process keeps in use; the oldest makes room for the newest."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and the collections that it is for."""

    text: str
    numbers: tuple[int, ...]
    ends: float


class Surprise(Exception):
    """An answer that wasn't expected."""


class Client:
    """Asks, with a token where there has to be one.

    Args:
        port: where the service listens, with TLS.
        seed: of the random numbers.
    """

    def __init__(self, made: Made, port: int, seed: int) -> None:
        self._made, self._port, self._context = made, port, made.context
        self._random = random.Random(seed)
        self._connection: http.client.HTTPSConnection | None = None
        self._left = 0
        self._refresh = made.refresh_tokens()
        self._tokens: deque[Token] = deque(maxlen=TOKENS)

    def ask(self, method: str, path: str, *statuses: int, body: bytes | None = None, **headers: str) -> Any:
        """One request; the answer's status, headers and body.

        Args:
            statuses: those that it may have.
            headers: with ``_`` for ``-``.
        """
        if not self._left or self._connection is None:
            if self._connection is not None:
                self._connection.close()
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, context=self._context, timeout=120
            )
            self._left = self._random.randrange(1, REQUESTS_OF_A_CONNECTION)
        self._left -= 1
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, path, body, sent)
            answer = self._connection.getresponse()
            said = answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError):
            self._left = 0  # kept alive for five seconds only
            return self.ask(method, path, *statuses, body=body, **headers)
        if answer.status not in (statuses or (200,)):
            raise Surprise(f"{method} {path}: {answer.status} {said[:300]!r}")
        return answer, said

    def _bearer(self, token: Token) -> dict[str, str]:
        return {"Authorization": f"Bearer {token.text}"}

    def _some(self) -> tuple[int, Token]:
        """A collection, and a token for it."""
        token = self._random.choice(self._tokens)
        if token.ends < time.monotonic():
            token = self._new_token([self._random.choice(token.numbers)])
        return self._random.choice(token.numbers), token

    def _word(self) -> str:
        return "".join(self._random.choices(string.ascii_lowercase, k=self._random.randrange(5, 60)))

    def _new_token(self, numbers: Sequence[int]) -> Token:
        """For these collections."""
        scopes = [f"repository:{gun_of(number).repository}:pull,push,sign" for number in numbers]
        made = self._for(*scopes, numbers=tuple(numbers))
        self._tokens.append(made)
        return made

    def _for(self, *scopes: str, numbers: tuple[int, ...] = ()) -> Token:
        fields = [("grant_type", "refresh_token"), ("refresh_token", self._random.choice(self._refresh))]
        form = urllib.parse.urlencode([*fields, ("service", NAME), *(("scope", scope) for scope in scopes)])
        _, said = self.ask("POST", "/oauth2/token", body=form.encode(), Content_Type=FORM)
        return Token(json.loads(said)["access_token"], numbers, time.monotonic() + 240)

    def _signed(self, path: str, token: Token) -> Any:
        """What a file of a collection says."""
        _, said = self.ask("GET", path, **self._bearer(token))
        return json.loads(said)["signed"]
