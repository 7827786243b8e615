"""``trustkit docker-authz``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data

SOCKET = Path("/run/trustkit-docker/authz.sock")
ENGINE = Path("/run/docker.sock")
DOORS = ("build", "load", "import", "commit", "plugins", "swarm")

_OPTIONS = [
    click.option(
        "--socket", type=click.Path(path_type=Path), default=SOCKET, show_default=True, help="Where docker asks."
    ),
    click.option(
        "--engine", type=click.Path(path_type=Path), default=ENGINE, show_default=True, help="Docker's own socket."
    ),
    click.option("--policy", metavar="FILE", help="The policy. [TRUSTKIT_POLICY; default: policy.toml of the home]"),
    click.option(
        "--unsafe-allow",
        "opened",
        type=click.Choice(DOORS),
        multiple=True,
        help="Let this through, whatever images it brings or runs. Repeatable.",
    ),
    click.option("--detect", is_flag=True, help="Log what would be refused, and refuse nothing."),
]


def authz_options(function: Callable[..., None]) -> Callable[..., None]:
    """What the plugin is told, whether it is run or installed."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("docker-authz")
@click.option(
    "--max-age",
    type=click.FloatRange(0, 300),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long a verdict counts without being asked for again.",
)
@authz_options
@click.pass_obj
def command(
    ctx: Context,
    socket: Path,
    engine: Path,
    policy: str | None,
    opened: tuple[str, ...],
    max_age: float,
    *,
    detect: bool,
) -> None:
    """Tell Docker's engine which images it may pull and run: an authorization plugin.

    Prints its socket once it listens. While it doesn't run, an engine that was told to ask it refuses everything.
    See trustkit install docker-authz.

    \b
    Example:
      trustkit docker-authz --policy /etc/trustkit/policy.toml --detect
    """
    import logging

    from trustkit.asgi.logs import configure
    from trustkit.hooks.authz_routes import Door
    from trustkit.hooks.authz_server import SECONDS, Plugin, PluginServer
    from trustkit.hooks.verdicts import Verdicts

    log = logging.getLogger("trustkit.docker-authz")
    configure()
    for each in opened:
        log.warning("--unsafe-allow %s: whatever images that brings or runs, nobody looks at them.", each)
    if detect:
        log.warning("--detect: nothing is refused.")
    verdicts = Verdicts(
        ctx.environ,
        home=ctx.home.path,
        policy=policy,
        max_age=max_age,
        seconds=SECONDS - 1,
        warn=lambda words: log.warning("%s", words),
    )
    plugin = Plugin(verdicts, engine.absolute(), frozenset(map(Door, opened)), detect=detect)
    PluginServer(socket.absolute(), plugin).serve(lambda: data(str(socket.absolute())))
