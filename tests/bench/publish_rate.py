"""How many publishes a second the service takes from 8 clients to collections of their own, and how many a peer.

    python -m tests.bench.publish_rate [--clients 8] [--publishes 100] [--rounds 5] [--postgresql]

The peer is notary-server 0.7, on the same PostgreSQL server in a database of its own; without ``--postgresql`` the
service is on SQLite and the peer keeps everything in memory, which is to be seen and not what counts.  Clients are
processes on connections that stay open, without TLS, and the service asks for a login where the peer lets everybody
in.  Uploads are signed beforehand, as keys are unlocked once; each signs one more tag.  The service is asked in
format ``docker`` with the uploads that the peer gets, and in format ``tuf``.  All take turns, every answer has to be
200, and after each turn what is served is read back and has to be what was sent.

Prints the median rate of each, and the processor time for one publish of the server and, apart, of PostgreSQL: that
depends less on who else uses the machine.  The last line is ``ratio N``, before it ``docker ratio N``, the rate over
the peer's; on SQLite ``ratio N`` is the rate in format ``tuf`` over 100 a second.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from tests.bench.publishers import Client, DockerClient, processor_seconds, processor_seconds_of_all
from tests.bench.read_speed import notary_server, notary_storage
from tests.postgres import Postgres, binaries
from tests.service import RunningService

TARGET = 100.0
PEER, TUF, DOCKER = "notary-server", "trustkit, tuf", "trustkit, docker"


@dataclass
class Side:
    """One server in one format, with its clients and what each has still to send.

    Args:
        pid: the server's process.
    """

    name: str
    clients: Sequence[Client]
    pid: int
    uploads: list[list[bytes]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    server: float = 0.0
    database: float = 0.0
    done: int = 0

    def turn(self, pool: ProcessPoolExecutor, count: int, database: Callable[[], float]) -> None:
        """Each client publishes so many; then each looks at what is served."""
        now = [uploads[:count] for uploads in self.uploads]
        self.uploads = [uploads[count:] for uploads in self.uploads]
        server, of_database = processor_seconds(self.pid), database()
        spans = list(pool.map(_publish, self.clients, now))
        self.server += processor_seconds(self.pid) - server
        self.database += database() - of_database
        sent = sum(map(len, now))
        self.rates.append(sent / (max(end for _, end in spans) - min(begin for begin, _ in spans)))
        self.done += sent
        list(pool.map(_look, self.clients, [uploads[-1] for uploads in now]))

    @property
    def rate(self) -> float:
        """Publishes a second."""
        return statistics.median(self.rates)

    def tell(self, *, database: bool) -> None:
        """Prints it."""
        rates = ", ".join(f"{rate:.0f}" for rate in self.rates)
        spent = f"{self.server / self.done * 1000:.1f} ms of the server's processor time each"
        if database:
            spent += f", {self.database / self.done * 1000:.1f} ms of PostgreSQL's"
        print(f"{self.name}: median {self.rate:.0f} a second ({rates}), {spent}")


def _prepare(client: Client, count: int) -> list[bytes]:
    return client.prepare(count)


def _publish(client: Client, uploads: list[bytes]) -> tuple[float, float]:
    return client.publish(uploads)


def _look(client: Client, sent: bytes) -> None:
    client.look(sent)


def sides(service: RunningService, peer: tuple[str, int], clients: int) -> list[Side]:
    """The service in either format, and the peer."""
    assert service.process is not None
    alice, host = service.principal("alice", "AcrPush", "AcrImageSigner"), service.host
    address, pid = peer
    tuf, docker, theirs = list[Client](), list[Client](), list[Client]()
    for number in range(clients):
        name = f"bench/tuf{number}"
        tuf.append(Client(f"{host}/{name}", alice.token(host, f"repository:{name}:pull,push,sign")))
        gun = f"{host}/bench/docker{number}"
        docker.append(DockerClient(gun, alice.token(host, f"repository:{gun}:pull,push")))
        theirs.append(DockerClient(f"{host}/bench/peer{number}", address=address))
    ours = service.process.pid
    return [Side(PEER, theirs, pid), Side(DOCKER, docker, ours), Side(TUF, tuf, ours)]


def measure(taking_turns: Sequence[Side], publishes: int, rounds: int, database: Callable[[], float]) -> None:
    """Has all of them publish so many, in so many rounds."""
    with ProcessPoolExecutor(len(taking_turns[0].clients)) as pool:
        for side in taking_turns:
            if (
                side.name == PEER
            ):  # it dies of two collections that begin at once: "concurrent map writes" (ed25519.go)
                side.uploads = [_prepare(client, publishes) for client in side.clients]
            else:
                side.uploads = list(pool.map(_prepare, side.clients, repeat(publishes)))
        for _ in range(rounds):
            for side in taking_turns:
                side.turn(pool, publishes // rounds, database)


def _postgresql(stack: ExitStack) -> Postgres:
    """A server that runs until the stack ends."""
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed (Debian: apt install postgresql)")
    server = Postgres(programs)
    stack.callback(server.close)
    return server


def _spent_by(server: Postgres) -> Callable[[], float]:
    pid = int((server.socket_folder / "data" / "postmaster.pid").read_text().split()[0])
    return lambda: processor_seconds_of_all(pid)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--publishes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgresql", action="store_true")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        flags, storage, database = list[str](), {"backend": "memory"}, lambda: 0.0
        if arguments.postgresql:
            server = _postgresql(stack)
            flags, storage, database = ["--database", server.database()], notary_storage(server), _spent_by(server)
        peer = stack.enter_context(notary_server(folder, None, None, storage))
        service = RunningService(folder, *flags).start()
        stack.callback(service.stop)
        found = sides(service, peer, arguments.clients)
        measure(found, arguments.publishes, arguments.rounds, database)
    for side in found:
        side.tell(database=arguments.postgresql)
    theirs, docker, tuf = (side.rate for side in found)
    print(f"docker ratio {docker / theirs:.2f}")
    if arguments.postgresql:
        print(f"ratio {tuf / theirs:.2f}")
    else:
        print(f"tuf ratio {tuf / theirs:.2f}")
        print(f"ratio {tuf / TARGET:.2f}")


if __name__ == "__main__":
    main()
