"""A collection whose root key is lost is reset by an Owner and founded anew (TRUST 3.5, 5.5)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
from tuf.api.exceptions import UnsignedMetadataError

from tests.service import Person, RunningService
from tests.warmstock import WarmStock

numbers = count()


@pytest.fixture(scope="module")
def olga(service: RunningService) -> Person:
    return service.principal("olga", "Owner")


@pytest.fixture
def gun(service: RunningService, alice: Person, carol: Person) -> str:
    """A collection with v1 signed, which carol has pinned and verified."""
    gun = f"{service.host}/reset/app{next(numbers)}"
    alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").status == 0
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    assert carol("verify", f"{gun}:v1").status == 0
    return gun


def newcomer(service: RunningService, alice: Person, name: str) -> Person:
    """Alice's login with a home of its own: who goes on after the root key was lost."""
    made = Person(name, service.folder / f"{name}-{next(numbers)}", dict(alice.environ))
    shutil.copytree(alice.home / "docker", made.home / "docker")
    return made


def audit(service: RunningService, gun: str) -> list[str]:
    rows = json.loads(service.admin("audit", "list", "--format", "json").out)
    return [row["action"] for row in rows if row["subject"] == gun]


def test_a_reset_collection_begins_anew_under_a_new_root(
    service: RunningService, alice: Person, carol: Person, olga: Person, gun: str, tmp_path: Path
) -> None:
    stock = WarmStock(service, carol, gun, tmp_path / "stock")
    assert stock.digest("v1")
    done = olga("reset", gun, "--yes-reset", gun)
    assert done.status == 0, done.err
    assert done.out == f"{gun}: reset at root version 1\n"
    gone = carol("verify", f"{gun}:v1")
    assert (gone.status, gone.slug) == (4, "collection-gone"), gone.err
    assert "reset" in gone.err
    assert "trustkit pin add" in gone.err
    old_home = alice("sign", f"{gun}:v1")
    assert (old_home.status, old_home.slug) == (4, "collection-gone"), "whoever pinned the old root founds nothing"

    fresh = newcomer(service, alice, "fresh")
    unknown = fresh("verify", f"{gun}:v1")
    assert (unknown.status, unknown.slug) == (3, "no-pin")
    assert fresh("init", gun).status == 0
    fresh.push(f"{gun}:v2")
    assert fresh("sign", f"{gun}:v2").status == 0
    new_key = fresh.root_key()
    assert new_key != alice.root_key()

    refused = carol("verify", f"{gun}:v2")
    assert (refused.status, refused.slug) == (3, "wrong-root"), refused.err
    assert "reset" in refused.err
    assert "--replace" in refused.err
    with pytest.raises(UnsignedMetadataError):
        stock.digest("v2")

    assert carol("pin", "add", gun, "--root-key", new_key, "--replace").status == 0
    assert carol("verify", f"{gun}:v2").status == 0
    withdrawn = carol("verify", f"{gun}:v1")
    assert (withdrawn.status, withdrawn.slug) == (3, "unsigned")
    shown = {entry["role"]: entry["version"] for entry in _roles(carol, gun)}
    assert shown["root"] == 2
    assert shown["targets"] > 2, "no version is used twice"
    assert {"collection-reset", "collection-founded"} <= set(audit(service, gun))

    cold = newcomer(service, carol, "cold")
    assert cold("pin", "add", gun, "--root-key", new_key).status == 0
    assert cold("verify", f"{gun}:v2").status == 0
    late = newcomer(service, carol, "late")
    assert late("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    behind = late("verify", f"{gun}:v2")
    assert (behind.status, behind.slug) == (3, "wrong-root"), "the old chain leads nowhere"


def _roles(person: Person, gun: str) -> list[dict[str, object]]:
    folder = next(path.parent for path in person.home.rglob("timestamp.json") if _names(path.parent, gun))
    files = [json.loads((folder / f"{role}.json").read_bytes()) for role in ("root", "targets")]
    return [{"role": file["signed"]["_type"], "version": file["signed"]["version"]} for file in files]


def _names(folder: Path, gun: str) -> bool:
    root = json.loads((folder / "root.json").read_bytes())["signed"]
    return gun in json.dumps(root) and root["version"] == 2


def test_a_second_reset_waits_for_a_root_and_then_works(
    service: RunningService, alice: Person, olga: Person, gun: str
) -> None:
    assert olga("reset", gun, "--yes-reset", gun).status == 0
    again = olga("reset", gun, "--yes-reset", gun)
    assert (again.status, again.slug) == (1, "conflict")
    first = newcomer(service, alice, "first")
    assert first("init", gun).status == 0
    assert olga("reset", gun, "--yes-reset", gun).out == f"{gun}: reset at root version 2\n"
    second = newcomer(service, alice, "second")
    assert second("init", gun).status == 0
    second.push(f"{gun}:v3")
    assert second("sign", f"{gun}:v3").status == 0
    assert second("verify", f"{gun}:v3").status == 0


def test_who_is_no_owner_resets_nothing(alice: Person, bob: Person, carol: Person, gun: str) -> None:
    for person in (alice, bob, carol):
        refused = person("reset", gun, "--yes-reset", gun)
        assert (refused.status, refused.slug) == (5, "role-missing"), refused.err
        assert "Owner" in refused.err
    assert carol("verify", f"{gun}:v1").status == 0


@pytest.mark.parametrize("typed", [(), ("--yes-reset", "another/name"), ("--yes-reset", "yes")])
def test_nothing_is_reset_unless_its_name_is_confirmed(
    olga: Person, carol: Person, gun: str, typed: tuple[str, ...]
) -> None:
    assert olga("reset", gun, *typed).status == 2
    assert carol("verify", f"{gun}:v1").status == 0


def test_an_owner_alone_founds_nothing(olga: Person, gun: str) -> None:
    assert olga("reset", gun, "--yes-reset", gun).status == 0
    refused = olga("init", gun)
    assert (refused.status, refused.slug) == (5, "role-missing"), refused.err


def test_a_reset_among_publishes_loses_nothing_that_was_said_to_be_done(
    service: RunningService, alice: Person, carol: Person, olga: Person, gun: str
) -> None:
    """Alice signs one tag after the other while olga resets: each is done before the reset, or refused by it."""
    for number in range(8):
        alice.push(f"{gun}:t{number}")
    environ = {**os.environ, **alice.environment()}
    signing = [
        subprocess.Popen(
            [sys.executable, "-m", "trustkit", "sign", f"{gun}:t{number}"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    ends_at = time.monotonic() + 60
    while "published" not in audit(service, gun):
        assert time.monotonic() < ends_at
    done = olga("reset", gun, "--yes-reset", gun)
    assert done.status == 0, done.err
    ends = [(process.wait(120), *process.communicate()) for process in signing]
    for status, _, err in ends:
        assert "Traceback" not in err
        assert status == 0 or re.search(r"\[(collection-gone|collection-reset|conflict)\]", err), err
    assert carol("verify", f"{gun}:v1").slug == "collection-gone"
    acted = audit(service, gun)
    assert acted[0] == "collection-reset", "nothing was published after it"
    said_done = sum(status == 0 for status, _, _ in ends)
    assert acted.count("published") >= said_done > 0, (
        "who reads back only after the reset doesn't say that it is done"
    )
    fresh = newcomer(service, alice, "among")
    fresh.push(f"{gun}:v2")
    founded = fresh("sign", f"{gun}:v2")
    assert founded.status == 0, founded.err
