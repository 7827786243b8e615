"""A process that serves gives back what it doesn't use, and looks for garbage as it comes up."""

from __future__ import annotations

import asyncio
import gc
import platform
import subprocess
import sys

import pytest

from trustkit import later
from trustkit.asgi import thrift

SERVES = """
import asyncio, gc, json, os, pathlib
from trustkit import later
from trustkit.asgi import listen, thrift

thrift.TRIM_SECONDS = 0.05
later.put_off()

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main():
    threshold, frozen = gc.get_threshold()[0], gc.get_freeze_count()
    held = [bytes(2000) for _ in range(50_000)]
    full = resident()
    held = held[::100]
    for _ in range(100):
        await asyncio.sleep(0.05)
        if resident() < full - 60_000_000:
            break
    print(json.dumps([threshold, frozen, full, resident(), len(held)]))

listen.run(main)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is free is given back by glibc's malloc_trim")
def test_what_is_free_between_what_is_kept_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SERVES], capture_output=True, text=True, timeout=60, check=True)
    threshold, frozen, full, after, kept = map(int, done.stdout.strip("[]\n").split(","))
    assert threshold == thrift.OBJECTS_BEFORE_COLLECTION < later.OBJECTS_BEFORE_COLLECTION
    assert frozen > 10_000, "what is loaded is passed by"
    assert kept == 500
    assert after < full - 60_000_000


def test_afterwards_everything_is_as_it_was() -> None:
    before = gc.get_threshold()

    async def look() -> None:
        async with thrift.thrifty():
            assert gc.get_threshold() == (thrift.OBJECTS_BEFORE_COLLECTION, *before[1:])

    asyncio.run(look())
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
