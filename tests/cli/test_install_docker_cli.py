"""``trustkit install docker-plugin``, and what ``doctor`` says of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from trustkit.cli.app import cli
from trustkit.errors import Conflict, InvalidSetting, NotFound, StateError, UsageError

INSTALL = ("install", "docker-plugin")


@pytest.fixture
def runner(tmp_path: Path) -> CliRunner:
    return CliRunner(
        env={
            "TRUSTKIT_HOME": str(tmp_path / "home"),
            "DOCKER_CONFIG": str(tmp_path / "docker"),
            "DOCKER_CONTENT_TRUST": None,
        }
    )


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return tmp_path / "docker" / "cli-plugins" / "docker-trustkit"


def found(runner: CliRunner, **environ: str) -> list[tuple[str, str, str]]:
    """What doctor finds about the plugin: how bad, what, and the next step."""
    rows = json.loads(runner.invoke(cli, ["doctor", "--format", "json"], env=environ).stdout)
    return [(row["level"], row["message"], row["next"]) for row in rows if row["about"] == "docker-plugin"]


def test_it_is_put_where_docker_looks_and_runs_with_nothing_of_the_caller_s_python(
    runner: CliRunner, plugin: Path, tmp_path: Path
) -> None:
    result = runner.invoke(cli, INSTALL)
    assert result.exit_code == 0
    assert "docker 29 and newer ignores DOCKER_CONTENT_TRUST" in result.stderr
    assert plugin.stat().st_mode & 0o777 == 0o755
    assert [each.name for each in plugin.parent.iterdir()] == ["docker-trustkit"]
    (tmp_path / "trustkit.py").write_text("raise SystemExit('not ours')")
    done = subprocess.run(
        [plugin, "docker-cli-plugin-metadata"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["SchemaVersion"] == "0.1.0"


def test_a_dry_run_writes_nothing(runner: CliRunner, plugin: Path) -> None:
    result = runner.invoke(cli, [*INSTALL, "--dry-run"])
    assert result.stdout.startswith("#!/bin/sh\n")
    assert not plugin.exists()


def test_whatever_the_umask_nobody_else_puts_anything_beside_it(runner: CliRunner, plugin: Path) -> None:
    before = os.umask(0)
    try:
        assert runner.invoke(cli, INSTALL).exit_code == 0
    finally:
        os.umask(before)
    assert {each.stat().st_mode & 0o777 for each in (plugin, plugin.parent, plugin.parent.parent)} == {0o755}
    plugin.parent.chmod(0o777)
    refused = runner.invoke(cli, INSTALL).exception
    assert isinstance(refused, StateError)
    assert f"chmod o-w {plugin.parent}" in refused.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that is another user's")
def test_root_is_told_that_a_home_is_anothers(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    install = ("install", "containerd", "--bin-dir", str(tmp_path / "bin"))
    assert "another user" not in runner.invoke(cli, install).stderr
    os.chown(tmp_path / "home", 54321, 0)
    assert f"{tmp_path / 'home'} belongs to another user" in runner.invoke(cli, install).stderr


def test_what_others_have_made_is_left_alone(runner: CliRunner, plugin: Path) -> None:
    plugin.parent.mkdir(parents=True)
    plugin.write_text("#!/bin/sh\n")
    for more in ((), ("--uninstall",)):
        assert isinstance(runner.invoke(cli, [*INSTALL, *more]).exception, Conflict)
    assert plugin.read_text() == "#!/bin/sh\n"


def test_it_is_taken_away_once(runner: CliRunner, plugin: Path) -> None:
    assert runner.invoke(cli, INSTALL).exit_code == 0
    assert runner.invoke(cli, [*INSTALL, "--uninstall"]).exit_code == 0
    assert not plugin.exists()
    assert isinstance(runner.invoke(cli, [*INSTALL, "--uninstall"]).exception, NotFound)


def test_a_policy_that_is_none_is_not_installed(runner: CliRunner, plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("version = 1\n[[rul]]\n")
    for file in ("policy.toml", "none.toml"):
        assert isinstance(runner.invoke(cli, [*INSTALL, "--policy", str(tmp_path / file)]).exception, InvalidSetting)
    assert not plugin.exists()


def test_a_folder_that_cannot_be_written(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = runner.invoke(cli, [*INSTALL, "--dir", str(tmp_path / "file" / "plugins")]).exception
    assert isinstance(refused, StateError)
    assert refused.hint


def test_one_place_at_a_time(runner: CliRunner) -> None:
    assert isinstance(runner.invoke(cli, [*INSTALL, "--system", "--dir", "x"]).exception, UsageError)


def test_doctor_says_what_is_there(runner: CliRunner, plugin: Path) -> None:
    assert found(runner) == []
    ((level, message, step),) = found(runner, DOCKER_CONTENT_TRUST="1")
    assert (level, step) == ("note", "trustkit install docker-plugin")
    assert "ignores" in message
    runner.invoke(cli, INSTALL)
    assert found(runner, DOCKER_CONTENT_TRUST="1") == [("fine", f"{plugin} is there.", "")]


def test_doctor_says_that_its_python_is_gone(runner: CliRunner, plugin: Path, tmp_path: Path) -> None:
    runner.invoke(cli, INSTALL)
    lines = plugin.read_text().splitlines()
    gone = tmp_path / "a venv" / "python"
    plugin.write_text("\n".join([*lines[:-1], f"exec '{gone}' -EPc x"]))
    ((level, message, step),) = found(runner)
    assert (level, bool(step)) == ("bad", True)
    assert str(gone) in message
    plugin.write_text("\n".join([*lines[:-1], "exec 'open"]))
    assert found(runner) == [("fine", f"{plugin} is there.", "")]
