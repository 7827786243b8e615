"""The gateway's own credentials towards a docker-registry, and set-ups that it refuses or warns of (TRUST 7.5)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.parts import Docker, Stand
from tests.real.test_direct_registry import token_auth
from tests.service import PASSWORD, RunningService, run

pytestmark = pytest.mark.real

GATE_PASSWORD = "the upstream password"
GATE_ENTRY = "gate:$2b$04$BcAgs7yvGy0e6W09ysEcHeAzv6WS8NtcxVrIUkICPXoqj8cYLax12\n"
"""A line of htpasswd: the name ``gate`` and a bcrypt hash of the password above."""

StartRegistry = Callable[..., str]


def by_token(service: RunningService, start: StartRegistry, folder: Path) -> tuple[str, tuple[str, ...]]:
    """A registry that takes the service's tokens; its HOST:PORT and the flags that open it."""
    return start(auth=token_auth(service, "behind.test")), ("--upstream-service", "behind.test")


def by_password(service: RunningService, start: StartRegistry, folder: Path) -> tuple[str, tuple[str, ...]]:
    """A registry that takes one name and password; its HOST:PORT and the flags that open it."""
    (folder / "htpasswd").write_text(GATE_ENTRY)
    (folder / "password").write_text(f"{GATE_PASSWORD}\n")
    behind = start(auth={"htpasswd": {"realm": "behind", "path": str(folder / "htpasswd")}})
    return behind, ("--upstream-username", "gate", "--upstream-password-file", str(folder / "password"))


@pytest.fixture(scope="module", params=[by_token, by_password], ids=["token", "password"])
def guarded(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    serve: Callable[..., RunningService],
    start_docker_registry: StartRegistry,
) -> Stand:
    """A gateway before a registry that lets nobody in but the gateway; ``strict/`` is trust-only."""
    service, folder = serve(), tmp_path_factory.mktemp("behind")
    behind, flags = request.param(service, start_docker_registry, folder)
    service.stop()
    service.arguments = ("--upstream", f"http://{behind}", *flags)
    stand = Stand.of(service.start(), behind)
    stand.trust_only("strict/*")
    return stand


@pytest.mark.parametrize("folder", ["plain", "strict"])
def test_the_main_job_through_credentials_of_the_gateways_own(guarded: Stand, docker: Docker, folder: str) -> None:
    gun = f"{guarded.host}/{folder}/app"
    digest = docker.push(guarded.bob, f"{gun}:v1", f"behind credentials in {folder}")
    assert guarded.alice("sign", f"{gun}:v1").status == 0
    guarded.pinned(guarded.carol, gun)
    docker.forget(f"{gun}:v1")
    pulled = guarded.carol("pull", f"{gun}:v1", environ={"DOCKER_HOST": docker.host})
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:v1@{digest}"), pulled.err
    docker.forget(f"{gun}:v1", f"{gun}@{digest}")
    assert docker.pull(guarded.carol, f"{gun}:v1") == digest
    refused = docker(guarded.carol, "push", f"{gun}:v1")
    assert "requested access to the resource is denied" in refused.err


def test_no_client_opens_the_registry_behind(guarded: Stand, docker: Docker) -> None:
    name = f"{guarded.behind}/plain/round:v1"
    guarded.alice.push(f"{guarded.host}/plain/round:v1", "it is there")
    docker.make(name, "round the gateway")
    for person in (guarded.alice, guarded.bob, guarded.carol):
        login = docker(
            {"DOCKER_CONFIG": str(person.home / "behind")},
            *("login", guarded.behind, "-u", person.name, "--password-stdin"),
            feed=PASSWORD.encode(),
        )
        assert login.status != 0, person.name
        assert docker(person, "push", name).status != 0
        assert docker(person, "pull", name).status != 0


@pytest.mark.parametrize("trust_only", [["--trust-only"], []], ids=["trust-only", "trust-only-may-come"])
def test_an_upstream_that_clients_tokens_open_is_refused(
    serve: Callable[..., RunningService], start_docker_registry: StartRegistry, trust_only: list[str]
) -> None:
    service = serve()
    own_name = start_docker_registry(auth=token_auth(service, service.host))
    shared = start_docker_registry(auth=token_auth(service, "direct.test"))
    service.stop()
    listen = ["--listen", service.host]
    for flags in (
        ["--upstream", f"http://{own_name}"],
        ["--upstream", f"http://{own_name}", "--upstream-service", service.host],
        ["--upstream", f"http://{shared}", "--token-service", "direct.test"],
        ["--upstream", f"http://{shared}", "--token-service", "direct.test", "--upstream-service", "direct.test"],
    ):
        refused = run(["serve", "--data-dir", str(service.data), *listen, *flags, *trust_only], {})
        assert (refused.status, refused.slug, refused.out) == (2, "invalid-setting", ""), (flags, refused.err)
        assert "walk" in refused.err


def first_words(folder: Path, *flags: str) -> str:
    """What a service says on stderr until it serves."""
    command = [sys.executable, "-m", "trustkit", "serve", "--data-dir", str(folder), "--listen", "127.0.0.1:0"]
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert ready.startswith("http"), said
    return said


def test_an_upstream_without_a_login_is_warned_of_off_loopback(
    tmp_path: Path, start_docker_registry: StartRegistry
) -> None:
    behind = start_docker_registry()
    assert "WARNING" not in first_words(tmp_path / "loopback", "--upstream", f"http://{behind}")
    everywhere = f"http://{behind.replace('127.0.0.1', '0.0.0.0')}"
    said = first_words(tmp_path / "elsewhere", "--upstream", everywhere)
    assert "WARNING" in said
    assert f"the upstream {everywhere} asks for no login" in said
