"""New online keys and resets where the keys are at a separate signer, with consumers looking on (TRUST 3.5, 3.7)."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.service import Person, run
from tests.signer.test_whole_job import SECONDS, Split, split
from tests.warmstock import WarmStock

__all__ = ["split"]


def keys(split: Split, gun: str) -> dict[str, str]:
    """The ids of the keys in use, as the service has them; the signer has to have the same."""
    rows = json.loads(split.service.admin("online-keys", "list", "--format", "json").out)
    found = {row["role"]: row["key"] for row in rows if row["gun"] == gun}
    assert dict(split.signer.rows(f"SELECT role, key_id FROM keys WHERE gun = '{gun}'")) == found
    return found


@pytest.mark.parametrize(
    ("role", "changed"),
    [("timestamp", {"timestamp"}), ("snapshot", {"snapshot"}), ("online", {"snapshot", "timestamp"})],
)
def test_a_publisher_rotates_them(split: Split, tmp_path: Path, role: str, changed: set[str]) -> None:
    gun = split.pinned(f"rotate-{role}")
    assert split.carol("verify", f"{gun}:v1").status == 0
    stock = WarmStock(split.service, split.carol, gun, tmp_path / "stock")
    digest, before = stock.digest("v1"), keys(split, gun)
    done = split.alice("key", "rotate", gun, "--role", role)
    assert done.status == 0, done.err
    after = keys(split, gun)
    assert {name for name in after if after[name] != before[name]} == changed
    assert split.signer.rows(f"SELECT role FROM pending_keys WHERE gun = '{gun}'") == []
    assert split.carol("verify", f"{gun}:v1").status == 0
    assert stock.digest("v1") == digest
    split.sign(f"{gun}:v2")
    assert split.carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0
    assert stock.digest("v2")
    again = split.alice("key", "rotate", gun, "--role", role)
    assert again.status == 0, again.err
    assert split.carol("verify", f"{gun}:v2").status == 0
    halves = [sealed for there, _, sealed in split.online_keys() if there == gun]
    assert halves == [b"", b""], "no private half is in the service's database"


def test_an_operator_is_told_whose_turn_it_is(split: Split) -> None:
    gun = split.pinned("operator")
    before = keys(split, gun)
    refused = split.service.admin("online-keys", "rotate", gun)
    assert refused.status == 1, refused.err
    assert "at a separate signer" in refused.err
    assert "trustkit key rotate GUN --role online" in refused.err
    told = split.service.admin("online-keys", "rotate", "--all")
    assert told.status == 0, told.err
    assert f"trustkit key rotate {gun} --role online" in told.err
    assert keys(split, gun) == before


def test_the_schedule_makes_them_and_the_next_root_takes_them(split: Split) -> None:
    gun = split.pinned("aged")
    before = keys(split, gun)
    split.service.stop()
    with sqlite3.connect(split.service.data / "trustkit.db") as database:
        database.execute("UPDATE online_keys SET created = 0 WHERE gun = ?", (gun,))
    split.service.environ = {"TRUSTKIT_ONLINE_KEY_DAYS": "30"}
    try:
        split.service.start()
        waiting, ends = dict[str, str](), time.monotonic() + SECONDS
        while not waiting and time.monotonic() < ends:
            waiting = dict(split.signer.rows(f"SELECT role, key_id FROM pending_keys WHERE gun = '{gun}'"))
            time.sleep(0.1)
        assert set(waiting) == {"snapshot", "timestamp"}, split.service.log.read_text()
        split.sign(f"{gun}:v2")
        assert keys(split, gun) == before
        assert split.alice("key", "rotate", gun, "--role", "repository").status == 0
        assert keys(split, gun) == waiting
        assert split.carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0
    finally:
        split.service.stop()
        split.service.environ = {}
        split.service.start()


def test_a_signer_that_is_away_stops_a_rotation_which_then_goes_on(split: Split) -> None:
    gun = split.pinned("away")
    before = keys(split, gun)
    split.signer.end()
    try:
        refused = split.alice("key", "rotate", gun, "--role", "online")
        assert (refused.status, refused.slug) == (4, "server-failed"), refused.err
        assert "can't be reached" in refused.err
        assert split.carol("verify", f"{gun}:v1").status == 0
    finally:
        split.signer.start()
    assert split.alice("key", "rotate", gun, "--role", "online").status == 0
    assert not set(keys(split, gun).values()) & set(before.values())
    assert split.carol("verify", f"{gun}:v1").status == 0


def test_a_reset_takes_the_consent_of_the_signer_s_operator(split: Split, tmp_path: Path) -> None:
    olga = split.service.principal("olga", "Owner")
    gun = split.pinned("reset")
    assert split.carol("verify", f"{gun}:v1").status == 0
    before = keys(split, gun)
    refused = olga("reset", gun, "--yes-reset", gun)
    assert (refused.status, refused.slug) == (5, "consent-missing"), refused.err
    assert f"No reset of {gun} was allowed" in refused.err
    assert f"trustkit admin --data-dir DIR allow-reset {gun}" in refused.err
    assert split.carol("verify", f"{gun}:v1").status == 0
    assert keys(split, gun) == before

    allowed = admin(split, "allow-reset", gun)
    assert allowed == 0
    done = olga("reset", gun, "--yes-reset", gun)
    assert done.status == 0, done.err
    assert not set(keys(split, gun).values()) & set(before.values())
    assert split.carol("verify", f"{gun}:v1").slug == "collection-gone"

    fresh = Person("fresh", tmp_path / "fresh", dict(split.alice.environ))
    shutil.copytree(split.alice.home / "docker", fresh.home / "docker")
    fresh.push(f"{gun}:v2")
    founded = fresh("sign", f"{gun}:v2")
    assert founded.status == 0, founded.err
    assert split.carol("verify", f"{gun}:v2").slug == "wrong-root"
    assert split.carol("pin", "add", gun, "--root-key", fresh.root_key(), "--replace").status == 0
    assert split.carol("verify", f"{gun}:v2").status == 0
    assert fresh("key", "rotate", gun, "--role", "online").status == 0
    assert split.carol("verify", f"{gun}:v2").status == 0
    twice = olga("reset", gun, "--yes-reset", gun)
    assert twice.slug == "consent-missing", "each consent is for one"
    shown = run(["admin", "--data-dir", str(split.signer.data), "audit", "list", "--format", "json"], {})
    said = [(row["action"], row["actor"].partition(":")[0]) for row in json.loads(shown.out) if row["subject"] == gun]
    expected = ["keys-made", "reset-allowed", "begun-anew", "keys-staged", "keys-adopted"]
    assert [action for action, _ in reversed(said)] == expected
    assert dict(said)["reset-allowed"] == "operator"
    assert f"{gun}: the operator's consent to a reset is used up" in split.signer.log.read_text()
    assert not (split.signer.data / "trustkit.db").exists()


def admin(split: Split, *arguments: str) -> int:
    return run(["admin", "--data-dir", str(split.signer.data), *arguments], {}).status


def test_consent_is_given_to_what_is_there_only(split: Split, tmp_path: Path) -> None:
    assert admin(split, "allow-reset", split.gun("nobody-s")) != 0
    nowhere = run(["admin", "--data-dir", str(tmp_path), "allow-reset", split.gun("x")], {})
    assert "no data folder of a signer" in nowhere.err
    assert list(tmp_path.iterdir()) == []
