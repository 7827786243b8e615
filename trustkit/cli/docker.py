"""``docker trustkit``: trustkit's commands as a plugin of docker's, and docker's own for images, by the policy."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence

import click

from trustkit.cli.app import COMMANDS, LazyGroup, cli, end_with
from trustkit.cli.context import Context
from trustkit.hooks import docker_metadata
from trustkit.hooks.docker_call import NAME, Docker, divided, environment

PROGRAM = "docker trustkit"
_COMPLETE = "__complete"
_NO_COMPLETIONS = ":0"
"""Cobra's answer where there is nothing to complete."""

VERBS: dict[str, str] = {
    "pull": "Pull the signed digest of an image, then tag it.",
    "run": "Run a container of the signed digest of an image.",
    "create": "Make a container of the signed digest of an image.",
    "build": "Build on signed digests only.",
    "docker": "Any command line of docker's; the four above by the policy.",
}
"""What reads docker's command lines; everything else is trustkit's own."""


class PluginContext(Context):
    """What a command gets where docker has called.

    Args:
        docker: what called.
    """

    def __init__(self, *, home_flag: str | None, environ: Mapping[str, str], docker: Docker) -> None:
        super().__init__(home_flag=home_flag, environ=environ)
        self.docker = docker

    def called_with(self, options: Sequence[str]) -> PluginContext:
        """The same with further global flags of docker's."""
        environ = environment(options, self.environ)
        docker = Docker.found([*self.docker.options, *options], environ)
        return PluginContext(home_flag=self._home_flag, environ=environ, docker=docker)


class DockerCommand(click.Command):
    """A command whose words docker's own rules read."""

    def __init__(self, name: str, act: Callable[[PluginContext, tuple[str, ...]], int]) -> None:
        super().__init__(name, callback=self._called, help=VERBS[name])
        self._act = act

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leaves every word as it is."""
        ctx.params["words"] = tuple(args)
        return []

    def _called(self, words: tuple[str, ...]) -> None:
        click_context = click.get_current_context()
        click_context.exit(self._act(click_context.obj, words))


class DockerGroup(LazyGroup):
    """trustkit's commands with docker's in the places where docker has some of these names."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list({**VERBS, **COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        from trustkit.cli.docker_verbs import ACTS

        return DockerCommand(cmd_name, ACTS[cmd_name])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands for images, with docker's own options"):
            formatter.write_dl(list(VERBS.items()))
        with formatter.section("Commands of trustkit"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx) if name not in VERBS])


def group(docker: Docker, environ: Mapping[str, str]) -> DockerGroup:
    """The commands of ``docker trustkit``, for one call of docker's."""

    def begin(home: str | None, *, debug: bool) -> None:  # noqa: ARG001 - end_with has read debug
        click.get_current_context().obj = PluginContext(home_flag=home, environ=environ, docker=docker)

    return DockerGroup(
        name=NAME,
        callback=begin,
        params=list(cli.params),
        context_settings=cli.context_settings,
        help="Content trust for container tags: a tag means one signed digest, current and not rolled back.\n\n"
        "docker's own commands for images, by this machine's policy and pins, and trustkit's commands.",
    )


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Does what docker has called for, and returns the exit status; errors are raised."""
    first = next(iter(arguments), "")
    if first == docker_metadata.QUESTION:
        click.echo(docker_metadata.answer())
        return 0
    if first == _COMPLETE:
        click.echo(_NO_COMPLETIONS)
        return 0
    if first == "help":  # docker help trustkit ...
        arguments = [*arguments[1:], "--help"]
    options, words = divided(arguments, environ)
    theirs = environment(options, environ)
    result = group(Docker.found(options, theirs), theirs).main(words, prog_name=PROGRAM, standalone_mode=False)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of ``docker-trustkit``."""
    arguments = sys.argv[1:]
    ours = arguments[arguments.index(NAME) + 1 :] if NAME in arguments else []
    debug = "--debug" in itertools.takewhile(lambda word: word not in VERBS, ours)  # a container may have one, too
    end_with(lambda: run(arguments, dict(os.environ)), debug=debug)
