"""Guessing passwords at several replicas gives the tries of one (TRUST 8.3)."""

from __future__ import annotations

import base64
import http.client
import itertools
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from tests.replicas.fleet import Fleet, ask
from tests.service import PASSWORD
from trustkit.authority.ratelimit import ONE_ADDRESS, ONE_PRINCIPAL

pytestmark = pytest.mark.real
BURST, ROOM = ONE_PRINCIPAL.burst, ONE_PRINCIPAL.seconds
SHIFT = "UPDATE failed_logins SET until = until - interval '{} seconds'"
PROXY = "127.0.0.1"
_people = itertools.count()


def login(
    port: int, name: str, password: str, source: str = "192.0.2.1", *, offline: bool = False
) -> tuple[int, int]:
    """The status, and for how many seconds one is to wait; as nginx would pass it on for an address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    basic = base64.b64encode(f"{name}:{password}".encode()).decode()
    try:
        headers = {"Authorization": f"Basic {basic}", "X-Forwarded-For": source}
        connection.request("GET", f"/oauth2/token?service={SERVICE[0]}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, int(answer.getheader("Retry-After", "0"))
    finally:
        connection.close()


SERVICE: list[str] = []


@pytest.fixture(scope="module")
def guessed(postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("guessed"), postgres)
    for _ in range(2):
        made.start("--trusted-proxy", PROXY)
    SERVICE[:] = [made.host]
    yield made
    made.close()


@pytest.fixture
def name(guessed: Fleet) -> str:
    """Somebody whom nobody has guessed at."""
    made = f"person{next(_people)}"
    guessed.principal(made)
    return made


@pytest.fixture
def source() -> str:
    return f"198.51.100.{next(_people)}"


def at_once(ports: Sequence[int], name: str, source: str, tries: Sequence[str]) -> list[int]:
    """The statuses of these passwords, all under way at the same time, in turn at each replica."""
    found = [0] * len(tries)

    def one(at: int) -> None:
        found[at] = login(ports[at % len(ports)], name, tries[at], source)[0]

    threads = [threading.Thread(target=one, args=(at,)) for at in range(len(tries))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return found


def leave(fleet: Fleet, name: str, source: str, tries: int) -> None:
    """So many are left to a name at an address: the rest has failed, which would take long to check."""
    fleet.postgres.run("TRUNCATE failed_logins", fleet.url)
    assert login(fleet.balancer.ports[0], name, "guess", source)[0] == 401
    until = f"clock_timestamp() + interval '{(BURST - tries) * ROOM} seconds'"
    of_name = "key = (SELECT key FROM failed_logins ORDER BY until DESC LIMIT 1)"
    fleet.postgres.run(f"UPDATE failed_logins SET until = {until} WHERE {of_name}", fleet.url)


def test_tries_at_one_replica_are_tries_at_the_other(guessed: Fleet, name: str, source: str) -> None:
    ports = guessed.balancer.ports
    leave(guessed, name, source, 3)
    began = time.monotonic()
    statuses = [login(ports[at % 2], name, f"guess {at}", source)[0] for at in range(3)]
    assert statuses == [401] * 3
    if time.monotonic() - began < ROOM / 2:
        for port in ports:
            status, seconds = login(port, name, PASSWORD, source)
            assert (status, 0 < seconds <= ROOM) == (429, True), "with the right one, too"
    assert login(ports[1], name, PASSWORD, "203.0.113.7")[0] == 200, "nobody is locked out from elsewhere"
    guessed.postgres.run(SHIFT.format(ROOM), guessed.url)
    assert [login(port, name, PASSWORD, source)[0] for port in ports] == [200, 200], "and for good from nowhere"


def test_all_twenty_are_had_and_no_more(guessed: Fleet, name: str, source: str) -> None:
    """As many as one process gives, whatever is in between."""
    guessed.postgres.run("TRUNCATE failed_logins", guessed.url)
    assert login(guessed.balancer.ports[0], name, "guess", source)[0] == 401
    owed = "SELECT max(extract(epoch FROM until - clock_timestamp())) FROM failed_logins"
    assert ROOM - 5 < guessed.postgres.run(owed, guessed.url)[0][0] <= ROOM, "one try in a burst of twenty"
    leave(guessed, name, source, 0)
    assert login(guessed.balancer.ports[1], name, "guess", source)[0] == 429
    assert guessed.postgres.run(owed, guessed.url)[0][0] <= BURST * ROOM, "who is refused costs nobody anything"


def test_tries_that_are_under_way_at_once_are_counted_one_by_one(guessed: Fleet, name: str, source: str) -> None:
    """All of them begin while there are tries left; no more are told that they were wrong than there are tries."""
    leave(guessed, name, source, 2)
    began = time.monotonic()
    statuses = Counter(at_once(guessed.balancer.ports, name, source, [f"guess {at}" for at in range(8)]))
    assert set(statuses) == {401, 429}
    assert 2 <= statuses[401] <= 2 + math.ceil((time.monotonic() - began) / ROOM), (
        "and those that have come meanwhile"
    )


def test_who_logs_in_costs_no_try_and_writes_nothing(guessed: Fleet, name: str, source: str) -> None:
    leave(guessed, name, source, 1)
    before = guessed.postgres.run("SELECT key, until FROM failed_logins ORDER BY key", guessed.url)
    for port in guessed.balancer.ports * 2:
        assert login(port, name, PASSWORD, source)[0] == 200
    assert guessed.postgres.run("SELECT key, until FROM failed_logins ORDER BY key", guessed.url) == before


def test_many_names_from_one_address_are_no_way_round_either(guessed: Fleet, source: str) -> None:
    """Counted up in the database: two hundred checks of passwords would take half a minute."""
    ports = guessed.balancer.ports
    assert [login(port, "nobody", "guess", source)[0] for port in ports] == [401, 401]
    more = f"UPDATE failed_logins SET until = until + interval '{ONE_ADDRESS.burst} seconds'"
    guessed.postgres.run(more, guessed.url)
    for at, port in enumerate(ports):
        assert login(port, f"another{at}", "guess", source)[0] == 429
        assert login(port, f"another{at}", "guess", "203.0.113.8")[0] == 401


def test_names_and_addresses_are_in_the_table_as_hashes_only(guessed: Fleet, source: str) -> None:
    """People type their password where the name belongs."""
    assert login(guessed.balancer.ports[0], "my secret password", "guess", source)[0] == 401
    text = str(guessed.postgres.run("SELECT encode(key, 'escape') FROM failed_logins", guessed.url))
    assert "secret" not in text
    assert source not in text


FULL = """
CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON failed_logins FOR EACH STATEMENT EXECUTE FUNCTION no_room()
"""


def test_a_failure_that_cannot_be_counted_is_counted_before_the_next_try(
    guessed: Fleet, name: str, source: str
) -> None:
    """A disk that is full gives one try, of which nothing is told, and none after it until it counts."""
    port = guessed.balancer.ports[0]
    guessed.postgres.run(FULL, guessed.url)
    try:
        assert login(port, name, "guess", source)[0] == 500
        for _ in range(3):
            assert login(port, name, PASSWORD, source)[0] == 500, "not even with the right one"
            assert login(port, "another", "guess", source)[0] == 500, "nor by another name"
        assert login(port, name, PASSWORD, "203.0.113.9")[0] == 200, "who has failed nowhere gets in"
        guessed.postgres.run("TRUNCATE failed_logins", guessed.url)
    finally:
        guessed.postgres.run("DROP TRIGGER no_room ON failed_logins", guessed.url)
    assert login(port, name, PASSWORD, source)[0] == 200
    owed = "SELECT max(extract(epoch FROM until - clock_timestamp())) FROM failed_logins"
    assert 0 < guessed.postgres.run(owed, guessed.url)[0][0] <= 2 * ROOM, "what had failed is counted now"


def test_a_database_that_says_nothing_lets_nobody_guess(guessed: Fleet, name: str, source: str) -> None:
    """Slow is as good as away: 503, and no password was checked."""
    port = guessed.balancer.ports[0]
    guessed.postgres.pause(on=True)
    try:
        began = time.monotonic()
        statuses = set(at_once([port], name, source, [PASSWORD, "guess", "guess"]))
        assert statuses == {503}
        assert time.monotonic() - began < 30
    finally:
        guessed.postgres.pause(on=False)
    deadline = time.monotonic() + 20
    while login(port, name, PASSWORD, source)[0] != 200:
        assert time.monotonic() < deadline
    assert ask(port, "/healthz")[0] == 200
