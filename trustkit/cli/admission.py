"""``trustkit admission``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data, note
from trustkit.core.names import Host

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("admission")
def command() -> None:
    """Kubernetes admission: Pods run signed digests, and nothing else."""


@command.command("serve")
@click.option(
    "--listen", default="0.0.0.0:8443", show_default=True, metavar="HOST:PORT", help="Port 0: any free one."
)
@click.option("--tls-cert", required=True, type=_FILE, help="Certificate chain, PEM; followed when it is renewed.")
@click.option("--tls-key", required=True, type=_FILE, help="Its private key, PEM.")
@click.option("--policy", metavar="FILE", help="The policy. [TRUSTKIT_POLICY; default: policy.toml of the home]")
@click.option(
    "--exempt-namespace", "exempt", multiple=True, metavar="NS", help="Judge nothing in this namespace; repeatable."
)
@click.option("--detect", is_flag=True, help="Refuse nothing and change nothing; warn of what would be refused.")
@click.pass_context
def serve(
    click_context: click.Context,
    listen: str,
    tls_cert: Path,
    tls_key: Path,
    policy: str | None,
    exempt: tuple[str, ...],
    *,
    detect: bool,
) -> None:
    """Run the webhook: POST /mutate and POST /validate, over TLS.

    Prints its URL once it accepts connections, and ends on SIGTERM after the reviews in flight.

    \b
    Example:
      trustkit admission serve --tls-cert tls.crt --tls-key tls.key --policy /etc/trustkit/policy.toml
    """
    from trustkit.asgi.listen import Tls, run
    from trustkit.asgi.logs import configure
    from trustkit.hooks.admission_service import AdmissionService, AdmissionSettings

    ctx: Context = click_context.obj
    settings = AdmissionSettings(
        listen=Host.parse(listen.removesuffix(":0")),
        tls=Tls(tls_cert, tls_key),
        home=click_context.find_root().params["home"],
        policy=policy,
        exempt=frozenset(exempt),
        detect=detect,
    )
    settings.check()
    configure()
    run(AdmissionService(settings, ctx.environ, ready=data).run)


@command.command("wait")
@click.argument("url")
@click.option("--ca", type=_FILE, help="Who vouches for the webhook's certificate, PEM.")
@click.option("--seconds", type=click.IntRange(1, 3600), default=120, show_default=True, help="How long to wait.")
def wait(url: str, ca: Path | None, seconds: int) -> None:
    """Wait until the webhook at URL, https://HOST[:PORT], is ready: before its configuration is put in place.

    \b
    Example:
      trustkit admission wait https://127.0.0.1:8443 --ca ca.crt
    """
    from trustkit.hooks.admission_wait import wait_until_ready

    wait_until_ready(url, ca, seconds=seconds, tell=note)
