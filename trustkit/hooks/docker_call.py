"""The real docker, called by its plugin: which program, with which global flags, in which environment."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from trustkit.engines.command import run
from trustkit.errors import EngineFailed, UsageError
from trustkit.hooks.docker_flags import Flags, read_line
from trustkit.hooks.docker_signals import SOCKET, end_with_caller

NAME = "trustkit"
ORIGINAL = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"
"""What docker was called as; it tells that to its plugins, so that they can call it."""
CONTENT_TRUST = "DOCKER_CONTENT_TRUST"
_OFF = ("", "0", "f", "F", "false", "FALSE", "False")
"""What Go's ``strconv.ParseBool`` takes for false; docker takes everything else for on."""

_PLUGIN = re.compile(r"^\s+(\S+)\*\s", re.MULTILINE)
"""How ``docker --help`` lists a plugin (``decoratedName`` of docker/cli)."""


def content_trust(environ: Mapping[str, str]) -> bool:
    """Whether DOCKER_CONTENT_TRUST is on, by docker's own reading."""
    return environ.get(CONTENT_TRUST, "") not in _OFF


@dataclass(frozen=True)
class Docker:
    """The docker that called, or the one in PATH.

    Docker's own content trust is off in what it runs: the digest was verified here, and the trust server that docker
    28 would ask is another one.

    Args:
        options: global flags, as they were given: ``--context``, ``--host``, ``--config``.
        environ: what docker sees.
        called: what this process was called with.
    """

    program: str
    options: tuple[str, ...]
    environ: Mapping[str, str]
    called: Mapping[str, str]

    @classmethod
    def found(cls, options: Sequence[str], environ: Mapping[str, str]) -> Docker:
        """The docker to call.

        Raises:
            EngineFailed: there is none.
        """
        called = environ.get(ORIGINAL) or "docker"
        program = shutil.which(called, path=environ.get("PATH"))
        if program is None:
            raise EngineFailed(f"{called} is not installed.", hint="Install Docker's command line.")
        theirs = {name: value for name, value in environ.items() if name not in (ORIGINAL, SOCKET)}
        return cls(program, tuple(options), {**theirs, CONTENT_TRUST: "0"}, environ)

    def flags(self, command: Sequence[str]) -> Flags:
        """The flags of a command, by its ``--help``.

        Raises:
            EngineFailed: docker doesn't tell them.
        """
        return Flags.of_help(run([self.program, *self.options, *command, "--help"], self.environ))

    def plugins(self) -> frozenset[str]:
        """The commands that plugins add, by docker's ``--help``; raises EngineFailed: docker doesn't tell them."""
        return frozenset(_PLUGIN.findall(run([self.program, *self.options, "--help"], self.environ)))

    def become(self, words: Sequence[str], environ: Mapping[str, str] | None = None) -> NoReturn:
        """Has docker take this process's place: its terminal, signals and exit status are docker's.

        Args:
            environ: in the place of docker's; for commands that nothing was verified for.

        Raises:
            EngineFailed: it can't be run.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        end_with_caller(self.called)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and a program would inherit
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execve(self.program, ["docker", *self.options, *words], dict(environ or self.environ))  # noqa: S606 - no shell, which is the point
        except OSError as error:
            raise EngineFailed(f"{self.program} can't be run: {(error.strerror or '').lower()}.") from error

    def call(self, words: Sequence[str], *, stdin: int | None = None) -> int:
        """Runs docker, passes signals on to it, and returns its exit status.

        Args:
            stdin: the descriptor that it reads; this process's own where None.

        Raises:
            EngineFailed: it can't be run.
        """
        command = [self.program, *self.options, *words]
        try:
            process = subprocess.Popen(command, env=dict(self.environ), stdin=stdin)
        except OSError as error:
            raise EngineFailed(f"{self.program} can't be run: {(error.strerror or '').lower()}.") from error
        before = {number: signal.signal(number, _pass_on(process)) for number in (signal.SIGTERM, signal.SIGHUP)}
        end_with_caller(self.called)
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells docker by itself
        try:
            status = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return status if status >= 0 else 128 - status


def _pass_on(process: subprocess.Popen[bytes]) -> Callable[[int, object], None]:
    def handler(number: int, _: object) -> None:
        process.send_signal(number)

    return handler


def divided(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """A plugin's own command line: docker's global flags, and the words after the plugin's name.

    Docker calls ``docker-trustkit [GLOBAL FLAGS] trustkit ...``, with its own command line as it was given.

    Raises:
        UsageError: its name isn't the first word that is no flag.
        EngineFailed: docker doesn't tell its flags.
    """
    line = read_line(arguments, lambda: Docker.found((), environ).flags(()), interspersed=False)
    if not line.arguments or line.words[line.arguments[0]] != NAME:
        raise UsageError(
            "docker-trustkit is called by docker, as a plugin.", hint="Type docker trustkit, or trustkit."
        )
    at = line.arguments[0]
    return line.flags(), list(line.words[at + 1 :])


def environment(options: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with what the global flags say about where Docker's configuration is.

    Raises:
        EngineFailed, UsageError: as ``divided``.
    """
    line = read_line(options, lambda: Docker.found((), environ).flags(()), interspersed=False)
    folder = line.value("config")
    return dict(environ) if folder is None else {**environ, "DOCKER_CONFIG": folder}
