"""What a process that serves for months holds of the system's memory: what it uses, and little besides.

Python and glibc are set for programs that end soon.  What is said here is that this one goes on.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

OBJECTS_BEFORE_COLLECTION = 10_000
"""A program that ends soon looks for garbage after ten times as many (``trustkit.later``), which here is 20 MiB of
what refers to itself: exceptions with their frames, connections that ended."""
TRIM_SECONDS = 20.0
"""How often what is free is given back, a page here and there between what is kept: a few milliseconds."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
ARENAS = 1
"""glibc has up to eight heaps a core, and what one thread freed is no other's.  Here one thread does the work."""
MAPPED_BYTES = 512 * 1024
"""From so many bytes on a piece of memory is the system's again once it is freed: more than the 256 KiB that each TLS
connection has.  Unless it is said, glibc takes more the larger the pieces are that it meets, up to 32 MiB."""
TRIMMED_BYTES = 4 * 1024 * 1024


def begin() -> None:
    """Says how memory is to be had; before any thread is begun.  Nothing where the system's library isn't glibc."""
    libc = _glibc()
    if libc is None:
        return
    for parameter, value in (
        (_M_ARENA_MAX, ARENAS),
        (_M_MMAP_THRESHOLD, MAPPED_BYTES),
        (_M_TRIM_THRESHOLD, TRIMMED_BYTES),
    ):
        libc.mallopt(parameter, value)


def settle() -> None:
    """Has what is there by now stay: no later look for garbage has to pass it while clients wait."""
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def thrifty() -> AsyncIterator[None]:
    """While the block runs, garbage is looked for as it comes up, and what is free is given back.

    What is loaded by then stays; see ``settle``.
    """
    settle()
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION, *before[1:])
    trimming = asyncio.create_task(_trim())
    try:
        yield
    finally:
        trimming.cancel()
        gc.set_threshold(*before)
        gc.unfreeze()


async def _trim() -> None:
    libc = _glibc()
    while libc is not None:
        await asyncio.to_thread(libc.malloc_trim, 0)
        await asyncio.sleep(TRIM_SECONDS)


def _glibc() -> Any:
    """The system's library, with these two functions; None where it has none of them, as musl and macOS."""
    with suppress(OSError, AttributeError):
        libc: Any = ctypes.CDLL(None)
        libc.mallopt.argtypes, libc.malloc_trim.argtypes = (ctypes.c_int, ctypes.c_int), (ctypes.c_size_t,)
        return libc
    return None
