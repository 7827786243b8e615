"""Packed answers: whole, bounded, or refused."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustkit.errors import Garbage
from trustkit.remote.inflate import unpacked

GARBAGE = {
    "nothing": b"",
    "no gzip": b'{"signed":{}}',
    "an end missing": gzip.compress(b"abc" * 1000, mtime=0)[:-4],
    "something after it": gzip.compress(b"abc", mtime=0) + b"x",
    "two of them": gzip.compress(b"abc", mtime=0) * 2,
    "a wrong sum": gzip.compress(b"abc", mtime=0)[:-8] + b"\0" * 8,
}


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@given(st.binary(max_size=300_000), st.integers(1, 70_000))
def test_what_was_packed_comes_out_however_it_is_cut(data: bytes, size: int) -> None:
    assert b"".join(unpacked(cut(gzip.compress(data), size), "host")) == data


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 131_072, 1 << 20])
def test_pieces_end_where_they_may(length: int) -> None:
    assert b"".join(unpacked([gzip.compress(b"a" * length)], "host")) == b"a" * length


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("size", [1, 1000])
def test_anything_else_is_garbage(answer: bytes, size: int) -> None:
    with pytest.raises(Garbage):
        list(unpacked(cut(answer, size), "host"))


BOMB = """
import gzip, tracemalloc
from trustkit.remote.inflate import unpacked

bomb = gzip.compress(bytes(256 << 20), 1)
tracemalloc.start()
pieces = unpacked((bomb[at : at + 65_536] for at in range(0, len(bomb), 65_536)), "host")
assert sum(len(next(pieces)) for _ in range(40)) <= 40 * 65_536
print(tracemalloc.get_traced_memory()[1])
"""


def test_a_bomb_is_never_whole_in_memory() -> None:
    """In a process of its own: what is counted is what all threads of a process take."""
    done = subprocess.run([sys.executable, "-c", BOMB], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 << 20
