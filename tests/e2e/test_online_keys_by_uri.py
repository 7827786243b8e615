"""One collection's online keys where its operator put them, as it is typed: on a token, and in AWS KMS."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clock import make_clock
from tests.conftest import Need
from tests.keys.services import aws, aws_server
from tests.real.parts import within
from tests.server.scrape import Monitored
from tests.service import Person, Result, run
from tests.softhsm import PIN, SoftHsm
from tests.warmstock import WarmStock

__all__ = ["aws", "aws_server"]

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROUND_MINUTES = 2
"""More than passes between two rounds of renewals."""
PAST = "1000000"


@dataclass
class Office:
    """An operator with a token, a service, and what he types."""

    service: Monitored
    softhsm: SoftHsm
    token: Path
    maker: Person

    def __call__(self, *arguments: str, **environ: str) -> Result:
        done = run(["admin", "--data-dir", str(self.service.data), *arguments], {**self.service.environ, **environ})
        assert "Traceback" not in done.err
        assert PIN not in done.out + done.err
        return done

    def made(self, label: str) -> str:
        """A key of this label on the token; its URI."""
        uri = f"pkcs11:token=online;object={label}"
        done = self.maker("key", "generate", "--hsm", uri, "--role", "signer", "--name", label)
        assert done.status == 0, done.err
        return uri

    def used(self, gun: str, role: str, uri: str) -> str:
        """Has the key at a URI wait; its id."""
        done = self("online-keys", "use", gun, uri, "--role", role)
        assert done.status == 0, done.err
        return done.out.split()[4]

    def listed(self, gun: str, *options: str) -> dict[str, dict[str, str]]:
        rows = json.loads(self("online-keys", "list", "--format", "json", *options).out)
        return {row["role"]: row for row in rows if row["gun"] == gun}

    def rows(self, statement: str) -> list[Any]:
        with sqlite3.connect(self.service.data / "trustkit.db", timeout=60) as database:
            return database.execute(statement).fetchall()


@pytest.fixture
def office(softhsm: SoftHsm, tmp_path: Path) -> Iterator[Office]:
    environ = {**softhsm.environ, "TRUSTKIT_HSM_PIN": PIN}
    service = Monitored(tmp_path, environ=environ)
    maker = Person("maker", tmp_path / "maker", environ)
    made = Office(service, softhsm, softhsm.insert("online"), maker)
    service.start()
    yield made
    service.stop()
    assert PIN not in service.log.read_text()
    assert "Traceback" not in service.log.read_text()


@pytest.fixture
def alice(office: Office) -> Person:
    return office.service.principal("alice", "AcrPush", "AcrImageSigner")


def sign(alice: Person, reference: str) -> Result:
    alice.push(reference)
    return alice("sign", reference)


def founded(office: Office, alice: Person, name: str) -> str:
    gun = f"{office.service.host}/{name}"
    assert sign(alice, f"{gun}:v1").status == 0
    return gun


def restart(service: Monitored) -> None:
    service.stop()
    service.start()


def test_use_rotate_sign_restart_pull_out_put_back_and_go_back(
    office: Office, alice: Person, need: Need, tmp_path: Path
) -> None:
    service, gun = office.service, founded(office, alice, "team/app")
    carol = service.principal("carol", "AcrPull")
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    stock = WarmStock(service, carol, gun, tmp_path / "stock")
    assert stock.digest("v1")
    assert carol("verify", f"{gun}:v1").status == 0

    uris = {role: office.made(f"{role}-key") for role in ("snapshot", "timestamp")}
    waiting = {role: office.used(gun, role, uri) for role, uri in uris.items()}
    before = office.listed(gun, "--uris")
    assert {role: (row["place"], row["pending"], row["pending_place"]) for role, row in before.items()} == {
        role: ("database", waiting[role], uris[role]) for role in waiting
    }
    assert sign(alice, f"{gun}:v2").status == 0, "the old keys go on until a root names the new ones"
    assert alice("key", "rotate", gun, "--role", "online", "--yes").status == 0
    assert {role: row["key"] for role, row in office.listed(gun).items()} == waiting
    assert {row["place"] for row in office.listed(gun).values()} == {"device"}
    assert {role: row["place"] for role, row in office.listed(gun, "--uris").items()} == uris
    assert stock.digest("v2")
    assert carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0
    restart(service)
    assert within(30, lambda: f"an online key of {gun} is on a device, which signs" in service.log.read_text())
    assert sign(alice, f"{gun}:v3").status == 0
    assert stock.digest("v3")

    away = tmp_path / "away"
    office.token.rename(away)
    refused = sign(alice, f"{gun}:v4")
    assert (refused.status, refused.slug) == (4, "server-failed")
    assert "online'" not in refused.err
    assert "The token 'online' isn't here" in service.log.read_text()
    assert carol("verify", f"{gun}:v3").status == 0
    assert stock.digest("v3")
    service.stop()
    service.change(f"UPDATE heads SET expires = {PAST} WHERE role = 'timestamp'")
    clock, everybodys = make_clock(need, tmp_path / "clock"), service.environ
    service.environ = {**everybodys, **clock.environ}
    service.start()
    service.environ = everybodys
    assert within(30, lambda: service.ready()[0] == 503)
    assert within(30, lambda: "1 collections could not be renewed" in service.ready()[1]["problems"])
    away.rename(office.token)
    assert alice("sign", f"{gun}:v4").status == 0, "the same process goes on"
    clock.ahead(minutes=ROUND_MINUTES)
    assert within(30, lambda: service.ready()[0] == 200), "the next round renews it"
    assert stock.digest("v4")

    back = office("online-keys", "rotate", gun)
    assert (back.status, back.slug) == (5, "consent-missing")
    assert office("online-keys", "rotate", "--all").out == ""
    assert office("online-keys", "rotate", gun, "--to-database").status == 0
    assert alice("key", "rotate", gun, "--role", "online", "--yes").status == 0
    office.softhsm.pull_out(office.token)
    assert {row["place"] for row in office.listed(gun).values()} == {"database"}
    assert sign(alice, f"{gun}:v5").status == 0
    assert stock.digest("v5")
    assert carol("verify", f"{gun}:v5").status == 0
    actions = [row["action"] for row in json.loads(office("audit", "list", "--format", "json").out)]
    assert actions.count("online-keys-staged") == 3


def test_a_lost_token_is_left_behind_by_the_next_root(office: Office, alice: Person, tmp_path: Path) -> None:
    """Neither the key that it held nor a reset is needed for it."""
    gun = founded(office, alice, "lost/app")
    stock = WarmStock(office.service, alice, gun, tmp_path / "stock")
    assert stock.digest("v1")
    for role in ("snapshot", "timestamp"):
        office.used(gun, role, office.made(f"{role}-key"))
    assert alice("key", "rotate", gun, "--role", "online", "--yes").status == 0
    assert stock.digest("v1")
    office.softhsm.pull_out(office.token)
    assert sign(alice, f"{gun}:v2").slug == "server-failed"
    refused = alice("key", "rotate", gun, "--role", "online", "--yes")
    assert (refused.status, refused.slug) == (5, "consent-missing"), refused.err
    assert "only its operator may move them" in refused.err
    assert office("online-keys", "rotate", gun, "--to-database").status == 0
    assert alice("key", "rotate", gun, "--role", "online", "--yes").status == 0
    assert alice("sign", f"{gun}:v2").status == 0
    assert stock.digest("v2")


def test_a_key_that_waits_on_a_lost_token_is_dropped(office: Office, alice: Person) -> None:
    gun = founded(office, alice, "dropped/app")
    office.used(gun, "timestamp", office.made("ts"))
    office.softhsm.pull_out(office.token)
    assert sign(alice, f"{gun}:v2").status == 0, "nobody asks it yet"
    refused = alice("key", "rotate", gun, "--role", "repository", "--yes")
    assert refused.slug == "server-failed"
    dropped = office("online-keys", "drop", gun)
    assert dropped.status == 0, dropped.err
    assert f"{gun}: timestamp key " in dropped.out
    assert office("online-keys", "drop", gun).out == ""
    assert alice("key", "rotate", gun, "--role", "repository", "--yes").status == 0
    assert office.listed(gun)["timestamp"]["place"] == "database"


def test_an_owner_resets_whatever_became_of_the_token(office: Office, alice: Person) -> None:
    gun = founded(office, alice, "reset/app")
    office.used(gun, "timestamp", office.made("ts"))
    assert alice("key", "rotate", gun, "--role", "timestamp", "--yes").status == 0
    office.softhsm.pull_out(office.token)
    owner = office.service.principal("owner", "Owner")
    assert owner("reset", gun, "--yes-reset", gun).status == 0
    assert office.listed(gun)["timestamp"]["place"] == "database"


def test_the_pin_is_tried_once_in_a_service_s_life(office: Office, alice: Person) -> None:
    gun = founded(office, alice, "pin/app")
    office.used(gun, "timestamp", office.made("ts"))
    assert alice("key", "rotate", gun, "--role", "timestamp", "--yes").status == 0
    right = office.service.environ
    office.service.environ = {**right, "TRUSTKIT_HSM_PIN": "not the pin"}
    restart(office.service)
    said = f"until that device is back, nothing of {gun} is published or renewed"
    assert within(30, lambda: said in office.service.log.read_text()), "an operator needn't wait for a renewal"
    for _ in range(3):
        assert sign(alice, f"{gun}:v2").slug == "server-failed"
    log = office.service.log.read_text()
    assert "not the pin" not in log
    assert "isn't tried again, since tokens lock" in log
    office.service.environ = right
    restart(office.service)
    assert alice("sign", f"{gun}:v2").status == 0
    pin = office.service.folder / "pin"
    pin.write_text(PIN + "\n")
    office.service.environ = {**right, "TRUSTKIT_HSM_PIN": ""}
    office.service.arguments = ("--online-key-pin-file", str(pin))
    restart(office.service)
    assert sign(alice, f"{gun}:v3").status == 0


Uses = Callable[[Office, str, Person], tuple[str, ...]]


def _anothers(office: Office, gun: str, alice: Person) -> tuple[str, ...]:
    """Waits for another collection's root already."""
    other = founded(office, alice, "refused/other")
    uri = office.made("taken")
    office.used(other, "snapshot", uri)
    return gun, uri


def _anothers_in_use(office: Office, gun: str, alice: Person) -> tuple[str, ...]:
    other = founded(office, alice, "refused/other")
    uri = office.made("taken")
    office.used(other, "timestamp", uri)
    assert alice("key", "rotate", other, "--role", "timestamp", "--yes").status == 0
    return gun, f"{uri}?module-path={_module()}"


def _other_role(office: Office, gun: str, alice: Person) -> tuple[str, ...]:
    uri = office.made("both")
    office.used(gun, "snapshot", uri)
    return gun, uri


def _waits(office: Office, gun: str, alice: Person) -> tuple[str, ...]:
    office.used(gun, "timestamp", office.made("one"))
    return gun, office.made("two")


def _publishers(office: Office, gun: str, alice: Person) -> tuple[str, ...]:
    """A signer's key of this collection, on the same token."""
    uri = office.made("ci")
    public = office.maker.home / "ci.pub"
    key_id = json.loads(office.maker("key", "list", "--format", "json").out)[0]["id"]
    public.write_text(office.maker("key", "export", "--public", key_id).out)
    assert alice("signer", "add", "ci", "--key", str(public), gun, "--yes").status == 0
    return gun, uri


def _module() -> str:
    from trustkit.keys.tokens import USUAL_PLACES

    return next(place for place in USUAL_PLACES if "softhsm" in place and Path(place).exists())


@pytest.mark.parametrize(
    ("what", "status", "slug", "said"),
    [
        (_anothers, 1, "conflict", "never shared"),
        (_anothers_in_use, 1, "conflict", "never shared"),
        (_other_role, 1, "conflict", "never shared"),
        (_waits, 1, "conflict", "online-keys drop"),
        (_publishers, 1, "conflict", "a publisher's key"),
        (lambda office, gun, _: (gun, "pkcs11:token=online;object=none"), 6, "key-missing", "no private key"),
        (lambda office, gun, _: (gun, "pkcs11:token=gone;object=x"), 6, "key-unavailable", "isn't here"),
        (lambda office, gun, _: (gun, "pkcs11:token=online;object=x?pin-value=1"), 2, "usage", "'pin-value'"),
        (lambda office, gun, _: (gun, "file:/etc/passwd"), 2, "usage", "begin with file"),
        (lambda office, gun, _: (f"{gun}x", office.made("x")), 1, "not-found", "no collection"),
    ],
    ids=["another's, waiting", "another's, in use", "another role's", "one waits", "a publisher's", "no key",
         "no token", "a PIN in the URI", "no URI", "no collection"],
)  # fmt: skip
def test_keys_that_are_not_taken(
    office: Office, alice: Person, what: Uses, status: int, slug: str, said: str
) -> None:
    gun = founded(office, alice, "refused/app")
    arguments = what(office, gun, alice)
    before = office.rows("SELECT gun, role, key_id FROM pending_keys ORDER BY 1, 2")
    refused = office("online-keys", "use", *arguments, "--role", "timestamp")
    assert (refused.status, refused.slug) == (status, slug), refused.err
    assert said in refused.err
    assert office.rows("SELECT gun, role, key_id FROM pending_keys ORDER BY 1, 2") == before


def test_another_key_under_the_same_label_signs_nothing(office: Office, alice: Person, tmp_path: Path) -> None:
    gun = founded(office, alice, "swapped/app")
    stock = WarmStock(office.service, alice, gun, tmp_path / "stock")
    office.used(gun, "timestamp", office.made("ts"))
    assert alice("key", "rotate", gun, "--role", "timestamp", "--yes").status == 0
    assert stock.digest("v1")
    office.softhsm.pull_out(office.token)
    office.token = office.softhsm.insert("online")
    office.made("ts")
    refused = sign(alice, f"{gun}:v2")
    assert (refused.status, refused.slug) == (4, "server-failed")
    assert "Another key than" in office.service.log.read_text()
    assert stock.digest("v1")


Bend = Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any]]]


@pytest.mark.parametrize(
    "bend",
    [
        lambda rows: {"timestamp": {"sealed": rows["snapshot"]["sealed"]}},
        lambda rows: {"snapshot": rows["timestamp"], "timestamp": rows["snapshot"]},
        lambda rows: {"timestamp": rows["other"]},
        lambda rows: {"timestamp": {"sealed": rows["other"]["sealed"]}},
        lambda rows: {"timestamp": {"sealed": b"\x10" + rows["plain"]["sealed"]}},
        lambda rows: {"timestamp": {"sealed": rows["timestamp"]["sealed"][1:]}},
        lambda rows: {"timestamp": {"sealed": b"\x10pkcs11:token=online;object=timestamp-key"}},
        lambda rows: {"timestamp": {"public": rows["other"]["public"]}},
        lambda rows: {"timestamp": {"sealed": b""}},
    ],
    ids=["another role's place", "roles swapped", "another collection's row", "another collection's place",
         "a sealed key as a place", "a place as a sealed key", "a place in the clear", "another's public half",
         "as a separate signer's"],
)  # fmt: skip
def test_who_writes_in_the_database_points_no_role_to_another_key(
    office: Office, alice: Person, tmp_path: Path, bend: Bend
) -> None:
    """Threat model: the database in an attacker's hands, without the key-encryption key."""
    gun, other = founded(office, alice, "bent/app"), founded(office, alice, "bent/other")
    stock = WarmStock(office.service, alice, gun, tmp_path / "stock")
    for where, role in ((gun, "snapshot"), (gun, "timestamp"), (other, "timestamp")):
        office.used(where, role, office.made(f"{role}-{'key' if where == gun else 'other'}"))
    assert alice("key", "rotate", gun, "--role", "online", "--yes").status == 0
    assert alice("key", "rotate", other, "--role", "timestamp", "--yes").status == 0
    assert stock.digest("v1")
    named = {(gun, "snapshot"): "snapshot", (gun, "timestamp"): "timestamp", (other, "timestamp"): "other",
             (other, "snapshot"): "plain"}  # fmt: skip
    there = {
        named[where, role]: {"key_id": key_id, "public": public, "sealed": sealed}
        for where, role, key_id, public, sealed in office.rows(
            "SELECT gun, role, key_id, public, sealed FROM online_keys"
        )
    }
    office.service.stop()
    with sqlite3.connect(office.service.data / "trustkit.db") as database:
        for role, values in bend(there).items():
            columns = ", ".join(f"{name} = ?" for name in values)
            database.execute(
                f"UPDATE online_keys SET {columns} WHERE gun = ? AND role = ?", (*values.values(), gun, role)
            )
    office.service.start()
    before = stock.version("timestamp")
    refused = sign(alice, f"{gun}:v2")
    assert refused.status != 0
    assert stock.digest("v1")
    assert stock.digest("v2") is None
    assert stock.version("timestamp") == before


def test_a_restored_database_jumps_with_the_token(office: Office, alice: Person, tmp_path: Path) -> None:
    gun = founded(office, alice, "recovered/app")
    office.used(gun, "timestamp", office.made("ts"))
    assert alice("key", "rotate", gun, "--role", "timestamp", "--yes").status == 0
    stock = WarmStock(office.service, alice, gun, tmp_path / "stock")
    without = office("recover", gun, TRUSTKIT_HSM_PIN="")
    assert without.status == 1
    assert "no passphrase" in without.err
    assert office("recover", gun).status == 0
    assert stock.digest("v1")
    assert sign(alice, f"{gun}:v2").status == 0


def test_a_key_of_aws_signs_online_and_what_is_refused_there_loses_nothing(
    office: Office, alice: Person, aws: Any, tmp_path: Path
) -> None:
    gun = founded(office, alice, "cloud/app")
    stock = WarmStock(office.service, alice, gun, tmp_path / "stock")
    assert stock.digest("v1")
    key_id = aws.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
    restart(office.service)  # moto's address and credentials are in its environment now
    office.used(gun, "timestamp", f"awskms:{key_id}")
    assert alice("key", "rotate", gun, "--role", "timestamp", "--yes").status == 0
    assert stock.digest("v1")
    assert sign(alice, f"{gun}:v2").status == 0
    assert stock.digest("v2")
    assert office.listed(gun, "--uris")["timestamp"]["place"] == f"awskms:{key_id}"
    office.service.environ = {**office.service.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    restart(office.service)
    refused = sign(alice, f"{gun}:v3")
    assert (refused.status, refused.slug) == (4, "server-failed")
    assert key_id not in refused.err
    assert key_id in office.service.log.read_text()
    assert stock.digest("v2")
    del office.service.environ["AWS_ENDPOINT_URL"]
    restart(office.service)
    assert alice("sign", f"{gun}:v3").status == 0
    assert stock.digest("v3")


class Silence:
    """Accepts connections and says nothing, as a network that swallows packets does."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        self._listening.close()


def test_a_key_service_that_hangs_is_given_up_and_others_publish(office: Office, alice: Person, aws: Any) -> None:
    gun, other = founded(office, alice, "hanging/app"), founded(office, alice, "hanging/other")
    key_id = aws.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
    office.used(gun, "timestamp", f"awskms:{key_id}")
    restart(office.service)
    assert alice("key", "rotate", gun, "--role", "timestamp", "--yes").status == 0
    silence = Silence()
    try:
        office.service.environ = {**office.service.environ, "AWS_ENDPOINT_URL": silence.url}
        restart(office.service)
        for where in (gun, other):
            alice.push(f"{where}:v2")
        with ThreadPoolExecutor(2) as both:
            hanging = both.submit(alice, "sign", f"{gun}:v2")
            time.sleep(3)
            meanwhile = both.submit(alice, "sign", f"{other}:v2")
        assert (hanging.result().status, hanging.result().slug) == (4, "server-failed")
        assert meanwhile.result().status == 0, meanwhile.result().err
        began = time.monotonic()
        office.service.stop()
        assert time.monotonic() - began < 10, "what hangs keeps no service from stopping"
    finally:
        silence.close()
    del office.service.environ["AWS_ENDPOINT_URL"]
    office.service.start()
    assert alice("sign", f"{gun}:v2").status == 0


def test_the_folder_of_a_separate_signer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "signer.db").touch()
    for command in (("use", "localhost/app", "awskms:x", "--role", "timestamp"), ("drop", "localhost/app")):
        refused = run(["admin", "--data-dir", str(tmp_path), "online-keys", *command], {})
        assert (refused.status, refused.slug) == (1, "state")
        assert "of a separate signer" in refused.err
    assert {file.name for file in tmp_path.iterdir()} == {"signer.db"}


def test_no_device_is_loaded_by_a_service_without_such_a_key(office: Office, alice: Person) -> None:
    founded(office, alice, "plain/app")
    assert office.service.process is not None
    maps = Path(f"/proc/{office.service.process.pid}/maps").read_text()
    assert "softhsm" not in maps
    assert "pkcs11" not in maps
