"""An old state of a collection in format docker is served for ever: each role's expiry ends it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.attacks.dockers import DockerStage
from tests.formats_docker.forge import NOW, certified, ecdsa, role_of, tags
from trustkit.core.formats.docker.certificates import LIFETIME

SOON = NOW + timedelta(days=9)
ROLES = ("root", "timestamp", "snapshot", "targets", "targets/releases")


@pytest.mark.parametrize("role", ROLES)
def test_each_roles_expiry_ends_it(docker_stage: DockerStage, cache: str, role: str) -> None:
    honest, key = docker_stage.honest, ecdsa()
    honest.forge.delegate(role_of("targets/releases", key[0]), tags("v1"), key)
    honest.forge.ends = {role: SOON}
    docker_stage.serve(honest.publish(root=True))
    docker_stage.meet(cache)
    docker_stage.victim.clock = lambda: SOON - timedelta(seconds=1)
    docker_stage.trusts()
    docker_stage.victim.clock = lambda: SOON
    assert f"{role} expired at" in docker_stage.refuses(3, "expired").err
    honest.forge.ends = {}
    honest.forge.roles["targets"].version += 1
    honest.forge.roles["targets/releases"].version += 1
    honest.publish(root=True)
    docker_stage.recovers()


def test_the_end_of_the_root_certificate_ends_it(docker_stage: DockerStage) -> None:
    """Though the root file itself is good for longer."""
    honest = docker_stage.honest
    honest.rotate_root(certified(gun=honest.gun, now=SOON - LIFETIME))
    docker_stage.serve(honest.names)
    docker_stage.trusts()
    docker_stage.victim.clock = lambda: SOON + timedelta(seconds=1)
    assert "certificates" in docker_stage.refuses(3, "expired").err


def test_status_tells_of_what_has_expired_and_trusts_nothing_by_it(docker_stage: DockerStage) -> None:
    honest = docker_stage.honest
    honest.rotate_root(certified(gun=honest.gun, now=SOON - LIFETIME))
    honest.forge.ends = {"timestamp": SOON}
    docker_stage.serve(honest.publish())
    gun = str(docker_stage.gun)
    soon = docker_stage.victim("status", gun)
    assert (soon.status, f"notary key rotate {gun} root" in soon.err) == (1, True), soon.err
    docker_stage.victim.clock = lambda: SOON + timedelta(seconds=1)
    ended = json.loads(docker_stage.victim("status", gun, "--format", "json").out)[0]
    expired = [role["name"] for role in ended["roles"] if role["expired"]]
    assert (ended["grade"], expired) == ("expired", ["root certificate", "timestamp"])
    assert not list(docker_stage.victim.home.glob("cache/metadata/*/docker-*/timestamp.json"))
    docker_stage.refuses(3, "expired")


def test_an_expired_attribution_takes_only_the_name(docker_stage: DockerStage) -> None:
    honest, key = docker_stage.honest, ecdsa()
    honest.forge.delegate(role_of("targets/alice", key[0]), tags("v1"), key)
    honest.forge.ends = {"targets/alice": SOON}
    docker_stage.serve(honest.publish())
    assert "alice" in docker_stage.victim("inspect", str(docker_stage.gun)).out.splitlines()[1]
    docker_stage.victim.clock = lambda: SOON
    docker_stage.trusts()
    assert "Repo Admin" in docker_stage.victim("inspect", str(docker_stage.gun)).out.splitlines()[1]
