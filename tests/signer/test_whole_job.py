"""A service whose online keys are at a signer: publish, renew, lose the signer, find it; stock TUF reads it all."""

from __future__ import annotations

import http.client
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tuf.ngclient import Updater

from tests.conftest import Need
from tests.real.test_stock_tuf_client import Collection
from tests.service import PASSPHRASE, Person, RunningService
from tests.signer.running import RunningSigner

SECONDS = 60.0


@dataclass
class Split:
    """A signer, a service that uses it, a publisher and a consumer."""

    signer: RunningSigner
    service: RunningService
    alice: Person
    carol: Person

    def sign(self, reference: str) -> None:
        self.alice.push(reference)
        result = self.alice("sign", reference)
        assert result.status == 0, result.err

    def gun(self, name: str) -> str:
        return f"{self.service.host}/split/{name}"

    def pinned(self, name: str) -> str:
        """A collection with v1 signed, and carol's pin on it."""
        gun = self.gun(name)
        self.sign(f"{gun}:v1")
        assert self.carol("pin", "add", gun, "--root-key", self.alice.root_key()).status == 0
        return gun

    def stock(self, name: str, folder: Path) -> Updater:
        """python-tuf's own client."""
        token = self.carol.token(self.service.host, f"repository:split/{name}:pull")
        return Collection(self.gun(name), folder, token).updater()

    def online_keys(self) -> list[tuple[str, str, bytes]]:
        """The service's own table of online keys."""
        connection = sqlite3.connect(self.service.data / "trustkit.db")
        try:
            return connection.execute("SELECT gun, role, sealed FROM online_keys").fetchall()
        finally:
            connection.close()

    def ready(self) -> tuple[int, list[str]]:
        connection = http.client.HTTPConnection(self.service.host, timeout=30)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())["problems"]
        finally:
            connection.close()


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    folder = tmp_path_factory.mktemp("split")
    signer = RunningSigner(tmp_path_factory.mktemp("signer"), "--client-name", "service").start()
    service = RunningService(folder, *signer.options)
    try:
        service.start()
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        yield Split(signer, service, alice, service.principal("carol", "AcrPull"))
    finally:
        service.stop()
        signer.end()


def test_publish_verify_revoke_and_stock_tuf(split: Split, tmp_path: Path) -> None:
    gun = split.pinned("job")
    split.sign(f"{gun}:v2")
    assert split.carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0
    assert split.alice("revoke", f"{gun}:v1").status == 0
    assert split.carol("verify", f"{gun}:v1").slug == "unsigned"
    stock = split.stock("job", tmp_path / "stock")
    stock.refresh()
    assert stock.get_targetinfo("v2") is not None
    assert stock.get_targetinfo("v1") is None
    halves = [sealed for there, _, sealed in split.online_keys() if there == gun]
    assert halves == [b"", b""], "no private half is in the service's database"
    held = split.signer.rows(f"SELECT role, length(sealed) > 40 FROM keys WHERE gun = '{gun}' ORDER BY role")
    assert held == [("snapshot", 1), ("timestamp", 1)]


def test_without_the_signer_nothing_is_published_and_reads_go_on(split: Split, tmp_path: Path) -> None:
    gun = split.pinned("down")
    split.alice.push(f"{gun}:v2")
    assert split.ready() == (200, [])
    split.signer.end(signal.SIGKILL)
    try:
        refused = split.alice("sign", f"{gun}:v2")
        assert (refused.status, refused.slug) == (4, "server-failed"), refused.err
        assert f"The signer at {split.signer.url} can't be reached" in refused.err
        fresh = split.alice("init", split.gun("never"))
        assert (fresh.status, fresh.slug) == (4, "server-failed"), fresh.err
        assert split.carol("verify", f"{gun}:v1").status == 0
        assert split.carol("verify", f"{gun}:v2").slug == "unsigned"
        split.stock("down", tmp_path / "stock").refresh()
        ends = time.monotonic() + SECONDS
        while (said := split.ready())[0] == 200 and time.monotonic() < ends:
            time.sleep(0.1)
        assert said == (503, ["the separate signer can't be reached"])
    finally:
        split.signer.start()
    assert split.alice("sign", f"{gun}:v2").status == 0
    assert split.carol("verify", f"{gun}:v2").status == 0


def test_a_service_that_is_started_without_its_signer_says_so(split: Split) -> None:
    gun = split.pinned("forgotten")
    split.service.stop()
    arguments, split.service.arguments = split.service.arguments, ()
    try:
        split.service.start()
        refused = split.alice("revoke", f"{gun}:v1")
        assert (refused.status, refused.slug) == (4, "server-failed"), refused.err
        assert "this service was started without --signer" in refused.err
        assert split.carol("verify", f"{gun}:v1").status == 0
        split.sign(f"{split.gun('local')}:v1")
    finally:
        split.service.stop()
        split.service.arguments = arguments
        split.service.start()
    assert f"the online keys of {split.gun('local')} are in this service's database" in split.service.log.read_text()
    split.sign(f"{split.gun('local')}:v2")
    assert split.signer.rows(f"SELECT * FROM keys WHERE gun = '{split.gun('local')}'") == []


def timestamp(split: Split, name: str) -> dict[str, Any]:
    """What is served."""
    token = split.carol.token(split.service.host, f"repository:split/{name}:pull")
    connection = http.client.HTTPConnection(split.service.host, timeout=30)
    try:
        path = f"/v2/{split.gun(name)}/_trust/metadata/timestamp.json"
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return dict(json.loads(connection.getresponse().read())["signed"])
    finally:
        connection.close()


def test_renewal_goes_through_the_signer(split: Split, need: Need) -> None:
    """Both clocks run eight days ahead: the snapshot's half life and a day of the timestamp are over."""
    gun = split.pinned("renewed")
    before = timestamp(split, "renewed")
    faketime = need("faketime", "faketime")
    shown = subprocess.run([faketime, "-f", "+8d", "env"], capture_output=True, text=True, check=True, timeout=30)
    environ = dict(
        line.split("=", 1) for line in shown.stdout.splitlines() if line.startswith(("LD_PRE", "FAKETIME"))
    )
    split.service.stop()
    split.signer.end()
    split.service.environ = split.signer.environ = environ
    try:
        split.signer.start()
        split.service.start()
        ends = time.monotonic() + SECONDS
        while (after := timestamp(split, "renewed"))["version"] == before["version"]:
            assert time.monotonic() < ends, split.service.log.read_text()
            time.sleep(0.1)
        assert after["meta"]["snapshot.json"]["version"] == before["meta"]["snapshot.json"]["version"] + 1
        verified = split.carol("verify", f"{gun}:v1", environ=environ)
        assert verified.status == 0, verified.err
    finally:
        split.service.stop()
        split.signer.end()
        split.service.environ = split.signer.environ = {}
        split.signer.start()
        split.service.start()


def test_a_collection_in_hash_bins(split: Split, tmp_path: Path) -> None:
    """The signer reads every bin when who signs them is new, and then the ones that come."""
    gun = split.pinned("bins")
    many = {"TRUSTKIT_BINS_ABOVE": "1"}
    for tag, grows in (("v2", True), ("v3", False)):
        split.alice.push(f"{gun}:{tag}")
        signed = split.alice("sign", f"{gun}:{tag}", environ=many)
        assert signed.status == 0, signed.err
        assert ("its tags are put into 1024 files" in signed.err) is grows
    stock = split.stock("bins", tmp_path / "stock")
    assert all(stock.get_targetinfo(f"v{n}") for n in (1, 2, 3))
    verified = split.carol("verify", *(f"{gun}:v{n}" for n in (1, 2, 3)))
    assert verified.status == 0, verified.err
    rotated = split.alice("key", "rotate", gun, "--role", "repository", "--yes")
    assert rotated.status == 0, rotated.err
    assert "1024 of the 1024 bins of targets are signed anew" in rotated.err
    assert split.carol("verify", f"{gun}:v2").status == 0
    signer = {"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE, **many}
    made, public = split.alice("key", "generate", "--name", "dora", environ=signer), tmp_path / "dora.pub"
    public.write_text(json.loads(split.alice("key", "show", made.out.strip()).out)["public"])
    added = split.alice("signer", "add", "dora", gun, "--key", str(public), "--yes")
    assert added.status == 0, added.err
    # what she says that she signed is divided by the second of them
    for tag in ("v4", "v5", "v6"):
        split.alice.push(f"{gun}:{tag}")
        signed = split.alice("sign", f"{gun}:{tag}", environ=signer)
        assert signed.status == 0, signed.err
    assert all(stock.get_targetinfo(f"v{n}") for n in (1, 2, 3))
    assert split.carol("verify", f"{gun}:v6").status == 0
    shown = split.carol("inspect", gun)
    assert [line.split()[-1] for line in shown.out.splitlines() if line.startswith(("v4", "v5", "v6"))] == [
        "dora"
    ] * 3
    assert list((split.carol.home / "trustkit").rglob("bins-2-*.json"))
