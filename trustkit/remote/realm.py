"""Where a Bearer challenge sends us for a token, and whether credentials may go there (TRUST 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from trustkit.core.names import Host
from trustkit.core.records import dataclass
from trustkit.errors import Garbage, TrustkitError
from trustkit.remote.challenge import Challenge
from trustkit.remote.http import HttpClient
from trustkit.remote.messages import Origin, Response

CLIENT_ID = "trustkit"
MAX_TOKEN_BODY = 256 * 1024
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Realm:
    """Where tokens come from: a path on an origin, and the service that the token is for."""

    origin: Origin
    path: str
    query: tuple[tuple[str, str], ...]
    service: str


def find_realm(challenge: Challenge, client: HttpClient, token_hosts: frozenset[Host]) -> Realm:
    """Where a Bearer challenge sends us, if we may go there (TRUST 8.3).

    Raises:
        Garbage: another origin that is no configured token host, no TLS off loopback, or no URL at all.
    """
    url = challenge.parameters["realm"]
    origin = Origin.of_url(url)
    own = client.origin
    if _same_loopback(origin, own):
        origin = own
    if origin != own and not (origin.host in token_hosts or Host(origin.name) in token_hosts):
        raise Garbage(
            f"{client.host} asks for credentials at {origin}, which is another origin.",
            hint="Nothing was sent there. If that is its token service, name it in TRUSTKIT_TOKEN_HOSTS.",
        )
    if origin != own and not origin.protected:
        raise unprotected(origin.host)
    parts = urlsplit(url)
    query = tuple(pair for pair in parse_qsl(parts.query) if pair[0] not in ("service", "scope"))
    service = challenge.parameters.get("service", "")
    return Realm(origin, client.local_path(parts.path or "/", "/"), query, service)


def realm_client(realm: Realm, own: HttpClient, connect: Callable[[Host], HttpClient] | None) -> HttpClient:
    """The client that tokens are asked with.

    Args:
        realm: as ``find_realm`` allowed it.
        own: the registry's client.
        connect: makes a client for a configured token host.

    Raises:
        Garbage: another origin and no way to connect there, or its host is reached at another origin than the realm
            names.
    """
    if realm.origin == own.origin:
        return own
    if connect is None:
        raise Garbage(f"{own.host} sends us for a token to {realm.origin}, and nothing can connect there.")
    client = connect(realm.origin.host)
    if client.origin != realm.origin:
        raise unprotected(realm.origin.host)
    return client


def post_form(client: HttpClient, realm: Realm, form: Mapping[str, str]) -> Response:
    """Asks a token endpoint by POST, as OAuth 2 does."""
    body = urlencode({"client_id": CLIENT_ID, **form}).encode("ascii")
    return client.request("POST", realm.path, query=realm.query, headers=_FORM, body=body, max_body=MAX_TOKEN_BODY)


def _same_loopback(one: Origin, other: Origin) -> bool:
    names = {one.name, other.name}
    return names <= _LOOPBACK_NAMES and (one.scheme, one.port) == (other.scheme, other.port)


def unprotected(host: Host) -> TrustkitError:
    """Credentials that won't be sent, because they could be read on the way."""
    return Garbage(f"{host} wants credentials over plain HTTP.", hint="Nothing was sent. It needs TLS.")
