"""The throw-away keys load, open, and are what their README says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trustkit.core.ports.keys import KeyRole
from trustkit.keys.keypairs import public_pem
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.store import FileKeyStore

EXAMPLE = Path(__file__).parents[2] / "keys-example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A private copy, as the README tells to make one: a checkout doesn't keep 0600."""
    copy = tmp_path / "keys"
    shutil.copytree(EXAMPLE / "keys", copy)
    copy.chmod(0o700)
    for path in copy.glob("*.pem"):
        path.chmod(0o600)
    return copy


def test_each_key_loads_and_signs(folder: Path) -> None:
    store = FileKeyStore(folder, PassphraseSource(environ={}, file=EXAMPLE / "passphrase.txt"))
    found = store.list()
    assert [info.role for info in found] == [KeyRole.ROOT, KeyRole.REPOSITORY, KeyRole.SIGNER]
    assert [str(info.gun or info.name or "") for info in found] == ["", "registry.example.com/app", "alice"]
    for info in found:
        info.public.verify_signature(store.unlock(info).sign(b"payload"), b"payload")


def test_openssl_opens_each_key(folder: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    for info in FileKeyStore(folder, PassphraseSource(environ={})).list():
        command = [openssl, "pkey", "-in", str(folder / f"{info.id}.pem"), "-passin", "pass:not-a-secret", "-pubout"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == public_pem(info.public)


def test_the_readme_says_what_was_run_and_warns() -> None:
    readme = (EXAMPLE / "README.md").read_text()
    script = (EXAMPLE / "make.sh").read_text()
    commands = [line.removeprefix("run ") for line in script.splitlines() if line.startswith("run trustkit key gen")]
    assert len(commands) == 3
    assert all(command in readme for command in commands)
    assert (EXAMPLE / "passphrase.txt").read_text() in readme
    assert "Never use these keys" in readme


def test_the_script_makes_three_keys(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "make.sh", tmp_path)
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # where pip puts trustkit
    environ = {**os.environ, "PATH": beside}
    done = subprocess.run([tmp_path / "make.sh"], capture_output=True, text=True, check=True, env=environ)
    assert len(list((tmp_path / "keys").glob("*.pem"))) == 3
    assert done.stdout.count("+ trustkit key generate") == 3
    assert subprocess.run([tmp_path / "make.sh"], capture_output=True, check=False, env=environ).returncode == 1
