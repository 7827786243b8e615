"""A disk that is full while a key is written: no half of a key is left, what was there is whole, and it is said."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service import FORKS, SECONDS
from trustkit.core.ports.keys import KeyRole
from trustkit.errors import StateError
from trustkit.keys import publicfile
from trustkit.keys.store import FileKeyStore

ENVIRON = {
    "TRUSTKIT_ROOT_PASSPHRASE": "correct horse",
    "TRUSTKIT_SIGNER_PASSPHRASE": "battery staple",
    "TRUSTKIT_BACKUP_PASSPHRASE": "a passphrase of the backup",
}
ACTIONS = {
    "generate": "key generate --role signer --name ci --public-out {folder}/ci.pub",
    "import": "key import {folder}/other/{other}.pem",
    "change the passphrase": "key passwd {root} --new-passphrase-file {folder}/new",
    "export": "key export {root} -o {folder}/exported",
    "back up": "key backup --to {folder}/another.backup",
    "restore": "key restore --from {folder}/other.backup",
}


def trustkit(home: Path, command: str, *, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command; no file of it may grow over ``limit`` bytes, which a full disk looks like to whoever writes."""
    environ = {**os.environ, **ENVIRON, "TRUSTKIT_HOME": str(home)}
    if limit is None:
        return subprocess.CompletedProcess(command, *FORKS.run(command.split(), environ, "", SECONDS))

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "trustkit", *command.split()],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=full,
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with a home, another home's keys and their backup, to be copied; and the ids of the two root keys."""
    folder = tmp_path_factory.mktemp("prepared")
    second, words = folder / "second", {}
    for name, where in (("root", folder / "home"), ("other", second)):
        words[name] = trustkit(where, "key generate --role root").stdout.strip()
    assert trustkit(second, f"key backup --to {folder}/other.backup").returncode == 0
    (second / "keys").rename(folder / "other")
    (folder / "new").write_text("another passphrase")
    return folder, words


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("limit", [0, 200])
def test_nothing_is_lost_and_no_half_is_left(
    tmp_path: Path, prepared: tuple[Path, dict[str, str]], action: str, limit: int
) -> None:
    shutil.copytree(prepared[0], tmp_path, dirs_exist_ok=True)
    home, words = tmp_path / "home", {**prepared[1], "folder": str(tmp_path)}
    before = tree(tmp_path)
    done = trustkit(home, ACTIONS[action].format(**words), limit=limit)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "can't be written: File too large. [state]" in done.stderr
    assert tree(tmp_path) == before
    again = trustkit(home, ACTIONS[action].format(**words))
    assert again.returncode == 0, again.stderr


@contextmanager
def no_more_than(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_half_of_a_public_key_is_left(store: FileKeyStore, tmp_path: Path) -> None:
    info = store.generate(KeyRole.ROOT)
    with no_more_than(10), pytest.raises(StateError, match="can't be written: File too large"):
        publicfile.write(tmp_path / "root.pub", info.public)
    assert not (tmp_path / "root.pub").exists()
