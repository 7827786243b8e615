"""The key-encryption key's file (TRUST 8.5)."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trustkit.errors import StateError
from trustkit.store.kek import load_kek

GOOD = base64.b64encode(b"k" * 32) + b"\n"


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kek"
    first = load_kek(path)
    assert len(first) == 32
    assert load_kek(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["kek", "kek.lock"]


def test_starting_at_once_makes_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(load_kek, [tmp_path / "kek"] * 16))) == 1


def test_a_missing_one_is_not_replaced_where_something_is_sealed(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no key-encryption key"):
        load_kek(tmp_path / "kek", create=False)
    assert not (tmp_path / "kek").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o601])
def test_one_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek"
    path.write_bytes(GOOD)
    path.chmod(mode)
    with pytest.raises(StateError, match="read by others"):
        load_kek(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        GOOD[:20],
        base64.b64encode(b"k" * 31),
        base64.b64encode(b"k" * 33),
        b"!" * 44,
        b"\xff" * 44,
        GOOD * 2,
    ],
    ids=["empty", "a newline", "cut", "31 bytes", "33 bytes", "no base64", "binary", "two"],
)
def test_garbage_is_refused_and_not_shown(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "kek"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(StateError) as caught:
        load_kek(path)
    assert data.strip().decode("latin-1") not in str(caught.value) or not data.strip()


def test_a_pipe_or_a_folder_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kek", 0o600)
    with pytest.raises(StateError, match="regular"):
        load_kek(tmp_path / "kek")
    (tmp_path / "dir").mkdir(mode=0o700)
    with pytest.raises(StateError):
        load_kek(tmp_path / "dir")
