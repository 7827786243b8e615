"""What a refusal of the service or the registry means: one table from statuses and slugs to leaves (TRUST 6.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from trustkit.core.names import Host
from trustkit.core.records import dataclass
from trustkit.errors import (
    Conflict,
    CouldNotCheck,
    Failed,
    Garbage,
    LoginRequired,
    NoCollection,
    NotAllowed,
    NotFound,
    NotTrusted,
    RateLimited,
    Rejected,
    RoleMissing,
    ServerFailed,
    StateError,
    TimedOut,
    TrustDisabled,
    TrustkitError,
    UsageError,
)
from trustkit.remote.messages import Response

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}\Z")
_RESERVED = frozenset({"message", "hint", "slug", "self", "status"})
_CODES_OF_ABSENCE = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN"})


def _walk(family: type[TrustkitError]) -> Iterator[type[TrustkitError]]:
    yield family
    for leaf in family.__subclasses__():
        yield from _walk(leaf)


_FAMILIES = (UsageError, Failed, Rejected, NotTrusted, NotAllowed)
LEAVES: Mapping[str, type[TrustkitError]] = {
    leaf.slug: leaf
    for family in _FAMILIES
    for leaf in _walk(family)
    if leaf.__module__ == TrustkitError.__module__ and not issubclass(leaf, StateError)
}
"""The leaves that a service can mean, by slug.  Keys, files and a hook's derived leaves are this side's own."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What an OCI error body says: its first error that has a slug of ours, or else its first."""

    code: str = ""
    message: str = ""
    slug: str = ""
    hint: str = ""
    context: Mapping[str, object] = field(default_factory=dict)


def refusal(response: Response, host: Host, *, absent: bool = False) -> TrustkitError:
    """The error that an answer other than the hoped-for one stands for.

    Args:
        absent: a plain 404 with an OCI code means that the thing isn't there; otherwise only our slug means it.
    """
    told = _told(response.body)
    leaf = LEAVES.get(told.slug)
    if leaf is None or not _plausible(leaf, response.status):
        return _by_status(response, host, told, absent=absent)
    context = dict(told.context)
    if leaf is RateLimited:
        context.setdefault("retry_after", retry_after(response))
    if leaf is Conflict and "versions" in context:
        context["versions"] = _versions(context["versions"])
    if issubclass(leaf, CouldNotCheck):
        context["status"] = response.status
    return leaf(_says(host, told.message) or f"{host} refuses: {told.slug}.", hint=_says(host, told.hint), **context)


def _says(host: Host, text: str) -> str:
    """A service's words, as the service's: what trustkit itself says stands without a name before it.

    Else whoever answers could have somebody pin another key, and it would be us who said so.
    """
    return f"{host} says: {_sentence(text)}" if text else ""


def _versions(told: object) -> dict[str, int]:
    members = told.items() if isinstance(told, dict) else ()
    return {role: version for role, version in members if type(version) is int}


def _plausible(leaf: type[TrustkitError], status: int) -> bool:
    """Whether a leaf may come with a status.

    A word for "nothing there", "not you" or "nobody can say" needs the status for it: each has consequences of its
    own (TRUST 6.3, 6.4).
    """
    if issubclass(leaf, NoCollection | NotFound):
        return status == 404
    if issubclass(leaf, LoginRequired):
        return status == 401
    if issubclass(leaf, RateLimited):
        return status == 429
    if issubclass(leaf, NotAllowed):
        return status in (401, 403)
    if issubclass(leaf, CouldNotCheck) and not issubclass(leaf, TrustDisabled):
        return status == 408 if leaf is TimedOut else status >= 500 and leaf is ServerFailed
    return 400 <= status < 500 and status not in (401, 429)


def _by_status(response: Response, host: Host, told: _Told, *, absent: bool) -> TrustkitError:
    status, said = response.status, f": {told.message}" if told.message else ""
    if status == 401:
        return LoginRequired(f"{host} does not accept who is asking{said}.", hint=f"Run: trustkit login {host}")
    if status == 403:
        return RoleMissing(f"{host} does not allow this{said}.", missing=[])
    if status == 404 and absent and told.code in _CODES_OF_ABSENCE:
        return NotFound(f"{host} does not have this{said}.")
    if status == 409 and told.code:
        return Conflict(f"{host} reports a conflict{said}.")
    if status == 429:
        return ServerFailed(f"{host} asks us to come back later (429).", retry_after=retry_after(response))
    if status >= 400 and status != 404:
        return ServerFailed(f"{host} failed with status {status}{said}.", hint=_says(host, told.hint), status=status)
    return Garbage(f"{host} answered {status} where that says nothing.", status=status)


def retry_after(response: Response) -> int:
    """Seconds of ``Retry-After``, 1 where it can't be read, never over an hour."""
    text = response.headers.get("retry-after").strip()
    return min(int(text), 3600) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def printable(text: object, limit: int = 400) -> str:
    """A foreign text as it may stand in a message: one line, nothing that a terminal or a reader's eye would obey."""
    if not isinstance(text, str):
        return ""
    shown = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * limit])
    return " ".join(shown.split())[:limit].rstrip(".")


def _sentence(text: str) -> str:
    """A text with its full stop, which ``printable`` takes off."""
    return f"{text}." if text and text[-1] not in ".!?" else text


def _told(body: bytes) -> _Told:
    try:
        document = json.loads(body)
        errors = document["errors"]
        told = [_one(error) for error in errors[:16] if isinstance(error, dict)]
    except (ValueError, TypeError, KeyError, RecursionError):
        return _Told()
    return next((one for one in told if one.slug), told[0] if told else _Told())


def _one(error: Mapping[str, Any]) -> _Told:
    detail = error.get("detail")
    detail = detail if isinstance(detail, dict) else {}
    slug = detail.get("slug")
    message = printable(error.get("message"))
    return _Told(
        code=printable(error.get("code"), 60),
        message=message,
        slug=slug if isinstance(slug, str) and slug in LEAVES else "",
        hint=printable(detail.get("hint")),
        context={name: value for name, value in detail.items() if _NAME.match(name) and name not in _RESERVED},
    )
