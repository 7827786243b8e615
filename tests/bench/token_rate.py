"""How many access tokens a second ``/oauth2/token`` issues for refresh tokens, over TLS from 16 connections.

    python -m tests.bench.token_rate [--seconds N] [--runs N]

Sixteen logins of one principal ask for a token to pull one repository, as engines do.  Each token is signed, and its
roles are read anew.  What a name and a password take is told beside it: that is argon2's cost, and is meant.  Prints
the latency as wrk has it and the memory of the service; the last lines are ``p99 N ms`` and ``ratio N``, the rate
over 500 a second.  Needs wrk.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path

import argon2

from tests.bench.publishers import processor_seconds
from tests.bench.read_speed import CONNECTIONS, token
from tests.conftest import free_port
from tests.formats_docker.stand import tls
from tests.service import PASSWORD, RunningService

TARGET = 500.0
FORM = "application/x-www-form-urlencoded"
SCRIPT = """
local bodies = {{ {bodies} }}
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/oauth2/token", {{["Content-Type"] = "{form}"}}, bodies[n % #bodies + 1])
end
"""
RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
P99 = re.compile(r"99%\s+([0-9.]+)(us|ms|s)")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
BAD = re.compile(r"Non-2xx|Socket errors")


def load(folder: Path, host: str, bodies: list[str], seconds: int) -> tuple[float, float]:
    """Requests a second, and the 99th percentile of their latency in milliseconds."""
    script = folder / "ask.lua"
    script.write_text(SCRIPT.format(bodies=", ".join(f'"{body}"' for body in bodies), form=FORM))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), f"https://{host}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, slow = RATE.search(said), P99.search(said)
    if not rate or not slow or BAD.search(said):
        raise SystemExit(said)
    return float(rate[1]), float(slow[1]) * UNITS[slow[2]]


def megabytes(pid: int) -> float:
    """Memory of a process that is its own or shared (proc(5), VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]  # each process has it


def refresh_token(host: str) -> str:
    """What a login keeps."""
    return token(host, "repository:bench/app:pull", offline=True)


def form(host: str, **fields: str) -> str:
    """A body."""
    return urllib.parse.urlencode({"service": host, "scope": "repository:bench/app:pull", **fields})


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate, key = tls(folder)
        port = free_port()
        host = f"localhost:{port}"
        service = RunningService(folder, "--tls-cert", str(certificate), "--tls-key", str(key), "--public-name", host)
        service.port = port
        service.start()
        try:
            measure(service, folder, host, arguments.runs, arguments.seconds)
        finally:
            service.stop()


def measure(service: RunningService, folder: Path, host: str, runs: int, seconds: int) -> None:
    """Asks and tells."""
    assert service.process is not None
    pid = service.process.pid
    service.admin("principal", "add", "alice", "--password-stdin", feed=PASSWORD)
    service.admin("role", "assign", "alice", "AcrPull", "--repository", "*")
    secrets = [refresh_token(host) for _ in range(CONNECTIONS)]
    refreshing = [form(host, grant_type="refresh_token", refresh_token=secret) for secret in secrets]
    before = megabytes(pid)
    load(folder, host, refreshing, 1)
    rates, slowest, spent = [], [], []
    for _ in range(runs):
        began = processor_seconds(pid)
        rate, slow = load(folder, host, refreshing, seconds)
        spent.append((processor_seconds(pid) - began) / (rate * seconds))
        rates.append(rate)
        slowest.append(slow)
    rate, slow = statistics.median(rates), statistics.median(slowest)
    each = statistics.median(spent) * 1e6
    print(f"refresh tokens: {rate:.0f} a second, p99 {slow:.1f} ms, {each:.0f} us of processor time each")
    print(f"memory: {before:.0f} MiB before, {megabytes(pid):.0f} MiB after")
    hasher, began = argon2.PasswordHasher(), time.perf_counter()
    for _ in range(8):
        token(host, "repository:bench/app:pull")
    taken = (time.perf_counter() - began) / 8 * 1000
    print(
        f"password: {taken:.0f} ms each, one after the other; argon2id, {hasher.time_cost} passes over "
        f"{hasher.memory_cost // 1024} MiB, {hasher.parallelism} lanes"
    )
    print(f"p99 {slow:.1f} ms")
    print(f"ratio {rate / TARGET:.2f}")


if __name__ == "__main__":
    main()
