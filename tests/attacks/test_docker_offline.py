"""Nobody answers: what a policy lets count of a collection in format docker, and what it doesn't (TRUST 6.3)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.attacks.dockers import DockerStage
from tests.attacks.evil import refusal
from tests.formats_docker.forge import NOW


@pytest.fixture
def tolerant(docker_stage: DockerStage) -> DockerStage:
    """The victim's policy lets what was verified count for twelve hours."""
    rule = f'pattern = "{docker_stage.gun}"\nformat = "docker"\nroot_keys = ["{docker_stage.honest.root_key}"]'
    policy = docker_stage.victim.home / "policy.toml"
    policy.write_text(f'version = 1\n[[rule]]\n{rule}\nmax_staleness = "12h"\n')
    docker_stage.victim.clock = lambda: NOW
    docker_stage.trusts()
    return docker_stage


def later(stage: DockerStage, **time: int) -> None:
    stage.victim.clock = lambda: NOW + timedelta(**time)


def test_what_was_verified_here_counts_for_as_long_as_the_policy_says(tolerant: DockerStage) -> None:
    tolerant.server.close()
    later(tolerant, hours=11)
    done = tolerant.victim("verify", tolerant.ref)
    assert (done.status, "what was verified here 11 hours ago" in done.err) == (0, True), done.err
    later(tolerant, hours=13)
    assert "it was verified here 13 hours ago" in tolerant.refuses(4, "unreachable").err
    later(tolerant, hours=-1)
    assert "has not reached" in tolerant.refuses(4, "unreachable").err
    tolerant.server.open()
    later(tolerant, hours=13)
    tolerant.trusts()
    tolerant.server.lies["*"] = refusal(503)
    later(tolerant, hours=24)
    assert tolerant.victim("verify", tolerant.ref).status == 0


def test_without_such_a_policy_nothing_counts(docker_stage: DockerStage) -> None:
    docker_stage.trusts()
    docker_stage.server.lies["*"] = refusal(503)
    docker_stage.refuses(4, "server-failed")


@pytest.mark.parametrize(("status", "ends", "slug"), [(401, 5, "login-required"), (403, 5, "role-missing")])
def test_a_refusal_is_an_answer(tolerant: DockerStage, status: int, ends: int, slug: str) -> None:
    tolerant.server.lies["*"] = refusal(status)
    tolerant.refuses(ends, slug)


def test_that_it_is_gone_is_an_answer(tolerant: DockerStage) -> None:
    tolerant.server.lies["*"] = refusal(404, code="METADATA_NOT_FOUND")
    tolerant.refuses(4, "collection-gone")


def test_no_expiry_is_waived(docker_stage: DockerStage) -> None:
    docker_stage.honest.forge.ends = {"timestamp": NOW + timedelta(hours=2)}
    docker_stage.serve(docker_stage.honest.publish())
    rule = f'pattern = "*"\nformat = "docker"\nroot_keys = ["{docker_stage.honest.root_key}"]'
    policy = docker_stage.victim.home / "policy.toml"
    policy.write_text(f'version = 1\n[[rule]]\n{rule}\nmax_staleness = "12h"\n')
    docker_stage.victim.clock = lambda: NOW
    docker_stage.trusts()
    docker_stage.server.close()
    later(docker_stage, hours=3)
    assert "timestamp expired" in docker_stage.refuses(4, "unreachable").err
    docker_stage.server.open()
