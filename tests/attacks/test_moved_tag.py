"""A tag moves between verify and pull, and between what is shown and what is signed (TRUST 7.2, 4.4)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.victims import INDEX, MANIFEST, Middle, ask, serving
from tests.conftest import free_port
from tests.service import PASSWORD, Person, RunningService


@dataclass(frozen=True)
class Race:
    """A service that clients reach through somebody in the middle, who can tell when to strike.

    ``mallory`` may push, and moves tags; the names of images have the host in the middle.
    """

    service: RunningService
    middle: Middle
    alice: Person
    mallory: Person
    carol: Person

    def gun(self, repository: str) -> str:
        return f"{self.middle.host}/{repository}"

    def signed(self, repository: str) -> str:
        """The digest of a signed ``v1``."""
        digest = self.alice.push(f"{self.gun(repository)}:v1", "honest")
        assert self.alice("sign", f"{self.gun(repository)}:v1").status == 0
        return digest

    def registry_says(self, repository: str) -> str:
        """What the registry's own tag ``v1`` is, as who may sign sees it."""
        token = self.alice.token(self.middle.host, f"repository:{repository}:pull,sign")
        headers = {"accept": f"{MANIFEST}, {INDEX}", "trustkit_view": "registry"}
        path = f"/v2/{repository}/manifests/v1"
        return ask(self.middle.host, "HEAD", path, token=token, **headers).headers["docker-content-digest"]

    def strike(self, repository: str, when: Callable[[str, str], bool]) -> list[str]:
        """Moves the tag once, right before the first request that ``when`` says; the list then has the new digest."""
        moved: list[str] = []

        def before(method: str, path: str) -> None:
            if not moved and when(method, path):
                moved.append("")  # mallory's own requests come by here as well
                moved[0] = self.mallory.push(f"{self.gun(repository)}:v1", "evil")

        self.middle.before = before
        return moved


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    middle, port = Middle(), free_port()
    names = ("--public-name", middle.host, "--public-name", f"127.0.0.1:{port}")
    middle.target = f"127.0.0.1:{port}"
    with serving(tmp_path_factory.mktemp("service"), *names, port=port) as service:
        people = {
            "alice": service.principal("alice", "AcrPush", "AcrImageSigner"),
            "mallory": service.principal("mallory", "AcrPush", "AcrDelete"),
            "carol": service.principal("carol", "AcrPull"),
        }
        assert service.admin("repository", "set", "strict/*", "--trust-only").status == 0
        for name, person in people.items():
            done = person("login", middle.host, "-u", name, "--password-stdin", feed=PASSWORD)
            assert done.status == 0, done.err
        alice = people["alice"]
        assert alice("init", f"{middle.host}/empty").status == 0
        assert people["carol"]("pin", "add", f"{middle.host}/*", "--root-key", alice.root_key()).status == 0
        yield Race(service, middle, **people)
    middle.close()


@pytest.fixture(autouse=True)
def honest(race: Race) -> None:
    race.middle.honest()


def _content(folder: Path) -> dict[str, str]:
    index = json.loads((folder / "index.json").read_text())
    name = "org.opencontainers.image.ref.name"
    return {entry["annotations"][name]: entry["digest"] for entry in index["manifests"]}


@pytest.mark.parametrize("repository", ["plain/between", "strict/between"])
def test_the_tag_moves_between_verify_and_pull(race: Race, repository: str, tmp_path: Path) -> None:
    digest, gun = race.signed(repository), race.gun(repository)
    verified = race.carol("verify", f"{gun}:v1")
    assert (verified.status, verified.out.strip()) == (0, f"{gun}:v1@{digest}")
    evil = race.mallory.push(f"{gun}:v1", "evil")
    assert race.registry_says(repository) == evil != digest
    pulled = race.carol("pull", f"{gun}:v1", "--to", f"oci:{tmp_path}")
    assert (pulled.status, pulled.out.strip()) == (0, verified.out.strip())
    assert _content(tmp_path) == {"v1": digest}
    moved = race.carol("pull", f"{gun}:v1@{evil}", "--to", f"oci:{tmp_path / 'moved'}")
    assert (moved.status, moved.slug) == (3, "tag-moved")


@pytest.mark.parametrize("repository", ["plain/within", "strict/within"])
def test_the_tag_moves_within_one_pull(race: Race, repository: str, tmp_path: Path) -> None:
    digest, gun = race.signed(repository), race.gun(repository)
    assert race.carol("pull", f"{gun}:v1", "--to", f"oci:{tmp_path / 'honest'}").status == 0
    moved = race.strike(repository, lambda method, path: method == "GET" and "/manifests/" in path)
    pulled = race.carol("pull", f"{gun}:v1", "--to", f"oci:{tmp_path / 'raced'}")
    assert race.registry_says(repository) == moved[0] != digest
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:v1@{digest}")
    assert _content(tmp_path / "raced") == {"v1": digest}


def test_no_client_asks_for_a_signed_image_by_its_tag(race: Race, tmp_path: Path) -> None:
    digest, gun = race.signed("plain/asked"), race.gun("plain/asked")
    race.middle.seen.clear()
    assert race.carol("pull", f"{gun}:v1", "--to", f"oci:{tmp_path}").status == 0
    asked = [path for method, path in race.middle.seen if "/manifests/" in path]
    assert asked == [f"/v2/plain/asked/manifests/{digest}"]


def test_the_tag_moves_between_what_is_shown_and_what_is_signed(race: Race) -> None:
    gun = race.gun("plain/shown")
    digest = race.alice.push(f"{gun}:v1", "honest")
    moved = race.strike("plain/shown", lambda method, path: method == "POST" and path.endswith("/_trust/metadata"))
    signed = race.alice("sign", f"{gun}:v1")
    assert (signed.status, signed.out.strip()) == (0, f"{gun}:v1@{digest}")
    assert f"{gun}:v1 is {digest}" in signed.err, "what is signed was shown before"
    assert race.registry_says("plain/shown") == moved[0] != digest
    assert race.carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{digest}"


@pytest.mark.parametrize("repository", ["plain/named", "strict/named"])
def test_the_tag_moves_after_somebody_looked_at_it(race: Race, repository: str) -> None:
    gun = race.gun(repository)
    reviewed = race.alice.push(f"{gun}:v1", "reviewed")
    evil = race.mallory.push(f"{gun}:v1", "evil")
    signed = race.alice("sign", f"{gun}:v1@{reviewed}")
    assert (signed.status, signed.out.strip()) == (0, f"{gun}:v1@{reviewed}")
    verified = race.carol("verify", f"{gun}:v1", f"{gun}:v1@{evil}")
    assert (verified.status, verified.slug) == (3, "tag-moved")
    assert verified.out.strip() == f"{gun}:v1@{reviewed}"


def test_a_digest_that_is_gone_is_not_replaced_by_what_the_tag_is_now(race: Race) -> None:
    gun = race.gun("plain/gone")
    reviewed, evil = race.alice.push(f"{gun}:v1", "reviewed"), race.mallory.push(f"{gun}:v1", "evil")
    token = race.mallory.token(race.middle.host, "repository:plain/gone:delete")
    assert ask(race.middle.host, "DELETE", f"/v2/plain/gone/manifests/{reviewed}", token=token).status == 202
    refused = race.alice("sign", f"{gun}:v1@{reviewed}")
    assert (refused.status, refused.slug, refused.out) == (1, "not-found", "")
    assert race.alice("sign", f"{gun}:v1").out.strip() == f"{gun}:v1@{evil}"


SHIM = """#!{python}
import os, pathlib, sys, urllib.request
marker = pathlib.Path({marker!r})
if not marker.exists():
    request = urllib.request.Request({url!r}, pathlib.Path({body!r}).read_bytes(), {headers!r}, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201
    marker.touch()
os.execv({docker!r}, ["docker", *sys.argv[1:]])
"""
"""A ``docker`` that moves the tag when it is first called, and then is the real one."""


@pytest.mark.real
def test_the_tag_moves_while_the_engine_is_called(
    race: Race, dockerd: Path, docker_cli: Path, tmp_path: Path
) -> None:
    digest, gun = race.signed("plain/engine"), race.gun("plain/engine")
    evil = race.mallory.push(f"{gun}:other", "evil")
    token = race.mallory.token(race.middle.host, "repository:plain/engine:pull,push")
    manifests = "/v2/plain/engine/manifests/"
    body, marker, shim = tmp_path / "evil.json", tmp_path / "struck", tmp_path / "bin" / "docker"
    body.write_bytes(ask(race.middle.host, "GET", f"{manifests}{evil}", token=token, accept=MANIFEST).body)
    shim.parent.mkdir()
    shim.write_text(
        SHIM.format(
            python=sys.executable,
            marker=str(marker),
            url=f"http://{race.middle.host}{manifests}v1",
            body=str(body),
            headers={"Authorization": f"Bearer {token}", "Content-Type": MANIFEST},
            docker=str(docker_cli),
        )
    )
    shim.chmod(0o755)
    environ = {"PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}", "DOCKER_HOST": f"unix://{dockerd}"}
    pulled = race.carol("pull", f"{gun}:v1", "--to", "docker", environ=environ)
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:v1@{digest}"), pulled.err
    assert marker.exists()
    assert race.registry_says("plain/engine") == evil
    command = [str(docker_cli), "image", "inspect", "--format", "{{.RepoDigests}}", f"{gun}:v1"]
    shown = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.strip() == f"[{gun}@{digest}]"
