"""``trustkit install docker-authz``: what it writes, what it shows, and what it leaves alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trustkit.cli.app import cli
from trustkit.cli.docker_authz import DOORS
from trustkit.errors import Conflict, InvalidSetting, NotFound, StateError, TrustkitError
from trustkit.hooks.authz_routes import Door


class Machine:
    """A folder with what docker and systemd would look at."""

    def __init__(self, folder: Path) -> None:
        self.spec, self.unit = (
            folder / "plugins" / "trustkit.json",
            folder / "units" / "trustkit-docker-authz.service",
        )
        self.daemon, self.home = folder / "daemon.json", folder / "my home%"
        self._runner = CliRunner(env={"TRUSTKIT_HOME": str(self.home), "DOCKER_CONFIG": str(folder / "docker")})
        self._places = ("--specs", str(self.spec.parent), "--units", str(self.unit.parent))

    def install(self, *more: str) -> Result:
        return self._runner.invoke(
            cli, ["install", "docker-authz", *self._places, "--config", str(self.daemon), *more]
        )

    def refused(self, *more: str) -> TrustkitError:
        error = self.install(*more).exception
        assert isinstance(error, TrustkitError), error
        return error


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_writes_a_unit_and_where_the_plugin_listens_and_shows_the_line_for_docker(
    machine: Machine, tmp_path: Path
) -> None:
    policy = tmp_path / "a $policy.toml"
    policy.write_text("version = 1\n")
    done = machine.install("--policy", str(policy), "--unsafe-allow", "build")
    assert done.exit_code == 0, done.output
    assert json.loads(machine.spec.read_text())["Addr"] == "unix:///run/trustkit-docker/authz.sock"
    unit = machine.unit.read_text()
    assert f'Environment="TRUSTKIT_HOME={machine.home}%"' in unit
    assert f'--policy "{str(policy).replace("$", "$$")}" --unsafe-allow build' in unit
    assert "RuntimeDirectory=trustkit-docker\n" in unit
    assert [path.stat().st_mode & 0o777 for path in (machine.spec, machine.unit)] == [0o644, 0o644]
    assert '"authorization-plugins": ["trustkit"]' in done.stderr
    assert "docker refuses everything" in done.stderr
    assert not machine.daemon.exists()


def test_systemd_reads_the_unit(machine: Machine) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    assert machine.install().exit_code == 0
    done = subprocess.run(["systemd-analyze", "verify", machine.unit], capture_output=True, text=True, check=False)
    assert machine.unit.name not in done.stderr, done.stderr


def test_a_dry_run_shows_both_and_writes_nothing(machine: Machine) -> None:
    done = machine.install("--dry-run")
    assert done.exit_code == 0
    assert "ExecStart=" in done.stdout
    assert '"Addr": "unix://' in done.stdout
    assert not machine.spec.exists()
    assert not machine.unit.exists()


def test_docker_s_configuration_is_looked_at_and_stays(machine: Machine) -> None:
    text = '{"debug": true, "authorization-plugins": ["theirs"]}'
    machine.daemon.write_text(text)
    assert '"authorization-plugins": ["theirs", "trustkit"]' in machine.install().stderr
    assert machine.daemon.read_text() == text
    machine.daemon.write_text(text.replace("theirs", "trustkit"))
    assert "names trustkit in authorization-plugins already" in machine.install().stderr


def test_it_is_not_taken_away_while_docker_asks_it(machine: Machine) -> None:
    assert machine.install().exit_code == 0
    machine.daemon.write_text('{"authorization-plugins": ["trustkit"]}')
    assert isinstance(machine.refused("--uninstall"), Conflict)
    assert machine.spec.exists()
    machine.daemon.write_text("{}")
    assert machine.install("--uninstall").exit_code == 0
    assert not machine.spec.exists()
    assert not machine.unit.exists()
    assert isinstance(machine.refused("--uninstall"), NotFound)


def test_what_is_wrong_is_said_before_anything_is_written(machine: Machine, tmp_path: Path) -> None:
    for text in ("{", "[]"):
        machine.daemon.write_text(text)
        assert isinstance(machine.refused(), StateError)
    machine.daemon.unlink()
    (tmp_path / "bad.toml").write_text("version = 1\nrules = 3\n")
    assert isinstance(machine.refused("--policy", str(tmp_path / "bad.toml")), InvalidSetting)
    assert isinstance(machine.refused("--socket", str(tmp_path / "a\nb")), InvalidSetting)
    assert not machine.spec.exists()
    machine.unit.parent.mkdir()
    machine.unit.write_text("[Unit]\n")
    for more in ((), ("--uninstall",)):
        assert isinstance(machine.refused(*more), Conflict)
    assert not machine.spec.exists()


def test_the_doors_of_the_command_line_are_those_of_the_plugin() -> None:
    assert set(DOORS) == {str(door) for door in Door}
