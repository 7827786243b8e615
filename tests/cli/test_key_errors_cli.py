"""The bad days of keys, as a signer sees them: three errors that differ, and files that others can reach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.people import service
from tests.service import PASSPHRASE, Person, Result, RunningService
from trustkit.core.names import SignerName
from trustkit.core.ports.keys import KeyRole
from trustkit.keys import private
from trustkit.keys.keyfile import KeyFile

__all__ = ["service"]


@pytest.fixture(scope="module")
def alice(service: RunningService) -> Person:
    """Has signed ``app:v1``."""
    person = service.principal("alice", "AcrPush", "AcrImageSigner", "AcrPull")
    person.push(f"{service.host}/app:v1")
    assert person("sign", f"{service.host}/app:v1").status == 0
    return person


@pytest.fixture
def key_file(alice: Person) -> Iterator[Path]:
    """Alice's repository key; as it was again after the test."""
    keys = json.loads(alice("key", "list", "--format", "json").out)
    path = folder(alice) / f"{next(key['id'] for key in keys if key['role'] == 'repository')}.pem"
    data = path.read_bytes()
    yield path
    folder(alice).chmod(0o700)
    path.unlink(missing_ok=True)
    private.write_new(path, data)


def folder(person: Person) -> Path:
    return person.home / "trustkit" / "keys"


def sign(service: RunningService, alice: Person, **environ: str) -> Result:
    done = alice("sign", f"{service.host}/app:v1", environ=environ)
    assert done.out == ""
    return done


def relabel(path: Path) -> None:
    """Keeps the repository key as a signer's."""
    opened = KeyFile.parse(path.read_bytes()).open(PASSPHRASE.encode())
    sealed = KeyFile.seal(opened, PASSPHRASE.encode(), role=KeyRole.SIGNER, name=SignerName.parse("alice"))
    private.replace(path, sealed.render())


def test_three_errors_that_name_key_role_and_folder(service: RunningService, alice: Person, key_file: Path) -> None:
    short, place = key_file.stem[:8], str(folder(alice))
    wrong = sign(service, alice, TRUSTKIT_REPOSITORY_PASSPHRASE="not this one")
    relabel(key_file)
    other = sign(service, alice)
    key_file.unlink()
    missing = sign(service, alice)
    assert [(done.status, done.slug) for done in (wrong, other, missing)] == [
        (6, "wrong-passphrase"),
        (6, "wrong-key-role"),
        (6, "key-missing"),
    ]
    assert "The passphrase from the environment variable TRUSTKIT_REPOSITORY_PASSPHRASE doesn't open" in wrong.err
    assert f"the repository key of {service.host}/app (id {short})" in wrong.err
    assert "is kept as a signer key" in other.err
    for done in (wrong, other, missing):
        assert short in done.err
        assert place in done.err
    assert all("targets" in done.err for done in (other, missing))


def test_a_key_file_that_others_may_read(service: RunningService, alice: Person, key_file: Path) -> None:
    key_file.chmod(0o640)
    refused = sign(service, alice)
    assert (refused.status, refused.slug) == (6, "key-file-invalid")
    assert f"chmod 600 {key_file}" in refused.err
    assert "(mode 0640); it is not read" in refused.err


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_key_folder_that_others_may_write_to(alice: Person, key_file: Path, mode: int) -> None:
    key_file.parent.chmod(mode)
    refused = alice("key", "generate", "--role", "root")
    assert (refused.status, refused.slug, refused.out) == (1, "state", "")
    assert "chmod" in refused.err
    assert str(key_file.parent) in refused.err


@pytest.mark.parametrize("role", [["root"], ["signer", "--name", "alice"]])
def test_an_import_for_another_role_than_the_file_says(
    alice: Person, key_file: Path, tmp_path: Path, role: list[str]
) -> None:
    bob = Person("bob", tmp_path)
    refused = bob("key", "import", str(key_file), "--role", *role)
    assert (refused.status, refused.slug) == (6, "wrong-key-role")
    assert f"The key in {key_file} is a repository key, and not a {role[0]} key" in refused.err
    assert json.loads(bob("key", "list", "--format", "json").out) == []
    assert bob("key", "import", str(key_file)).status == 0


def test_no_process_may_write_more(tmp_path: Path) -> None:
    """A quota, where no disk can be mounted: what doesn't fit leaves nothing."""
    bob = Person("bob", tmp_path)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
        "sys.argv = ['trustkit', 'key', 'generate', '--role', 'root']; from trustkit.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **bob.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "can't be written" in done.stderr
    assert "[state]" in done.stderr
    assert list(folder(bob).iterdir()) == []
