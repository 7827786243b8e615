"""``trustkit install docker-authz``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.docker_authz import authz_options
from trustkit.cli.install_files import check_ours, put, take_away, warn_of_others
from trustkit.cli.output import data, note
from trustkit.errors import Conflict, InvalidSetting, StateError

NAME = "trustkit"
SPECS = Path("/etc/docker/plugins")
"""Where docker looks for plugins without a socket in /run/docker/plugins (docs.docker.com, "Docker Plugin API")."""
UNITS = Path("/etc/systemd/system")
UNIT = "trustkit-docker-authz.service"
DAEMON = Path("/etc/docker/daemon.json")
MARK = "made by trustkit install docker-authz"
KEY = "authorization-plugins"
_MAX_CONFIG = 1024 * 1024
_UNIT = """\
# {mark}
[Unit]
Description=Which images Docker may pull and run, by trustkit's policy
Before=docker.service
StartLimitIntervalSec=0

[Service]
{environment}
{runtime}ExecStart={command}
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target docker.service
"""
_NEXT = """\
Start it, see that it runs, and only then have docker ask it:

    systemctl daemon-reload && systemctl enable --now {unit}
    docker info    # still without it
"""
_BACK = """\
While the plugin doesn't run, docker refuses everything, docker ps too. To get out of that, start it again
(systemctl restart {unit}), or take its name out of {daemon} and: systemctl reload docker
"""


@click.command("docker-authz")
@authz_options
@click.option("--specs", type=click.Path(path_type=Path), default=SPECS, show_default=True, help="Docker's plugins.")
@click.option("--units", type=click.Path(path_type=Path), default=UNITS, show_default=True, help="systemd's units.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DAEMON,
    show_default=True,
    help="Docker's configuration, to be looked at.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written.")
@click.option("--uninstall", is_flag=True, help="Uninstall it.")
@click.pass_obj
def docker_authz(
    ctx: Context,
    socket: Path,
    engine: Path,
    policy: str | None,
    opened: tuple[str, ...],
    specs: Path,
    units: Path,
    config: Path,
    *,
    detect: bool,
    dry_run: bool,
    uninstall: bool,
) -> None:
    """Have Docker's engine ask trustkit which images it may pull and run, whoever asks it and by whatever client.

    Writes a unit of systemd that runs trustkit docker-authz with this home, this policy and this Docker
    configuration, and a file that tells docker where it listens. docker's own configuration is looked at and never
    written: what belongs into it is shown.

    \b
    Examples:
      trustkit install docker-authz --dry-run
      trustkit install docker-authz --detect
    """
    spec, unit = specs.absolute() / f"{NAME}.json", units.absolute() / UNIT
    check_ours(spec, MARK, "--specs")
    check_ours(unit, MARK, "--units")
    if uninstall:
        _uninstall(spec, unit, config)
        return
    socket, wanted = socket.absolute(), _wanted(config)
    files = {spec: _spec(socket), unit: _unit(ctx, socket, engine.absolute(), policy, opened, detect=detect)}
    if dry_run:
        data("\n".join(f"# {path}\n{text}" for path, text in files.items()).rstrip())
    else:
        for path, text in files.items():
            put(path, text, mode=0o644)
            note(f"{path} is there.")
        note(f"\n{_NEXT.format(unit=UNIT)}")
    note(f"{wanted}\n\n{_BACK.format(unit=UNIT, daemon=config).rstrip()}")


def _uninstall(spec: Path, unit: Path, config: Path) -> None:
    if NAME in _asked(config):
        raise Conflict(
            f"{config} names {NAME} in {KEY}: docker would refuse everything.",
            hint="Take it out, then: systemctl reload docker",
        )
    for path in (spec, unit):
        take_away(path)
        note(f"{path} is gone.")
    note(f"If it still runs: systemctl stop {UNIT}")


def _spec(socket: Path) -> str:
    """Docker's JSON form: members that it doesn't know, it passes over."""
    return json.dumps({"Name": NAME, "Addr": f"unix://{socket}", "Note": MARK}, indent=2) + "\n"


def _unit(
    ctx: Context, socket: Path, engine: Path, policy: str | None, opened: tuple[str, ...], *, detect: bool
) -> str:
    from trustkit.config import policy_file
    from trustkit.home.policy import read_policy
    from trustkit.remote.tls import docker_folder

    words = [sys.executable, "-EPm", "trustkit", "docker-authz", "--socket", str(socket), "--engine", str(engine)]
    file = policy_file(policy, ctx.environ, ctx.home.path).value
    if file is not None:
        read_policy(file)
        words += ["--policy", str(file)]
    warn_of_others(ctx.home.path, file)
    for door in opened:
        words += ["--unsafe-allow", door]
    words += ["--detect"] if detect else []
    environ = {"TRUSTKIT_HOME": ctx.home.path, "DOCKER_CONFIG": docker_folder(ctx.environ).absolute()}
    run = socket.parent.parent == Path("/run")
    return _UNIT.format(
        mark=MARK,
        environment="\n".join(f"Environment={_quoted(f'{name}={value}')}" for name, value in environ.items()),
        runtime=f"RuntimeDirectory={socket.parent.name}\nRuntimeDirectoryMode=0700\n" if run else "",
        command=" ".join(_quoted(word.replace("$", "$$")) for word in words),
    )


def _quoted(word: str) -> str:
    """As ``systemd.syntax`` has it; a command has ``$`` doubled as well.

    Raises:
        InvalidSetting: a name that no unit can say.
    """
    if not word.isprintable():
        raise InvalidSetting(f"{word!a} can't stand in a unit of systemd.", hint="Name it otherwise.")
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if any(c in text for c in " \\\"';#") else text


def _asked(config: Path) -> list[str]:
    """The plugins that docker's configuration names; none where there is no such file.

    Raises:
        StateError: it can't be read.
    """
    found = _configuration(config).get(KEY) or []
    return [str(each) for each in found] if isinstance(found, list) else []


def _configuration(config: Path) -> dict[str, object]:
    from trustkit.home.files import read_bounded

    text = read_bounded(config, _MAX_CONFIG)
    try:
        found = json.loads(text) if text is not None and text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise StateError(
            f"{config} is not JSON, so docker won't start by it either.", hint="Mend it, or name another --config."
        ) from error
    if not isinstance(found, dict):
        raise StateError(f"{config} is no JSON object.", hint="Mend it, or name another --config.")
    return found


def _wanted(config: Path) -> str:
    asked = _asked(config)
    if NAME in asked:
        return f"{config} names {NAME} in {KEY} already."
    line = json.dumps({KEY: [*asked, NAME]})[1:-1]
    return f"Then put this member into {config} by hand, and: systemctl reload docker\n\n    {line}"
