"""Several services on one PostgreSQL, behind one address."""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.postgres import Postgres
from tests.service import Person, RunningService


class Balancer:
    """Takes connections on one port of loopback, and gives each to the next replica that takes it.

    ``first``: the port of the replica that gets all connections as long as it takes them; 0 for none.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.ports: list[int] = []
        self.first = 0
        self._turns = itertools.count()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            replica = self._connect()
            if replica is None:
                client.close()
                continue
            for one, other in ((client, replica), (replica, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        turn = next(self._turns)
        ports = [self.first] * bool(self.first) + [
            self.ports[(turn + at) % len(self.ports)] for at in range(len(self.ports))
        ]
        for port in ports:
            with suppress(OSError):
                made = socket.create_connection(("127.0.0.1", port), timeout=2)
                made.settimeout(None)
                return made
        return None


def _pump(there: socket.socket, here: socket.socket) -> None:
    with suppress(OSError):
        while data := there.recv(65536):
            here.sendall(data)
    for each in (there, here):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


class Fleet:
    """Replicas of one service, with the same public name and the same key-encryption key."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.folder = folder
        self.postgres = postgres
        self.url = postgres.empty()
        self.balancer = Balancer()
        self.replicas: list[RunningService] = []

    @property
    def host(self) -> str:
        """The address of all of them."""
        return self.balancer.host

    def replica(self, *arguments: str, url: str = "", environ: dict[str, str] | None = None) -> RunningService:
        """A new replica, not started yet.

        Args:
            url: another way to the database.
        """
        folder = self.folder / f"replica{len(self.replicas)}"
        (folder / "service").mkdir(parents=True, mode=0o700)
        if self.replicas:
            shutil.copy(self.replicas[0].data / "kek", folder / "service" / "kek")
        named = ("--public-name", self.host, "--database", url or self.url)
        made = RunningService(folder, *named, *arguments, environ=environ)
        self.replicas.append(made)
        return made

    def start(self, *arguments: str, url: str = "", environ: dict[str, str] | None = None) -> RunningService:
        """A new replica that takes connections."""
        made = self.replica(*arguments, url=url, environ=environ).start()
        self.balancer.ports.append(made.port)
        return made

    def principal(self, name: str, *roles: str) -> Person:
        """Somebody with these roles who is logged in at the address of all replicas."""
        from tests.admission import admit
        from tests.service import PASSWORD

        home = self.folder / "people" / name
        held = [(role, "*") for role in roles]
        admit(self.replicas[0].data, self.host, name, password=PASSWORD, roles=held, docker=home / "docker", cost={})
        return Person(name, home)

    def close(self) -> None:
        """Stops everything."""
        for each in self.replicas:
            each.stop()
        self.balancer.close()
        self.postgres.drop(self.url)


def ask(port: int, path: str, token: str = "", seconds: float = 30.0) -> tuple[int, bytes]:
    """What one replica answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def problems(port: int) -> list[str]:
    """What a replica says keeps it from being ready; empty for nothing."""
    status, body = ask(port, "/readyz")
    found = json.loads(body)["problems"]
    assert (status == 200) == (found == []), (status, body)
    return list(found)


def timestamp(port: int, gun: str, token: str) -> tuple[int, int]:
    """The status and the version of the timestamp that one replica serves; version 0 for none."""
    status, body = ask(port, f"/v2/{gun}/_trust/metadata/timestamp.json", token)
    return status, int(json.loads(body)["signed"]["version"]) if status == 200 else 0


def eventually(holds: Callable[[], Any], seconds: float = 10.0) -> float:
    """Returns once something holds, after how many seconds; fails where it doesn't in time."""
    import time

    began = time.monotonic()
    while True:
        if holds():
            return time.monotonic() - began
        assert time.monotonic() - began < seconds, "it doesn't come to hold"
        time.sleep(0.02)
