"""Consumers and publishers whose pins are of Docker's meet a collection that was converted (TRUST 5.4)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.attacks.victims import ask
from tests.service import PASSPHRASE, Person, RunningService
from trustkit.core.names import ImageRef
from trustkit.hooks.gate import open_gate


@dataclass(frozen=True)
class App:
    """A collection that was made in format docker with ``v1`` signed, and the id of its root certificate."""

    gun: str
    digest: str
    root: str


Make = Callable[[], App]
_numbers = count()


@pytest.fixture(scope="module")
def make(service: RunningService, alice: Person) -> Make:
    """Makes a collection in format docker."""

    def made() -> App:
        gun = f"{service.host}/follow/app{next(_numbers)}"
        founded = alice("init", gun, "--format", "docker")
        assert founded.status == 0, founded.err
        digest = alice.push(f"{gun}:v1")
        assert alice("sign", f"{gun}:v1").status == 0
        pins = json.loads(alice("pin", "list", "--format", "json").out)
        return App(gun, digest, next(pin["root_keys"][0] for pin in pins if pin["pattern"] == gun))

    return made


@pytest.fixture(scope="module")
def converted(make: Make, alice: Person) -> App:
    """One that nobody changes any more."""
    app = make()
    _convert(alice, app)
    return app


def _convert(alice: Person, app: App) -> None:
    done = alice("convert", app.gun, "--to", "tuf", "--yes")
    assert done.status == 0, done.err


@pytest.fixture
def dora(tmp_path: Path, carol: Person) -> Person:
    """A new home with carol's login."""
    shutil.copytree(carol.home / "docker", tmp_path / "docker")
    return Person("dora", tmp_path)


def _pinned(who: Person, app: App) -> Person:
    done = who("pin", "add", app.gun, "--format", "docker", "--root-key", app.root)
    assert done.status == 0, done.err
    return who


def _format(who: Person, app: App) -> str:
    (pin,) = [pin for pin in json.loads(who("pin", "list", "--format", "json").out) if pin["pattern"] == app.gun]
    return str(pin["format"])


COMMANDS: dict[str, tuple[tuple[str, ...], bool]] = {
    "verify": (("verify", "REF"), True),
    "inspect": (("inspect", "GUN"), True),
    "status": (("status", "GUN"), False),
    "signers": (("signer", "list", "GUN"), True),
    "thresholds": (("threshold", "show", "GUN"), False),
    "root": (("root", "show", "GUN"), False),
    "pull": (("pull", "REF", "--to", "oci:FOLDER/layout"), True),
    "bundle": (("bundle", "create", "REF", "-o", "FOLDER/bundle"), True),
    "mirror": (("mirror", "GUN", "dir:FOLDER/mirror"), True),
}
"""What reads a collection, and whether it writes down where the pin leads; commands that only look don't."""


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_that_reads_follows(converted: App, dora: Person, name: str) -> None:
    words, writes = COMMANDS[name]
    replaced = {"REF": f"{converted.gun}:v1", "GUN": converted.gun}
    arguments = [replaced.get(word, word.replace("FOLDER", str(dora.home))) for word in words]
    done = _pinned(dora, converted)(*arguments)
    assert done.status == 0, done.err
    assert (_format(dora, converted) == "tuf") == writes


def test_a_door_that_asks_nobody_follows(converted: App, dora: Person) -> None:
    """What containerd, the admission webhook and docker's plugins ask."""
    said: list[str] = []
    environ = {**_pinned(dora, converted).environment(), "HOME": str(dora.home)}
    gate = open_gate(environ, warn=said.append)
    for _ in range(2):
        verdict = gate(ImageRef.parse(f"{converted.gun}:v1"))
        assert (verdict.allowed, str(verdict.digest)) == (True, converted.digest), verdict.reason
    assert [line for line in said if "pinned so from now on" in line] == said[:1]
    assert _format(dora, converted) == "tuf"


def test_a_door_under_a_policy_follows_and_says_what_to_write(converted: App, dora: Person) -> None:
    policy = dora.home / "policy.toml"
    policy.write_text(
        f'version = 1\n[[rule]]\npattern = "{converted.gun}"\nformat = "docker"\nroot_keys = ["{converted.root}"]\n'
    )
    environ = {**dora.environment(), "HOME": str(dora.home)}
    said: list[str] = []
    gate = open_gate(environ, policy=str(policy), warn=said.append).together()
    for _ in range(3):
        assert gate(ImageRef.parse(f"{converted.gun}:v1")).allowed
    assert len(said) == 1
    key = said[0].partition('["')[2].partition('"]')[0]
    policy.write_text(f'version = 1\n[[rule]]\npattern = "{converted.gun}"\nroot_keys = ["{key}"]\n')
    assert open_gate(environ, policy=str(policy), warn=said.append)(ImageRef.parse(f"{converted.gun}:v1")).allowed
    assert len(said) == 1


def test_a_bundle_is_taken_by_who_has_pinned_the_certificate(converted: App, dora: Person, tmp_path: Path) -> None:
    """The bundle has the roots in format docker, whose certificate is the pinned one; nobody has to be asked."""
    made = tmp_path / "bundle"
    other = Person("other", tmp_path / "other")
    shutil.copytree(dora.home / "docker", other.home / "docker")
    assert _pinned(other, converted)("bundle", "create", f"{converted.gun}:v1", "-o", str(made)).status == 0
    followed = _pinned(dora, converted)("verify", f"{converted.gun}:v1", "--bundle", str(made), "--max-age", "1d")
    assert followed.status == 0, followed.err
    assert "is pinned so from now on" in followed.err
    assert dora("verify", f"{converted.gun}:v1").status == 0
    assert dora("verify", f"{converted.gun}:v1", "--bundle", str(made), "--max-age", "1d").status == 0


@pytest.mark.parametrize(
    "words",
    [
        ("key", "rotate", "GUN", "--role", "repository", "--yes"),
        ("key", "rotate", "GUN", "--role", "online", "--yes"),
        ("threshold", "set", "GUN", "--role", "root", "1"),
        ("signer", "add", "ann", "GUN", "--key", "FOLDER/ann.pub"),
    ],
    ids=lambda words: " ".join(words[:2] + words[4:5]),
)
def test_each_command_that_changes_a_collection_follows(
    make: Make, alice: Person, tmp_path: Path, words: tuple[str, ...]
) -> None:
    app, other = make(), Person("alice", tmp_path / "other", {"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE})
    shutil.copytree(alice.home, other.home)
    made = other("key", "generate", "--name", "ann", "--public-out", str(tmp_path / "ann.pub"))
    assert made.status == 0, made.err
    _convert(alice, app)
    done = other(*(word.replace("GUN", app.gun).replace("FOLDER", str(tmp_path)) for word in words))
    assert done.status == 0, done.err


def test_another_publisher_goes_on_in_format_tuf(make: Make, alice: Person, tmp_path: Path) -> None:
    app = make()
    other = Person("alice", tmp_path / "other")
    shutil.copytree(alice.home, other.home)
    _convert(alice, app)
    digest = other.push(f"{app.gun}:v2")
    signed = other("sign", f"{app.gun}:v2")
    assert signed.status == 0, signed.err
    assert digest in signed.out
    assert _format(other, app) == "tuf"
    assert other("revoke", f"{app.gun}:v1").status == 0


def test_the_gate_ignores_what_docker_reads_still(
    make: Make, service: RunningService, alice: Person, carol: Person, dora: Person
) -> None:
    """The registry serves the signed view of format tuf; what docker reads may lag behind it, and ends with it."""
    app = make()
    path = app.gun.partition("/")[2]
    assert service.admin("repository", "set", path, "--trust-only").status == 0

    def served(tag: str) -> int:
        token = carol.token(service.host, f"repository:{path}:pull")
        return ask(service.host, "GET", f"/v2/{path}/manifests/{tag}", token=token).status

    assert served("v1") == 200
    _convert(alice, app)
    assert served("v1") == 200
    alice.push(f"{app.gun}:v2")
    assert served("v2") == 403
    assert alice("sign", f"{app.gun}:v2").status == 0
    assert served("v2") == 200
    token = carol.token(service.host, f"repository:{path}:pull")
    old = ask(service.host, "GET", f"/v2/{app.gun}/_trust/tuf/targets.json", token=token)
    assert (old.status, b'"v1"' in old.body, b'"v2"' in old.body) == (200, True, False), old.body
    assert alice("revoke", f"{app.gun}:v1").status == 0
    assert served("v1") == 403
    refused = _pinned(dora, app)("verify", f"{app.gun}:v1")
    assert (refused.status, refused.slug) == (3, "unsigned"), refused.err
    assert dora("verify", f"{app.gun}:v2").status == 0
