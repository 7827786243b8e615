"""A signed manifest by tag through the gate, against the same tag straight from docker-registry, 50 pulls at a time.

    python -m tests.bench.gate_manifest [--seconds 5] [--rounds 5] [--connections 50]

wrk asks both in turn, with a bearer token where one is asked for.  Prints the median over the rounds of the mean and
of the median latency of each; the last line is ``extra N.NN ms``, the larger of the two differences.  Needs
docker-registry and wrk (Debian: docker-registry, wrk).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.gateway_blob import docker_registry
from tests.service import RunningService
from trustkit.core.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

REPOSITORY = "bench/gate"
ACCEPT = f"{OCI_MANIFEST}, {OCI_INDEX}, {DOCKER_MANIFEST}"
SCRIPT = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("%d %f %f %f\\n", e.connect + e.read + e.write + e.status + e.timeout,
    latency.mean / 1000, latency:percentile(50) / 1000, summary.requests / summary.duration * 1e6))
end
"""


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw: milliseconds, and requests a second."""

    mean: float
    median: float
    rate: float


def load(host: str, folder: Path, seconds: int, connections: int, headers: dict[str, str]) -> Load:
    """Asks for the tag as fast as it is answered; fails where one answer is no 200."""
    script = folder / "report.lua"
    script.write_text(SCRIPT)
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", str(script)]
    for name, value in {"Accept": ACCEPT, **headers}.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run(
        [*command, f"http://{host}/v2/{REPOSITORY}/manifests/v1"], capture_output=True, text=True, check=True
    )
    errors, mean, median, rate = (float(word) for word in done.stdout.splitlines()[-1].split())
    if errors:
        raise SystemExit(f"{errors:.0f} requests to {host} failed")
    return Load(mean, median, rate)


def told(name: str, loads: list[Load]) -> Load:
    """Prints and returns the medians."""
    mean = statistics.median(one.mean for one in loads)
    median = statistics.median(one.median for one in loads)
    rate = statistics.median(one.rate for one in loads)
    print(f"{name}: mean {mean:.2f} ms, p50 {median:.2f} ms, {rate:.0f} requests/s")
    return Load(mean, median, rate)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, docker_registry(Path(name)) as registry:
        folder = Path(name)
        service = RunningService(folder, "--upstream", f"http://{registry}", "--trust-only").start()
        try:
            carol = service.principal("carol", "AcrPush", "AcrImageSigner")
            reference = f"{service.host}/{REPOSITORY}:v1"
            carol.push(reference)
            signed = carol("sign", reference)
            assert signed.status == 0, signed.err
            token = carol.token(service.host, f"repository:{REPOSITORY}:pull")
            sent = {"Authorization": f"Bearer {token}"}
            direct, through = [], []
            for _ in range(arguments.rounds):
                direct.append(load(registry, folder, arguments.seconds, arguments.connections, {}))
                through.append(load(service.host, folder, arguments.seconds, arguments.connections, sent))
        finally:
            service.stop()
    one, other = told("direct", direct), told("gate", through)
    print(f"extra {max(other.mean - one.mean, other.median - one.median):.2f} ms")


if __name__ == "__main__":
    main()
