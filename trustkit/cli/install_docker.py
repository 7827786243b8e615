"""``trustkit install docker-plugin``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.install_files import check_ours, put, take_away
from trustkit.cli.output import data, note
from trustkit.client.doctor import Finding, Level, bad, fine
from trustkit.errors import StateError, UsageError
from trustkit.home.files import user_path

NAME = "docker-trustkit"
FOLDER = "cli-plugins"
SYSTEM = Path("/usr/local/lib/docker/cli-plugins")
"""Where administrators put plugins for everybody (docker/cli, ``docs/extend/cli_plugins.md``)."""
MARK = "# made by trustkit install docker-plugin"
_METADATA = "-EPc 'from trustkit.hooks.docker_metadata import main; main()'"
_RUN = "-EPc 'from trustkit.cli import docker_plugin; docker_plugin()'"
_MAX_SCRIPT = 64 * 1024
_ALIAS = """\
# docker pull, run, create and build by trustkit's policy where DOCKER_CONTENT_TRUST is set; for bash and sh.
docker() {
  case "${DOCKER_CONTENT_TRUST-}" in
    '' | 0 | f | F | false | FALSE | False) command docker "$@" ;;
    *) command docker trustkit docker "$@" ;;
  esac
}
"""
_SAID = """\
Use it:  docker trustkit pull|run|create|build ...

docker 29 and newer ignores DOCKER_CONTENT_TRUST, and no plugin can stop a plain docker pull. A shell can: put this
into ~/.bashrc, and docker refuses what isn't signed wherever DOCKER_CONTENT_TRUST=1 is set:

    eval "$(trustkit install docker-plugin --alias)"

Scripts don't read ~/.bashrc, and programs that talk to the engine themselves (compose, IDEs) go past it.
"""


@click.command("docker-plugin")
@click.option("--system", is_flag=True, help=f"For everybody on this machine: into {SYSTEM}.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    help="The folder to install it in. [cli-plugins in Docker's configuration]",
)
@click.option("--policy", metavar="FILE", help="The policy, for everybody who uses it from there. [TRUSTKIT_POLICY]")
@click.option("--alias", is_flag=True, help="Only print a shell function docker that obeys DOCKER_CONTENT_TRUST.")
@click.option("--dry-run", is_flag=True, help="Show what would be written.")
@click.option("--uninstall", is_flag=True, help="Uninstall it.")
@click.pass_obj
def docker_plugin(
    ctx: Context,
    folder: Path | None,
    policy: str | None,
    *,
    system: bool,
    alias: bool,
    dry_run: bool,
    uninstall: bool,
) -> None:
    """Give docker the command trustkit: docker trustkit pull, run, create and build take what is signed.

    Writes an executable that docker looks for. Who calls it brings home, pins and logins along; a policy that is
    given here counts for all of them.

    \b
    Examples:
      trustkit install docker-plugin
      trustkit install docker-plugin --system --policy /etc/trustkit/policy.toml
    """
    if alias:
        data(_ALIAS.rstrip())
        return
    path = _folder(ctx, folder, system=system) / NAME
    check_ours(path, MARK, "--dir")
    if uninstall:
        take_away(path)
        note(f"{path} is gone.")
        return
    script = _script(policy)
    if dry_run:
        data(script.rstrip())
        return
    put(path, script, hint="Run it as root, or choose another --dir.")
    note(f"{path} is there.\n\n{_SAID.rstrip()}")


def _folder(ctx: Context, folder: Path | None, *, system: bool) -> Path:
    from trustkit.remote.tls import docker_folder

    if folder is not None and system:
        raise UsageError("--dir and --system exclude each other.", hint="Give one of them.")
    if system:
        return SYSTEM
    return (folder or docker_folder(ctx.environ) / FOLDER).absolute()


def _script(policy: str | None) -> str:
    from trustkit.home.policy import read_policy

    lines = ["#!/bin/sh", MARK]
    if policy is not None:
        file = user_path(policy, "--policy")
        read_policy(file)
        lines.append(f"export TRUSTKIT_POLICY={shlex.quote(str(file))}")
    python = shlex.quote(sys.executable)
    lines += [f'if [ "$1" = docker-cli-plugin-metadata ]; then exec {python} {_METADATA}; fi']
    return "\n".join([*lines, f'exec {python} {_RUN} "$@"', ""])


def look_at_plugin(ctx: Context) -> Iterator[Finding]:
    """For ``doctor``: whether docker finds the plugin, whether it can run, and whether anything obeys the variable.

    Yields:
        what is so; nothing where there is no plugin and nobody expects one.
    """
    from trustkit.hooks.docker_call import CONTENT_TRUST, content_trust

    about, found = "docker-plugin", [_folder(ctx, None, system=each) / NAME for each in (False, True)]
    there = [path for path in found if _exists(path)]
    for path in there:
        python = _python(path)
        if python is not None and not python.exists():
            error = StateError(
                f"{path} runs {python}, which is gone.", hint="Run again: trustkit install docker-plugin"
            )
            yield bad(about, error)
        else:
            yield fine(about, f"{path} is there.")
    if not there and content_trust(ctx.environ):
        words = f"{CONTENT_TRUST} is set, which docker 29 and newer ignores, and docker trustkit isn't installed."
        yield Finding(about, Level.NOTE, words, "trustkit install docker-plugin")


def _exists(path: Path) -> bool:
    """Raises StateError where that can't be seen."""
    try:
        return path.exists()
    except OSError as error:
        raise StateError(
            f"{path} can't be looked at: {(error.strerror or 'unknown').lower()}.",
            hint="Docker's configuration here is another user's: mend it, or set DOCKER_CONFIG.",
        ) from error


def _python(path: Path) -> Path | None:
    """What a plugin that was installed here runs on; None for another's."""
    from trustkit.home.files import read_bounded

    text = (read_bounded(path, _MAX_SCRIPT) or b"").decode("utf-8", "replace")
    try:
        last = shlex.split(text.splitlines()[-1]) if MARK in text else []
    except ValueError:  # an unclosed quote: somebody has written in it
        return None
    return Path(last[1]) if len(last) > 1 else None
