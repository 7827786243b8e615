"""Folders that are made on the way: ours alone, or another user renames what lies in them and puts theirs there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trustkit.home.files import private_folder
from trustkit.hooks import localsocket
from trustkit.keys import private
from trustkit.store import privatefile

MAKERS: dict[str, Callable[[Path], object]] = {
    "a home": private_folder,
    "a key folder": private.ensure_folder,
    "a service's data": privatefile.private_folder,
    "a helper's socket": localsocket._private,
}


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_every_folder_on_the_way_is_ours_alone(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "a" / "b" / "c")
    made = (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c")
    assert {folder.stat().st_mode & 0o777 for folder in made} == {0o700}
