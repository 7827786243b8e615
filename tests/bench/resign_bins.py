"""How long others wait while all hash bins of a large collection are signed anew, as after a rotation of its key.

    python -m tests.bench.resign_bins [--tags 100000]

One person rotates the repository key of the large collection.  Another one publishes to a small collection of its
own meanwhile, again and again, and before that for as long as nothing else goes on.  The last line is ``longest N``:
the seconds that the slowest of those publishes took at the service, from its request to the answer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.bench.growth import fresh, make
from tests.service import Person, RunningService
from trustkit.cli.publishing import tuf_publisher
from trustkit.client.change import Change
from trustkit.core.manifests import OCI_MANIFEST
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.remote.trust import HttpTrustService

BEFORE = 20
"""Publishes while nothing else goes on."""


class Publishing:
    """Publishes one tag after the other, and notes how long the service takes for each."""

    def __init__(self, person: Person, gun: Gun) -> None:
        context = fresh(person)
        self._publisher = tuf_publisher(context, context.key_store())
        self._gun = gun
        self._count = 0
        self.took: list[float] = []

    def once(self) -> None:
        """Publishes the next tag."""
        self._count += 1
        data = b'{"schemaVersion":2,"note":"%d"}' % self._count
        image = ManifestBytes(Digest.of(data), OCI_MANIFEST, data)
        with patch.object(HttpTrustService, "publish", _timed(HttpTrustService.publish, self.took)):
            self._publisher.publish(self._gun, Change(put={Tag("latest"): image}))

    def until(self, done: threading.Event) -> None:
        """Goes on until then."""
        while not done.is_set():
            self.once()


def _timed(publish: Callable[..., Any], took: list[float]) -> Callable[..., Any]:
    def timed(self: HttpTrustService, gun: Gun, files: Mapping[str, bytes]) -> Any:
        began = time.perf_counter()
        try:
            return publish(self, gun, files)
        finally:
            took.append(time.perf_counter() - began)

    return timed


def measure(service: RunningService, tags: int) -> tuple[float, list[float], list[float]]:
    """Seconds of the rotation, and of the other's publishes before it and meanwhile."""
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    bob = service.principal("bob", "AcrPush", "AcrImageSigner")
    large = Gun.parse(f"{service.host}/bench/large")
    print(f"{tags} tags made in {make(alice, large, tags):.1f} s", file=sys.stderr)
    other, done = Publishing(bob, Gun.parse(f"{service.host}/bench/small")), threading.Event()
    for _ in range(BEFORE + 1):
        other.once()
    before, other.took = other.took[1:], []
    going_on = threading.Thread(target=other.until, args=(done,))
    going_on.start()
    began = time.perf_counter()
    rotate = ["key", "rotate", str(large), "--role", "repository", "--yes"]
    environ = {**os.environ, **alice.environment()}
    rotated = subprocess.run(
        [sys.executable, "-m", "trustkit", *rotate], env=environ, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    done.set()
    going_on.join()
    if rotated.returncode != 0:
        raise SystemExit(f"key rotate ended with {rotated.returncode}: {rotated.stderr[-500:]}")
    return took, before, other.took


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tags", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = RunningService(Path(folder))
        service.start()
        try:
            took, before, meanwhile = measure(service, arguments.tags)
        finally:
            service.stop()
    print(f"the rotation took {took:.1f} s, with what its publisher does")
    for words, each in {"before": before, "meanwhile": meanwhile}.items():
        middle = statistics.median(each)
        print(f"{len(each)} publishes of another {words}: {1000 * middle:.0f} ms, at most {1000 * max(each):.0f} ms")
    print(f"longest {max(meanwhile):.2f}")


if __name__ == "__main__":
    main()
