"""``trustkit verifierd``."""

from __future__ import annotations

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data


@click.command("verifierd")
@click.option("--socket", metavar="PATH", help="Where. [TRUSTKIT_VERIFIERD_SOCKET; default: in the home]")
@click.option("--policy", metavar="FILE", help="The policy. [TRUSTKIT_POLICY; default: policy.toml of the home]")
@click.option(
    "--max-age",
    type=click.FloatRange(0, 300),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long a verdict counts without being asked for again.",
)
@click.pass_obj
def command(ctx: Context, socket: str | None, policy: str | None, max_age: float) -> None:
    """Answer for containerd's verifiers on this machine, from verdicts that are kept for seconds.

    Every pull starts a verifier; with this it has its answer in a few milliseconds. Prints its socket once it
    listens, and ends at once on SIGTERM; verifiers do the work themselves then.

    \b
    Example:
      trustkit verifierd --policy /etc/trustkit/policy.toml
    """
    import logging

    from trustkit.asgi.logs import configure
    from trustkit.config import verifierd_socket
    from trustkit.hooks.localsocket import LocalServer
    from trustkit.hooks.verifierd import LONGEST, Helper

    log = logging.getLogger("trustkit.verifierd")
    path = verifierd_socket(socket, ctx.environ, ctx.home.path).value
    configure()
    helper = Helper(
        ctx.environ, home=ctx.home.path, policy=policy, max_age=max_age, warn=lambda words: log.warning("%s", words)
    )
    LocalServer(path, helper, longest=LONGEST).serve(lambda: data(str(path)))
