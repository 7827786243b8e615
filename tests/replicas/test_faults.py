"""What befalls replicas and their database: nothing acknowledged is lost, every error is clear (TRUST 3.4, 7.1)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tuf.api.metadata import Targets

from tests.clock import make_clock
from tests.conftest import Need
from tests.load.test_service_killed import Collection, one_publish_takes
from tests.postgres import PASSWORD, USER, Postgres, binaries, name_of
from tests.relay import Relay
from tests.replicas.fleet import Fleet, ask, eventually, problems, timestamp
from tests.service import RunningService
from trustkit.cli.context import Context
from trustkit.core.names import Gun
from trustkit.errors import CouldNotCheck, ServerFailed

pytestmark = pytest.mark.real
SECOND = 1.0
KILLS = int(os.environ.get("TRUSTKIT_TEST_KILLS", "40"))
"""In how many publishes a replica is killed; 200 before a release."""


def founded(fleet: Fleet | RunningService, name: str) -> Collection:
    """A collection with its repository key at hand, published to by alice and read by carol."""
    alice = fleet.principal(f"{name}-alice", "AcrPush", "AcrImageSigner")
    carol = fleet.principal(f"{name}-carol", "AcrPull")
    gun = Gun.parse(f"{fleet.host}/faults/{name}")
    done = alice("init", str(gun))
    assert done.status == 0, done.err
    assert carol("pin", "add", str(gun), "--root-key", alice.root_key()).status == 0
    keys = Context(home_flag=None, environ=alice.environment()).key_store()
    (repository,) = [key for key in keys.list() if key.gun == gun]
    return Collection(gun, alice, carol, keys.unlock(repository))


def settled(fleet: Fleet, it: Collection) -> None:
    """Every replica serves what the database has."""
    of = f"(SELECT id FROM collections WHERE gun = '{it.gun}')"
    sql = f"SELECT version FROM heads WHERE role = 'timestamp' AND collection = {of}"
    token = it.carol.token(fleet.host, f"repository:{it.gun.repository}:pull")

    def same() -> bool:
        ((newest,),) = fleet.postgres.run(sql, fleet.url)
        return all(timestamp(port, str(it.gun), token) == (200, newest) for port in fleet.balancer.ports)

    eventually(same, 5.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost_where_replicas_are_killed_in_publishes(fleet: Fleet) -> None:
    replicas = [fleet.start() for _ in range(2)]
    it = founded(fleet, "killed")
    chance, kills, lives = random.Random(20261127), 0, 0
    usual = one_publish_takes(it)
    while kills < KILLS:
        assert lives < 3 * KILLS, f"only {kills} of {lives} kills came in the middle of a publish"
        victim = replicas[lives % 2]
        settled(fleet, it)
        fleet.balancer.first = victim.port
        kills += it.publish_until_killed(victim, lives, chance.uniform(0, 3 * usual))
        lives += 1
        fleet.balancer.first = 0
        victim.start()
    settled(fleet, it)
    last = it.check()
    stored = {tag for tag in it.record.unanswered if tag in last.targets}
    assert len(it.record.tags) + len(stored) == len(last.targets) == last.version - 1, "one version for each publish"
    for port in fleet.balancer.ports:
        assert problems(port) == []


@dataclass
class Publisher:
    """Publishes one tag after the other to a collection of its own, whatever happens, until told to stop."""

    it: Collection
    refused: list[str] = field(default_factory=list)
    unanswered: int = 0
    published: int = 0

    def run(self, ended: threading.Event) -> None:
        client = Context(home_flag=None, environ=self.it.alice.environment()).service
        life = 0
        while not ended.is_set():
            life += 1
            try:
                ready = list(self.it.uploads(self._checked(), life))[:3]
                for tag, digest, data in ready:
                    self.it.record.unanswered[tag] = digest
                    versions = client.publish(self.it.gun, {"targets": data})
                    del self.it.record.unanswered[tag]
                    self.it.record.acknowledged(tag, digest, data, dict(versions))
                    self.published += 1
            except ServerFailed as error:
                self.refused.append(error.message)
            except CouldNotCheck:
                self.unanswered += 1
            except Exception as error:
                if "conflict" not in getattr(error, "slug", ""):
                    raise
            time.sleep(0.05)

    def _checked(self) -> Targets:
        """As ``check``, from whichever replica: one that didn't take the last publish serves it within a second."""
        until = time.monotonic() + 2 * SECOND
        while True:
            try:
                return self.it.check()
            except AssertionError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


@contextmanager
def at_work(*publishers: Publisher) -> Iterator[Callable[[], None]]:
    """While they publish; what it gives waits until each has published three times more."""
    ended = threading.Event()
    threads = [threading.Thread(target=each.run, args=(ended,)) for each in publishers]

    def three_more() -> None:
        goal = [each.published + 3 for each in publishers]
        eventually(lambda: all(each.published >= n for each, n in zip(publishers, goal, strict=True)), 30.0)

    for thread in threads:
        thread.start()
    try:
        yield three_more
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_a_database_that_goes_and_comes_back_under_load_loses_nothing(tmp_path: Path, how: signal.Signals) -> None:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    server = Postgres(programs)
    fleet = Fleet(tmp_path, server)
    try:
        for _ in range(2):
            fleet.start()
        publishers = [Publisher(founded(fleet, f"load{number}")) for number in range(2)]
        with at_work(*publishers) as three_more:
            for _ in range(2):
                three_more()
                server.stop(how)
                eventually(lambda: all(ask(port, "/readyz")[0] == 503 for port in fleet.balancer.ports), 15.0)
                server.start()
                eventually(lambda: all(ask(port, "/readyz")[0] == 200 for port in fleet.balancer.ports), 15.0)
            three_more()
        said = {message for each in publishers for message in each.refused}
        assert all("database" in message for message in said), said
        for each in publishers:
            settled(fleet, each.it)
            last = each.it.check()
            assert each.published <= last.version - 1
        for replica in fleet.replicas:
            log = replica.log.read_text()
            assert "Traceback" not in log, log
            assert "can't be reached" in log
    finally:
        fleet.close()
        server.close()


def test_a_replica_that_is_cut_off_serves_nothing_old_and_comes_back(fleet: Fleet) -> None:
    """TRUST 7.1: half-open, as when a switch dies: no connection is closed, and nothing comes over it."""
    relay = Relay(fleet.postgres.port)
    far = fleet.postgres.url(name_of(fleet.url), password=PASSWORD, port=relay.port)
    near = fleet.start()
    cut = fleet.start(url=_with_passfile(far, fleet.folder))
    fleet.balancer.first = near.port
    it = founded(fleet, "cut")
    token = it.carol.token(fleet.host, f"repository:{it.gun.repository}:pull")
    settled(fleet, it)
    relay.silence(on=True)
    one_publish_takes(it)
    published = time.monotonic()
    assert timestamp(near.port, str(it.gun), token) == (200, 2)
    while time.monotonic() - published < 1.0:
        time.sleep(0.02)
    status, version = timestamp(cut.port, str(it.gun), token)
    assert (status, version) == (503, 0)
    assert problems(near.port) == []
    assert any("database" in problem for problem in problems(cut.port))
    relay.silence(on=False)
    eventually(lambda: timestamp(cut.port, str(it.gun), token) == (200, 2), 5.0)
    eventually(lambda: ask(cut.port, "/readyz")[0] == 200, 10.0)
    relay.close()


def _with_passfile(url: str, folder: Path) -> str:
    """A URL whose password is in a file: on the command line it would be refused."""
    path = folder / "pgpass"
    path.write_text(f"*:*:*:{USER}:{PASSWORD}\n", encoding="ascii")
    path.chmod(0o600)
    return f"{url.replace(f':{PASSWORD}', '')}?passfile={path}"


def test_a_server_without_room_for_connections_is_said_to_have_none(fleet: Fleet) -> None:
    replica = fleet.start()
    it = founded(fleet, "full")
    token = it.carol.token(fleet.host, f"repository:{it.gun.repository}:pull")
    fleet.postgres.run(f"ALTER ROLE {USER} CONNECTION LIMIT 0")
    try:
        fleet.postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()",
            fleet.url,
        )
        eventually(lambda: ask(replica.port, "/readyz")[0] == 503)
        began = time.monotonic()
        status, body = ask(replica.port, f"/v2/{it.gun}/_trust/metadata/1.root.json", token)
        assert time.monotonic() - began < 10
        if status != 200:
            error = json.loads(body)["errors"][0]
            assert (status, error["detail"]["slug"]) == (503, "database-unavailable")
            assert "127.0.0.1" not in error["message"]
        refused = it.alice("renew", str(it.gun), "--force")
        assert refused.status in (2, 4)
    finally:
        fleet.postgres.run(f"ALTER ROLE {USER} CONNECTION LIMIT -1")
    eventually(lambda: ask(replica.port, "/readyz")[0] == 200)
    one_publish_takes(it)


def test_a_replica_whose_clock_is_ten_minutes_off_takes_no_part(fleet: Fleet, need: Need, tmp_path: Path) -> None:
    clock = make_clock(need, tmp_path / "clock")
    good = fleet.start()
    off = fleet.start(environ={**clock.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"})
    fleet.balancer.first = good.port
    it = founded(fleet, "clock")
    token = it.carol.token(fleet.host, f"repository:{it.gun.repository}:pull")
    settled(fleet, it)
    for days in (10 / 1440, -10 / 1440):
        clock.ahead(days=days)
        eventually(lambda: "clock is" in " ".join(problems(off.port)), 15.0)
        eventually(lambda: timestamp(off.port, str(it.gun), token)[0] in (401, 503))
        assert problems(good.port) == []
        before = it.check().version
        one_publish_takes(it)
        assert it.check().version == before + 1
        clock.ahead(days=0)
        eventually(lambda: problems(off.port) == [], 10.0)
        settled(fleet, it)


def test_a_restore_to_an_older_backup_is_noticed_by_clients_and_recovered_from(
    fleet: Fleet, postgres: Postgres, tmp_path: Path
) -> None:
    """TRUST 3.7: versions that were served once are jumped over."""
    replica = fleet.start()
    it = founded(fleet, "restored")
    programs, dump = binaries(), tmp_path / "dump"
    assert programs is not None
    where = ["-h", str(postgres.socket_folder), "-p", str(postgres.port), "-U", "postgres"]
    name = name_of(fleet.url)
    subprocess.run([programs / "pg_dump", *where, "-Fc", "-f", dump, name], check=True, timeout=60)
    one_publish_takes(it)
    assert it.carol("verify", f"{it.gun}:life-1-0").status in (0, 4)
    it.check()
    replica.stop()
    postgres.drop(fleet.url)
    postgres.run(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE template0")
    subprocess.run([programs / "pg_restore", *where, "-d", name, dump], check=True, timeout=60)
    replica.start()
    noticed = it.carol("status", str(it.gun))
    assert (noticed.status, noticed.slug) == (3, "rolled-back")
    recovered = replica.admin("recover")
    assert recovered.status == 0, recovered.err
    put_back = it.alice("recover", str(it.gun))
    assert put_back.status == 0, put_back.err
    assert it.carol("inspect", str(it.gun)).status == 0
