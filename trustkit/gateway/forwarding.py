"""What passes between client and upstream, and in which words: allow-lists and rewritten locations.

Nothing is passed on because nobody thought of it.  A query is built anew from what we read ourselves, so that the
upstream can't read another ``from`` in it than access control did (Go once took ``;`` for ``&``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from trustkit.core.names import Repository
from trustkit.core.notarypaths import NotaryRoute
from trustkit.core.paths import Base, Catalog, Manifest, RegistryRoute, TrustRoute, parse_v2
from trustkit.errors import InvalidName, RegistryFailed
from trustkit.gateway.backend import BackendRoute
from trustkit.gateway.exchange import Exchange
from trustkit.gateway.problems import API_VERSION

_REQUEST = ("accept", "range", "if-range", "if-none-match", "content-range")
_REPLY = (
    "accept-ranges",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "docker-content-digest",
    "docker-upload-uuid",
    "etag",
    "last-modified",
    "oci-chunk-min-length",
    "oci-filters-applied",
    "oci-subject",
    "range",
)
_MOUNT = frozenset({"mount", "from"})
_NEXT = re.compile(r'\s*<([^<>]+)>\s*;\s*rel="?next"?\s*\Z')


def request_headers(exchange: Exchange, route: BackendRoute) -> dict[str, str]:
    """The headers of the request to the upstream; credentials, cookies and hop-by-hop headers are none of them."""
    headers = {name: exchange.headers[name] for name in _REQUEST if name in exchange.headers}
    headers["accept-encoding"] = "identity"
    if exchange.method in ("POST", "PUT", "PATCH"):
        # An upload's type is fixed: Go reads a form in the body as if it stood in the query, "from" included.
        manifest = isinstance(route, Manifest)
        sent = exchange.headers.get("content-type", "")
        headers["content-type"] = (sent if manifest else "") or "application/octet-stream"
        if exchange.content_length is not None:
            headers["content-length"] = str(exchange.content_length)
    return headers


def query_of(exchange: Exchange) -> str:
    """The request's query in our own spelling; half a mount is left out, which an upstream might complete by itself.

    Raises:
        Malformed: as ``Exchange.parameters``.
    """
    parameters = exchange.parameters()
    if not parameters.keys() >= _MOUNT:
        parameters = {name: value for name, value in parameters.items() if name not in _MOUNT}
    return urlencode(parameters)


class Origin:
    """The upstream's place: what its paths and locations are called here.

    Args:
        url: scheme, host, port and an optional prefix before ``/v2``.
    """

    def __init__(self, url: str) -> None:
        self._base = url.rstrip("/")
        parts = urlsplit(self._base)
        self._origin, self._prefix = (parts.scheme, parts.netloc), parts.path

    def url(self, path: str, query: str = "") -> str:
        """The upstream's URL of one of our paths."""
        return f"{self._base}{path}?{query}" if query else f"{self._base}{path}"

    def reply_headers(
        self, headers: Mapping[str, str], *, repository: Repository | None, asked: str
    ) -> list[tuple[str, str]]:
        """The headers of our reply.

        Raises:
            RegistryFailed: a Location that has no meaning here.
        """
        pairs = [(name, headers[name]) for name in _REPLY if name in headers]
        if "location" in headers:
            pairs.append(("location", self.local(headers["location"], repository=repository, asked=asked)))
        link = _NEXT.match(headers.get("link", ""))
        if link:
            pairs.append(("link", f'<{self.local(link[1], repository=repository, asked=asked)}>; rel="next"'))
        return [*pairs, API_VERSION]

    def next_page(self, link: str, *, repository: Repository, asked: str) -> str:
        """The upstream's URL of the page that a Link header leads to; ``asked`` where it leads to none.

        Raises:
            RegistryFailed: it leads to another origin or repository, or to no route.
        """
        found = _NEXT.match(link)
        return self.url(self.local(found[1], repository=repository, asked=asked)) if found else asked

    def local(self, location: str, *, repository: Repository | None, asked: str) -> str:
        """A location of the upstream as an absolute path of ours, in the same repository.

        Raises:
            RegistryFailed: it leads to another origin or repository, or to no route.
        """
        try:
            parts = urlsplit(urljoin(asked, location))
        except ValueError as error:
            raise RegistryFailed("The registry behind this service points to no place at all.") from error
        path = parts.path.removeprefix(self._prefix)
        if (parts.scheme, parts.netloc) != self._origin or _repository(path) != repository:
            raise RegistryFailed("The registry behind this service points to somewhere else.")
        query = urlencode(parse_qsl(parts.query, keep_blank_values=True))
        return f"{path}?{query}" if query else path


def _repository(path: str) -> Repository | None:
    try:
        route = parse_v2(path.encode("utf-8"))
    except InvalidName as error:
        raise RegistryFailed("The registry behind this service points to a path that isn't one.") from error
    if route is None or isinstance(route, TrustRoute | NotaryRoute):
        raise RegistryFailed("The registry behind this service points to no route of a registry.")
    return None if isinstance(route, Base | Catalog) else route.repository


def path_of(route: RegistryRoute, exchange: Exchange) -> str:
    """The path to ask the upstream for: the one that ``parse_v2`` read ``route`` from."""
    if parse_v2(exchange.path) != route:
        raise InvalidName("The request path doesn't belong to its route.")
    return exchange.path.decode("ascii")


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Reply headers by lower-case name; the first of several counts."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value)
    return found
