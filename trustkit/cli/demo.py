"""``trustkit demo``: the main job, played through against a service started for it."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import click

from trustkit.cli.app import report, run
from trustkit.cli.context import Context
from trustkit.cli.demo_images import write_image
from trustkit.cli.output import data, table
from trustkit.cli.status import exit_status
from trustkit.errors import Failed, StateError, TrustkitError

START_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Result:
    """What one command did."""

    status: int
    out: str
    shown: str
    """Both streams, in the order in which a terminal shows them."""


class _Copied(io.StringIO):
    """A stream of its own that is copied, write by write, to one that it shares."""

    def __init__(self, shared: io.StringIO) -> None:
        super().__init__()
        self._shared = shared

    def write(self, text: str, /) -> int:
        self._shared.write(text)
        return super().write(text)


@dataclass(slots=True)
class Stage:
    """The demonstration's folder and service, and the table it ends with."""

    folder: Path
    host: str = ""
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    """What alice pushed, by tag."""

    def person(self, name: str) -> Context:
        """Somebody with a home, Docker configuration and passphrases of their own."""
        home = self.folder / name
        environ = {
            "PATH": os.environ.get("PATH", ""),
            "TRUSTKIT_HOME": str(home / "trustkit"),
            "DOCKER_CONFIG": str(home / "docker"),
            "TRUSTKIT_ROOT_PASSPHRASE": secrets.token_urlsafe(12),
            "TRUSTKIT_REPOSITORY_PASSPHRASE": secrets.token_urlsafe(12),
        }
        return Context(home_flag=None, environ=environ)

    def step(self, who: str, context: Context, *arguments: str, expect: int = 0, feed: str = "") -> Result:
        """Runs one command as somebody, shows it with what it printed, and holds its status to what is expected."""
        shown = " ".join(arguments).replace(str(self.folder), "$DEMO")
        data(f"{who}$ trustkit {shown}")
        result = _call(list(arguments), context, feed)
        for line in result.shown.splitlines():
            data(f"    {line.replace(str(self.folder), '$DEMO')}")
        if result.status != expect:
            raise Failed(f"`trustkit {shown}` ended with status {result.status}, not {expect}.")
        return result

    def expect(self, result: Result, text: str) -> None:
        """Holds a step to a text that it has to show; raises Failed."""
        if text not in result.shown:
            raise Failed(f"The step before shows no {text!r}.")

    def note(self, what: str, outcome: str, status: int) -> None:
        """A row of the table at the end."""
        self.rows.append((what, outcome, str(status)))


def _call(arguments: list[str], context: Context, feed: str) -> Result:
    shown = io.StringIO()
    out = _Copied(shown)
    stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(feed.encode()))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(_Copied(shown)):
            try:
                status = run(arguments, context)
            except TrustkitError as error:
                report(error)
                status = exit_status(error)
    finally:
        sys.stdin = stdin
    return Result(status, out.getvalue(), shown.getvalue())


@contextlib.contextmanager
def _service(stage: Stage) -> Iterator[None]:
    """The service on a free port, in the stage's folder, as a process of its own."""
    command = [sys.executable, "-m", "trustkit", "serve", "--data-dir", str(stage.folder / "service")]
    command += ["--listen", "127.0.0.1:0", "--trust-only"]
    log = (stage.folder / "service.log").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None  # noqa: S101 - asked for above
        url = process.stdout.readline().strip()
        if not url.startswith("http://"):
            said = (stage.folder / "service.log").read_text()
            raise StateError(f"The service did not start: {said.strip() or 'no reason given'}")
        stage.host = url.removeprefix("http://")
        yield
    finally:
        process.terminate()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


@click.command("demo")
def command() -> None:
    """Play the main job through on this machine: no network, no container engine, no root.

    Starts the service on a free port in a temporary folder, gives three people roles, pushes, signs, pulls, attacks
    and revokes with the commands shown, and removes everything again. Every line is the result of the real call.

    \b
    Example:
      trustkit demo
    """
    import_module("trustkit.server.service")  # fails at once, and clearly, where the service's parts aren't installed
    with tempfile.TemporaryDirectory(prefix="trustkit-demo-") as folder:
        stage = Stage(Path(folder))
        with _service(stage):
            _play(stage)
    data("")
    table(("WHAT", "OUTCOME", "STATUS"), stage.rows)


def _play(stage: Stage) -> None:
    operator = stage.person("operator")
    alice, bob, carol = (stage.person(name) for name in ("alice", "bob", "carol"))
    gun = f"{stage.host}/app"
    data(f"# The service runs at http://{stage.host}, trust-only. An operator gives three people roles.")
    _people(stage, operator, {"alice": alice, "bob": bob, "carol": carol})
    _push(stage, alice, gun)
    _sign(stage, alice, bob, gun)
    root = _pin(stage, alice, carol, gun)
    _pull(stage, carol, gun)
    _attack(stage, bob, carol, gun)
    _revoke(stage, alice, carol, gun)
    data(f"# Done: whoever pins {root[:16]}... gets what alice signed, and nothing else.")


def _people(stage: Stage, operator: Context, people: dict[str, Context]) -> None:
    roles = {"alice": ("AcrPush", "AcrImageSigner"), "bob": ("AcrPush",), "carol": ("AcrPull",)}
    admin = ("admin", "--data-dir", str(stage.folder / "service"))
    for name, context in people.items():
        password = secrets.token_urlsafe(12)
        stage.step("operator", operator, *admin, "principal", "add", name, "--password-stdin", feed=password)
        for role in roles[name]:
            stage.step("operator", operator, *admin, "role", "assign", name, role)
        stage.step(name, context, "login", stage.host, "-u", name, "--password-stdin", feed=password)
    stage.note("three people log in", "alice signs, bob pushes, carol pulls", 0)


def _push(stage: Stage, alice: Context, gun: str) -> None:
    data("# alice pushes three tags; pushing signs nothing.")
    layout = stage.folder / "images"
    stage.digests["stable"] = write_image(layout, "stable", "the stable release")
    stage.digests["latest"] = write_image(layout, "latest", "the latest release", architectures=("amd64", "arm64"))
    stage.digests["dev"] = write_image(layout, "dev", "work in progress")
    for tag in stage.digests:
        stage.step("alice", alice, "push", f"oci:{layout}:{tag}", f"{gun}:{tag}")
    stage.note("alice pushes stable, latest, dev", "in the registry, unsigned", 0)


def _sign(stage: Stage, alice: Context, bob: Context, gun: str) -> None:
    data("# alice signs two of them; the first sign makes her root key and the repository's key.")
    stage.step("alice", alice, "sign", f"{gun}:stable", f"{gun}:latest")
    stage.note("alice signs stable and latest", "signed, published, read back", 0)
    data("# bob may push, but not sign.")
    result = stage.step("bob", bob, "sign", f"{gun}:dev", expect=5)
    stage.expect(result, "AcrImageSigner missing")
    stage.note("bob signs dev", "refused: AcrImageSigner missing", result.status)


def _pin(stage: Stage, alice: Context, carol: Context, gun: str) -> str:
    data("# carol pins alice's root key, which alice told her.")
    result = stage.step("alice", alice, "key", "list")
    root = next(line.split()[0] for line in result.out.splitlines() if " root" in line)
    stage.step("carol", carol, "pin", "add", gun, "--root-key", root)
    return root


def _pull(stage: Stage, carol: Context, gun: str) -> None:
    data("# carol pulls what is signed, and is refused what isn't.")
    to = ("--to", f"oci:{stage.folder / 'carol-images'}")
    for tag, what in (("stable", "carol pulls stable"), ("latest", "carol pulls latest (two platforms)")):
        result = stage.step("carol", carol, "pull", f"{gun}:{tag}", *to)
        stage.expect(result, stage.digests[tag])
        stage.note(what, "the signed digest", result.status)
    refused = stage.step("carol", carol, "pull", f"{gun}:dev", *to, expect=3)
    stage.expect(refused, "[unsigned]")
    stage.note("carol pulls dev", "refused: not signed", refused.status)


def _attack(stage: Stage, bob: Context, carol: Context, gun: str) -> None:
    data("# Somebody with bob's password moves the registry's tag stable to another image.")
    layout = stage.folder / "evil"
    write_image(layout, "stable", "a miner")
    stage.step("bob", bob, "push", f"oci:{layout}:stable", f"{gun}:stable")
    result = stage.step("carol", carol, "pull", f"{gun}:stable", "--to", f"oci:{stage.folder / 'carol-again'}")
    stage.expect(result, stage.digests["stable"])
    stage.note("an attacker moves the tag stable", "carol still gets the signed digest", result.status)


def _revoke(stage: Stage, alice: Context, carol: Context, gun: str) -> None:
    data("# alice revokes stable.")
    stage.step("alice", alice, "revoke", f"{gun}:stable")
    result = stage.step("carol", carol, "verify", f"{gun}:stable", expect=3)
    stage.expect(result, "[unsigned]")
    stage.note("alice revokes stable", "carol is refused from now on", result.status)
