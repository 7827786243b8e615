"""``trustkit verify`` of one pinned tag against ``docker trust inspect`` of one tag, whole processes, warm caches.

    python -m tests.bench.verify_speed [--runs N]

Both ask a real server on loopback: trustkit's own, and notary-server 0.7 with its memory store.  The two take turns,
so that a busy machine slows both; it slows the one that computes more than the one that waits, so processor time is
told, too.  trustkit's modules are byte-compiled first, as an installation leaves them: an editable one under
PYTHONDONTWRITEBYTECODE compiles them at every start.  Prints milliseconds; the last lines are ``processor ratio N``,
of the least of each, and ``ratio N``, of the medians, verify over inspect.  Needs notary-server, notary and docker
(Debian: notary, docker.io).
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import trustkit
from tests.conftest import free_port
from tests.service import RunningService

GUN = "localhost:5000/app"
PASSPHRASE = "a passphrase for the peer"
DIGEST = "ab" * 32
WARM_UP = 2


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "peer.crt", folder / "peer.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain))
    return files


@contextmanager
def notary_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """A notary-server with its memory store: HOST:PORT and the certificate to trust."""
    address = f"127.0.0.1:{free_port()}"
    cert, key = certificate(folder)
    config = {
        "server": {"http_addr": address, "tls_key_file": str(key), "tls_cert_file": str(cert)},
        "trust_service": {"type": "local", "hostname": "", "port": "", "key_algorithm": "ecdsa"},
        "logging": {"level": "error"},
        "storage": {"backend": "memory"},
    }
    (folder / "notary.json").write_text(json.dumps(config))
    with (folder / "notary.log").open("wb") as log:
        process = subprocess.Popen(["notary-server", "-config", folder / "notary.json"], stdout=log, stderr=log)
    try:
        yield address, cert
    finally:
        process.terminate()
        process.wait(10)


def signed_at_peer(folder: Path, server: str, cert: Path) -> tuple[list[str], dict[str, str]]:
    """Signs one tag at the peer; returns ``docker trust inspect`` of it, with its environment."""
    kinds = ("ROOT", "TARGETS", "SNAPSHOT", "DELEGATION")
    secrets = {f"NOTARY_{kind}_PASSPHRASE": PASSPHRASE for kind in kinds}
    notary = ["notary", "-s", f"https://{server}", "--tlscacert", str(cert), "-d", str(folder / "notary")]
    for arguments in (["init", "-p", GUN], ["addhash", "-p", GUN, "v1", "100", "--sha256", DIGEST]):
        until_done([*notary, *arguments], {**os.environ, **secrets})
    config = folder / "docker"
    (config / "tls" / server).mkdir(parents=True)
    shutil.copy(cert, config / "tls" / server / "ca.crt")
    environ = {**os.environ, "DOCKER_CONFIG": str(config), "DOCKER_CONTENT_TRUST_SERVER": f"https://{server}"}
    return ["docker", "trust", "inspect", f"{GUN}:v1"], environ


def until_done(command: list[str], environ: dict[str, str], seconds: float = 20) -> None:
    """Runs a command again until it succeeds, since a server may still be starting."""
    end = time.monotonic() + seconds
    while True:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > end:
            raise SystemExit(f"{' '.join(command[:2])} failed: {done.stderr[-500:]}")
        time.sleep(0.3)


class Spent(NamedTuple):
    """What a process took, in milliseconds: from its start to its end, and of processors."""

    time: float
    processor: float


def timed(
    command: list[str], environ: dict[str, str], feed: str | None = None
) -> tuple[subprocess.CompletedProcess[str], Spent]:
    """Runs a command; what it did, and what that took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environ, input=feed, capture_output=True, text=True, check=False)
    ended, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done, Spent((ended - began) * 1000, processor * 1000)


def tell(found: dict[str, list[Spent]]) -> None:
    """A line for each kind of process."""
    for kind, spent in found.items():
        times = [each.time for each in spent]
        least = min(each.processor for each in spent)
        print(
            f"{kind}: median {statistics.median(times):.0f} ms, best {min(times):.0f} ms, "
            f"processor {least:.0f} ms at least, {len(spent)} runs"
        )


def tell_ratios(ours: list[Spent], theirs: list[Spent]) -> None:
    """The last lines."""
    print(f"processor ratio {min(each.processor for each in ours) / min(each.processor for each in theirs):.2f}")
    print(
        f"ratio {statistics.median(each.time for each in ours) / statistics.median(each.time for each in theirs):.2f}"
    )


def milliseconds(command: list[str], environ: dict[str, str], expect: str, *, feed: str | None = None) -> Spent:
    """Runs a command, which has to succeed and to print ``expect``; what it took."""
    done, took = timed(command, environ, feed)
    if done.returncode != 0 or expect not in done.stdout:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    return took


def measure(folder: Path, service: RunningService, runs: int) -> dict[str, list[Spent]]:
    """What each run of each command took."""
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    reference = f"{service.host}/app:v1"
    digest = alice.push(reference)
    if alice("sign", reference).status != 0:
        raise SystemExit("signing failed")
    ours = {**os.environ, **alice.environment()}
    program = str(Path(sys.executable).with_name("trustkit"))
    with notary_server(folder) as (server, cert):
        kinds = {
            "trustkit verify": ([program, "verify", reference], ours, digest),
            "docker trust inspect": (*signed_at_peer(folder, server, cert), DIGEST),
            "trustkit --help": ([program, "--help"], ours, "verify"),
        }
        times: dict[str, list[Spent]] = {kind: [] for kind in kinds}
        for run in range(-WARM_UP, runs):
            for kind, command in kinds.items():
                took = milliseconds(*command)
                if run >= 0:
                    times[kind].append(took)
    return times


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    compileall.compile_dir(Path(trustkit.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory() as folder:
        service = RunningService(Path(folder)).start()
        try:
            times = measure(Path(folder), service, runs)
        finally:
            service.stop()
    tell(times)
    tell_ratios(times["trustkit verify"], times["docker trust inspect"])


if __name__ == "__main__":
    main()
