"""The wiring of ``trustkit migrate``: where collections come from, and the use case that brings them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trustkit.cli.context import Context
from trustkit.cli.output import note
from trustkit.core.names import Gun, Host
from trustkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trustkit.client.migrate import Migrate
    from trustkit.core.ports.keys import KeyStore
    from trustkit.core.ports.migrating import FormerServer
    from trustkit.core.ports.remote import Pin
    from trustkit.remote.updater import Fetch


def former_server(ctx: Context, url: str | None, dump: Path | None) -> FormerServer:
    """Where collections come from: a server, or a dump of its database.

    Raises:
        UsageError: neither is named, or both.
        InvalidSetting: a URL that is no trust server's.  StateError, Garbage, TooLarge: as ``NotaryDump``.
    """
    if (url is None) == (dump is None):
        raise UsageError("Where do they come from?", hint="Give one of --server URL and --dump FILE.")
    return _server(ctx, url) if url is not None else _dump(ctx, dump or Path())


def _server(ctx: Context, url: str) -> FormerServer:
    """Read with the credentials that are stored for its host."""
    from trustkit.config import trust_server_url, trust_servers
    from trustkit.remote.former_server import ChangefeedGuns
    from trustkit.remote.notary import HttpNotary, TrustServer

    checked = trust_server_url("--server", url)
    there, servers = TrustServer.of(Host.parse(checked.split("/")[2]), checked), trust_servers(ctx.environ).value

    def server(host: Host) -> TrustServer:
        if TrustServer.of(host, servers.url(host)) == there:
            raise UsageError(
                f"{host} is served from {checked} already.",
                hint="--server names the old server. TRUSTKIT_TRUST_SERVERS=HOST=URL says where the service is, if "
                "it isn't at the host of the names.",
            )
        return there

    fetcher = HttpNotary(ctx.sessions, server).fetcher
    return _verified(ctx, checked, checked, fetcher, ChangefeedGuns(ctx.sessions(there.host), there, _skipped))


def _dump(ctx: Context, path: Path) -> FormerServer:
    from trustkit.remote.notary_dump import NotaryDump

    dump = NotaryDump(path, _skipped)
    return _verified(ctx, str(path), f"file {path.absolute()}", dump.fetcher, dump.guns)


def _verified(
    ctx: Context, name: str, identity: str, fetcher: Callable[[Gun], Fetch], guns: Callable[[], Sequence[Gun]]
) -> FormerServer:
    """Verified into folders of its own, so that what is seen there and at the service is never confused."""
    from trustkit.core.formats.docker.files import read
    from trustkit.core.readings import Readings
    from trustkit.home.metadata import MetadataFolders
    from trustkit.remote.former_server import FetchedServer
    from trustkit.remote.notary_source import NotarySource

    own = MetadataFolders(ctx.home.cache / "migrations" / hashlib.sha256(identity.encode()).hexdigest()[:32])
    source = NotarySource(
        fetcher=fetcher,
        folder=own.locked,
        seen=own.seen,
        seen_as_tuf=ctx.home.metadata.seen_as_tuf,
        now=ctx.now,
        reader=lambda: Readings(read),
    )
    return FetchedServer(name, fetcher, source, guns)


def _skipped(name: str) -> None:
    note(f"{ascii(name)[:200]} is left out: no collection of ours can have that name.")


def migrating(ctx: Context, former: FormerServer, keys: KeyStore, trust_dir: Path | None) -> Migrate:
    """The use case, wired."""
    from trustkit.cli.publishing import notary
    from trustkit.client.docker_signing import DockerSigning
    from trustkit.client.migrate import Migrate
    from trustkit.client.migrate_former import Former
    from trustkit.config import lifetimes
    from trustkit.core.formats.docker.files import read
    from trustkit.remote.former_server import NotaryFiles, seen_by_docker

    def seen(gun: Gun, pin: Pin) -> Iterator[Mapping[str, bytes]]:
        yield ctx.notary_source.kept(gun, pin) or {}
        if trust_dir is not None:
            yield seen_by_docker(trust_dir, gun, read)

    sign, service = DockerSigning(keys), notary(ctx)
    ask = ctx.ask if ctx.interactive else None
    return Migrate(
        Former(former, sign, ctx.home.pins, seen=seen, clock=ctx.now, ask=ask),
        service,
        NotaryFiles(service),
        sign,
        ctx.trust(only=None, follows=False),
        ctx.home.pins,
        lifetimes=lifetimes(ctx.environ).value,
        clock=ctx.now,
    )
