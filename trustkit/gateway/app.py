"""What ``/v2`` serves of the registry: access, then the gate, then the backend."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from trustkit.core import gating
from trustkit.core.access import Action, Operation
from trustkit.core.gating import Missing, Refuse
from trustkit.core.names import Digest, Repository
from trustkit.core.paths import Base, Blob, Catalog, Manifest, Referrers, RegistryRoute, TagList, Upload
from trustkit.core.view import SignedView
from trustkit.errors import CouldNotCheck, NotTrusted, TrustkitError
from trustkit.gateway import access
from trustkit.gateway.backend import Backend
from trustkit.gateway.caller import Caller
from trustkit.gateway.embedded import send_catalog, unsupported
from trustkit.gateway.embedded_manifests import (
    describe,
    referrers_page,
    send_manifest,
    send_referrers,
    send_tags,
    unknown_manifest,
)
from trustkit.gateway.exchange import Exchange
from trustkit.gateway.gate import Gate
from trustkit.gateway.problems import API_VERSION, JSON, Code, Refused, refuse
from trustkit.gateway.reach import Reach
from trustkit.gateway.uses import Standing, Uses

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What the gateway asks about trust.

    Attributes:
        trust_only: whether a repository serves signed tags only.
        view: the signed view of a repository's collection; None where there is no collection.  It raises
            CouldNotCheck and its leaves, TrustDisabled among them, and then nothing is served (TRUST 7.6).
        standing: what is signed whatever has expired, for who deletes.
        now: the clock; aware UTC.
    """

    trust_only: Callable[[Repository], Awaitable[bool]]
    view: Callable[[Repository], Awaitable[SignedView | None]]
    standing: Standing
    now: Callable[[], datetime]


class RegistryGateway:
    """Answers every registry route of ``/v2``.

    Args:
        backend: the embedded registry or an upstream.
        challenge: makes WWW-Authenticate values.
    """

    def __init__(self, backend: Backend, *, trust: Trust, challenge: access.Challenge) -> None:
        self._backend, self._trust, self._challenge = backend, trust, challenge
        reach = Reach(backend, keep=backend.keep_seconds)
        self._gate, self._manifests = Gate(backend, reach), reach.manifests
        self._uses = Uses(reach, standing=trust.standing, now=trust.now)

    @property
    def backend(self) -> Backend:
        """The registry behind the gate, which also is the service's ``Images``."""
        return self._backend

    async def handle(self, exchange: Exchange, route: RegistryRoute, caller: Caller) -> None:
        """Answers one request, also where it is refused.

        Raises:
            ClientGone: nobody is left to answer.
            TrustkitError: the reply broke off after it had begun; the server has to cut the connection.
        """
        try:
            access.check(exchange, route, caller, self._challenge)
            await self._answer(exchange, route, caller)
        except TrustkitError as error:
            if exchange.replied:
                raise
            await refuse(exchange, error)

    async def admit(self, exchange: Exchange, route: Blob | Upload, caller: Caller) -> None:
        """Returns where the backend alone would answer this request.

        Raises:
            TrustkitError: what ``handle`` would answer with in its place.
        """
        access.check(exchange, route, caller, self._challenge)
        if not access.has_method(exchange, route):
            raise unsupported(exchange)
        if isinstance(route, Blob) and await self._gated(exchange, route):
            await self._admit_blob(exchange, route, caller)

    async def _answer(self, exchange: Exchange, route: RegistryRoute, caller: Caller) -> None:
        if not access.has_method(exchange, route):
            raise unsupported(exchange)
        if isinstance(route, Base):
            await self._base(exchange)
        elif isinstance(route, Catalog):
            await self._catalog(exchange, caller)
        elif await self._gated(exchange, route):
            await self._through_gate(exchange, route, caller)
        elif exchange.method == "DELETE" and isinstance(route, Manifest | Blob):
            await self._delete(exchange, route)
        else:
            source = access.mounted(exchange, route)
            if source is not None and await self._trust.trust_only(source.repository):
                await self._admit_blob(exchange, source, caller)
            await self._backend.answer(exchange, route)

    async def _gated(self, exchange: Exchange, route: RegistryRoute) -> bool:
        if exchange.method not in ("GET", "HEAD") or not isinstance(route, Manifest | Blob | Referrers | TagList):
            return False
        return access.view_of(exchange) == access.SIGNED_VIEW or await self._trust.trust_only(route.repository)

    async def _through_gate(self, exchange: Exchange, route: RegistryRoute, caller: Caller) -> None:
        if access.operation_of(exchange, route) is Operation.REGISTRY_VIEW and isinstance(route, Manifest | TagList):
            _log.info(
                "registry view of %s for %s: %s", route.repository, caller.principal, exchange.path.decode("ascii")
            )
            await self._backend.answer(exchange, route)
            return
        match route:
            case Manifest():
                await self._manifest(exchange, route, caller)
            case Blob():
                await self._blob(exchange, route, caller)
            case Referrers():
                await self._referrers(exchange, route, caller)
            case TagList():
                await self._tags(exchange, route)

    async def _delete(self, exchange: Exchange, route: Manifest | Blob) -> None:
        await self._uses.check_deletion(route)
        try:
            await self._backend.answer(exchange, route)
        finally:
            digest = route.digest if isinstance(route, Blob) else route.reference
            if isinstance(digest, Digest):
                self._manifests.forget(route.repository, digest)

    async def _tags(self, exchange: Exchange, route: TagList) -> None:
        view = await self._view(exchange, route.repository)
        tags = gating.signed_tags(view, route.repository, now=self._trust.now())
        if isinstance(tags, Refuse):
            raise _denied(tags)
        await send_tags(exchange, route, tags)

    async def _manifest(self, exchange: Exchange, route: Manifest, caller: Caller) -> None:
        repository, view = route.repository, await self._view(exchange, route.repository)
        actions = caller.actions_for_head(repository) if exchange.head else caller.actions(repository)
        decision = await self._gate.decide(
            repository,
            route.reference,
            view,
            actions=actions,
            head=exchange.head,
            now=self._trust.now(),
        )
        if isinstance(decision, Missing):
            raise unknown_manifest(route)
        if isinstance(decision, Refuse):
            raise _denied(decision)
        manifest = await self._gate.fetch(repository, decision)
        if manifest is None:
            raise unknown_manifest(route)
        await send_manifest(exchange, manifest)

    async def _blob(self, exchange: Exchange, route: Blob, caller: Caller) -> None:
        await self._admit_blob(exchange, route, caller)
        await self._backend.answer(exchange, route)

    async def _admit_blob(self, exchange: Exchange, route: Blob, caller: Caller) -> None:
        await self._view(exchange, route.repository)  # Nothing is served while nobody can say what is signed.
        readable = gating.may_read_unsigned(caller.actions(route.repository))
        if not readable and await self._gate.blob_is_manifest(route.repository, route.digest):
            raise _denied(Refuse("unsigned", f"{route.digest} is a manifest, which is not served as a blob."))

    async def _referrers(self, exchange: Exchange, route: Referrers, caller: Caller) -> None:
        repository, actions = route.repository, caller.actions(route.repository)
        view = await self._view(exchange, repository)
        if gating.may_read_unsigned(actions):
            await self._backend.answer(exchange, route)
            return
        decision = await self._gate.decide(
            repository, route.digest, view, actions=actions, head=False, now=self._trust.now()
        )
        if isinstance(decision, Refuse):
            raise _denied(decision)
        listed = await self._backend.referrers(repository, route.digest)
        if listed is None:  # Clients then look for the fallback tag (distribution specification 1.1).
            raise Refused(Code.MANIFEST_UNKNOWN, "The registry behind this service doesn't list referrers.")
        chosen, link = referrers_page(exchange, route, listed)
        found = await self._gate.artifacts(repository, chosen)
        await send_referrers(exchange, [describe(manifest) for manifest in found], link)

    async def _view(self, exchange: Exchange, repository: Repository) -> SignedView | None:
        """The signed view that decides this request; notes whose it is, for who counts."""
        exchange.gated = ""
        try:
            view = await self._trust.view(repository)
        except NotTrusted as error:
            if not isinstance(error, CouldNotCheck):  # There is a collection, and it says no.
                exchange.gated = str(repository)
            raise
        if view is not None:
            exchange.gated = str(repository)
        return view

    async def _base(self, exchange: Exchange) -> None:
        await exchange.reply(200, [("content-type", JSON), API_VERSION], b"{}")

    async def _catalog(self, exchange: Exchange, caller: Caller) -> None:
        every = await self._backend.repositories()
        await send_catalog(exchange, [name for name in every if Action.PULL in caller.actions(name)])


def _denied(refusal: Refuse) -> Refused:
    return Refused(Code.DENIED, refusal.sentence, detail={"slug": refusal.slug})
