"""The upstream registry that the gateway stands in front of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, urlsplit

import aiohttp

from trustkit.core.access import Action
from trustkit.core.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, children
from trustkit.core.names import Digest, Host, Repository, Tag
from trustkit.core.paths import Blob, Catalog, Manifest, Upload
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.errors import Garbage, InvalidName, InvalidSetting, RegistryFailed
from trustkit.gateway.access import mounted
from trustkit.gateway.backend import BackendRoute
from trustkit.gateway.elsewhere import CONNECTIONS
from trustkit.gateway.embedded import send_catalog
from trustkit.gateway.exchange import Exchange
from trustkit.gateway.forwarding import Origin, joined, path_of, query_of, request_headers
from trustkit.gateway.problems import JSON, Code, Refused
from trustkit.gateway.transport import Authorization, Body, Timeouts, Transport, anonymous, pieces, whole

MAX_ERROR = 64 * 1024
MAX_REPOSITORIES = 100_000
MAX_REFERRER_PAGES = 32
KEEP_SECONDS = 1.0
_PAGE = 1_000
_MANIFESTS = {
    "accept": ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, "*/*;q=0.1")),
    "accept-encoding": "identity",
}
_PLAIN = {"accept-encoding": "identity"}
_WRITES = frozenset({"POST", "PUT", "PATCH"})


class UpstreamRegistry:
    """A registry elsewhere; a ``Backend``.

    Args:
        url: ``http[s]://HOST[:PORT][/prefix]``, without credentials.
        authorization: the service's own credentials for it.
        connections: as ``Transport``.

    Raises:
        InvalidSetting: another URL.
    """

    def __init__(
        self,
        url: str,
        *,
        authorization: Authorization = anonymous,
        timeouts: Timeouts | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InvalidSetting("The upstream is not a URL of a registry.", hint="Write http[s]://HOST[:PORT].")
        if parts.username is not None or parts.password is not None:
            raise InvalidSetting("The upstream's URL has credentials in it.", hint="Give them separately.")
        self._origin = Origin(url)
        local = _is_loopback(parts.netloc)
        self._transport = Transport(authorization, timeouts or Timeouts(), local=local, connections=connections)

    @property
    def keep_seconds(self) -> float:
        """As ``Backend``: as long as anything else may be behind (TRUST 7.1)."""
        return KEEP_SECONDS

    async def close(self) -> None:
        """As ``Backend``."""
        await self._transport.close()

    async def resolve(self, repository: Repository, tag: Tag) -> Digest | None:
        """As ``Images``: the digest of the bytes where the upstream names none."""
        url = self._origin.url(f"/v2/{repository}/manifests/{tag}")
        for method in ("HEAD", "GET"):
            async with self._transport.request(method, url, scope=_scope(repository), headers=_MANIFESTS) as response:
                if not _found(response):
                    return None
                named = response.headers.get("docker-content-digest")
                if named is not None:
                    return _digest(named)
                if method == "GET":
                    return Digest.of(await whole(response, MAX_MANIFEST))
        return None

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestBytes | None:
        """As ``Images``; asks by digest only, and hashes all of it before anything is done with it."""
        url = self._origin.url(f"/v2/{repository}/manifests/{digest}")
        async with self._transport.request("GET", url, scope=_scope(repository), headers=_MANIFESTS) as response:
            if not _found(response):
                return None
            data = await whole(response, MAX_MANIFEST)
        if Digest.of(data) != digest:
            raise RegistryFailed(f"The registry behind this service sends other bytes for {digest}.")
        media_type = response.headers.get("content-type", "").partition(";")[0].strip()
        return ManifestBytes(digest, media_type, data)

    async def small_blob(self, repository: Repository, digest: Digest, limit: int) -> bytes | None:
        """As ``Backend``."""
        url = self._origin.url(f"/v2/{repository}/blobs/{digest}")
        scope = _scope(repository)
        async with self._transport.request("HEAD", url, scope=scope, headers=_PLAIN, follow=True) as response:
            if not _found(response) or int(response.headers.get("content-length", "0")) > limit:
                return None
        async with self._transport.request("GET", url, scope=scope, headers=_PLAIN, follow=True) as response:
            if not _found(response):
                return None
            return await whole(response, limit)

    async def holds_manifest(self, repository: Repository, digest: Digest) -> bool:
        """As ``Backend``.  docker-registry 2.8 answers 500 where the digest is a layer's: that is a no."""
        url = self._origin.url(f"/v2/{repository}/manifests/{digest}")
        async with self._transport.request(
            "HEAD", url, scope=_scope(repository), headers=_MANIFESTS, any_failure=True
        ) as response:
            return response.status == 200

    async def referrers(self, repository: Repository, subject: Digest) -> Sequence[Digest] | None:
        """As ``Backend``: every page, at most 32 of them; a page that leads to one before it is the last."""
        url = self._origin.url(f"/v2/{repository}/referrers/{subject}")
        found, asked = dict[Digest, None](), set[str]()
        while url not in asked and len(asked) < MAX_REFERRER_PAGES:
            asked.add(url)
            async with self._transport.request("GET", url, scope=_scope(repository), headers=_PLAIN) as response:
                if not _found(response):
                    return None if len(asked) == 1 else list(found)
                data = await whole(response, MAX_MANIFEST)
            found |= dict.fromkeys(_referrers(data))
            url = self._origin.next_page(response.headers.get("link", ""), repository=repository, asked=url)
        return list(found)

    async def repositories(self) -> Sequence[Repository]:
        """As ``Backend``: every page of the upstream's catalog."""
        names: list[Repository] = []
        last = ""
        while len(names) < MAX_REPOSITORIES:
            url = self._origin.url("/v2/_catalog", f"n={_PAGE}" + (f"&last={last}" if last else ""))
            async with self._transport.request("GET", url, scope="registry:catalog:*", headers=_PLAIN) as response:
                page = list(_catalog(await whole(response, MAX_MANIFEST)))
                more = parse_qs(urlsplit(response.headers.get("link", "")).query)
            names += page
            if not page or not more or str(page[-1]) == last:
                break
            last = str(page[-1])
        return sorted(set(names))

    async def passage(self, exchange: Exchange, route: Blob | Upload) -> tuple[str, str | None]:
        """As ``passing.Passages``: path and query as ``answer`` asks for them."""
        path, query = path_of(route, exchange), query_of(exchange)
        authorization = await self._transport.authorization(_scopes(exchange, route), None)
        return f"{path}?{query}" if query else path, authorization

    async def answer(self, exchange: Exchange, route: BackendRoute) -> None:
        """As ``Backend``: passes request and reply on, piece by piece, in our own words."""
        if isinstance(route, Catalog):
            await send_catalog(exchange, await self.repositories())
            return
        url = self._origin.url(path_of(route, exchange), query_of(exchange))
        blob = isinstance(route, Blob) and exchange.method in ("GET", "HEAD")
        async with self._transport.request(
            exchange.method,
            url,
            scope=_scopes(exchange, route),
            headers=request_headers(exchange, route),
            body=await _body(exchange, route),
            follow=blob,
            streamed=not isinstance(route, Manifest) or exchange.method not in ("GET", "HEAD"),
        ) as response:
            if response.status >= 400:
                raise await _refused(response, exchange)
            headers = self._origin.reply_headers(
                joined(response.headers.items()), repository=route.repository, asked=url
            )
            await exchange.stream(response.status, headers, pieces(response))


def _is_loopback(netloc: str) -> bool:
    try:
        return Host.parse(netloc.lower()).loopback
    except InvalidName:
        return False


async def _body(exchange: Exchange, route: BackendRoute) -> Body | bytes | None:
    if exchange.method not in _WRITES:
        return None
    if isinstance(route, Manifest):
        return await exchange.body(MAX_MANIFEST)
    return None if exchange.content_length == 0 else Body(exchange.chunks())


def _scope(repository: Repository, *actions: Action) -> str:
    return f"repository:{repository}:{','.join(actions or (Action.PULL,))}"


def _scopes(exchange: Exchange, route: BackendRoute) -> str:
    if isinstance(route, Catalog):
        return "registry:catalog:*"
    if exchange.method == "DELETE" and isinstance(route, Manifest | Blob):
        return _scope(route.repository, Action.DELETE)
    if exchange.method in ("GET", "HEAD"):
        return _scope(route.repository)
    source = mounted(exchange, route)
    own = _scope(route.repository, Action.PULL, Action.PUSH)
    return f"{own} {_scope(source.repository)}" if source is not None else own


def _found(response: aiohttp.ClientResponse) -> bool:
    if response.status == 404:
        return False
    if response.status != 200:
        raise RegistryFailed(f"The registry behind this service answered {response.status}.")
    return True


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidName as error:
        raise RegistryFailed("The registry behind this service names a digest that is none.") from error


def _referrers(data: bytes) -> list[Digest]:
    try:
        return [item.digest for item in children(ManifestBytes(Digest.of(data), OCI_INDEX, data))]
    except Garbage as error:
        raise RegistryFailed("The registry behind this service lists referrers unreadably.") from error


def _catalog(data: bytes) -> Iterator[Repository]:
    try:
        for name in json.loads(data)["repositories"] or ():
            yield Repository.parse(name)
    except (ValueError, KeyError, TypeError, InvalidName, RecursionError) as error:
        raise RegistryFailed("The registry behind this service lists its repositories unreadably.") from error


async def _refused(response: aiohttp.ClientResponse, exchange: Exchange) -> Refused:
    """The upstream's own refusal, in words that we read: its code, its message and its status."""
    data = b"" if exchange.head else await whole(response, MAX_ERROR)
    known = {code.word: code for code in Code}
    code, message = Code.UNKNOWN, f"The registry behind this service answered {response.status}."
    if response.content_type == JSON:
        try:
            first = json.loads(data)["errors"][0]
            code, message = known.get(first["code"], Code.UNKNOWN), str(first["message"])[:1000]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            pass
    headers = [(name, response.headers[name]) for name in ("range", "content-range") if name in response.headers]
    return Refused(code, message, status=response.status, headers=headers)
