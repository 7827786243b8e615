"""``trustkit serve-signer``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from trustkit.cli.kek_options import kek_options, kek_source, online_forge, online_key_options
from trustkit.cli.output import data
from trustkit.core.names import Host

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("serve-signer")
@click.option(
    "--data-dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where keys and records are."
)
@click.option(
    "--listen",
    default="127.0.0.1:5081",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes any free one.",
)
@click.option("--tls-cert", required=True, type=_FILE, help="Certificate chain, PEM.")
@click.option("--tls-key", required=True, type=_FILE, help="Its private key, PEM.")
@click.option("--client-ca", required=True, type=_FILE, help="Who vouches for the service's certificate, PEM.")
@click.option(
    "--client-name",
    "client_names",
    multiple=True,
    metavar="CN",
    help="A name that the certificate must have; otherwise each one that the authority signed. Repeatable.",
)
@kek_options
@online_key_options
def command(
    data_dir: Path,
    listen: str,
    tls_cert: Path,
    tls_key: Path,
    client_ca: Path,
    client_names: tuple[str, ...],
    kek_file: Path | None,
    kek_uri: str | None,
    kek_pin_file: Path | None,
    online_key_uri: str | None,
    online_key_pin_file: Path | None,
) -> None:
    """Run a separate signer: it holds snapshot and timestamp keys, and judges what it signs.

    Prints its URL once it accepts connections, and ends on SIGTERM after the requests in flight.

    \b
    Example:
      trustkit serve-signer --data-dir signer --tls-cert signer.crt --tls-key signer.key --client-ca ca.crt
    """
    from trustkit.asgi.listen import Tls, run
    from trustkit.asgi.logs import configure
    from trustkit.config import lifetimes
    from trustkit.server.signer_service import SignerService, SignerSettings

    forge = online_forge(online_key_uri, online_key_pin_file)
    settings = SignerSettings(
        data_dir=data_dir.absolute(),
        listen=Host.parse(listen.removesuffix(":0")) if listen.endswith(":0") else Host.parse(listen),
        tls=Tls(tls_cert, tls_key, client_ca),
        clients=frozenset(client_names),
        kek=kek_source(kek_file, kek_uri, kek_pin_file),
        forge=forge,
        places=forge.places if forge else None,
        lifetimes=lifetimes(os.environ).value,
    )
    settings.check()
    configure()
    run(SignerService(settings, ready=data).run)
