"""A wire that is cut while a replica holds a lock: neither side is told, and both notice (network namespaces)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Need
from tests.postgres import PASSWORD, USER, Postgres, binaries, name_of
from trustkit.core.names import Gun
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.session import Patience
from trustkit.store.postgres.store import PostgresStore

pytestmark = pytest.mark.slow
"""Not ``real``: where no namespace may be made it skips for good, and a relay that goes silent stands for it."""
APP = Gun.parse("registry.example.com/app")
SECONDS = 20.0
"""Keepalives find out after 11 seconds; a machine that is busy gets some more."""

FAR = """
import asyncio, sys, time
from trustkit.core.names import Gun
from trustkit.errors import TrustkitError
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.store import PostgresStore

async def main():
    store = await PostgresStore.open(Address.parse(sys.argv[1], unsafe_plain=True))
    try:
        async with store.write(Gun.parse("registry.example.com/app")) as tx:
            await tx.settings.put("who", "far")
            print("held", flush=True)
            sys.stdin.readline()
            began = time.monotonic()
            await tx.settings.put("who", "far, cut off")
    except TrustkitError as error:
        print(error.slug, round(time.monotonic() - began), flush=True)

asyncio.run(main())
"""


@dataclass(frozen=True)
class Wire:
    """A namespace with one wire to us."""

    ip: Path
    name: str
    near: str

    @property
    def near_end(self) -> str:
        return f"{self.name}a"

    def run(self, *arguments: str) -> None:
        done = subprocess.run([self.ip, *arguments], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise OSError(done.stderr.strip() or "ip failed")

    @property
    def far(self) -> str:
        return f"{self.near.rpartition('.')[0]}.2"

    def cut(self) -> None:
        """Both sides send to a neighbour that there isn't, as over a switch that is gone."""
        nobody = ("lladdr", "02:00:00:00:00:01", "nud", "permanent")
        self.run("neigh", "replace", self.far, *nobody, "dev", self.near_end)
        self.run("-n", self.name, "neigh", "replace", self.near, *nobody, "dev", f"{self.name}b")


@pytest.fixture
def wire(need: Need) -> Iterator[Wire]:
    ip, number = need("ip", "iproute2"), os.getpid() % 250
    made = Wire(ip, f"tk{os.getpid() % 100000}", f"10.213.{number}.1")
    far_end = f"{made.name}b"
    try:
        made.run("netns", "add", made.name)
        made.run("link", "add", made.near_end, "type", "veth", "peer", "name", far_end, "netns", made.name)
        made.run("addr", "add", f"{made.near}/24", "dev", made.near_end)
        made.run("link", "set", made.near_end, "up")
        made.run("-n", made.name, "addr", "add", f"{made.far}/24", "dev", far_end)
        made.run("-n", made.name, "link", "set", far_end, "up")
    except OSError as error:
        _gone(made)
        pytest.skip(f"no network namespace can be made here: {error}")
    yield made
    _gone(made)


def _gone(wire: Wire) -> None:
    for arguments in (("link", "del", wire.near_end), ("netns", "del", wire.name)):
        with suppress(OSError):
            wire.run(*arguments)


@pytest.fixture
def server(wire: Wire) -> Iterator[Postgres]:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    made = Postgres(programs)
    made.stop()
    made.listen_on(wire.near)
    made.start()
    yield made
    made.close()


def test_a_lock_that_is_held_over_a_cut_wire_is_free_again(wire: Wire, server: Postgres, tmp_path: Path) -> None:
    near = server.database()
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"*:*:*:{USER}:{PASSWORD}\n", encoding="ascii")
    passwords.chmod(0o600)
    far = f"postgresql://{USER}@{wire.near}:{server.port}/{name_of(near)}?sslmode=disable&passfile={passwords}"
    process = subprocess.Popen(
        [wire.ip, "netns", "exec", wire.name, sys.executable, "-c", FAR, far],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    wire.cut()
    process.stdin.write("\n")
    process.stdin.flush()

    async def body() -> float:
        store = await PostgresStore.open(Address.parse(near), Patience(locks=SECONDS))
        began = time.monotonic()
        async with store.write(APP) as tx:
            assert await tx.settings.get("who") is None
            await tx.settings.put("who", "near")
        await store.close()
        return time.monotonic() - began

    waited = asyncio.run(body())
    assert waited < SECONDS
    slug, seconds = process.stdout.readline().split()
    assert slug == "database-unavailable"
    assert int(seconds) < SECONDS
    process.wait(30)
    assert server.run("SELECT value FROM settings", near) == [("near",)]
