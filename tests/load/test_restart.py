"""A service that is restarted under load, on a socket that its supervisor keeps: no request fails."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.conftest import Need
from tests.load.supervisor import Supervisor
from tests.real.test_tls import Authority
from tests.service import PASSWORD, Person, run


@dataclass
class Load:
    """Clients that ask one after the other, on a connection each time or on one as long as the server keeps it."""

    connect: Callable[[], http.client.HTTPConnection]
    target: str
    token: str
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        kinds = [self._anew, self._kept, self._anew, self._kept, self._anew, self._kept]
        self._threads = [threading.Thread(target=self._run, args=(kind,)) for kind in kinds]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self) -> None:
        """Returns after some more requests."""
        before = self.done.total()
        while self.done.total() < before + 50:
            time.sleep(0.01)

    def _run(self, kind: Callable[[], None]) -> None:
        while not self._ended.is_set():
            try:
                kind()
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(f"{kind.__name__}: {error!r}")

    def _anew(self) -> None:
        connection = self.connect()
        try:
            self._ask(connection)
        finally:
            connection.close()

    def _kept(self) -> None:
        connection = self.connect()
        try:
            while not self._ended.is_set() and self._ask(connection):
                time.sleep(0.002)
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> bool:
        """Asks once; false where the server says that this was the last answer on the connection."""
        connection.request("GET", self.target, headers={"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert json.loads(answer.read())["signed"]["_type"] == "timestamp"
        last = answer.headers.get("connection", "").lower() == "close"
        self.done["last" if last else "answered"] += 1
        return not last


@dataclass(frozen=True)
class Stage:
    """A supervised service with a signed tag."""

    supervisor: Supervisor
    alice: Person
    connect: Callable[[], http.client.HTTPConnection]

    @property
    def gun(self) -> str:
        return f"{self.supervisor.host}/team/app"

    def load(self) -> Load:
        host = self.supervisor.host
        token = _token(self.connect(), host)
        return Load(self.connect, f"/v2/{host}/team/app/_trust/metadata/timestamp.json", token)


def _log_in(supervisor: Supervisor, who: Person, *roles: str) -> None:
    administer = ("admin", "--data-dir", str(supervisor.data))
    assert run([*administer, "principal", "add", who.name, "--password-stdin"], {}, feed=PASSWORD).status == 0
    for role in roles:
        assert run([*administer, "role", "assign", who.name, role], {}).status == 0
    login = who("login", supervisor.host, "-u", who.name, "--password-stdin", feed=PASSWORD)
    assert login.status == 0, login.err


def _token(connection: http.client.HTTPConnection, host: str) -> str:
    basic = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    target = f"/oauth2/token?service={host}&scope=repository:team/app:pull"
    connection.request("GET", target, headers={"Authorization": f"Basic {basic}"})
    token = str(json.loads(connection.getresponse().read())["access_token"])
    connection.close()
    return token


@pytest.fixture(scope="module", params=["plain", "tls"])
def stage(request: pytest.FixtureRequest, need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder, tls = tmp_path_factory.mktemp("supervised"), request.param == "tls"
    alice, arguments, context = Person("alice", folder / "alice"), (), None
    if tls:
        authority = Authority.made(need("openssl", "openssl"), tmp_path_factory.mktemp("authority"))
        certificate, key = authority.server("server", "IP:127.0.0.1")
        arguments = ("--tls-cert", str(certificate), "--tls-key", str(key))
        alice.environ["SSL_CERT_FILE"] = str(authority.file)
        context = ssl.create_default_context(cafile=str(authority.file))
    supervisor = Supervisor(folder, *arguments)

    def connect() -> http.client.HTTPConnection:
        if context:
            return http.client.HTTPSConnection(supervisor.host, timeout=60, context=context)
        return http.client.HTTPConnection(supervisor.host, timeout=60)

    try:
        supervisor.start()
        _log_in(supervisor, alice, "AcrPush", "AcrImageSigner")
        made = Stage(supervisor, alice, connect)
        alice.push(f"{made.gun}:v1")
        assert alice("sign", f"{made.gun}:v1").status == 0
        yield made
    finally:
        supervisor.close()


def test_no_request_fails_while_the_service_is_restarted(stage: Stage) -> None:
    stage.supervisor.until("WATCHDOG=1")
    stage.supervisor.told.clear()
    with stage.load() as load:
        stage.supervisor.restart()
        load.goes_on()
        stage.supervisor.hand_over()
        load.goes_on()
    assert load.failed == []
    assert load.done["answered"] > 50
    assert load.done["last"] >= 1, "connections that were kept were told to go"
    stage.supervisor.until("WATCHDOG=1")
    told = [line for line in stage.supervisor.told if line != "WATCHDOG=1"]
    assert told == ["STOPPING=1", "READY=1", "READY=1", "STOPPING=1"]


def test_what_is_signed_while_the_service_is_restarted_is_signed(stage: Stage) -> None:
    restarting = threading.Thread(target=stage.supervisor.restart)
    stage.alice.push(f"{stage.gun}:v2", "signed meanwhile")
    restarting.start()
    try:
        for _ in range(3):
            signed = stage.alice("sign", f"{stage.gun}:v2")
            assert signed.status == 0, signed.err
    finally:
        restarting.join()
    assert stage.alice("verify", f"{stage.gun}:v1", f"{stage.gun}:v2").status == 0
