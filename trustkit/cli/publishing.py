"""What publishes, wired: the publishers of both formats over one store of keys, and what uses them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from trustkit.cli.output import note

if TYPE_CHECKING:
    from trustkit.cli.context import Context
    from trustkit.client.docker_publish import DockerPublisher
    from trustkit.client.either import EitherPublisher
    from trustkit.client.proposals import Proposals
    from trustkit.client.publish import Publisher
    from trustkit.client.sign import Sign
    from trustkit.core.ports.keys import KeyStore
    from trustkit.keys.passphrase import PassphraseSource
    from trustkit.keys.store import FileKeyStore
    from trustkit.remote.notary import HttpNotary


def signing_with(
    ctx: Context,
    passphrase_file: Path | None = None,
    passphrase_fd: int | None = None,
    *,
    trust_dir: Path | None = None,
    wanted: str | None = None,
) -> Sign:
    """The sign, revoke and init use cases.

    Args:
        trust_dir, wanted: as for ``either``.
    """
    from trustkit.cli.progress import resolving
    from trustkit.client.sign import Sign

    publisher = either(ctx, ctx.passphrases(passphrase_file, passphrase_fd), trust_dir=trust_dir, wanted=wanted)
    return Sign(ctx.registry, publisher, say=note, watch=resolving)


def either(
    ctx: Context,
    passphrases: PassphraseSource,
    *,
    trust_dir: Path | None = None,
    wanted: str | None = None,
    store: FileKeyStore | None = None,
    docker_keys: KeyStore | None = None,
) -> EitherPublisher:
    """What publishes changes to collections of either format.

    Args:
        trust_dir: Docker's own trust folder, whose keys sign in the place of the home's.
        wanted: the format of what is made; as the service says where None.
        store, docker_keys: the keys of both formats, where the caller has them open.
    """
    from trustkit.client.either import EitherPublisher

    own = store or ctx.key_store(passphrases=passphrases)

    def docker() -> DockerPublisher:
        return docker_publisher(ctx, docker_keys or docker_store(passphrases, own, trust_dir))

    return EitherPublisher(
        tuf_publisher(ctx, own),
        docker,
        ctx.trust(only=None),
        clock=ctx.now,
        wanted=wanted,
        only=trust_dir is not None,
    )


def tuf_publisher(ctx: Context, keys: FileKeyStore) -> Publisher:
    """What publishes to collections in format ``tuf``."""
    from trustkit.client.publish import Publisher
    from trustkit.config import growth, lifetimes
    from trustkit.core.ports.keys import KeyRole

    return Publisher(
        ctx.service,
        keys,
        ctx.home.pins,
        ctx.trust(lambda: [info.id for info in keys.list() if info.role is KeyRole.ROOT]),
        proposals=ctx.proposals,
        lifetimes=lifetimes(ctx.environ).value,
        clock=ctx.now,
        sleep=time.sleep,
        say=note,
        growth=growth(ctx.environ).value,
    )


def approvals(ctx: Context, passphrase_file: Path | None = None, passphrase_fd: int | None = None) -> Proposals:
    """What lists, shows, approves and drops proposals."""
    from trustkit.client.proposals import Proposals
    from trustkit.config import lifetimes

    keys = ctx.key_store(passphrase_file, passphrase_fd)
    return Proposals(
        ctx.proposals,
        keys,
        ctx.trust(looking=ctx.looking),
        tuf_publisher(ctx, keys),
        lifetimes=lifetimes(ctx.environ).value,
        clock=ctx.now,
        say=note,
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
