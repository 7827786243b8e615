"""What each request on ``/v2`` takes, as one table (distribution's token scopes; TRUST 7.4 for mounts)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from trustkit.core.access import Action, Operation, role_missing
from trustkit.core.names import Digest, Repository
from trustkit.core.paths import Base, Blob, Catalog, Manifest, Referrers, RegistryRoute, TagList, Upload, Uploads
from trustkit.errors import UsageError
from trustkit.gateway.caller import ANONYMOUS, Caller
from trustkit.gateway.exchange import Exchange
from trustkit.gateway.problems import API_VERSION, Code, Refused

Challenge = Callable[[Repository | None, frozenset[Action], str | None], str]
"""Makes the WWW-Authenticate value for actions in a repository and an error word of RFC 6750 (or None)."""

VIEW_HEADER = "trustkit-view"
REGISTRY_VIEW, SIGNED_VIEW = "registry", "signed"

_READ = frozenset({"GET", "HEAD"})
_OPERATIONS: dict[type[RegistryRoute], dict[str, Operation]] = {
    Base: {},
    Catalog: {},
    Manifest: {"PUT": Operation.PUSH_IMAGE, "DELETE": Operation.DELETE_IMAGE},
    Blob: {"DELETE": Operation.DELETE_IMAGE},
    Uploads: {"POST": Operation.PUSH_IMAGE},
    Upload: dict.fromkeys(("GET", "HEAD", "PATCH", "PUT", "DELETE"), Operation.PUSH_IMAGE),
    TagList: {},
    Referrers: {},
}


def has_method(exchange: Exchange, route: RegistryRoute) -> bool:
    """Whether the method means something on this route.

    No other one reaches an upstream: the answer to a TRACE has the request in it, with a credential of ours.
    """
    readable = exchange.method in _READ and not isinstance(route, Uploads)
    return readable or exchange.method in _OPERATIONS[type(route)]


def operation_of(exchange: Exchange, route: RegistryRoute) -> Operation:
    """What the request takes; an unknown method takes as much as a push, and fails after that."""
    known = _OPERATIONS[type(route)].get(exchange.method)
    if known is not None:
        return known
    if exchange.method not in _READ or isinstance(route, Uploads):
        return Operation.PUSH_IMAGE
    if view_of(exchange) == REGISTRY_VIEW and isinstance(route, Manifest | TagList):
        return Operation.REGISTRY_VIEW
    return Operation.PULL_IMAGE


def log_in_first(challenge: Challenge) -> Refused:
    """What ``/v2/`` answers to whoever shows no token, and what sends a client to where it gets one."""
    return _unauthorized(ANONYMOUS, None, frozenset(), challenge, "Log in first.")


def view_of(exchange: Exchange) -> str:
    """The view that the client asks for: ``registry``, ``signed``, or an empty string for the repository's own.

    Raises:
        UsageError: another one.  A client that asks for less than everything must not get everything.
    """
    asked = exchange.headers.get(VIEW_HEADER, "").strip().lower()
    if asked not in ("", REGISTRY_VIEW, SIGNED_VIEW):
        raise UsageError(f"There is no view {asked[:40]!r}.", hint=f"Say {REGISTRY_VIEW} or {SIGNED_VIEW}.")
    return asked


def check(exchange: Exchange, route: RegistryRoute, caller: Caller, challenge: Challenge) -> None:
    """Raises Refused (401 with a challenge) where the caller lacks what the request takes."""
    if isinstance(route, Base | Catalog):
        if not caller.known:
            raise _unauthorized(caller, None, frozenset(), challenge, "Log in first.")
        return
    operation = operation_of(exchange, route)
    _check(caller, route.repository, operation, challenge)
    source = mounted(exchange, route)
    if source is not None:
        _check(caller, source.repository, Operation.PULL_IMAGE, challenge)


def mounted(exchange: Exchange, route: RegistryRoute) -> Blob | None:
    """The blob that a mount takes over, and out of which repository; None where the request is no mount.

    One that names no source is none: nobody may guess a repository for us.

    Raises:
        InvalidName: a source or a digest outside the grammar.
    """
    if not isinstance(route, Uploads) or exchange.method != "POST":
        return None
    parameters = exchange.parameters()
    digest = Digest.parse(parameters["mount"]) if "mount" in parameters else None
    source = Repository.parse(parameters["from"]) if "from" in parameters else None
    return Blob(source, digest) if source is not None and digest is not None else None


def _check(caller: Caller, repository: Repository, operation: Operation, challenge: Challenge) -> None:
    actions = caller.actions(repository)
    if operation.actions <= actions:
        return
    if not caller.known:
        raise _unauthorized(caller, repository, operation.actions, challenge, "Log in first.")
    lacking = role_missing(str(caller.principal), repository, operation, actions)
    detail = {"slug": lacking.slug, "hint": lacking.hint, **lacking.context}
    raise _unauthorized(caller, repository, operation.actions, challenge, lacking.message, detail)


def _unauthorized(
    caller: Caller,
    repository: Repository | None,
    actions: frozenset[Action],
    challenge: Challenge,
    message: str,
    more: Mapping[str, object] = MappingProxyType({}),
) -> Refused:
    error = "insufficient_scope" if caller.known else None
    headers = [("www-authenticate", challenge(repository, actions, error)), API_VERSION]
    detail: dict[str, object] = dict(more)
    if repository is not None:
        detail |= {"repository": str(repository), "actions": sorted(actions)}
    return Refused(Code.UNAUTHORIZED, message, headers=headers, detail=detail)
