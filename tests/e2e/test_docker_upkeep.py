"""Collections in format docker that grow old, at a service whose clock was years back when they were made.

The real notary looks at them now: libfaketime doesn't reach programs in Go.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clock import Clock, make_clock
from tests.conftest import Need
from tests.e2e.test_expiry import log_in, pass_days, refused, roles, status
from tests.e2e.test_signers import assert_done
from tests.formats_docker.stand import PASSPHRASE as NOTARYS
from tests.formats_docker.stand import Notary
from tests.server.scrape import Monitored
from tests.service import PASSWORD, Person

pytestmark = pytest.mark.real

TEN_YEARS = 3650
"""The life of a root certificate."""


@dataclass(frozen=True)
class Stand:
    """A service, a publisher and a consumer on one clock; and notary, which has none."""

    clock: Clock
    service: Monitored
    alice: Person
    carol: Person
    notary: Callable[[str], Notary]

    def gun(self, name: str) -> str:
        return f"{self.service.host}/upkeep/{name}"

    def made(self) -> str:
        """A collection of trustkit's with the tag v1, which carol has verified."""
        gun = self.gun("app")
        self.alice.push(f"{gun}:v1")
        made = assert_done(self.alice("init", gun, "--format", "docker")).out.strip()
        assert_done(self.alice("sign", f"{gun}:v1"))
        self.pinned(gun, made)
        assert_done(self.carol("verify", f"{gun}:v1"))
        return gun

    def pinned(self, gun: str, key_id: str) -> None:
        self.carol("pin", "remove", gun)
        assert_done(self.carol("pin", "add", gun, "--format", "docker", "--root-key", key_id))

    def forward(self, gun: str, days: int) -> None:
        """To this many days from now, or from before it."""
        self.clock.ahead(days=days)
        log_in(self.service, self.alice, self.carol)
        pass_days(self.service, self.clock, self.alice, gun, days)


Make = Callable[[int], Stand]


@pytest.fixture
def stand(need: Need, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """``stand(days)``: everything is made at a service whose clock is this many days back."""
    clock = make_clock(need, tmp_path / "clock")
    service = Monitored(tmp_path, "--metrics", "127.0.0.1:0", environ=clock.environ)
    monkeypatch.setenv("NOTARY_AUTH", base64.b64encode(f"alice:{PASSWORD}".encode()).decode())

    def make(days: int) -> Stand:
        clock.ahead(days=-days)
        service.start()
        alice, carol = service.principal("alice", "AcrPush", "AcrImageSigner"), service.principal("carol", "AcrPull")
        for who in (alice, carol):
            words = {f"TRUSTKIT_{kind}_PASSPHRASE": NOTARYS for kind in ("ROOT", "REPOSITORY")}
            notarys = {f"NOTARY_{kind}_PASSPHRASE": NOTARYS for kind in ("ROOT", "TARGETS", "SNAPSHOT")}
            who.environ |= {**clock.environ, **words, **notarys}
        tool = need("notary", "notary")
        return Stand(clock, service, alice, carol, lambda name: Notary(tool, tmp_path / name, service.url))

    yield make
    service.stop()


def keys(found: dict[str, Any]) -> dict[str, bool]:
    return {role: key["here"] for key in found["keys"] for role in key["roles"]}


def test_a_root_certificate_at_its_end_is_renewed_for_the_same_key_and_everybody_follows(stand: Make) -> None:
    it = stand(TEN_YEARS - 20)
    gun, alice, carol = it.made(), it.alice, it.carol
    it.forward(gun, 0)
    ended, found = status(alice, gun)
    assert (ended, roles(found)["root certificate"]["soon"], roles(found)["targets"]["expired"]) == (3, True, True)
    here = {"root": True, "root certificate": True, "targets": True, "snapshot": False, "timestamp": False}
    assert keys(found) == here
    warm = it.notary("warm")
    assert "targets expired" in warm("list", gun).output, "and it has the root now, which is good for 20 days"
    refused(carol("verify", f"{gun}:v1"), 3, "expired")
    assert "root certificate would be signed anew" in assert_done(alice("renew", gun, "--dry-run")).out
    done = assert_done(alice("renew", gun))
    assert "The root key is the same, its certificate is new" in done.err
    assert "This home's pin" in done.err
    assert_done(carol("verify", f"{gun}:v1"))
    assert "v1" in warm.must("list", gun)
    assert "v1" in it.notary("cold").must("list", gun)
    it.pinned(gun, done.err.rpartition("--root-key ")[2].split()[0])
    assert_done(carol("verify", f"{gun}:v1"))
    it.forward(gun, 40)
    assert_done(carol("verify", f"{gun}:v1"))
    assert status(alice, gun)[0] == 0


def test_a_root_certificate_that_has_ended_is_renewed_though_it_locks_stock_clients_out(stand: Make) -> None:
    it = stand(TEN_YEARS + 30)
    gun = it.made()
    it.forward(gun, 0)
    assert status(it.alice, gun)[0] == 3
    assert it.notary("cold")("list", gun).status != 0
    refused(it.carol("verify", f"{gun}:v1"), 3, "expired")
    assert_done(it.alice("renew", gun))
    assert_done(it.carol("verify", f"{gun}:v1"))
    assert "v1" in it.notary("cold").must("list", gun)


def test_who_renews_holds_the_snapshot_key_of_notarys_own_collection_and_signs_that_too(stand: Make) -> None:
    it = stand(0)
    gun, alice, carol, tool = it.gun("notary"), it.alice, it.carol, it.notary("tool")
    alice.push(f"{gun}:v1")
    tool.must("init", "-p", gun)
    root = next(line.split()[1] for line in tool.must("key", "list").splitlines() if line.startswith("root"))
    assert_done(alice("pin", "add", gun, "--format", "docker", "--root-key", root))
    it.pinned(gun, root)
    folder = ("--trust-dir", str(tool.folder))
    assert_done(alice("sign", f"{gun}:v1", *folder))
    assert status(alice, gun)[0] == 0
    it.clock.ahead(days=1100)
    log_in(it.service, alice, carol)
    refused(carol("verify", f"{gun}:v1"), 3, "expired")
    elsewhere = refused(alice("renew", gun), 6, "key-missing")
    assert "The snapshot key of" in elsewhere.err
    renewed = assert_done(alice("renew", gun, *folder))
    assert "targets is at version" in renewed.out
    assert_done(carol("verify", f"{gun}:v1"))
    assert "v1" in tool.must("list", gun)
    assert_done(alice("key", "import", "--docker", str(tool.folder)))
    _, found = status(alice, gun)
    mine = dict.fromkeys(("root", "root certificate", "targets", "snapshot"), True)
    assert keys(found) == {**mine, "timestamp": False}
    named = roles(found)["snapshot"]
    assert (named["renewable"], named["renewer"].startswith("you: snapshot key ")) == (True, True)
    assert "snapshot is at version" in assert_done(alice("renew", gun, "--role", "snapshot")).out
    assert "v1" in tool.must("list", gun)
    mixed = refused(alice("renew", it.gun("none"), *folder), 2, "usage")
    assert "not in format docker" in mixed.err
