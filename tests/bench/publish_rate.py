"""How many publishes a second the service takes over HTTP, from 8 clients to collections of their own.

    python -m tests.bench.publish_rate [--clients 8] [--publishes 100] [--postgresql]

On SQLite, or on a PostgreSQL server of its own on this machine.

Each client is a process whose uploads are signed beforehand, as keys are unlocked once.  Every publish is judged,
re-signed, committed with synchronous=FULL and answered.  Prints the processor time that the service took for one,
too, which doesn't depend on who else uses the machine.  The last line is ``ratio N``: the rate over 100 a second.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Key

from tests.postgres import Postgres, binaries
from tests.service import RunningService
from tests.simulator import LIFE, OCI
from trustkit.core.build import first_targets, new_root, next_targets
from trustkit.core.formats.tuf1 import sign
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.targets import make_target

TARGET = 100.0
BOUNDARY = "d41d8cd98f00b204e9800998ecf8427e"


def body(files: dict[str, bytes]) -> bytes:
    """A publish as multipart/form-data."""
    head = '--{0}\r\nContent-Disposition: form-data; name="files"; filename="{1}.json"\r\n\r\n'
    parts = b"".join(head.format(BOUNDARY, role).encode() + data + b"\r\n" for role, data in files.items())
    return parts + f"--{BOUNDARY}--\r\n".encode()


def uploads(gun: Gun, online: dict[str, Key], count: int) -> list[bytes]:
    """The first publish of a collection and ``count`` more, each of one more tag."""
    root_key, key = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    now, life = datetime.now(UTC), LIFE.default
    root = new_root(
        gun, root=[root_key.public_key], targets=[key.public_key], online=online, now=now, life=life["root"]
    )
    targets = first_targets(gun, now=now, life=life["targets"])
    signers = {key.public_key.keyid: key}
    made = [body({"root": sign(root, {root_key.public_key.keyid: root_key}), "targets": sign(targets, signers)})]
    for number in range(count):
        data = json.dumps({"schemaVersion": 2, "number": number}).encode()
        image = ManifestBytes(Digest.of(data), OCI, data)
        entry = make_target(Tag(f"v{number}"), image, None, now=now, keep=timedelta(days=30))
        targets = next_targets(targets, put=[entry], now=now, life=life["targets"])
        made.append(body({"targets": sign(targets, signers)}))
    return made


def online_keys(connection: http.client.HTTPConnection, gun: Gun, headers: dict[str, str]) -> dict[str, Key]:
    """The keys that the service made for this collection."""
    connection.request("GET", f"/v2/{gun}/_trust/online-keys", headers=headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    if answer.status != 200:
        raise SystemExit(f"{gun}: {answer.status} {found}")
    return {role: Key.from_dict(members.pop("keyid"), members) for role, members in found.items()}


@dataclass(frozen=True)
class Client:
    """Who publishes to which collection, over TLS where there is a context for it."""

    gun: str
    token: str
    tls: ssl.SSLContext | None = None

    def _connect(self) -> http.client.HTTPConnection:
        host = self.gun.partition("/")[0]
        if self.tls is None:
            return http.client.HTTPConnection(host, timeout=60)
        return http.client.HTTPSConnection(host, timeout=60, context=self.tls)

    def prepare(self, count: int) -> list[bytes]:
        """Publishes the collection's first state; returns ``count`` further uploads."""
        gun = Gun.parse(self.gun)
        connection = self._connect()
        online = online_keys(connection, gun, {"Authorization": f"Bearer {self.token}"})
        first, *others = uploads(gun, online, count)
        self.publish([first])
        return others

    def publish(self, bodies: list[bytes]) -> None:
        """One after the other, on one connection."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        }
        connection = self._connect()
        for data in bodies:
            connection.request("POST", f"/v2/{self.gun}/_trust/metadata", data, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{self.gun}: {answer.status} {said[:300]!r}")


def processor_seconds(pid: int) -> float:
    """What a process has used so far, in user and system mode (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(service: RunningService, clients: int, publishes: int) -> tuple[float, float]:
    """Seconds from the first publish to the last answer, and seconds of the service's processor time."""
    assert service.process is not None
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    everyone = []
    for number in range(clients):
        token = alice.token(service.host, f"repository:bench/app{number}:pull,push,sign")
        everyone.append(Client(f"{service.host}/bench/app{number}", token))
    with ProcessPoolExecutor(clients) as pool:
        prepared = list(pool.map(Client.prepare, everyone, repeat(publishes)))
        used, began = processor_seconds(service.process.pid), time.perf_counter()
        list(pool.map(Client.publish, everyone, prepared))
        return time.perf_counter() - began, processor_seconds(service.process.pid) - used


def _postgresql(stack: ExitStack) -> str:
    """The URL of a database on a server that runs until the stack ends."""
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed (Debian: apt install postgresql)")
    server = Postgres(programs)
    stack.callback(server.close)
    return server.empty()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--publishes", type=int, default=100)
    parser.add_argument("--postgresql", action="store_true")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = ["--database", _postgresql(stack)] if arguments.postgresql else []
        service = RunningService(folder, *database).start()
        stack.callback(service.stop)
        seconds, used = measure(service, arguments.clients, arguments.publishes)
    total = arguments.clients * arguments.publishes
    print(f"{total} publishes from {arguments.clients} clients in {seconds:.1f} s: {total / seconds:.0f} a second")
    print(f"the service: {used / total * 1000:.1f} ms of processor time a publish")
    print(f"ratio {total / seconds / TARGET:.2f}")


if __name__ == "__main__":
    main()
