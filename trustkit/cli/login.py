"""``trustkit login``."""

from __future__ import annotations

import sys

import click

from trustkit.cli.context import Context
from trustkit.cli.output import note
from trustkit.core.names import Host
from trustkit.errors import UsageError

_MAX_PASSWORD = 64 * 1024


@click.command("login")
@click.argument("host", metavar="HOST")
@click.option("-u", "--username", metavar="NAME", help="Who logs in. Asked for on a terminal.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.pass_obj
def command(ctx: Context, host: str, username: str | None, *, password_stdin: bool) -> None:
    """Log in to the registry HOST and keep a refresh token, never the password.

    The token is kept where Docker keeps its own: in config.json under DOCKER_CONFIG, or with the credential helper
    named there. It works without any role; roles decide what may be done afterwards.

    \b
    Examples:
      trustkit login registry.example.com -u alice
      trustkit login registry.example.com -u robot --password-stdin < password.txt
    """
    from trustkit.config import token_hosts
    from trustkit.home.files import write_atomically
    from trustkit.remote.auth import log_in
    from trustkit.remote.dockerconfig import Credentials

    registry = Host.parse(host)
    name = username or _ask(ctx, "Username")
    password = _from_stdin() if password_stdin else _ask(ctx, "Password", hidden=True)
    hosts = token_hosts(ctx.environ).value
    token = log_in(ctx.http(registry), name, password, connect=ctx.http, token_hosts=hosts)
    ctx.docker_config().store(registry, Credentials(name, identity_token=token), write_atomically)
    ctx.home.tokens.clear()
    note(f"Logged in to {registry} as {name}.")


def _ask(ctx: Context, what: str, *, hidden: bool = False) -> str:
    if not ctx.interactive:
        raise UsageError("There is no terminal to ask on.", hint="Give -u NAME and --password-stdin.")
    answer = click.prompt(what, hide_input=hidden, err=True)
    return str(answer)


def _from_stdin() -> str:
    data = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data or len(data) > _MAX_PASSWORD:
        raise UsageError("Standard input holds no password.", hint="Pipe the password in, with no more after it.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("The password on standard input is not UTF-8.") from None
