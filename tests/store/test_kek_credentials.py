"""A key-encryption key that a supervisor hands over: where nothing can be written, and by an access control list."""

from __future__ import annotations

import base64
import os
import secrets
import struct
from pathlib import Path

import pytest

from trustkit.errors import StateError
from trustkit.store.kek import load_kek

US, NOBODY, OTHERS = os.geteuid(), 65534, 2**32 - 1
OWNER, USER, GROUP_OWNER, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
SYSTEMD = [(OWNER, 4, OTHERS), (USER, 4, US), (GROUP_OWNER, 0, OTHERS), (MASK, 4, OTHERS), (OTHER, 0, OTHERS)]
"""What systemd 254 writes for ``LoadCredential=``; ``ls -l`` shows ``-r--r-----+``."""


@pytest.fixture
def kek(tmp_path: Path) -> Path:
    path = tmp_path / "credentials" / "kek"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n")
    path.chmod(0o400)
    return path


def with_list(path: Path, entries: list[tuple[int, int, int]]) -> None:
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", data)


def test_a_list_that_lets_in_this_user_alone_is_taken(kek: Path) -> None:
    with_list(kek, SYSTEMD)
    assert kek.stat().st_mode & 0o777 == 0o440
    assert len(load_kek(kek, create=False)) == 32


@pytest.mark.parametrize(
    "entry",
    [(USER, 4, NOBODY), (GROUP_OWNER, 4, OTHERS), (GROUP, 4, NOBODY), (OTHER, 4, OTHERS), (USER, 2, NOBODY)],
    ids=["a user", "the group", "a group", "everybody", "a writer"],
)
def test_a_list_that_lets_in_anybody_else_is_refused(kek: Path, entry: tuple[int, int, int]) -> None:
    rest = [each for each in SYSTEMD if each[0] != entry[0] or entry[0] in (USER, GROUP)]
    with_list(kek, sorted([*rest, entry]))
    with pytest.raises(StateError, match="can be read by others"):
        load_kek(kek, create=False)


def test_without_a_list_the_group_is_refused(kek: Path) -> None:
    kek.chmod(0o440)
    with pytest.raises(StateError, match="can be read by others"):
        load_kek(kek, create=False)


def test_nothing_is_written_beside_a_key_that_is_there(kek: Path) -> None:
    load_kek(kek)
    assert list(kek.parent.iterdir()) == [kek]
