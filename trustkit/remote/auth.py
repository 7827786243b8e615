"""Registry token authentication: challenges, tokens and where credentials may go (TRUST 8.3).

A request goes out with a cached token or none.  A 401 names a realm; there, and only if it is on the registry's
own origin or a configured token host, a token for the wanted scope is asked for.  Nothing here asks a person.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from threading import Lock

from trustkit.core.names import Gun, Host
from trustkit.core.ports.tokens import AccessToken, TokenCache
from trustkit.core.records import dataclass
from trustkit.errors import Garbage, LoginRequired, RateLimited, RegistryFailed, TrustkitError
from trustkit.remote.challenge import Challenge, parse_challenges
from trustkit.remote.dockerconfig import Credentials
from trustkit.remote.http import MAX_BODY, HttpClient
from trustkit.remote.messages import Body, Headers, Response, Stream
from trustkit.remote.realm import CLIENT_ID, MAX_TOKEN_BODY, find_realm, post_form, realm_client, unprotected
from trustkit.remote.refusals import refusal, retry_after

_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{1,65536}\Z")
_DEFAULT_LIFE = 60
_LONGEST_LIFE = 3600
_MARGIN = 10.0


def scope(gun: Gun, *actions: str) -> str:
    """The scope of a repository, as token authentication writes it: ``repository:team/app:pull,push``."""
    return f"repository:{gun.repository}:{','.join(actions)}"


class NoTokens:
    """A TokenCache that keeps tokens for as long as it lives."""

    def __init__(self) -> None:
        self._tokens: dict[str, AccessToken] = {}

    def get(self, key: str) -> AccessToken | None:
        """The token under this key."""
        return self._tokens.get(key)

    def put(self, key: str, token: AccessToken) -> None:
        """Keeps a token."""
        self._tokens[key] = token

    def drop(self, key: str) -> None:
        """Forgets a token."""
        self._tokens.pop(key, None)


@dataclass(slots=True)
class Session:
    """Authenticated requests to one registry host.  Safe to use from several threads.

    Args:
        client: the host's client.
        credentials: asked at most once, and only when the registry wants to know who is asking.
        tokens: access tokens of earlier requests and runs.
        connect: makes a client for a configured token host.
        token_hosts: hosts, other than the registry, that may be asked for tokens.
        now: seconds since the epoch.
        heard: is given the headers of each answer.
    """

    client: HttpClient
    credentials: Callable[[], Credentials | None] = field(repr=False)
    tokens: TokenCache = field(default_factory=NoTokens)
    connect: Callable[[Host], HttpClient] | None = None
    token_hosts: frozenset[Host] = frozenset()
    now: Callable[[], float] = time.time
    heard: Callable[[Headers], None] = lambda _: None
    _known: tuple[Credentials | None] | None = field(default=None, init=False, repr=False)
    _basic: bool = field(default=False, init=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    _turns: dict[str, Lock] = field(default_factory=dict, init=False, repr=False)

    @property
    def host(self) -> Host:
        """The registry."""
        return self.client.host

    def request(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_body: int = MAX_BODY,
        total: float | None = None,
    ) -> Response:
        """Sends a request as who is logged in, with a token for ``scope``; gives back any answer but a 401.

        Raises:
            LoginRequired, RoleMissing: the registry refuses although the token is new.
            Unreachable, TimedOut, Garbage, ServerFailed.
        """
        with self.stream(method, path, scope=scope, query=query, headers=headers, body=body, total=total) as answer:
            return answer.read(max_body)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Body] | bytes | None = None,
        total: float | None = None,
        follow: bool = False,
    ) -> Iterator[Stream]:
        """As ``request``, with the body still to be read; a callable ``body`` starts it from its front."""
        authorization = self._cached(scope)
        pairs = list(query)
        for fresh in (False, True):
            sent = {**(headers or {}), **authorization}
            with self.client.stream(
                method,
                path,
                query=pairs,
                headers=sent,
                body=body() if callable(body) else body,
                total=total,
                follow=follow,
            ) as answer:
                self.heard(answer.headers)
                if answer.status != 401:
                    yield answer
                    return
                refused = answer.read(MAX_BODY)
            if fresh:
                self.tokens.drop(self._key(scope))
                break
            authorization = self._renewed(refused, scope, authorization)
        raise refusal(refused, self.host)

    def authorize(self, scope: str) -> None:
        """Makes sure of a token for ``scope`` before a body is sent that can be sent only once."""
        if not self._cached(scope):
            answer = self.client.request("GET", "/v2/")
            if answer.status == 401:
                self._authorize(answer, scope)

    def _renewed(self, refused: Response, scope: str, sent: Mapping[str, str]) -> dict[str, str]:
        """What to send in place of what was refused.  One thread a scope asks; the others take what it got."""
        with self._lock:
            turn = self._turns.setdefault(scope, Lock())
        with turn:
            newer = self._cached(scope)
            if newer and newer != sent:
                return newer
            self.tokens.drop(self._key(scope))
            return self._authorize(refused, scope)

    def _key(self, scope: str) -> str:
        who = self._who()
        return json.dumps([str(self.host), who.username if who else "", scope])

    def _who(self) -> Credentials | None:
        with self._lock:
            if self._known is None:
                self._known = (self.credentials(),)
            return self._known[0]

    def _cached(self, scope: str) -> dict[str, str]:
        if self._basic:
            return self._basic_header()
        token = self.tokens.get(self._key(scope))
        if token is None or token.expires - _MARGIN <= self.now() or not _BEARER.match(token.value):
            return {}
        return {"Authorization": f"Bearer {token.value}"}

    def _basic_header(self) -> dict[str, str]:
        who = self._who()
        return {} if who is None else {"Authorization": basic(who)}

    def _authorize(self, refused: Response, scope: str) -> dict[str, str]:
        """The header that answers a 401."""
        challenges = parse_challenges(refused.headers.all("www-authenticate"))
        bearer = next((c for c in challenges if c.scheme == "bearer" and "realm" in c.parameters), None)
        if bearer is not None:
            token = self._fetch(bearer, scope)
            self.tokens.put(self._key(scope), token)
            return {"Authorization": f"Bearer {token.value}"}
        who = self._who()
        if any(c.scheme == "basic" for c in challenges) and who is not None and who.password:
            if not self.client.origin.protected:
                raise unprotected(self.host)
            self._basic = True
            return {"Authorization": basic(who)}
        raise refusal(refused, self.host)

    def _fetch(self, challenge: Challenge, scope: str) -> AccessToken:
        realm = find_realm(challenge, self.client, self.token_hosts)
        client = realm_client(realm, self.client, self.connect)
        who = self._who()
        if who is not None and who.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": who.identity_token}
            answer = post_form(client, realm, {**form, "service": realm.service, "scope": scope})
        else:
            query = [*realm.query, ("service", realm.service), ("scope", scope), ("client_id", CLIENT_ID)]
            headers = {}
            if who is not None:
                query.append(("account", who.username))
                headers = {"Authorization": basic(who)}
            answer = client.request("GET", realm.path, query=query, headers=headers, max_body=MAX_TOKEN_BODY)
        if answer.status != 200:
            raise _no_token(answer, self.host, who)
        return self._read(answer)

    def _read(self, answer: Response) -> AccessToken:
        members = json_object(answer, self.host)
        value = members.get("token") or members.get("access_token")
        life = members.get("expires_in", _DEFAULT_LIFE)
        if not isinstance(value, str) or not _BEARER.match(value):
            raise Garbage(f"{self.host} answers the request for a token with none.")
        if isinstance(life, bool) or not isinstance(life, int | float) or not life > 0:  # NaN isn't
            life = _DEFAULT_LIFE
        return AccessToken(value, self.now() + min(life, _LONGEST_LIFE))


def basic(who: Credentials) -> str:
    """The value of a Basic Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{who.username}:{who.password}".encode()).decode("ascii")


def json_object(answer: Response, host: Host) -> Mapping[str, object]:
    """The JSON object of an answer; Garbage where it is none."""
    try:
        members = json.loads(answer.body)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise Garbage(f"{host} answers with no JSON object where one is due.")
    return members


def _no_token(answer: Response, host: Host, who: Credentials | None) -> TrustkitError:
    error = refusal(answer, host)
    if answer.status in (400, 401) and not isinstance(error, LoginRequired):
        error = LoginRequired(f"{host} gives no token.")
    if isinstance(error, LoginRequired):
        said = "does not accept the stored login" if who else "wants to know who is asking"
        said += " any more: it has expired or was ended" if who and who.identity_token else ""
        return LoginRequired(f"{host} {said}.", hint=f"Run: trustkit login {host}")
    return error


def log_in(
    client: HttpClient,
    username: str,
    password: str,
    *,
    connect: Callable[[Host], HttpClient] | None = None,
    token_hosts: frozenset[Host] = frozenset(),
) -> str:
    """Trades a password for a refresh token; works for somebody without any role.

    Args:
        client: the registry's client.
        connect: makes a client for a configured token host.
        token_hosts: hosts, other than the registry, that may see the password.

    Raises:
        LoginRequired: name or password is wrong.
        RateLimited: too many attempts.
        RegistryFailed: the registry has no token endpoint that gives refresh tokens.
        Garbage: it asks for the password at another host that isn't configured; nothing was sent there.
        CouldNotCheck leaves.
    """
    challenges = parse_challenges(client.request("GET", "/v2/").headers.all("www-authenticate"))
    bearer = next((c for c in challenges if c.scheme == "bearer" and "realm" in c.parameters), None)
    if bearer is None:
        raise RegistryFailed(f"{client.host} does not offer token authentication, so there is nothing to log in to.")
    realm = find_realm(bearer, client, token_hosts)
    form = {"grant_type": "password", "username": username, "password": password, "access_type": "offline"}
    answer = post_form(realm_client(realm, client, connect), realm, {**form, "service": realm.service})
    if answer.status == 429:
        wait = retry_after(answer)
        raise RateLimited(f"{client.host} saw too many logins.", hint=f"Try again in {wait} s.", retry_after=wait)
    if answer.status in (400, 401):
        raise LoginRequired(
            f"{client.host} does not accept this name and password.",
            hint="Check both; an operator makes a new password with: trustkit admin principal passwd NAME",
        )
    if answer.status != 200:
        raise refusal(answer, client.host)
    token = json_object(answer, client.host).get("refresh_token")
    if not isinstance(token, str) or not _BEARER.match(token):
        raise RegistryFailed(f"{client.host} gives no refresh token for a password.")
    return token
