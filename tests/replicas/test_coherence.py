"""What one replica does counts at the other one within a second; they share a database, and no memory."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest

from tests.replicas.fleet import Fleet, ask, eventually, timestamp
from tests.service import Person, run

pytestmark = pytest.mark.real
SECOND = 1.0


@pytest.fixture(scope="module")
def alice(shared: Fleet) -> Person:
    return shared.principal("alice", "AcrPush", "AcrImageSigner")


def test_a_publish_at_one_replica_is_served_by_the_other_within_a_second(shared: Fleet, alice: Person) -> None:
    one, other = shared.replicas
    gun = f"{shared.host}/team/app"
    shared.balancer.first = one.port
    assert alice("init", gun).status == 0
    token = alice.token(shared.host, "repository:team/app:pull")
    assert timestamp(one.port, gun, token) == (200, 1)
    eventually(lambda: timestamp(other.port, gun, token) == (200, 1), SECOND)
    for version in (2, 3, 4):
        alice.push(f"{gun}:v{version}")
        assert alice("sign", f"{gun}:v{version}").status == 0
        assert timestamp(one.port, gun, token) == (200, version)
        eventually(lambda version=version: timestamp(other.port, gun, token) == (200, version), SECOND)
    shared.balancer.first = 0


def test_each_command_may_meet_another_replica_at_each_request(shared: Fleet, alice: Person) -> None:
    """Signing, reading back and verifying through all replicas in turn: no rollback is cried (TRUST 6.3)."""
    gun = f"{shared.host}/team/turns"
    assert alice("init", gun).status == 0
    for number in range(6):
        shared.balancer.first = shared.replicas[number % 2].port
        digest = alice.push(f"{gun}:v{number}")
        shared.balancer.first = 0
        signed = alice("sign", f"{gun}:v{number}")
        assert signed.status == 0, signed.err
        shared.balancer.first = shared.replicas[(number + 1) % 2].port
        verified = alice("verify", f"{gun}:v{number}")
        assert (verified.status, digest in verified.out) == (0, True), verified.err
    shared.balancer.first = 0


def test_the_gate_of_each_replica_follows_what_is_published_at_another(shared: Fleet, alice: Person) -> None:
    """TRUST 7.1: what was revoked at one replica isn't let through by another, which remembers the collection."""
    one, other = shared.replicas
    gun, path = f"{shared.host}/team/gate", "/v2/team/gate/manifests/v1"
    assert one.admin("repository", "set", "team/gate", "--trust-only").status == 0
    token = alice.token(shared.host, "repository:team/gate:pull")
    for port in (one.port, other.port):
        eventually(lambda port=port: ask(port, path, token)[0] == 403, SECOND)
    shared.balancer.first = one.port
    alice.push(f"{gun}:v1")
    for number in range(3):
        signed = alice("sign", f"{gun}:v1")
        assert signed.status == 0, (number, signed.err)
        for port in (one.port, other.port):
            eventually(lambda port=port: ask(port, path, token)[0] == 200, SECOND)
        assert alice("revoke", f"{gun}:v1").status == 0
        for port in (one.port, other.port):
            eventually(lambda port=port: ask(port, path, token)[0] == 403, SECOND)
    shared.balancer.first = 0
    assert one.admin("repository", "set", "team/gate", "--no-trust-only").status == 0


def test_roles_and_switches_count_at_every_replica_within_a_second(shared: Fleet, alice: Person) -> None:
    """TRUST 8.4: an operator works beside one replica, and the other one follows."""
    one, other = shared.replicas
    gun = f"{shared.host}/team/roles"
    assert alice("init", gun).status == 0
    bob = shared.principal("bob", "AcrPull")
    token = bob.token(shared.host, "repository:team/roles:pull")
    path = f"/v2/{gun}/_trust/metadata/timestamp.json"
    for port in (one.port, other.port):
        eventually(lambda port=port: ask(port, path, token)[0] == 200, SECOND)
    assert one.admin("policy", "set", "content-trust", "disabled").status == 0
    for port in (one.port, other.port):
        eventually(lambda port=port: ask(port, path, token)[0] == 403, SECOND)
    assert other.admin("policy", "set", "content-trust", "enabled").status == 0
    for port in (one.port, other.port):
        eventually(lambda port=port: ask(port, path, token)[0] == 200, SECOND)
    assert other.admin("principal", "disable", "bob").status == 0
    for port in (one.port, other.port):
        eventually(lambda port=port: ask(port, path, token)[0] in (401, 403), SECOND)


def test_tokens_and_logins_of_one_replica_are_good_at_the_other(shared: Fleet, alice: Person) -> None:
    one, other = shared.replicas
    shared.balancer.first = one.port
    token = alice.token(shared.host, "repository:team/app:pull")
    shared.balancer.first = other.port
    assert alice.token(shared.host, "repository:team/app:pull")
    assert timestamp(other.port, f"{shared.host}/team/app", token)[0] in (200, 404)
    shared.balancer.first = 0


@pytest.mark.parametrize("kek", ["", base64.b64encode(bytes(32)).decode()], ids=["none", "another one"])
def test_a_replica_without_the_key_encryption_key_of_the_others_takes_no_part(
    shared: Fleet, tmp_path: Path, kek: str
) -> None:
    """TRUST 8.5: it is in no database."""
    (tmp_path / "service").mkdir(mode=0o700)
    if kek:
        (tmp_path / "service" / "kek").touch(mode=0o600)
        (tmp_path / "service" / "kek").write_text(kek)
    started = run(["serve", "--data-dir", str(tmp_path / "service"), "--database", shared.url], {})
    assert (started.status, started.slug) == (1, "state")
    assert "key-encryption key" in started.err
    assert not any(path.name == "kek" for path in (tmp_path / "service").iterdir() if not kek)


def test_two_replicas_renew_each_collection_once(fleet: Fleet) -> None:
    """TRUST 3.6: whoever comes second finds that it is done."""
    first = fleet.start()
    alice = fleet.principal("alice", "AcrPush", "AcrImageSigner")
    guns = [f"{fleet.host}/renew/{number}" for number in range(8)]
    for gun in guns:
        assert alice("init", gun).status == 0
    second = fleet.replica()
    first.stop()
    fleet.postgres.run("UPDATE heads SET expires = 1 WHERE role = 'timestamp'", fleet.url)
    starts = [threading.Thread(target=each.start) for each in (first, second)]
    for each in starts:
        each.start()
    for each in starts:
        each.join()
    due = "SELECT count(*) FROM heads WHERE role = 'timestamp' AND expires = 1"
    eventually(lambda: fleet.postgres.run(due, fleet.url) == [(0,)])
    fleet.balancer.ports = [first.port, second.port]
    eventually(lambda: all(ask(port, "/readyz")[0] == 200 for port in fleet.balancer.ports))
    versions = "SELECT DISTINCT version FROM heads WHERE role = 'timestamp'"
    assert fleet.postgres.run(versions, fleet.url) == [(2,)]
    renewed = "SELECT count(*), count(DISTINCT subject) FROM audit WHERE action = 'renewed'"
    assert fleet.postgres.run(renewed, fleet.url) == [(8, 8)]
    for gun in guns[:3]:
        assert alice("status", gun).status == 0
