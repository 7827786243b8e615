"""Content trust as a whole is switched off and on while stock clients pull; it never falls open (TRUST 7.6)."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.parts import Docker, Skopeo, Stand
from tests.service import Result

pytestmark = pytest.mark.real

EFFECT_SECONDS = 1.0
"""After this a change by admin holds for every request that begins (TRUST 8.4)."""

OFF = "Content trust is switched off on this service"


@dataclass(frozen=True)
class Scene:
    """A service with a signed tag in a trust-only and in an ordinary repository.

    Their images are nobody else's: an engine that has a digest already pulls it without asking a registry.

    Attributes:
        digests: of ``v1``, by repository.
    """

    stand: Stand
    digests: dict[str, str]

    def name(self, repository: str) -> str:
        return f"{self.stand.host}/{repository}:v1"

    def switch(self, *words: str) -> Result:
        """Sets the policy, and waits for as long as the service may take to notice."""
        done = self.stand.service.admin("policy", "set", "content-trust", *words)
        time.sleep(EFFECT_SECONDS)
        return done


@pytest.fixture(scope="module", params=["embedded", "upstream"])
def scene(request: pytest.FixtureRequest) -> Scene:
    stand: Stand = request.getfixturevalue(request.param)
    stand.trust_only("strict/*")
    digests = {name: stand.alice.push(f"{stand.host}/{name}:v1") for name in ("strict/app", "plain/app")}
    assert stand.alice("sign", *(f"{stand.host}/{name}:v1" for name in digests)).status == 0
    for name in digests:
        stand.pinned(stand.carol, f"{stand.host}/{name}")
    return Scene(stand, digests)


def assert_all_is_well(scene: Scene, docker: Docker) -> None:
    for repository, digest in scene.digests.items():
        name = scene.name(repository)
        docker.forget(name)
        assert docker.pull(scene.stand.carol, name) == digest
        assert scene.stand.carol("verify", name).out.strip() == f"{name}@{digest}"


def test_switching_off_is_refused_with_the_list_of_what_is_trust_only(scene: Scene, docker: Docker) -> None:
    scene.stand.trust_only("also/strict")
    refused = scene.switch("disabled")
    assert (refused.status, refused.slug) == (1, "conflict")
    assert "also/strict, strict/*" in refused.err
    assert_all_is_well(scene, docker)


def test_forced_off_trust_only_repositories_refuse_all_pulls_until_it_is_on_again(
    scene: Scene, docker: Docker, skopeo_tool: Skopeo, tmp_path: Path
) -> None:
    stand, strict, plain = scene.stand, scene.name("strict/app"), scene.name("plain/app")
    by_digest = f"{strict.removesuffix(':v1')}@{scene.digests['strict/app']}"
    docker.forget(strict, plain)
    forced = scene.switch("disabled", "--force")
    assert forced.status == 0, forced.err
    try:
        for person in (stand.alice, stand.bob, stand.carol):
            for reference in (strict, by_digest):
                pulled = docker(person, "pull", reference)
                assert (pulled.status != 0, OFF in pulled.err) == (True, True), (person.name, reference, pulled.err)
                copied = skopeo_tool(person, "copy", f"docker://{reference}", f"dir:{tmp_path}")
                assert (copied.status != 0, OFF in copied.err) == (True, True), (person.name, reference, copied.err)
        assert docker.digests(strict) == []
        assert docker.pull(stand.carol, plain) == scene.digests["plain/app"], "which never promised anything"

        for name in (strict, plain):
            for command in (
                ["verify", name],
                ["pull", name, "--to", f"oci:{tmp_path / 'oci'}"],
                ["inspect", name[:-3]],
            ):
                refused = stand.carol(*command)
                assert (refused.status, refused.slug, refused.out) == (4, "content-trust-disabled", ""), command
            assert stand.alice("sign", name).status == 4
        assert not (tmp_path / "oci").exists()
    finally:
        enabled = scene.switch("enabled")
    assert enabled.status == 0, enabled.err
    assert_all_is_well(scene, docker)
    rows = json.loads(stand.service.admin("audit", "list", "--format", "json").out)
    switched = [row["detail"] for row in rows if row["action"] == "policy-set"]
    assert [(row["value"], row["forced"]) for row in switched[:2]] == [("enabled", False), ("disabled", True)]
