"""New snapshot and timestamp keys by publisher, operator and schedule, with warm clients looking on (TRUST 3.7)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.service import Person, RunningService
from tests.warmstock import WarmStock

numbers = count()


@pytest.fixture
def gun(service: RunningService, alice: Person, carol: Person) -> str:
    """A collection with v1 signed, which carol has pinned and verified."""
    gun = f"{service.host}/online/app{next(numbers)}"
    alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").status == 0
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    assert carol("verify", f"{gun}:v1").status == 0
    return gun


def listed(service: RunningService, gun: str) -> dict[str, dict[str, str]]:
    rows = json.loads(service.admin("online-keys", "list", "--format", "json").out)
    return {row["role"]: row for row in rows if row["gun"] == gun}


@pytest.mark.parametrize(
    ("role", "changed"),
    [("timestamp", {"timestamp"}), ("snapshot", {"snapshot"}), ("online", {"snapshot", "timestamp"})],
)
def test_warm_clients_go_on(
    service: RunningService, alice: Person, carol: Person, gun: str, tmp_path: Path, role: str, changed: set[str]
) -> None:
    stock = WarmStock(service, carol, gun, tmp_path / "stock")
    digest = stock.digest("v1")
    assert digest
    before, seen = listed(service, gun), {name: stock.version(name) for name in ("snapshot", "timestamp")}
    done = alice("key", "rotate", gun, "--role", role)
    assert done.status == 0, done.err
    after = listed(service, gun)
    assert {name for name in after if after[name]["key"] != before[name]["key"]} == changed
    assert all(not row["pending"] for row in after.values())
    assert done.out.splitlines() == [
        f"{gun}: {name} key {before[name]['key'][:16]} -> {after[name]['key']}" for name in sorted(changed)
    ]
    assert stock.digest("v1") == digest
    assert all(stock.version(name) == version + 1 for name, version in seen.items()), "both are signed anew"
    assert carol("verify", f"{gun}:v1").status == 0
    alice.push(f"{gun}:v2")
    assert alice("sign", f"{gun}:v2").status == 0
    assert stock.digest("v2")
    assert carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0


def test_the_next_root_takes_an_operator_s_keys_along(
    service: RunningService, alice: Person, carol: Person, gun: str, tmp_path: Path
) -> None:
    stock = WarmStock(service, carol, gun, tmp_path / "stock")
    before = listed(service, gun)
    done = service.admin("online-keys", "rotate", gun)
    assert done.status == 0, done.err
    waiting = listed(service, gun)
    assert {role: row["key"] for role, row in waiting.items()} == {role: row["key"] for role, row in before.items()}
    alice.push(f"{gun}:v2")
    assert alice("sign", f"{gun}:v2").status == 0, "a publish without a root leaves them waiting"
    assert listed(service, gun) == waiting
    assert service.admin("online-keys", "rotate", gun).out == "", "those that wait are not replaced"
    assert alice("key", "rotate", gun, "--role", "repository").status == 0
    assert {role: row["key"] for role, row in listed(service, gun).items()} == {
        role: row["pending"] for role, row in waiting.items()
    }
    assert stock.digest("v2")
    assert carol("verify", f"{gun}:v2").status == 0


def test_two_at_once_end_with_the_same_keys(
    service: RunningService, alice: Person, carol: Person, gun: str, tmp_path: Path
) -> None:
    stock = WarmStock(service, carol, gun, tmp_path / "stock")
    with ThreadPoolExecutor(2) as both:
        runs = [both.submit(alice, "key", "rotate", gun, "--role", "online") for _ in range(2)]
        done = [run.result() for run in runs]
    assert [result.status for result in done] == [0, 0], [result.err for result in done]
    assert all(not row["pending"] for row in listed(service, gun).values())
    assert stock.digest("v1")
    assert carol("verify", f"{gun}:v1").status == 0


def test_a_service_killed_between_staging_and_publishing(alice: Person, carol: Person, tmp_path: Path) -> None:
    service = RunningService(tmp_path).start()
    try:
        owner = service.principal("owner", "AcrPush", "AcrImageSigner")
        gun = f"{service.host}/killed/app"
        owner.push(f"{gun}:v1")
        assert owner("sign", f"{gun}:v1").status == 0
        stock = WarmStock(service, owner, gun, tmp_path / "stock")
        assert stock.digest("v1")
        assert service.admin("online-keys", "rotate", "--all", "--role", "timestamp").status == 0
        service.kill()
        service.start()
        assert stock.digest("v1"), "the old keys serve on"
        waiting = listed(service, gun)["timestamp"]["pending"]
        assert owner("key", "rotate", gun, "--role", "timestamp").status == 0
        assert listed(service, gun)["timestamp"]["key"] == waiting
        assert stock.digest("v1")
        service.kill()
        service.start()
        assert stock.digest("v1")
    finally:
        service.stop()


def test_a_schedule_stages_keys_that_are_older(tmp_path: Path) -> None:
    service = RunningService(tmp_path).start()
    try:
        owner = service.principal("owner", "AcrPush", "AcrImageSigner")
        gun = f"{service.host}/aged/app"
        owner.push(f"{gun}:v1")
        assert owner("sign", f"{gun}:v1").status == 0
        service.stop()
        service.environ = {"TRUSTKIT_ONLINE_KEY_DAYS": "1"}
        service.start()
        assert owner("verify", f"{gun}:v1").status == 0
        assert all(not row["pending"] for row in listed(service, gun).values()), "they are of today"
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--role", "online", "--replace", "ab"), "nothing to name"),
        (("--role", "timestamp", "--key", "ab"), "--key is for"),
        (("--role", "snapshot", "--name", "ci"), "nothing to name"),
    ],
)
def test_options_that_mean_nothing_here(alice: Person, gun: str, arguments: tuple[str, ...], why: str) -> None:
    refused = alice("key", "rotate", gun, *arguments)
    assert refused.status == 2
    assert why in refused.err


def test_who_may_not_publish_stages_nothing(service: RunningService, bob: Person, gun: str) -> None:
    before = listed(service, gun)
    refused = bob("key", "rotate", gun, "--role", "online")
    assert (refused.status, refused.slug) == (5, "role-missing")
    assert listed(service, gun) == before
