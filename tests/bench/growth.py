"""Signing one more tag, and verifying one, in collections of different sizes, on one service.

    python -m tests.bench.growth [--tags 100 --tags 100000] [--runs 9] [--out growth.json]

Each collection is made in one publish, and turns into hash bins where it has too many tags.  Then one tag after
the other is signed in each of them in turn, by a client of its own with a warm cache: the image is looked up, the
state is read, signed, published and read back.  Every byte goes through a relay that counts, in a process of its own.
A tag is verified likewise.  With each time stands the client's processor time, which busy cores change less.  The
last two lines are ``verify ratio N`` and ``ratio N``: the median in the largest collection over the one in the
smallest.  What ``--out`` writes is drawn by ``tests.bench.growth_plot``.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.e2e.registry_view import Own
from tests.service import Person, RunningService
from trustkit.cli.context import Context
from trustkit.cli.publishing import signing_with, tuf_publisher
from trustkit.client.change import Change
from trustkit.client.resolve import Resolved
from trustkit.core.manifests import OCI_MANIFEST
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.remote import trust

SPAWN = get_context("spawn")


class Relay:
    """Hands on what comes to a port of its own, and counts the bytes of both ways."""

    def __init__(self) -> None:
        self._to, self._counted = SPAWN.Value("i", 0), SPAWN.Value("q", 0)
        port, child = SPAWN.Pipe(duplex=False)
        self._process = SPAWN.Process(target=_relay, args=(child, self._to, self._counted), daemon=True)
        self._process.start()
        self.port: int = port.recv()

    def to(self, port: int) -> None:
        """Where to."""
        self._to.value = port

    @property
    def counted(self) -> int:
        """Bytes so far."""
        time.sleep(0.05)
        return int(self._counted.value)

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.join()


def _relay(told: Any, to: Any, counted: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        told.send(server.getsockname()[1])
        while True:
            near, _ = server.accept()
            far = socket.create_connection(("127.0.0.1", to.value))
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pump, args=(source, sink, counted), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, counted: Any) -> None:
    try:
        while data := source.recv(65536):
            with counted.get_lock():
                counted.value += len(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


class Counted(RunningService):
    """A service whose public name is the relay's address."""

    def __init__(self, folder: Path, relay: Relay) -> None:
        super().__init__(folder, "--public-name", f"127.0.0.1:{relay.port}")
        self._relay = relay

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._relay.port}"

    def start(self) -> RunningService:
        super().start()
        self._relay.to(self.port)
        return self


@dataclass
class Measured:
    """Of one size: seconds and bytes, one value a run."""

    tags: int
    bins: int = 0
    making: float = 0.0
    signing: list[float] = field(default_factory=list)
    wire: list[int] = field(default_factory=list)
    verifying: list[float] = field(default_factory=list)
    signing_cpu: list[float] = field(default_factory=list)
    verifying_cpu: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        signing, verifying, signing_cpu, verifying_cpu = (
            f"{1000 * median(seconds):.1f} ms"
            for seconds in (self.signing, self.verifying, self.signing_cpu, self.verifying_cpu)
        )
        return (
            f"{self.tags:>7} tags, {self.bins:>4} bins: signing one more {signing} ({signing_cpu} of processor), at "
            f"most {max(self.wire) / 1024:.1f} KiB both ways; verifying one {verifying} ({verifying_cpu}); made in "
            f"{self.making:.1f} s"
        )


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def fresh(person: Person) -> Context:
    """A client that has its folders and nothing in memory."""
    return Context(home_flag=None, environ={**os.environ, **person.environment()})


def make(person: Person, gun: Gun, tags: int) -> float:
    """Signs so many tags in one publish; seconds."""
    images = {Tag(f"release-{number}"): _image(number) for number in range(tags - 1)}
    began = time.perf_counter()
    context = fresh(person)
    publisher = tuf_publisher(context, context.key_store())
    publisher.publish(gun, Change())
    with patch.object(trust, "PUBLISH_SECONDS", 900.0):
        publisher.publish(gun, Change(put=images))  # nobody else signs 100,000 tags at once, on busy cores
    took = time.perf_counter() - began
    fresh(person).trust().current(gun, fresh(person).now())  # all of it, so that the cache is warm
    return took


def _image(number: int) -> ManifestBytes:
    data = b'{"schemaVersion":2,"note":"%d"}' % number
    return ManifestBytes(Digest.of(data), OCI_MANIFEST, data)


def sign(person: Person, ref: ImageRef) -> float:
    """Seconds to sign one tag."""
    signing = signing_with(fresh(person))
    began = time.perf_counter()
    resolved = [found for found in signing.resolve([ref]) if isinstance(found, Resolved)]
    done = [tag for published in signing.publish(resolved) for tag in published]
    if len(done) != 1:
        raise SystemExit(f"{ref} was not signed.")
    return time.perf_counter() - began


def verify(person: Person, ref: ImageRef) -> float:
    """Seconds to verify one tag."""
    context = fresh(person)
    began = time.perf_counter()
    context.enforce().trusted(ref)
    return time.perf_counter() - began


def measure(service: Counted, relay: Relay, sizes: Sequence[int], runs: int) -> list[Measured]:
    """Each size; one run of each after the other, so that all see the same machine."""
    alice, found, digests = service.principal("alice", "AcrPush", "AcrImageSigner"), [], {}
    for size in sizes:
        own = Own(service, alice, f"bench/growth-{size}")
        alice.push(f"{own.gun}:base")
        digests[size] = own.images("base", runs + 1)
        found.append(Measured(size, making=make(alice, Gun.parse(own.gun), size)))
    for run in range(runs + 1):
        for each in found:
            ref = ImageRef.parse(f"{service.host}/bench/growth-{each.tags}:v{run}@{digests[each.tags][f'v{run}']}")
            before, used = relay.counted, time.process_time()
            seconds, signing = sign(alice, ref), time.process_time() - used
            wire, used = relay.counted - before, time.process_time()
            checked, verifying = verify(alice, ref), time.process_time() - used
            if run > 0:  # the first one fills caches
                each.signing.append(seconds)
                each.wire.append(wire)
                each.verifying.append(checked)
                each.signing_cpu.append(signing)
                each.verifying_cpu.append(verifying)
            elif not run:
                each.bins = len(fresh(alice).trust().current(ref.gun, fresh(alice).now(), tags={Tag("v0")}).view.bins)
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tags", type=int, action="append")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    sizes = sorted(set(arguments.tags or [100, 100_000]))
    relay = Relay()
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        service = Counted(Path(folder), relay)
        service.start()
        said, sys.stderr = sys.stderr, nowhere
        try:
            found = measure(service, relay, sizes, arguments.runs)
        finally:
            sys.stderr = said
            service.stop()
            relay.stop()
    for each in found:
        print(each)
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    for words, of in {"verify": "verifying_cpu", "sign": "signing_cpu"}.items():
        print(f"{words} ratio of processor time {median(getattr(found[-1], of)) / median(getattr(found[0], of)):.2f}")
    print(f"verify ratio {median(found[-1].verifying) / median(found[0].verifying):.2f}")
    print(f"ratio {median(found[-1].signing) / median(found[0].signing):.2f}")


if __name__ == "__main__":
    main()
