"""What publishes, wired: the publishers of both formats over one store of keys."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from trustkit.cli.output import note

if TYPE_CHECKING:
    from trustkit.cli.context import Context
    from trustkit.client.docker_publish import DockerPublisher
    from trustkit.client.either import EitherPublisher
    from trustkit.core.ports.keys import KeyStore
    from trustkit.keys.passphrase import PassphraseSource
    from trustkit.keys.store import FileKeyStore
    from trustkit.remote.notary import HttpNotary


def either(
    ctx: Context,
    passphrases: PassphraseSource,
    *,
    trust_dir: Path | None = None,
    wanted: str | None = None,
    store: FileKeyStore | None = None,
    docker_keys: KeyStore | None = None,
) -> EitherPublisher:
    """As ``Context.either``; with ``store`` and ``docker_keys`` where the caller has the keys open."""
    from trustkit.client.either import EitherPublisher

    own = store or ctx.key_store(passphrases=passphrases)

    def docker() -> DockerPublisher:
        return docker_publisher(ctx, docker_keys or docker_store(passphrases, own, trust_dir))

    return EitherPublisher(
        ctx.publisher(store=own),
        docker,
        ctx.trust(only=None),
        clock=ctx.now,
        wanted=wanted,
        only=trust_dir is not None,
    )


def docker_store(passphrases: PassphraseSource, own: FileKeyStore, trust_dir: Path | None) -> KeyStore:
    """The keys by their ids in format ``docker``: of Docker's folder, or the home's."""
    from trustkit.keys.dockerstore import DockerIds, DockerKeyStore

    if trust_dir is None:
        return DockerIds(own)
    return DockerKeyStore(trust_dir, passphrases)


def docker_publisher(ctx: Context, keys: KeyStore) -> DockerPublisher:
    """What publishes to collections in format ``docker``."""
    from trustkit.client.docker_publish import DockerPublisher
    from trustkit.config import lifetimes

    return DockerPublisher(
        notary(ctx),
        keys,
        ctx.home.pins,
        ctx.trust(only=None, follows=False),
        lifetimes=lifetimes(ctx.environ).value,
        clock=ctx.now,
        sleep=time.sleep,
        say=note,
    )


def notary(ctx: Context) -> HttpNotary:
    """Notary's API of whatever host a GUN names."""
    from trustkit.config import trust_servers
    from trustkit.remote.notary import HttpNotary, TrustServer

    servers = trust_servers(ctx.environ).value
    return HttpNotary(ctx.sessions, lambda host: TrustServer.of(host, servers.url(host)))
