"""The routes of a collection: its metadata, its signed manifests, the online keys and the atomic publish."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import assert_never

from trustkit.authority.publish import Publishing, closed
from trustkit.authority.reads import Reads
from trustkit.authority.settings import require_content_trust
from trustkit.core.access import Operation
from trustkit.core.names import Gun, Host, Repository
from trustkit.core.paths import (
    Convert,
    Metadata,
    OneProposal,
    OnlineKeys,
    Proposals,
    Publish,
    Reset,
    Target,
    TrustRoute,
)
from trustkit.core.ports.images import Images
from trustkit.core.ports.service import Store
from trustkit.core.view import SignedView
from trustkit.errors import NoCollection, NotFound, UsageError
from trustkit.gateway.caller import Caller
from trustkit.gateway.exchange import Exchange
from trustkit.server.admitting import admit, requester
from trustkit.server.convert_routes import MAX_FILES, PART, ConvertRoutes
from trustkit.server.fileanswers import is_same_for_all, to_send
from trustkit.server.headers import IMMUTABLE, JSON, NO_CACHE
from trustkit.server.packed import PACKED, packable, packed, takes_packed
from trustkit.server.proposal_routes import ProposalRoutes
from trustkit.server.quickreads import QuickReads
from trustkit.server.upkeep_routes import UpkeepRoutes
from trustkit.server.uploads import Uploads

_METHODS: dict[type, frozenset[str]] = {
    Metadata: frozenset({"GET", "HEAD"}),
    Target: frozenset({"GET", "HEAD"}),
    OnlineKeys: frozenset({"GET", "POST"}),
    Reset: frozenset({"POST"}),
    Convert: frozenset({"GET", "POST"}),
    Proposals: frozenset({"GET", "POST"}),
    OneProposal: frozenset({"GET", "POST", "DELETE"}),
    Publish: frozenset({"POST"}),
}


class TrustRoutes:
    """Handlers of everything under ``_trust``.

    Args:
        hosts: the service's public names; a GUN with another host does not exist here (TRUST 1.1).
        images: the registry's own manifests, for ``targets/``.
        upkeep: new online keys and resets.
        proposals: changes that wait for signatures.
        conversions: from the other format.
        uploads: reads uploads, those of the other API too.
        reads: finds files.
        quick: sends them.
    """

    def __init__(
        self,
        store: Store,
        publishing: Publishing,
        images: Images,
        *,
        upkeep: UpkeepRoutes,
        proposals: ProposalRoutes,
        conversions: ConvertRoutes,
        uploads: Uploads,
        reads: Reads,
        quick: QuickReads,
        hosts: frozenset[Host],
        view: Callable[[Repository], Awaitable[SignedView | None]],
    ) -> None:
        self._store = store
        self._publishing = publishing
        self._images = images
        self._upkeep = upkeep
        self._proposals = proposals
        self._conversions = conversions
        self._hosts = hosts
        self._view = view
        self._uploads = uploads
        self._reads = reads
        self._quick = quick

    async def handle(self, exchange: Exchange, route: TrustRoute, caller: Caller) -> None:
        """Answers one request; raises TrustkitError for every refusal."""
        if exchange.method not in _METHODS[type(route)]:
            raise UsageError(f"{exchange.method} is not a method of this path.")
        if route.gun.host not in self._hosts:
            raise NotFound(f"{route.gun.host} is not a name of this service.")
        match route:
            case Metadata():
                await self._metadata(exchange, route, caller)
            case Target():
                await self._target(exchange, route, caller)
            case OnlineKeys():
                await self._admit(caller, route.gun, Operation.PUBLISH)
                await self._upkeep.online_keys(exchange, route.gun, requester(exchange, caller))
            case Reset():
                await self._admit(caller, route.gun, Operation.RESET_COLLECTION)
                await self._upkeep.reset(exchange, route.gun, requester(exchange, caller))
            case Convert():
                await self._convert(exchange, route, caller)
            case Proposals() | OneProposal():
                await self._proposal(exchange, route, caller)
            case Publish():
                await self._publish(exchange, route, caller)
            case _:
                assert_never(route)

    async def _metadata(self, exchange: Exchange, route: Metadata, caller: Caller) -> None:
        await self._admit(caller, route.gun, Operation.READ_TRUST)
        served = await self._reads.metadata(route.gun, route.role, route.version)
        file = to_send(route, served)
        if packable(served.file) and takes_packed(exchange) and not exchange.head:
            await exchange.reply(200, [*file.headers, PACKED], packed(served.file.data))
            return
        await self._quick.reply(exchange, caller, file, keep=is_same_for_all(route, served))

    async def _target(self, exchange: Exchange, route: Target, caller: Caller) -> None:
        await self._admit(caller, route.gun, Operation.READ_TRUST)
        async with self._store.read() as tx:
            await require_content_trust(tx)
            record = await tx.collections.get(route.gun)
        if record is None:
            raise NoCollection(f"Nothing is signed under {route.gun}.", gun=str(route.gun))
        if record.closed is not None:
            raise closed(record)
        view = await self._view(route.gun.repository)
        target = view.targets.get(route.tag) if view else None
        if target is None or target.digest != route.digest:
            raise NotFound(f"{route.gun} does not sign {route.tag} for {route.digest}.")
        manifest = await self._images.manifest(route.gun.repository, route.digest)
        if manifest is None:
            raise NotFound(f"The registry has no manifest {route.digest} in {route.gun.repository}.")
        await exchange.reply(200, [("content-type", manifest.media_type), IMMUTABLE], manifest.data)

    async def _publish(self, exchange: Exchange, route: Publish, caller: Caller) -> None:
        await self._admit(caller, route.gun, Operation.PUBLISH)
        async with self._uploads.read(exchange, caller) as upload:
            versions = await self._publishing.publish(route.gun, upload, requester(exchange, caller))
        await exchange.reply(200, [JSON, NO_CACHE], json.dumps({"versions": dict(versions)}).encode())

    async def _convert(self, exchange: Exchange, route: Convert, caller: Caller) -> None:
        if route.docker and exchange.method == "GET":
            await self._admit(caller, route.gun, Operation.READ_TRUST)
            await self._conversions.docker(exchange, route.gun)
            return
        await self._admit(caller, route.gun, Operation.PUBLISH)
        who = requester(exchange, caller)
        if route.docker:
            await self._conversions.end_docker(exchange, route.gun, who)
            return
        if route.keys or exchange.method == "GET":
            await self._conversions.state(exchange, route.gun, who, make=route.keys)
            return
        async with self._uploads.read(exchange, caller, part=PART, most=MAX_FILES) as upload:
            await self._conversions.convert(exchange, route.gun, upload, who)

    async def _proposal(self, exchange: Exchange, route: Proposals | OneProposal, caller: Caller) -> None:
        await self._admit(caller, route.gun, Operation.PUBLISH)
        gun, identifier, routes = route.gun, getattr(route, "id", ""), self._proposals
        who = requester(exchange, caller)
        if exchange.method == "POST":
            async with self._uploads.read(exchange, caller) as upload:
                if identifier:
                    await routes.approve(exchange, gun, identifier, upload, who)
                else:
                    await routes.open(exchange, gun, upload, who)
        elif exchange.method == "DELETE":
            await routes.drop(exchange, gun, identifier, who)
        elif identifier:
            await routes.show(exchange, gun, identifier, who)
        else:
            await routes.list(exchange, gun, who)

    async def _admit(self, caller: Caller, gun: Gun, operation: Operation) -> None:
        await admit(self._store, caller, gun, operation, caller.actions(gun.repository))
