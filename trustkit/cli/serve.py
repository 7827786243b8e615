"""``trustkit serve``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from trustkit.cli.database_options import database_options, database_source
from trustkit.cli.kek_options import kek_options, kek_source, online_key_options
from trustkit.cli.online_places import online_devices
from trustkit.cli.output import data, note
from trustkit.core.names import Host, shown
from trustkit.errors import InvalidName


@click.command("serve")
@click.option(
    "--data-dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where state is kept."
)
@click.option(
    "--listen",
    default="127.0.0.1:5080",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes any free one.",
)
@click.option(
    "--public-name",
    "public_names",
    multiple=True,
    metavar="HOST[:PORT]",
    help="A name of this service; the first is canonical. Repeatable.",
)
@click.option("--upstream", metavar="URL", help="The registry behind this service; without it, images are kept here.")
@click.option("--upstream-username", metavar="NAME", help="Who this service is to the upstream.")
@click.option(
    "--upstream-password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With its password.",
)
@click.option(
    "--upstream-service", metavar="NAME", help="The upstream takes our tokens, with this as their audience."
)
@click.option(
    "--token-service",
    "token_services",
    multiple=True,
    metavar="NAME",
    help="Another registry that takes our tokens. Repeatable.",
)
@click.option(
    "--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Certificate chain, PEM."
)
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its private key, PEM.")
@click.option("--trust-only", is_flag=True, help="Make trust-only the default of every repository.")
@database_options
@kek_options
@online_key_options
@click.option("--signer", metavar="URL", help="A separate signer that makes and holds the online keys.")
@click.option(
    "--signer-ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Who vouches for it, PEM."
)
@click.option(
    "--signer-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="This service's certificate towards it, PEM.",
)
@click.option(
    "--signer-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its private key, PEM."
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A proxy, or a network of them, whose X-Forwarded-For counts; unix: a unix socket's clients. Repeatable.",
)
@click.option(
    "--blob-socket",
    type=click.Path(path_type=Path),
    help="A unix socket where a proxy asks which blobs may pass between client and upstream.",
)
@click.option("--behind-tls-proxy", is_flag=True, help="Clients reach this service over TLS, through a proxy.")
@click.option("--access-log", is_flag=True, help="Write a line to stderr for each request.")
@click.option(
    "--read-cache",
    type=click.IntRange(0, 65536),
    default=32,
    show_default=True,
    metavar="MIB",
    help="Memory for files of collections that are read, in MiB; 0 for none.",
)
@click.option(
    "--view-cache",
    type=click.IntRange(1, 65536),
    default=11,
    show_default=True,
    metavar="MIB",
    help="Memory for what collections sign, which decides about pulls, in MiB: a thousand tags each.",
)
@click.option("--metrics", metavar="HOST:PORT", help="Answer /metrics for Prometheus there. Port 0: any free one.")
@click.option("--unsafe-plain-http", is_flag=True, help="Serve without TLS on an address that isn't loopback.")
@click.option("--unsafe-open-metrics", is_flag=True, help="Take an address for --metrics that isn't loopback.")
def command(
    data_dir: Path,
    listen: str,
    public_names: tuple[str, ...],
    upstream: str | None,
    upstream_username: str | None,
    upstream_password_file: Path | None,
    upstream_service: str | None,
    token_services: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    *,
    trust_only: bool,
    database: str | None,
    database_password_file: Path | None,
    unsafe_plain_database: bool,
    kek_file: Path | None,
    kek_uri: str | None,
    kek_pin_file: Path | None,
    online_key_uri: str | None,
    online_key_pin_file: Path | None,
    signer: str | None,
    signer_ca: Path | None,
    signer_cert: Path | None,
    signer_key: Path | None,
    trusted_proxies: tuple[str, ...],
    blob_socket: Path | None,
    behind_tls_proxy: bool,
    access_log: bool,
    read_cache: int,
    view_cache: int,
    metrics: str | None,
    unsafe_plain_http: bool,
    unsafe_open_metrics: bool,
) -> None:
    """Run the service: registry, tokens and trust, on one origin.

    Prints its URL once it accepts connections, and ends on SIGTERM after the requests in flight.

    \b
    Examples:
      trustkit serve --data-dir /var/lib/trustkit
      trustkit serve --data-dir /var/lib/trustkit --upstream http://127.0.0.1:5000
      trustkit serve --data-dir /var/lib/trustkit --listen 0.0.0.0:443 --tls-cert tls.crt --tls-key tls.key
    """
    from trustkit.asgi.activation import Inherited
    from trustkit.asgi.forwarded import Proxies
    from trustkit.asgi.listen import run
    from trustkit.asgi.logs import configure
    from trustkit.asgi.supervisor import Supervisor
    from trustkit.config import lifetimes, online_key_age
    from trustkit.server.service import Service
    from trustkit.server.settings import ServeSettings, Upstream, tls_of
    from trustkit.server.signer_client import SignerAddress

    places, forge = online_devices(online_key_uri, online_key_pin_file, attended=False)
    inherited = Inherited.of(os.environ, os.getpid())
    settings = ServeSettings(
        data_dir=data_dir.absolute(),
        listen=inherited.address(_address(listen)),
        public_names=tuple(Host.parse(name) for name in public_names),
        upstream=Upstream.of(upstream, upstream_username, upstream_password_file, upstream_service),
        token_services=token_services,
        tls=tls_of(tls_cert, tls_key),
        trust_only=trust_only,
        database=database_source(database, database_password_file, unsafe_plain=unsafe_plain_database),
        kek=kek_source(kek_file, kek_uri, kek_pin_file),
        forge=forge,
        places=places,
        signer=SignerAddress.of(signer, signer_ca, signer_cert, signer_key),
        behind_tls_proxy=behind_tls_proxy,
        access_log=access_log,
        lifetimes=lifetimes(os.environ).value,
        online_key_age=online_key_age(os.environ).value,
        read_cache=read_cache * 1024 * 1024,
        view_cache=view_cache * 1024 * 1024,
        metrics=_address(metrics) if metrics else None,
        blob_socket=blob_socket.absolute() if blob_socket else None,
        proxies=Proxies.of(trusted_proxies),
        inherited=inherited,
        supervisor=Supervisor.of(os.environ, os.getpid()),
        unsafe_plain_http=unsafe_plain_http,
        unsafe_open_metrics=unsafe_open_metrics,
    )
    settings.check()
    configure()
    run(Service(settings, say=note, ready=data).run)


def _address(text: str) -> Host:
    host = Host.parse(text.removesuffix(":0"))
    if not host.port and not text.endswith(":0"):
        raise InvalidName(f"{shown(text)} has no port.", hint="Write HOST:PORT, for example 127.0.0.1:5080.")
    return host
