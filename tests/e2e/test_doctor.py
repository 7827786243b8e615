"""``trustkit doctor`` on machines that are well, and on machines that aren't."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port
from tests.service import Person, RunningService


@pytest.fixture(scope="module")
def gun(service: RunningService, alice: Person, carol: Person) -> str:
    gun = f"{service.host}/doctor/app"
    alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").status == 0
    return gun


@pytest.fixture
def machine(service: RunningService, alice: Person, gun: str, tmp_path: Path) -> Person:
    """A copy of a publisher's machine that may be broken."""
    copy = Person("copy", tmp_path / "copy", dict(alice.environ))
    shutil.copytree(alice.home, copy.home)
    return copy


def home(person: Person) -> Path:
    return Path(person.environment()["TRUSTKIT_HOME"])


def findings(
    person: Person, *arguments: str, environ: dict[str, str] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    result = person("doctor", *arguments, "--format", "json", environ=environ)
    assert "Traceback" not in result.err
    return result.status, json.loads(result.out)


def test_a_machine_that_is_well(alice: Person, gun: str) -> None:
    status, found = findings(alice, gun)
    assert (status, [row for row in found if row["level"] == "bad"]) == (0, [])
    words = " ".join(row["message"] for row in found)
    for part in ("this user's own", "It answers over", "takes the login", "It is pinned by", "may publish to it"):
        assert part in words
    assert any(row["next"].startswith("trustkit key backup") for row in found)


def test_without_a_name_it_looks_at_what_is_known_here(alice: Person, gun: str) -> None:
    shown = alice("doctor")
    assert shown.status == 0
    assert f"ok   {gun}: It is pinned by" in shown.out


def no_login(machine: Person, gun: str) -> None:
    (Path(machine.environment()["DOCKER_CONFIG"]) / "config.json").write_text("{}")
    shutil.rmtree(home(machine) / "cache")


def wrong_login(machine: Person, gun: str) -> None:
    host = gun.partition("/")[0]
    text = json.dumps({"auths": {host: {"auth": "YWxpY2U6d3Jvbmc="}}})
    (Path(machine.environment()["DOCKER_CONFIG"]) / "config.json").write_text(text)
    shutil.rmtree(home(machine) / "cache")


def no_docker_configuration(machine: Person, gun: str) -> None:
    (Path(machine.environment()["DOCKER_CONFIG"]) / "config.json").write_text("{")


def damaged_pins(machine: Person, gun: str) -> None:
    (home(machine) / "pins.json").write_text("[")


def strangers_pin(machine: Person, gun: str) -> None:
    assert machine("pin", "add", gun, "--root-key", "0" * 64, "--replace").status == 0


def policy_with_a_typo(machine: Person, gun: str) -> None:
    (home(machine) / "policy.toml").write_text("version = 1\n[[rule]\n")


def policy_that_denies(machine: Person, gun: str) -> None:
    (home(machine) / "policy.toml").write_text("version = 1\n")


def damaged_key(machine: Person, gun: str) -> None:
    key = next((home(machine) / "keys").glob("*.pem"))
    key.chmod(0o600)
    key.write_text("no key")


@pytest.mark.parametrize(
    ("break_it", "about", "slug", "status"),
    [
        (no_login, "GUN", "login-required", 5),
        (wrong_login, "service HOST", "login-required", 5),
        (no_docker_configuration, "docker", "state", 1),
        (damaged_pins, "pins", "state", 1),
        (strangers_pin, "GUN", "wrong-root", 3),
        (policy_with_a_typo, "policy", "invalid-setting", 2),
        (policy_that_denies, "GUN", "policy-denies", 3),
        (damaged_key, "keys", "key-file-invalid", 6),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_wrong_is_found_with_its_next_step(
    machine: Person, gun: str, break_it: Callable[[Person, str], None], about: str, slug: str, status: int
) -> None:
    break_it(machine, gun)
    ended, found = findings(machine, gun)
    wanted = about.replace("GUN", gun).replace("HOST", gun.partition("/")[0])
    assert any(row["about"] == wanted and row["level"] == "bad" and row["slug"] == slug for row in found), found
    assert ended == status
    assert {row["about"] for row in found} >= {"home", "keys", "pins", "policy", "docker", gun}, (
        "the rest is looked at"
    )
    assert all(row["next"] for row in found if row["level"] == "bad"), "each has its next step"


def test_a_service_that_is_down(carol: Person) -> None:
    status, found = findings(carol, "127.0.0.1:1/app")
    assert (status, found[-2]["slug"]) == (4, "unreachable")


def test_a_login_that_may_not_sign(service: RunningService, alice: Person, gun: str, machine: Person) -> None:
    """The keys are here, and the login is another's."""
    reader = service.principal("doctor-reader", "AcrPull")
    config = Path(reader.environment()["DOCKER_CONFIG"]) / "config.json"
    shutil.copy(config, Path(machine.environment()["DOCKER_CONFIG"]) / "config.json")
    shutil.rmtree(home(machine) / "cache")
    status, found = findings(machine, gun)
    assert (status, found[-1]["slug"]) == (5, "role-missing")
    assert "AcrImageSigner" in found[-1]["message"]


def test_first_use_is_told(carol: Person, gun: str) -> None:
    _, found = findings(carol, gun, environ={"TRUSTKIT_UNSAFE_TRUST_ON_FIRST_USE": "1"})
    assert any(row["about"] == "environment" and "unseen" in row["message"] for row in found)


def test_the_proxy_that_a_service_is_asked_through_is_told_and_its_login_is_not(alice: Person) -> None:
    proxy = f"127.0.0.1:{free_port()}"
    environ = {"HTTPS_PROXY": f"http://me:s3cret@{proxy}", "NO_PROXY": "near.example"}
    _, found = findings(alice, "registry.example/app", "near.example/app", environ=environ)
    about = [
        (row["level"], row["message"], row["slug"]) for row in found if row["about"] == "service registry.example"
    ]
    assert about[0] == ("fine", f"It is asked through the proxy http://{proxy}, which HTTPS_PROXY names.", None)
    assert [(level, slug) for level, _, slug in about[1:]] == [("bad", "proxy-failed")]
    assert not [row for row in found if row["about"] == "service near.example" and "proxy" in row["message"]]
    assert "s3cret" not in json.dumps(found)
    _, wrong = findings(alice, "registry.example/app", environ={"HTTPS_PROXY": "socks5://me:s3cret@127.0.0.1"})
    (row,) = [row for row in wrong if row["about"] == "service registry.example"]
    assert (row["level"], row["slug"]) == ("bad", "invalid-setting")
    assert "s3cret" not in json.dumps(wrong)


@pytest.mark.parametrize("command", ["verify", "status", "inspect"])
def test_a_damaged_cache_is_told_where_it_is(machine: Person, gun: str, command: str) -> None:
    """Also by commands that look at a copy of it."""
    reference = f"{gun}:v1" if command == "verify" else gun
    assert machine(command, reference).status == 0
    (file,) = (home(machine) / "cache" / "metadata").glob("*/*/timestamp.json")
    file.write_bytes(b"")
    told = machine(command, reference)
    assert told.status != 0
    assert f"Delete {file.parent};" in told.out + told.err
