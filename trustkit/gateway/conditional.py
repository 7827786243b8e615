"""Conditional requests (RFC 9110, section 13).  What is named by its digest never changes: the digest is its ETag."""

from __future__ import annotations

from trustkit.core.names import Digest
from trustkit.gateway.exchange import Exchange
from trustkit.gateway.problems import API_VERSION


def etag(digest: Digest) -> str:
    """The entity tag of what has this digest."""
    return f'"{digest}"'


async def unchanged(exchange: Exchange, digest: Digest) -> bool:
    """Replies 304 where If-None-Match says that the client has these bytes; whether it did."""
    has = [tag.strip().removeprefix("W/") for tag in exchange.headers.get("if-none-match", "").split(",")]
    if not {"*", etag(digest), str(digest)} & set(has):  # Docker's registry takes it without quotes, too.
        return False
    await exchange.reply(304, [("docker-content-digest", str(digest)), ("etag", etag(digest)), API_VERSION])
    return True


def asked_range(exchange: Exchange, digest: Digest) -> str:
    """The Range that counts: that of a GET, and with an If-Range only where the client's part is of these bytes."""
    if exchange.method != "GET" or exchange.headers.get("if-range", etag(digest)).strip() != etag(digest):
        return ""
    return exchange.headers.get("range", "")
