"""One session under many threads: nobody asks twice for a token, credentials or what a port speaks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from tests.remote.conftest import Handler, Running, Serve
from trustkit.core.names import Gun, Host
from trustkit.core.ports.tokens import AccessToken
from trustkit.errors import LoginRequired
from trustkit.remote import http
from trustkit.remote.auth import NoTokens, Session, scope
from trustkit.remote.dockerconfig import Credentials
from trustkit.remote.http import HttpClient, Limits

THREADS = 16
WANTED = "repository:app:pull"
T = TypeVar("T")


def at_once(act: Callable[[], T], count: int = THREADS) -> Sequence[T]:
    """Does the same in many threads that begin together."""
    begin = threading.Barrier(count)

    def one(_: int) -> T:
        begin.wait(10)
        return act()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


class Registry:
    """Holds back its refusals until every thread has asked, so that all of them see one."""

    def __init__(self) -> None:
        self.running: Running
        self.gives = self.good = "t1"
        self.tokens = 0
        self._lock = threading.Lock()
        self._crowd = threading.Barrier(THREADS)

    def __call__(self, handler: Handler) -> None:
        if handler.path.startswith("/token"):
            with self._lock:
                self.tokens += 1
            handler.reply(200, f'{{"token":"{self.gives}","expires_in":300}}'.encode())
        elif handler.headers.get("Authorization") == f"Bearer {self.good}":
            handler.reply(200, b"in")
        else:
            if self.gives == self.good:
                self._crowd.wait(20)
            handler.reply(401, b"{}", WWW_Authenticate=f'Bearer realm="{self.running.url}/token",service="svc"')


@pytest.fixture
def registry(serve: Serve) -> Registry:
    made = Registry()
    made.running = serve(made)
    return made


def connect(host: Host) -> HttpClient:
    return HttpClient(host, environ={"HOME": "/nonexistent"}, limits=Limits(total=30))


@pytest.mark.parametrize("stale", [False, True], ids=["no-token", "a-dead-token"])
def test_threads_that_are_refused_together_ask_for_one_token(registry: Registry, *, stale: bool) -> None:
    asked: list[int] = []

    def credentials() -> Credentials:
        asked.append(1)
        return Credentials("alice", "s3cret-pw")

    tokens = NoTokens()
    session = Session(connect(registry.running.host), credentials, tokens=tokens)
    if stale:
        tokens.put(session._key(WANTED), AccessToken("dead", session.now() + 300))
    answers = at_once(lambda: session.request("GET", "/v2/", scope=WANTED))
    assert [answer.body for answer in answers] == [b"in"] * THREADS
    assert (registry.tokens, len(asked)) == (1, 1)


def test_a_token_of_one_scope_is_not_waited_for_by_another(registry: Registry) -> None:
    session = Session(connect(registry.running.host), lambda: None)
    waiting = iter([scope(Gun.parse(f"{registry.running.host}/app{number}"), "pull") for number in range(THREADS)])
    at_once(lambda: session.request("GET", "/v2/", scope=next(waiting)))
    assert registry.tokens == THREADS


def test_a_new_token_that_is_refused_ends_it_for_every_thread(registry: Registry) -> None:
    registry.gives = "never-good"
    session = Session(connect(registry.running.host), lambda: Credentials("alice", "s3cret-pw"))

    def refused() -> bool:
        with pytest.raises(LoginRequired):
            session.request("GET", "/v2/", scope=WANTED)
        return True

    assert all(at_once(refused))
    assert registry.tokens <= THREADS


def test_what_a_port_speaks_is_found_out_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    probes: list[Host] = []
    real = http.speaks_tls

    def counted(host: Host, *more: Any) -> bool:
        probes.append(host)
        return real(host, *more)

    monkeypatch.setattr(http, "speaks_tls", counted)
    client = connect(registry.running.host)
    assert len(set(at_once(lambda: client.origin))) == 1
    assert probes.count(registry.running.host) == 1, "whatever threads of other tests ask elsewhere"
