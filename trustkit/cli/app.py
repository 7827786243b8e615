"""The command line: one lazily loaded module a command, and the one place that turns errors into statuses."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from trustkit import __version__
from trustkit.errors import TrustkitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trustkit.cli.context import Context

# Command -> (module, what --help says in the list).  A command's module is imported when the command runs, so
# that a cold `trustkit verify` pays for verifying only.
COMMANDS: dict[str, tuple[str, str]] = {
    "login": ("trustkit.cli.login", "Log in to a registry; keeps a token, never the password."),
    "logout": ("trustkit.cli.logout", "Forget what login stored for a registry."),
    "push": ("trustkit.cli.push", "Push an image from an OCI layout; no engine needed."),
    "init": ("trustkit.cli.init", "Set a repository up for signing, without signing a tag yet."),
    "sign": ("trustkit.cli.sign", "Sign what tags point at now, and publish it."),
    "propose": ("trustkit.cli.propose", "Sign, but leave the last signature to somebody else."),
    "approve": ("trustkit.cli.approve", "Sign what somebody else proposes."),
    "proposal": ("trustkit.cli.proposal", "List, show and drop proposals."),
    "revoke": ("trustkit.cli.revoke", "Withdraw the signature of a tag."),
    "verify": ("trustkit.cli.verify", "Check tags and print the digests they are signed for."),
    "pull": ("trustkit.cli.pull", "Pull the signed digest of a tag, then tag it."),
    "resolve": ("trustkit.cli.resolve", "Write signed digests into Dockerfiles, compose files and manifests."),
    "bundle": ("trustkit.cli.bundle", "Pack trust data and images into one file, for machines without a network."),
    "convert": ("trustkit.cli.convert", "Convert a Docker Content Trust collection to TUF 1.0, with the same keys."),
    "migrate": ("trustkit.cli.migrate", "Bring collections over from a notary-server."),
    "mirror": ("trustkit.cli.mirror", "Copy signed images and their trust data to a folder or another registry."),
    "inspect": ("trustkit.cli.inspect", "Show which tags are signed, and by which keys."),
    "policy": ("trustkit.cli.policy", "Check and show which images are accepted from where."),
    "status": ("trustkit.cli.status_command", "Show what expires when, what that breaks, and who renews it."),
    "install": ("trustkit.cli.install", "Have containerd or Docker enforce signatures on this machine."),
    "verifierd": (
        "trustkit.cli.verifierd",
        "Answer containerd's verifiers quickly, from a short-lived cache of verdicts.",
    ),
    "docker-authz": (
        "trustkit.cli.docker_authz",
        "Run the plugin that tells Docker's engine what to pull and run.",
    ),
    "doctor": ("trustkit.cli.doctor", "Find out what is wrong with this machine's set-up."),
    "renew": ("trustkit.cli.renew", "Renew signatures that have expired or soon will."),
    "signer": ("trustkit.cli.signer", "Let other people's keys sign: all tags, or only some."),
    "root": ("trustkit.cli.root", "Show and change a collection's root: rotate its keys, offline ceremonies."),
    "threshold": ("trustkit.cli.threshold", "Require the signatures of several keys."),
    "pin": ("trustkit.cli.pin", "Say which root keys to accept for which repositories."),
    "key": ("trustkit.cli.key", "Make, list, back up, import and remove signing keys."),
    "reset": ("trustkit.cli.reset", "Start a collection over after its root key was lost."),
    "recover": ("trustkit.cli.recover", "Publish again what a service lost when it was restored from a backup."),
    "admission": ("trustkit.cli.admission", "Run the Kubernetes webhook: Pods run signed digests only."),
    "serve": ("trustkit.cli.serve", "Run the service: registry, tokens and trust."),
    "serve-signer": ("trustkit.cli.serve_signer", "Run a separate signer that holds a service's online keys."),
    "admin": ("trustkit.cli.admin", "Manage a service: people, roles, policies."),
    "db": ("trustkit.cli.db", "Back up, check and upgrade a service's database, or move it to PostgreSQL."),
    "demo": ("trustkit.cli.demo", "See it work: service, signing and an attack, all on this machine."),
}

SECTIONS: dict[str, tuple[str, ...]] = {
    "Get started": ("demo", "login", "logout", "doctor"),
    "Sign and publish": ("push", "sign", "revoke", "init", "renew"),
    "Verify and pull": ("pin", "verify", "pull", "inspect", "status", "resolve", "bundle", "mirror", "policy"),
    "Keys and signers": ("key", "signer", "root", "threshold", "propose", "approve", "proposal", "reset", "recover"),
    "Enforce on machines and clusters": ("install", "docker-authz", "verifierd", "admission"),
    "Coming from Docker Content Trust": ("migrate", "convert"),
    "Run the service": ("serve", "serve-signer", "admin", "db"),
}
"""How --help orders the commands: each of them stands in one section."""


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported when one is invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)  # noqa: S101 - a programming error, not an input
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=3)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="trustkit")
@click.option("--home", metavar="DIR", help="Keys, pins and cache. [TRUSTKIT_HOME; default: the user's data folder]")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, home: str | None, *, debug: bool) -> None:  # noqa: ARG001 - main reads debug
    """Content trust for container tags: a tag means one signed digest, current and not rolled back.

    Exit statuses: 0 done, trusted; 1 failed; 2 usage; 3 not trusted; 4 could not check; 5 not allowed;
    6 key or passphrase.
    """
    from trustkit.cli.context import Context

    if ctx.obj is None:
        ctx.obj = Context(home_flag=home, environ=dict(os.environ))


def run(arguments: list[str], context: Context | None = None) -> int:
    """Runs one command line and returns its exit status; errors are raised.

    Args:
        context: what the command works with, in place of this process's own home and environment.
    """
    result = cli.main(arguments, prog_name="trustkit", standalone_mode=False, obj=context)
    return result if isinstance(result, int) else 0


def program() -> None:
    """The installed ``trustkit``: as ``main``, in a process that is nobody else's."""
    ended: list[int] = []
    atexit.register(_leave, ended)  # what is registered first is done last
    try:
        main()
    except SystemExit as leaving:
        if type(leaving.code) is int:
            ended.append(leaving.code)
        raise


def _leave(ended: list[int]) -> None:
    """Ends the process once all else is done that is done at its end: Python would take apart, piece by piece, what
    it has loaded, which takes 10 ms of 200.  Output that can't be written is left to Python, which tells of it."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    if ended:
        os._exit(ended[0])


def main() -> None:
    """What ``trustkit`` does; it ends by SystemExit."""
    end_with(lambda: run(sys.argv[1:]), debug="--debug" in sys.argv)


def end_with(act: Callable[[], int], *, debug: bool) -> NoReturn:
    """Ends the process with the status of what is done: no traceback reaches a user, every error has its status.

    Args:
        debug: show the traceback all the same.
    """
    from trustkit.cli.status import FAILED, exit_status
    from trustkit.keys.sdks import leave_out

    leave_out()
    try:
        status = act()
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.NoSuchOption) and error.option_name in _BEFORE:
            click.echo(f"It stands earlier: {_BEFORE[error.option_name]}", err=True)
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Aborted; nothing more was done.", err=True)
        status = FAILED
    except TrustkitError as error:
        report(error)
        if debug:
            raise
        status = exit_status(error)
    except BrokenPipeError:
        sys.stdout = None
        status = FAILED
    except Exception as error:  # the last line of defence
        from trustkit.cli.failures import as_ours

        ours = as_ours(error)
        if ours is None:
            click.echo(f"trustkit: internal error: {type(error).__name__}: {error}", err=True)
            click.echo("  This is a bug. Run again with --debug and report what it shows.", err=True)
        else:
            report(ours)
        if debug:
            raise
        status = FAILED if ours is None else exit_status(ours)
    gc.freeze()  # leaving, Python would look once more through all that was loaded: 20 ms, and nothing is freed
    sys.exit(status)


_BEFORE = {
    "--home": "trustkit --home DIR COMMAND",
    "--debug": "trustkit --debug COMMAND",
    "--data-dir": "trustkit admin --data-dir DIR COMMAND",
}
"""Options of groups, which are looked for among those of a command."""
_HINTS = dict.fromkeys(
    ("unreachable", "timed-out"),
    "Check the name and port, that the service runs, and that this machine reaches it; trustkit doctor looks closer.",
)
"""The next step where the error itself names none."""
_SHOWN = 160
_QUOTED = 100  # errors cut what they quote a little later


def report(error: TrustkitError, subject: str = "") -> None:
    """One error to stderr: the sentence with its slug, then the next step on a line of its own.

    Args:
        subject: what it is about, where the sentence itself doesn't begin with that; cut where it is very long.
    """
    message = error.message
    if subject and not message.startswith(f"'{subject[:_QUOTED]}"):
        message = f"{subject if len(subject) <= _SHOWN else subject[:_SHOWN] + '...'}: {message}"
    click.echo(f"trustkit: {message} [{error.slug}]", err=True)
    if hint := error.hint or _HINTS.get(error.slug, ""):
        click.echo(f"  {hint}", err=True)
