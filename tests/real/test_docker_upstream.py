"""docker and its engine through the gateway to a real docker-registry: what is signed comes out, nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.parts import Docker, Skopeo, Stand
from tests.service import PASSWORD, Person

pytestmark = pytest.mark.real


def test_push_sign_and_pull_gets_the_signed_digest_and_tags_it_on_the_engine(upstream: Stand, docker: Docker) -> None:
    gun = f"{upstream.host}/docker/main"
    digest = docker.push(upstream.bob, f"{gun}:v1", "signed")
    signed = upstream.alice("sign", f"{gun}:v1")
    assert (signed.status, signed.out.strip()) == (0, f"{gun}:v1@{digest}")
    moved = docker.push(upstream.bob, f"{gun}:v1", "moved afterwards")
    assert moved != digest
    docker.forget(f"{gun}:v1", f"{gun}@{digest}")

    upstream.pinned(upstream.carol, gun)
    engine = {"DOCKER_HOST": docker.host}
    pulled = upstream.carol("pull", f"{gun}:v1", "--to", "docker", environ=engine)
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:v1@{digest}"), pulled.err
    assert docker.digests(f"{gun}:v1") == [f"{gun}@{digest}"]

    docker.push(upstream.bob, f"{gun}:dev", "never signed")
    docker.forget(f"{gun}:dev")
    refused = upstream.carol("pull", f"{gun}:dev", "--to", "docker", environ=engine)
    assert (refused.status, refused.slug, refused.out) == (3, "unsigned", "")
    assert docker.digests(f"{gun}:dev") == []


def test_an_engine_that_cannot_pull_is_a_failure_with_what_it_said(upstream: Stand, docker: Docker) -> None:
    gun = f"{upstream.host}/docker/engine"
    docker.push(upstream.bob, f"{gun}:v1", "signed")
    assert upstream.alice("sign", f"{gun}:v1").status == 0
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    failed = upstream.alice("pull", f"{gun}:v1", "--to", "docker", environ=nowhere)
    assert (failed.status, failed.slug, failed.out) == (1, "engine-failed", "")
    assert "/nowhere/docker.sock" in failed.err


def test_docker_login_and_trustkit_login_serve_both_commands(upstream: Stand, docker: Docker) -> None:
    gun = f"{upstream.host}/docker/login"
    fresh = Person("bob", upstream.service.folder / "people" / "bob-by-docker")
    wrong = docker(fresh, "login", upstream.host, "-u", "bob", "--password-stdin", feed=b"not the password")
    assert wrong.status != 0
    assert "The name or the password is wrong." in wrong.err
    done = docker(fresh, "login", upstream.host, "-u", "bob", "--password-stdin", feed=PASSWORD.encode())
    assert done.status == 0, done.err

    stored = json.loads((fresh.home / "docker" / "config.json").read_text())["auths"][upstream.host]
    assert stored["identitytoken"].startswith("tkr_"), "docker keeps the refresh token, not the password"
    docker.push(fresh, f"{gun}:by-docker", "one")
    fresh.push(f"{gun}:by-trustkit", "two")
    assert upstream.alice("sign", f"{gun}:by-docker", f"{gun}:by-trustkit").status == 0

    assert docker(fresh, "logout", upstream.host).status == 0
    denied = docker(fresh, "push", f"{gun}:by-docker")
    assert denied.status != 0
    assert "A name and a password are needed." in denied.err + denied.out


def test_roles_hold_for_docker(upstream: Stand, docker: Docker) -> None:
    gun = f"{upstream.host}/docker/roles"
    docker.make(f"{gun}:v1", "by a puller")
    refused = docker(upstream.carol, "push", f"{gun}:v1")
    assert refused.status != 0
    assert "requested access to the resource is denied" in refused.err, "docker's own words for insufficient_scope"
    docker.push(upstream.bob, f"{gun}:v1")
    docker.forget(f"{gun}:v1")
    docker.pull(upstream.carol, f"{gun}:v1")


@pytest.fixture(scope="module")
def only(upstream: Stand, docker: Docker) -> tuple[str, str]:
    """A trust-only repository with a signed and an unsigned tag; its name and the signed digest."""
    gun = f"{upstream.host}/only/app"
    upstream.trust_only("only/*")
    digest = docker.push(upstream.bob, f"{gun}:v1", "signed")
    assert upstream.alice("sign", f"{gun}:v1").status == 0
    docker.push(upstream.bob, f"{gun}:dev", "not signed")
    return gun, digest


def test_docker_prints_why_an_unsigned_tag_is_refused(upstream: Stand, docker: Docker, only: tuple[str, str]) -> None:
    gun, _ = only
    refused = docker(upstream.carol, "pull", f"{gun}:dev")
    assert refused.status != 0
    assert "only/app:dev is not signed." in refused.err


@pytest.mark.parametrize("command", [["inspect"], ["copy"]], ids=lambda words: words[0])
def test_skopeo_prints_why_an_unsigned_tag_is_refused(
    upstream: Stand, skopeo_tool: Skopeo, only: tuple[str, str], command: list[str], tmp_path: Path
) -> None:
    gun, _ = only
    destination = [f"dir:{tmp_path}"] if command == ["copy"] else []
    refused = skopeo_tool(upstream.carol, *command, f"docker://{gun}:dev", *destination)
    assert refused.status != 0
    assert "only/app:dev is not signed." in refused.err


def test_plain_docker_gets_the_signed_digest_after_the_tag_was_moved_in_the_registry_itself(
    upstream: Stand, docker: Docker, only: tuple[str, str]
) -> None:
    gun, digest = only
    evil = f"{upstream.behind}/only/app:v1"
    moved = docker.push({}, evil, "an attacker's image")
    assert moved != digest
    docker.forget(f"{gun}:v1", f"{gun}@{digest}", evil)

    assert docker.pull(upstream.carol, f"{gun}:v1") == digest
    assert docker.digests(f"{gun}:v1") == [f"{gun}@{digest}"]
    assert docker.pull({}, evil) == moved, "the registry's own tag has moved"
    by_digest = docker(upstream.carol, "pull", f"{gun}@{moved}")
    assert by_digest.status != 0
    assert f"{moved} is not signed" in by_digest.err
