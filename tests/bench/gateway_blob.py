"""A large blob through the gateway from docker-registry, against the same blob straight from docker-registry.

    python -m tests.bench.gateway_blob [--mebibytes 1024] [--runs 5]

The two downloads take turns.  Prints the median MB/s of each and how much the service's memory grew; the last line is
``ratio N``, gateway over direct.  Needs docker-registry (Debian: docker-registry).
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import free_port
from tests.service import RunningService

PIECE = bytes(range(256)) * 4096
REPOSITORY = "bench/blob"


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """A docker-registry on loopback: HOST:PORT."""
    address = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": address},
    }
    (folder / "registry.json").write_text(json.dumps(config))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", folder / "registry.json"], stdout=log, stderr=log)
    try:
        _await(address)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _await(address: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            return http.client.HTTPConnection(address, timeout=2).connect()
        except OSError:
            if time.monotonic() > end:
                raise SystemExit("docker-registry did not start") from None
            time.sleep(0.1)


def upload(address: str, mebibytes: int) -> str:
    """Puts a blob of so many mebibytes straight into the registry; its digest."""
    digest = hashlib.sha256()
    for _ in range(mebibytes):
        digest.update(PIECE)
    name = f"sha256:{digest.hexdigest()}"
    connection = http.client.HTTPConnection(address, timeout=300)
    connection.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    answer = connection.getresponse()
    answer.read()
    location = answer.headers["Location"].removeprefix(f"http://{address}")
    body = (PIECE for _ in range(mebibytes))
    length = {"Content-Length": str(len(PIECE) * mebibytes)}
    connection.request("PUT", f"{location}&digest={name}", body=body, headers=length)
    answer = connection.getresponse()
    if answer.status != 201:
        raise SystemExit(f"upload failed: {answer.status} {answer.read()[:300]!r}")
    return name


def megabytes_a_second(address: str, digest: str, size: int, headers: dict[str, str]) -> float:
    """Downloads the blob without looking at it; fails where its length is another."""
    connection = http.client.HTTPConnection(address, timeout=300)
    buffer = bytearray(1 << 20)
    began = time.perf_counter()
    connection.request("GET", f"/v2/{REPOSITORY}/blobs/{digest}", headers=headers)
    answer = connection.getresponse()
    total = 0
    while count := answer.readinto(buffer):
        total += count
    took = time.perf_counter() - began
    if answer.status != 200 or total != size:
        raise SystemExit(f"{address} answered {answer.status} with {total} of {size} bytes")
    return size / took / 1e6


def memory(pid: int, field: str) -> float:
    """MiB of a process's memory: VmRSS now, VmHWM at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    size = arguments.mebibytes << 20
    with tempfile.TemporaryDirectory() as name, docker_registry(Path(name)) as registry:
        digest = upload(registry, arguments.mebibytes)
        service = RunningService(Path(name), "--upstream", f"http://{registry}").start()
        try:
            assert service.process is not None
            carol = service.principal("carol", "AcrPull")
            token = carol.token(service.host, f"repository:{REPOSITORY}:pull")
            headers = {"Authorization": f"Bearer {token}"}
            Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")  # forget the peak of the login's argon2
            before = memory(service.process.pid, "VmRSS")
            direct, through = [], []
            for _ in range(arguments.runs):
                direct.append(megabytes_a_second(registry, digest, size, {}))
                through.append(megabytes_a_second(service.host, digest, size, headers))
            grown = memory(service.process.pid, "VmHWM") - before
        finally:
            service.stop()
    print(f"direct: median {statistics.median(direct):.0f} MB/s")
    print(f"gateway: median {statistics.median(through):.0f} MB/s")
    print(f"service memory: grew by {grown:.1f} MiB at its highest")
    print(f"ratio {statistics.median(through) / statistics.median(direct):.2f}")


if __name__ == "__main__":
    main()
