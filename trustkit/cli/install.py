"""``trustkit install``: puts what verifies pulls where an engine looks for it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.install_authz import docker_authz
from trustkit.cli.install_docker import docker_plugin
from trustkit.cli.install_files import check_ours, put, take_away, warn_of_others
from trustkit.cli.output import data, note

BIN_DIR = Path("/opt/containerd/image-verifier/bin")
CONFIG = Path("/etc/containerd/config.toml")
NAME = "trustkit"
_MARK = "# made by trustkit install containerd"
_RUN = "from trustkit.hooks.containerd import main; main()"
"""``trustkit-containerd-verifier``, without the 10 ms of what pip puts around it."""
_NEEDS = "from trustkit.hooks import containerd, gate, judging; from trustkit.remote import http, source, trust"
_CONFIG = """\
Put this into containerd's config.toml, then restart containerd (2.0 or newer):

    [plugins."io.containerd.image-verifier.v1.bindir"]
      bin_dir = "{folder}"
      max_verifiers = 10
      per_verifier_timeout = "10s"

What goes past it: containerd older than 2.0; an empty or missing bin_dir; the kubelet's pulls where the CRI plugin is
set to pull by itself (mirrors or credentials in its own configuration, use_local_image_pull); images that are there.
"""


@click.group("install", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Put what verifies pulls where an engine looks for it."""


command.add_command(docker_plugin)
command.add_command(docker_authz)


@command.command("containerd")
@click.option(
    "--bin-dir",
    type=click.Path(path_type=Path),
    default=BIN_DIR,
    show_default=True,
    help="The folder to install it in.",
)
@click.option(
    "--policy", metavar="FILE", help="The policy. [TRUSTKIT_POLICY; default: policy.toml of the home, if any]"
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=CONFIG,
    show_default=True,
    help="containerd's configuration, to be looked at.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written.")
@click.option("--uninstall", is_flag=True, help="Uninstall it.")
@click.pass_obj
def containerd(
    ctx: Context, bin_dir: Path, policy: str | None, config: Path, *, dry_run: bool, uninstall: bool
) -> None:
    """Have containerd verify what it pulls, by the policy and pins of this home.

    Writes an executable that runs trustkit-containerd-verifier with this home, this policy and this Docker
    configuration, prints what containerd's configuration needs, and warns of what in it goes past a verifier.

    \b
    Examples:
      trustkit install containerd --dry-run
      trustkit install containerd --policy /etc/trustkit/policy.toml
    """
    path = bin_dir.absolute() / NAME
    check_ours(path, _MARK, "--bin-dir")
    if uninstall:
        take_away(path)
        note(f"{path} is gone. containerd lets images in that no other verifier keeps out.")
        return
    script = _script(ctx, policy)
    if dry_run:
        data(script.rstrip())
        return
    put(path, script)
    note(f"{path} is there.\n\n{_CONFIG.format(folder=path.parent)}")
    _look_at(config, path)


def _look_at(config: Path, path: Path) -> None:
    from trustkit.home.files import read_bounded
    from trustkit.hooks.containerd_config import MAX_CONFIG, troubles

    found = read_bounded(config, MAX_CONFIG)
    if found is None:
        note(f"There is no {config}: containerd goes by its defaults, or by a file that --config would name.")
        return
    for trouble in troubles(found, path.parent, path.name):
        note(f"Warning: {config}: {trouble}.")


def _script(ctx: Context, policy: str | None) -> str:
    from trustkit.config import policy_file, verifierd_socket
    from trustkit.home.policy import read_policy
    from trustkit.remote.tls import docker_folder

    file = policy_file(policy, ctx.environ, ctx.home.path).value
    warn_of_others(ctx.home.path, file)
    settings = {"TRUSTKIT_HOME": ctx.home.path, "DOCKER_CONFIG": docker_folder(ctx.environ).absolute()}
    if file is not None:
        read_policy(file)
        settings["TRUSTKIT_POLICY"] = file
    if "TRUSTKIT_VERIFIERD_SOCKET" in ctx.environ:
        settings["TRUSTKIT_VERIFIERD_SOCKET"] = verifierd_socket(None, ctx.environ, ctx.home.path).value
    lines = [f"export {name}={shlex.quote(str(value))}" for name, value in settings.items()]
    return "\n".join(["#!/bin/sh", _MARK, *lines, f'exec {shlex.join(_python())} "$@"', ""])


def _python() -> list[str]:
    """How Python starts: without what containerd's environment and folder may have for it, and, where trustkit and
    its parts load without, not even with what Python's ``site`` looks for, which takes 4 ms of each pull."""
    places = [found.origin for name in ("trustkit", "tuf") if (found := find_spec(name)) and found.origin]
    path = f"import sys; sys.path += {sorted({str(Path(place).parents[1]) for place in places})}; "
    trial = [sys.executable, "-SEPc", path + _NEEDS]
    done = subprocess.run(trial, cwd="/", env={}, capture_output=True, check=False)
    return [sys.executable, *(["-SEPc", path + _RUN] if done.returncode == 0 else ["-EPc", _RUN])]
