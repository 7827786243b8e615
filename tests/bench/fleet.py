"""Pulls by tag, through the gate, of a fleet whose collections sign more than the service keeps in memory.

    python -m tests.bench.fleet [--collections 200] [--tags 100] [--pulls 2000] [--view-cache 64]

Two services have the same database and images: one with the memory that a service has unless it is told otherwise,
and one with so many MiB.  One client asks each in turn for the manifest behind a tag of one repository after the
other, the same repositories in the same order.  Prints the medians, and the processor time for one pull; the last
line is ``ratio N``, the first's median over the second's.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.bench.publishers import Client, images, processor_seconds
from tests.service import Person, RunningService
from trustkit.core.manifests import OCI_MANIFEST

TAG = "v7"


@dataclass
class Side:
    """One service, and what it took."""

    name: str
    service: RunningService
    took: list[float] = field(default_factory=list)
    processor: float = 0.0

    def pull(self, path: str, token: str) -> None:
        """One GET of a manifest, which has to be answered with 200."""
        connection = http.client.HTTPConnection(self.service.host, timeout=60)
        headers = {"Authorization": f"Bearer {token}", "Accept": OCI_MANIFEST}
        began = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        self.took.append(time.perf_counter() - began)
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status}")

    def tell(self) -> float:
        """Prints and returns the median."""
        median = statistics.median(self.took) * 1000
        processor = self.processor / len(self.took) * 1000
        print(f"{self.name}: median {median:.2f} ms, {processor:.2f} ms of the service's processor time each")
        return median


def names(count: int) -> list[str]:
    """The repositories."""
    return [f"fleet/app{number}" for number in range(count)]


def publish(service: RunningService, alice: Person, name: str, tags: int) -> None:
    """A collection that signs so many tags from its first state on, and the image of one of them."""
    token = alice.token(service.host, f"repository:{name}:pull,push,sign")
    client = Client(f"{service.host}/{name}", token)
    connection = client.connect()
    client.publish([client.founding(connection, dict(islice(images(), tags)))])
    image = next(image for tag, image in images() if str(tag) == TAG)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": OCI_MANIFEST}
    connection.request("PUT", f"/v2/{name}/manifests/{image.digest}", image.data, headers)
    answer = connection.getresponse()
    if answer.status != 201:
        raise SystemExit(f"{name}: {answer.status} {answer.read()[:300]!r}")


def measure(sides: Sequence[Side], alice: Person, repositories: Sequence[str], pulls: int) -> None:
    """Asks all of them in turn."""
    host = sides[0].service.host
    tokens = {name: alice.token(host, f"repository:{name}:pull") for name in repositories}
    for warm in (True, False):
        for side in sides:
            assert side.service.process is not None
            side.took, side.processor = [], -processor_seconds(side.service.process.pid)
        for number in range(len(repositories) if warm else pulls):
            name = repositories[number % len(repositories)]
            for side in sides if number % 2 else reversed(sides):
                side.pull(f"/v2/{name}/manifests/{TAG}", tokens[name])
        for side in sides:
            assert side.service.process is not None
            side.processor += processor_seconds(side.service.process.pid)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", type=int, default=200)
    parser.add_argument("--tags", type=int, default=100)
    parser.add_argument("--pulls", type=int, default=2000)
    parser.add_argument("--view-cache", type=int, default=64)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        first = RunningService(folder, "--trust-only").start()
        stack.callback(first.stop)
        size = str(arguments.view_cache)
        other = RunningService(folder, "--trust-only", "--public-name", first.host, "--view-cache", size).start()
        stack.callback(other.stop)
        alice = first.principal("alice", "AcrPush", "AcrImageSigner")
        repositories = names(arguments.collections)
        for name in repositories:
            publish(first, alice, name, arguments.tags)
        sides = [Side("as it is", first), Side(f"--view-cache {size}", other)]
        measure(sides, alice, repositories, arguments.pulls)
    usual, larger = (side.tell() for side in sides)
    print(f"ratio {usual / larger:.2f}")


if __name__ == "__main__":
    main()
