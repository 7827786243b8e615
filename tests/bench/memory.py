"""Memory of one ``trustkit serve`` that has ten thousand collections, under everything that comes to it in an hour.

    python -m tests.bench.memory [--collections 10000] [--minutes 5] [--postgresql] [--keep FOLDER] [--out FILE]

The collections, of both formats, are made first (see ``tests.bench.memory_made``); ``--keep`` keeps them for another
time.  Four processes then ask for whatever there is, as fast as they are answered (``tests.bench.memory_load``), and
the service renews every timestamp meanwhile, since all are a day old.  It is a service as it comes: TLS, trust-only,
with metrics, behind a proxy whose word is taken for where clients come from.  Every two seconds what it takes is
read: all of its memory that is resident (RSS), and what is its own alone (USS).  The last lines are where it began,
where it was at most and at the end, how it grew in the last half, and ``peak N MiB``.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.bench.memory_load import Load
from tests.bench.memory_made import NAME, Made, make
from tests.bench.publishers import processor_seconds
from tests.conftest import free_port
from tests.postgres import Postgres, binaries
from tests.service import RunningService
from tests.simulator import DAY, LIFE
from trustkit.server.database import DatabaseSource

SPAWN = get_context("spawn")
CLIENTS = 4
EVERY_SECONDS = 2.0
FLOOR_SECONDS = 30.0
KINDS = (
    *("timestamp", "files", "notary", "token", "made-up", "refused", "push", "pull", "publish", "changefeed", "tags"),
    *("login", "principal", "catalog", "blob"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process takes at a moment, in MiB, so many seconds after the load began."""

    seconds: float
    rss: float
    uss: float


@dataclass
class Measured:
    """A run.

    Attributes:
        done: how often each kind was asked for.
        renewed: how many collections got a new timestamp meanwhile.
        read_cache: MiB that files and answers took at the end, as the service says.
    """

    collections: int
    database: str
    samples: list[Sample] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    renewed: int = 0
    processor: float = 0.0
    read_cache: float = 0.0

    def slope(self) -> float:
        """MiB a minute over the last half, by least squares, of what is left between passwords that are checked."""
        least: dict[float, float] = {}
        for each in self.samples:
            if each.seconds >= self.samples[-1].seconds / 2:
                moment = each.seconds // FLOOR_SECONDS * FLOOR_SECONDS / 60
                least[moment] = min(each.rss, least.get(moment, each.rss))
        return statistics.linear_regression(list(least), list(least.values())).slope

    @property
    def peak(self) -> float:
        """MiB at most, RSS."""
        return max(each.rss for each in self.samples)


def sample(pid: int, seconds: float) -> Sample:
    """Reads ``smaps_rollup`` (proc(5))."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) / 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    return Sample(seconds, found["Rss"], found["Private_Clean"] + found["Private_Dirty"])


def _client(made: Made, port: int, place: int, seconds: float, counts: Any, url: str | None) -> None:
    def count(kind: str) -> None:
        counts[place * len(KINDS) + KINDS.index(kind)] += 1

    Load(made, port, place, CLIENTS, url).run(time.monotonic() + seconds, count)


def told(port: int) -> dict[str, float]:
    """Sums of the service's own counters, as Prometheus would ask for them; /readyz is asked beside."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    sums: dict[str, float] = {}
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? ([0-9.e+-]+)$", connection.getresponse().read().decode(), re.M):
        sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def measure(made: Made, folder: Path, minutes: float, database: Sequence[str], environ: dict[str, str]) -> Measured:
    """Serves a copy of what was made, under load."""
    metrics, at = free_port(), Path(shutil.copytree(made.data, folder / "service"))
    if database:
        _copied(at, database[1])
    flags = ["--tls-cert", str(made.folder / "server.crt"), "--tls-key", str(made.folder / "tls.key")]
    flags += ["--public-name", NAME, "--trusted-proxy", "127.0.0.1", "--trust-only"]
    service = RunningService(folder, *flags, "--metrics", f"127.0.0.1:{metrics}", *database, environ=environ).start()
    found = Measured(made.collections, "postgresql" if database else "sqlite")
    try:
        assert service.process is not None
        _watch(Made(folder, made.collections), made, service, metrics, minutes * 60, found, database)
    finally:
        service.stop()
    return found


def _watch(
    there: Made,
    made: Made,
    service: RunningService,
    metrics: int,
    seconds: float,
    found: Measured,
    database: Sequence[str],
) -> None:
    assert service.process is not None
    pid, counts = service.process.pid, SPAWN.Array("q", CLIENTS * len(KINDS))
    for name in ("server.crt", "refresh.json", "next"):
        (there.folder / name).symlink_to((made.folder / name).absolute())
    url = database[1] if database else None
    clients = [
        SPAWN.Process(target=_client, args=(there, service.port, place, seconds, counts, url), daemon=True)
        for place in range(CLIENTS)
    ]
    found.samples.append(sample(pid, 0.0))
    before, spent, began = told(metrics), processor_seconds(pid), time.monotonic()
    for client in clients:
        client.start()
    turn = 0
    while any(client.is_alive() for client in clients):
        time.sleep(EVERY_SECONDS)
        found.samples.append(sample(pid, time.monotonic() - began))
        turn += 1
        if turn % 8 == 0:
            told(metrics)
        if any(client.exitcode for client in clients):
            raise SystemExit(f"a client failed; the service said: {service.log.read_text()[-2000:]}")
    after = told(metrics)
    found.processor = processor_seconds(pid) - spent
    found.read_cache = after["trustkit_read_cache_bytes"] / 2**20
    found.renewed = made.collections - asyncio.run(_due(there, url))
    found.requests = round(after["trustkit_requests_total"] - before.get("trustkit_requests_total", 0))
    found.done = {kind: sum(counts[place :: len(KINDS)]) for place, kind in enumerate(KINDS)}


async def _due(there: Made, url: str | None) -> int:
    """How many timestamps are as old as they were."""
    store = await DatabaseSource(url).of(there.data).open()
    try:
        async with store.read() as tx:
            before = datetime.now(UTC) + LIFE.default["timestamp"] - DAY
            return len(await tx.collections.expiring(role="timestamp", before=before))
    finally:
        await store.close()


def _copied(data: Path, url: str) -> None:
    """Has PostgreSQL hold what the file held, by the commands for it; what was kept may be of an older version."""
    for verb, *flags in (
        ("upgrade", "--data-dir", str(data)),
        ("copy", "--from", f"sqlite:///{data / 'trustkit.db'}", "--to", url),
    ):
        command = [sys.executable, "-m", "trustkit", "db", verb, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)


def _postgresql(stack: ExitStack) -> list[str]:
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed (Debian: apt install postgresql)")
    server = Postgres(programs)
    stack.callback(server.close)
    return ["--database", server.empty()]


def tell(found: Measured) -> None:
    """Prints it."""
    last = found.samples[-1]
    print(
        f"{found.collections} collections on {found.database}: {found.requests} requests in {last.seconds:.0f} s, "
        f"{found.processor / last.seconds * 100:.0f} % of a core, {found.renewed} timestamps anew"
    )
    print(", ".join(f"{kind} {count}" for kind, count in found.done.items()))
    for name, each in (("start", found.samples[0]), ("end", last)):
        print(f"{name} {each.rss:.0f} MiB, of which its own {each.uss:.0f}")
    print(f"read cache {found.read_cache:.1f} MiB")
    print(f"slope {found.slope():+.1f} MiB a minute over the last half")
    print(f"peak {found.peak:.0f} MiB")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="For the service.")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = make(arguments.keep or folder / "made", arguments.collections)
        database = _postgresql(stack) if arguments.postgresql else []
        environ = dict(pair.split("=", 1) for pair in arguments.env)
        (folder / "run").mkdir()
        found = measure(made, folder / "run", arguments.minutes, database, environ)
    if arguments.out:
        arguments.out.write_text(json.dumps({**asdict(found), "peak": found.peak, "slope": found.slope()}) + "\n")
    tell(found)


if __name__ == "__main__":
    main()
