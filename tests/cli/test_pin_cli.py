"""``trustkit pin``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root

from trustkit.cli.app import cli
from trustkit.core.formats import tuf1
from trustkit.errors import Conflict, InvalidSetting, NotFound, UsageError

KEY, OTHER = "a" * 64, "b" * 64
APP = "registry.example/app"


@pytest.fixture
def runner(tmp_path: Path) -> CliRunner:
    return CliRunner(env={"TRUSTKIT_HOME": str(tmp_path / "home")})


def root_file(folder: Path, *guns: str) -> tuple[Path, str]:
    """A signed root that names these GUNs, and the id of its root key."""
    signer = CryptoSigner.generate_ed25519()
    root = Root(expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=9))
    for role in ("root", "targets", "snapshot", "timestamp"):
        root.add_key((signer if role == "root" else CryptoSigner.generate_ed25519()).public_key, role)
    root.consistent_snapshot = True
    root.unrecognized_fields[tuf1.GUNS] = list(guns)
    path = folder / "root.json"
    path.write_bytes(tuf1.sign(root, {signer.public_key.keyid: signer}))
    return path, signer.public_key.keyid


def listed(runner: CliRunner) -> list[dict[str, object]]:
    value: list[dict[str, object]] = json.loads(runner.invoke(cli, ["pin", "list", "--format", "json"]).stdout)
    return value


def test_key_pins_are_added_listed_and_removed(runner: CliRunner) -> None:
    assert "Nothing is pinned." in runner.invoke(cli, ["pin", "list"]).stderr
    result = runner.invoke(cli, ["pin", "add", "registry.example/*", "--root-key", KEY, "--root-key", OTHER])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 of 2 root keys" in result.stderr
    assert listed(runner) == [
        {
            "pattern": "registry.example/*",
            "format": "tuf",
            "kind": "root-keys",
            "root_keys": [KEY, OTHER],
            "threshold": 2,
        }
    ]
    assert "registry.example/*" in runner.invoke(cli, ["pin", "list"]).stdout
    assert runner.invoke(cli, ["pin", "remove", "registry.example/*"]).exit_code == 0
    assert listed(runner) == []
    assert isinstance(runner.invoke(cli, ["pin", "remove", "registry.example/*"]).exception, NotFound)


def test_a_root_file_is_pinned_with_its_keys_shown(runner: CliRunner, tmp_path: Path) -> None:
    path, key = root_file(tmp_path, APP)
    result = runner.invoke(cli, ["pin", "add", APP, "--root", str(path)])
    assert result.exit_code == 0, result.exception
    assert key in result.stderr
    assert listed(runner) == [{"pattern": APP, "format": "tuf", "kind": "root", "root_keys": [key], "threshold": 0}]


def test_a_root_file_of_another_collection_is_refused(runner: CliRunner, tmp_path: Path) -> None:
    path, _ = root_file(tmp_path, "registry.example/other")
    result = runner.invoke(cli, ["pin", "add", APP, "--root", str(path)])
    assert isinstance(result.exception, UsageError)
    assert "registry.example/other" in str(result.exception)


@pytest.mark.parametrize("data", [b"", b"{}", b"<html>", b'{"signed":{},"signatures":[]}'])
def test_a_file_that_is_no_root(runner: CliRunner, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    result = runner.invoke(cli, ["pin", "add", APP, "--root", str(tmp_path / "x")])
    assert isinstance(result.exception, UsageError)
    assert "is not a root file" in str(result.exception)


def test_a_pattern_needs_keys(runner: CliRunner, tmp_path: Path) -> None:
    path, _ = root_file(tmp_path, APP)
    result = runner.invoke(cli, ["pin", "add", "registry.example/*", "--root", str(path)])
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize("arguments", [[], ["--root-key", KEY, "--threshold", "2"], ["--root-key", "short"]])
def test_pins_that_cant_be_met(runner: CliRunner, arguments: list[str]) -> None:
    result = runner.invoke(cli, ["pin", "add", APP, *arguments])
    assert isinstance(result.exception, UsageError | InvalidSetting)


def test_another_root_needs_replace(runner: CliRunner) -> None:
    runner.invoke(cli, ["pin", "add", APP, "--root-key", KEY])
    assert isinstance(runner.invoke(cli, ["pin", "add", APP, "--root-key", OTHER]).exception, Conflict)
    assert runner.invoke(cli, ["pin", "add", APP, "--root-key", OTHER, "--replace"]).exit_code == 0
    assert listed(runner)[0]["root_keys"] == [OTHER]
