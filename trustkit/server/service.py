"""The service, wired: one of the three places where adapters meet use cases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from trustkit.asgi.listen import DRAIN_SECONDS, bind, serve
from trustkit.asgi.quick import Quick
from trustkit.asgi.thrift import settle
from trustkit.authority.convert import Conversions
from trustkit.authority.login import TokenService
from trustkit.authority.notary import Notary
from trustkit.authority.notary_publish import NotaryPublishing
from trustkit.authority.passwords import Passwords
from trustkit.authority.proposals import Proposing
from trustkit.authority.prunerounds import last_round
from trustkit.authority.renew import Renewal
from trustkit.authority.reset import Resetting
from trustkit.authority.rotation import Rotation
from trustkit.authority.sealing import Sealer
from trustkit.authority.settings import set_trust_only
from trustkit.authority.switches import Switches
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.authority.tokens import TokenIssuer, TokenVerifier
from trustkit.authority.views import Views
from trustkit.core.names import Host, Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.view import SignedView
from trustkit.errors import TrustkitError
from trustkit.gateway.app import RegistryGateway, Trust
from trustkit.gateway.backend import Backend
from trustkit.gateway.embedded import EmbeddedRegistry
from trustkit.server.callers import Callers, Challenges
from trustkit.server.certificate import write_certificate
from trustkit.server.convert_routes import ConvertRoutes
from trustkit.server.entrance import entrance
from trustkit.server.health import Health
from trustkit.server.metrics import Metrics
from trustkit.server.notary_routes import NotaryRoutes
from trustkit.server.online import Online, open_online, try_devices
from trustkit.server.others import others
from trustkit.server.proposal_routes import ProposalRoutes
from trustkit.server.pruning import start_pruning
from trustkit.server.remembered import Remembered
from trustkit.server.settings import ServeSettings
from trustkit.server.sockets import open_blob_socket, open_metrics, shown
from trustkit.server.token_routes import TokenRoutes
from trustkit.server.trust_routes import TrustRoutes
from trustkit.server.upkeep_routes import UpkeepRoutes
from trustkit.server.uploads import Uploads
from trustkit.server.v2 import Application, Parts
from trustkit.store.opening import OpenStore

log = logging.getLogger("trustkit.service")

RENEW_SECONDS = 60


def clock() -> datetime:
    """The service's clock, read once for each decision."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is stored, and what is remembered of it."""

    store: OpenStore
    sealer: Sealer
    tokens: TokenKeys
    memory: Remembered


@dataclass(frozen=True, slots=True)
class _Wired:
    app: Application
    renewal: Renewal
    rotation: Rotation
    metrics: Metrics | None
    quick: Quick
    try_devices: Callable[[], Awaitable[None]]


class Service:
    """One running service.

    Args:
        say: a line for the operator.
        ready: called with the service's URL once it accepts connections.
    """

    def __init__(self, settings: ServeSettings, *, say: Callable[[str], None], ready: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._ready = ready

    async def run(self) -> None:
        """Serves until told to stop.

        Raises:
            StateError, KeyProblem, InvalidSetting: it can't start.
        """
        settings = self._settings
        sock = settings.inherited.main or bind(settings.listen)
        async with AsyncExitStack() as stack:
            stack.callback(sock.close)
            port = settings.listen.port if settings.inherited.unix else int(sock.getsockname()[1])
            hosts = settings.names(port)
            wired = await self._wire(stack, hosts)
            renewing = asyncio.create_task(self._renew(wired))
            stack.callback(renewing.cancel)
            if settings.metrics and wired.metrics:
                await open_metrics(stack, settings.metrics, wired.metrics)
            await stack.enter_async_context(settings.supervisor.watched())
            settle()
            await serve(
                shown(wired.app, settings),
                sock,
                tls=settings.tls,
                ready=lambda: self._started(Host(settings.listen.name, port)),
                stopping=settings.supervisor.stopping,
                follow=True,
                drain=DRAIN_SECONDS if settings.inherited.main else 0.0,
                quick=wired.quick,
            )

    def _started(self, at: Host) -> None:
        self._ready(f"{'https' if self._settings.tls else 'http'}://{at}")
        self._settings.supervisor.ready()

    async def _wire(self, stack: AsyncExitStack, hosts: tuple[Host, ...]) -> _Wired:
        settings, name = self._settings, str(hosts[0])
        kept = await self._open(stack, name)
        online = await open_online(kept.store, kept.sealer, settings, clock=clock, changed=kept.memory.changed)
        rotation = Rotation(kept.store, online.means.keys, clock=clock)
        verifier = TokenVerifier(kept.tokens.certificate, issuer=name, audience=name, clock=clock)
        issuer = TokenIssuer(kept.tokens, issuer=name, told=verifier.issued)
        services = {name: False, **dict.fromkeys(settings.token_services, True)}
        backend = await self._backend(stack, issuer, frozenset(services))
        challenges = Challenges(scheme=settings.scheme, hosts=hosts, service=name)
        store, memory, fresh, failures = kept.store, kept.memory, kept.memory.fresh, kept.store.failures
        login = TokenService(
            store, issuer, Passwords(), services=services, hosts=hosts, clock=clock, fresh=fresh, failures=failures
        )
        metrics = None
        if settings.metrics:
            metrics = Metrics(
                report=lambda: online.renewal.report,
                expiry=memory.expiries.now,
                kept=memory.kept,
                pruned=lambda: last_round(store),
            )
        trust = _trust(Switches(kept.store, clock=clock, fresh=fresh), kept.memory.views)
        uploads = Uploads()
        gateway = RegistryGateway(backend, trust=trust, challenge=challenges)
        authenticate = Callers(kept.store, verifier, hosts=hosts, clock=clock, fresh=fresh).authenticate
        await open_blob_socket(stack, settings, gateway, authenticate=authenticate, metrics=metrics)
        parts = Parts(
            gateway=gateway,
            trust=self._trust_routes(kept, online, rotation, backend, hosts, uploads),
            notary=self._notary_routes(kept, online, challenges, hosts, uploads),
            authenticate=authenticate,
            challenge=challenges,
            come_by=challenges.come_by,
            other=others(
                TokenRoutes(login),
                Health(
                    report=lambda: online.renewal.report,
                    expiry=kept.memory.expiries.lately,
                    clock=clock,
                    trouble=online.trouble,
                ),
            ),
            answered=metrics.answered if metrics else None,
        )
        return _Wired(
            Application(parts),
            online.renewal,
            rotation,
            metrics,
            kept.memory.answers(
                entrance(challenges, hosts), metrics=metrics, access_log=settings.access_log, proxies=settings.proxies
            ),
            lambda: try_devices(kept.store, online.means.keys),
        )

    async def _open(self, stack: AsyncExitStack, name: str) -> _Kept:
        """The database and the keys, with what a start settles in them."""
        settings = self._settings
        database = settings.database.of(settings.data_dir)
        store = await database.open(lasting=True)
        stack.push_async_callback(store.close)
        database.remember()
        # A database without sealed keys, from `trustkit admin` before the first start, can't miss a key.
        sealer = settings.kek.of(settings.data_dir).sealer(create=not await TokenKeys.stored(store))
        if settings.forge:
            settings.forge.check()
        tokens = await TokenKeys.open(store, sealer, issuer=name, now=clock())
        write_certificate(settings.data_dir / "token-ca.crt", tokens.pem)
        if settings.trust_only:
            await self._default_trust_only(store)
        memory = Remembered.of(store, clock=clock, limit=settings.read_cache, view_limit=settings.view_cache)
        following = asyncio.create_task(memory.fresh.follow(store))
        stack.callback(following.cancel)
        start_pruning(stack, store, clock=clock)
        return _Kept(store, sealer, tokens, memory)

    def _trust_routes(
        self,
        kept: _Kept,
        online: Online,
        rotation: Rotation,
        backend: Backend,
        hosts: tuple[Host, ...],
        uploads: Uploads,
    ) -> TrustRoutes:
        store, publishing, lifetimes = kept.store, online.publishing, self._settings.lifetimes
        resetting, conversions = Resetting(online.means), Conversions(online.means)
        proposing = Proposing(store, online.means.keys, publishing, lifetimes=lifetimes, clock=clock)
        return TrustRoutes(
            store,
            publishing,
            backend,
            upkeep=UpkeepRoutes(publishing, rotation, resetting),
            proposals=ProposalRoutes(proposing),
            conversions=ConvertRoutes(conversions),
            uploads=uploads,
            reads=kept.memory.reads,
            quick=kept.memory.quick,
            hosts=frozenset(hosts),
            view=kept.memory.views.view,
        )

    def _notary_routes(
        self, kept: _Kept, online: Online, challenges: Challenges, hosts: tuple[Host, ...], uploads: Uploads
    ) -> NotaryRoutes:
        means, reads = online.means, kept.memory.reads
        notary = Notary(means.store, means.keys, Resetting(means), clock=clock, reads=reads)
        return NotaryRoutes(
            means.store,
            NotaryPublishing(means, served=notary.served),
            notary,
            uploads=uploads,
            quick=kept.memory.quick,
            challenge=challenges,
            hosts=frozenset(hosts),
        )

    async def _backend(self, stack: AsyncExitStack, issuer: TokenIssuer, services: frozenset[str]) -> Backend:
        if self._settings.upstream is None:
            return EmbeddedRegistry(self._settings.data_dir / "registry")
        from trustkit.server.upstream import open_upstream

        return await open_upstream(stack, self._settings, services, issuer, clock=clock, say=self._say)

    async def _default_trust_only(self, store: OpenStore) -> None:
        every = RepositoryPattern("*")
        async with store.read() as tx:
            if (await tx.settings.trust_only_patterns()).get(every):
                return
        async with store.write() as tx:
            await set_trust_only(tx, every, trust_only=True, actor="operator", source="--trust-only", now=clock())

    async def _renew(self, wired: _Wired) -> None:
        age = self._settings.online_key_age
        try:
            await wired.try_devices()
        except TrustkitError as error:
            log.error("online keys on devices: %s", error)
        except Exception:  # a bug; renewing has to begin
            log.exception("online keys on devices could not be tried")
        while True:
            try:
                report = await wired.renewal.round()
                if wired.metrics:
                    wired.metrics.renewed(report)
                for gun, reason in report.failed.items():
                    log.error("%s could not be renewed: %s", gun, reason)
                aged = await wired.rotation.stage_aged(age) if age else {}
                for name, reason in aged.items():
                    log.error("%s gets no new online keys: %s", name, reason)
            except TrustkitError as error:
                log.error("renewal failed: %s", error)
            except Exception:  # a bug; renewing has to go on, and /readyz tells when no round gets through
                log.exception("renewal failed")
            await asyncio.sleep(RENEW_SECONDS)


def _trust(switches: Switches, views: Views) -> Trust:
    async def view(repository: Repository) -> SignedView | None:
        await switches.require_content_trust()
        return await views.view(repository)

    return Trust(trust_only=switches.trust_only, view=view, standing=views.standing, now=clock)
