"""A real service as a process, and people who use the real command line against it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.admission import admit
from tests.forked import Forked
from tests.forkserver import ForkServer
from tests.remembered import CHEAP, LEAST
from trustkit.cli.demo_images import write_image

FORKS = ForkServer()
SECONDS = 120.0
Process = subprocess.Popen[str] | Forked
PASSWORD = "correct horse battery"
PASSPHRASE = "a passphrase for tests"
CHEAPLY = {CHEAP: "1"}
"""The environment of a service whose passwords cost next to nothing, which also its ``principal`` makes so."""


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def slug(self) -> str:
        """The slug of the last error it told; empty for none."""
        found = re.findall(r"\[([a-z-]+)\]$", self.err, re.MULTILINE)
        return found[-1] if found else ""


class RunningService:
    """``trustkit serve`` on a free port of loopback; restarts on the same port and data.

    Args:
        folder: where its data lies.
        arguments: more flags of ``serve``.
        environ: more environment, for example a clock by libfaketime; or ``CHEAPLY``, where no test is about what a
            password costs.
    """

    def __init__(self, folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "service"
        self.arguments = arguments
        self.environ = environ or {}
        self.port = 0
        self.log = folder / "service.log"
        self.process: Process | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def start(self) -> RunningService:
        command = ["serve", "--data-dir", str(self.data), "--listen", f"127.0.0.1:{self.port}", *self.arguments]
        with self.log.open("a") as log:
            self.process = start(command, self.environ, log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line.startswith("http"), f"the service did not start: {self.log.read_text()}"
        self.port = int(line.rpartition(":")[2])
        return self

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def admin(self, *arguments: str, feed: str = "") -> Result:
        cost = CHEAPLY if CHEAP in self.environ else {}
        return run(["admin", "--data-dir", str(self.data), *arguments], cost, feed=feed)

    def principal(self, name: str, *roles: str, pattern: str = "*") -> Person:
        """A principal with these roles, logged in; by the commands where the service has a clock of its own."""
        if "FAKETIME_TIMESTAMP_FILE" not in self.environ:
            docker = self.folder / "people" / name / "docker"
            held = [(role, pattern) for role in roles]
            cost = LEAST if CHEAP in self.environ else {}
            admit(self.data, self.host, name, password=PASSWORD, roles=held, docker=docker, cost=cost)
            return Person(name, self.folder / "people" / name)
        assert self.admin("principal", "add", name, "--password-stdin", feed=PASSWORD).status == 0
        for role in roles:
            assert self.admin("role", "assign", name, role, "--repository", pattern).status == 0
        person = Person(name, self.folder / "people" / name)
        result = person("login", self.host, "-u", name, "--password-stdin", feed=PASSWORD + "\n")
        assert result.status == 0, result.err
        return person


@dataclass
class Person:
    """Somebody with a home and a Docker configuration of their own; calling it runs one command line.

    Args:
        first: Python code that each command's process executes before.
    """

    name: str
    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    first: str = ""

    def __call__(self, *arguments: str, feed: str = "", environ: dict[str, str] | None = None) -> Result:
        return run(list(arguments), {**self.environment(), **(environ or {})}, feed=feed, first=self.first)

    def environment(self) -> dict[str, str]:
        return {
            "TRUSTKIT_HOME": str(self.home / "trustkit"),
            "DOCKER_CONFIG": str(self.home / "docker"),
            "TRUSTKIT_ROOT_PASSPHRASE": PASSPHRASE,
            "TRUSTKIT_REPOSITORY_PASSPHRASE": PASSPHRASE,
            **self.environ,
        }

    def root_key(self) -> str:
        """The id of the one root key here."""
        keys = json.loads(self("key", "list", "--format", "json").out)
        return str(next(key["id"] for key in keys if key["role"] == "root"))

    def push(self, reference: str, text: str = "", *, architectures: tuple[str, ...] = ()) -> str:
        """Pushes an image whose file says ``text``; returns its digest."""
        with tempfile.TemporaryDirectory() as folder:
            digest = write_image(Path(folder), "t", text or reference, architectures=architectures)
            result = self("push", f"oci:{folder}:t", reference)
            assert result.status == 0, result.err
            assert result.out.strip().endswith(digest)
        return digest

    def token(self, host: str, scope: str) -> str:
        """An access token, asked for with the refresh token that login stored."""
        import base64
        import urllib.parse
        import urllib.request

        config = json.loads((self.home / "docker" / "config.json").read_text())
        entry = config["auths"][host]
        refresh = entry.get("identitytoken") or base64.b64decode(entry["auth"]).decode().partition(":")[2]
        form = {"grant_type": "refresh_token", "refresh_token": refresh, "service": host, "scope": scope}
        request = urllib.request.Request(f"http://{host}/oauth2/token", urllib.parse.urlencode(form).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.loads(answer.read())["access_token"])


def start(arguments: list[str], environ: Mapping[str, str], stderr: IO[str]) -> Process:
    """Starts ``trustkit`` as a process of its own that stays, its stdout in a pipe.

    Benches, which no pytest runs, measure one that started the ordinary way.
    """
    whole = {**os.environ, **environ}
    if FORKS.fits(whole) and "PYTEST_VERSION" in os.environ:
        return FORKS.start(arguments, whole, stderr)
    command = [sys.executable, "-m", "trustkit", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=whole)


def run(
    arguments: list[str], environ: dict[str, str], *, feed: str = "", first: str = "", seconds: float = SECONDS
) -> Result:
    """Runs ``trustkit`` as a process of its own, with nobody at a terminal; ``first`` as for ``Person``.

    It is killed after so many seconds.
    """
    whole = {**os.environ, **environ}
    if first or FORKS.fits(whole):
        return Result(*FORKS.run(arguments, whole, feed, seconds, first=first))
    done = subprocess.run(
        [sys.executable, "-m", "trustkit", *arguments],
        env=whole,
        input=feed,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)
