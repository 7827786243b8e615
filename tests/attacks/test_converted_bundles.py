"""Bundles of a collection that was converted, for who has pinned it in format docker and can ask nobody (TRUST 5.4).

The roots in format docker that such a bundle brings are believed for nothing: a certificate that is in them is known
by its hash, and it is the key in it that has to have signed the new root.
"""

from __future__ import annotations

import pytest

from tests.attacks.bundling import archive, members, served
from tests.attacks.converting import Converting, bare
from tests.attacks.dockers import DockerStage, DockerVictim
from tests.formats_docker.forge import certified
from tests.service import Result
from tests.simulator import manifest

ONE = manifest("v1")
Roots = dict[str, bytes]


@pytest.fixture
def stage(docker_stage: DockerStage) -> Converting:
    return Converting(docker_stage)


def docker_roots(stage: Converting) -> Roots:
    return {f"docker/{name}": data for name, data in stage.docker.honest.names.items() if name.endswith(".root.json")}


def carry(stage: Converting, roots: Roots | None = None, victim: DockerVictim | None = None) -> Result:
    """A victim who can reach nobody verifies a bundle of the collection, with these roots of docker's."""
    files = served(stage.tuf) | (docker_roots(stage) if roots is None else roots)
    file = archive(stage.docker.folder / "app.tkb", members({stage.docker.gun: files}, {stage.ref: ONE}))
    stage.docker.server.seen.clear()
    told = (victim or stage.victim)("verify", "--bundle", str(file), "--max-age", "1d", stage.ref)
    assert stage.docker.server.seen == []
    return told


def refused(stage: Converting, slug: str, roots: Roots | None = None, victim: DockerVictim | None = None) -> Result:
    told = carry(stage, roots, victim)
    assert (told.status, told.slug, told.out) == (4 if slug == "bad-bundle" else 3, slug, ""), told.err
    assert [pin[1] for pin in stage.pinned(victim)] == ["docker"]
    return told


def follows(stage: Converting, roots: Roots | None = None, victim: DockerVictim | None = None) -> None:
    told = carry(stage, roots, victim)
    assert (told.status, told.out) == (0, stage.answer), told.err
    assert "pinned so from now on" in told.err
    assert [pin[1] for pin in stage.pinned(victim)] == ["tuf"]


def test_a_cold_home_follows_by_the_certificate_that_it_has_pinned(stage: Converting) -> None:
    stage.convert()
    assert sorted(docker_roots(stage)) == ["docker/1.root.json", "docker/2.root.json"]
    follows(stage)
    assert carry(stage, {}).status == 0  # from then on the pin needs none of them


def test_a_certificate_of_a_root_that_was_replaced_for_the_same_key_is_found(stage: Converting) -> None:
    """As a renewal of the certificate makes it; the one that is pinned is in the first root alone."""
    (_, signer) = stage.root_keys[0]
    stage.docker.honest.rotate_root(certified(signer.private, stage.docker.gun))  # type: ignore[attr-defined]  # a RawSigner of the forge
    stage.convert()
    roots = docker_roots(stage)
    assert len(roots) == 3
    last = {name: data for name, data in roots.items() if name.startswith("docker/3")}
    refused(stage, "no-collection", last)
    follows(stage, roots)


def test_without_the_pinned_certificate_nothing_is_followed_and_the_next_step_is_named(stage: Converting) -> None:
    stage.convert()
    told = refused(stage, "no-collection", {})
    assert f"trustkit pin add {stage.gun} --root-key ID --replace" in told.err
    follows(stage)


def test_a_strangers_collection_beside_the_honest_roots_of_docker(stage: Converting) -> None:
    """Whoever carries the bundle has the honest roots, as everybody has, and founds what they like."""
    stranger = certified(gun=stage.docker.gun)
    stage.freeze()
    stage.make(bare(stranger))
    refused(stage, "no-collection")
    stage.make()
    follows(stage)


def test_roots_of_docker_that_lead_to_a_stranger(stage: Converting) -> None:
    """A line of roots up to theirs, and a collection of theirs: the key of the pinned certificate counts alone."""
    stranger = certified(gun=stage.docker.gun)
    theirs = DockerStage.build(stage.docker.folder / "theirs")
    theirs.honest.gun = stage.docker.gun
    theirs.honest.forge.gun = stage.docker.gun
    theirs.honest.rotate_root(stranger)
    stage.freeze()
    stage.make(bare(stranger))
    lies = {f"docker/{name}": data for name, data in theirs.honest.names.items() if name.endswith(".root.json")}
    refused(stage, "no-collection", {**docker_roots(stage), **lies})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("docker/0.root.json", b"{}", id="no version"),
        pytest.param("docker/targets.json", b"{}", id="another role"),
        pytest.param("docker/../1.root.json", b"{}", id="a path"),
        pytest.param("docker/1.root.json/x", b"{}", id="a folder"),
    ],
)
def test_nothing_else_of_docker_comes_along(stage: Converting, name: str, data: bytes) -> None:
    stage.convert()
    refused(stage, "bad-bundle", {**docker_roots(stage), name: data})
    follows(stage)


def test_roots_that_are_none_are_no_pinned_certificate(stage: Converting) -> None:
    stage.convert()
    told = carry(stage, dict.fromkeys(docker_roots(stage), b"no root"))
    assert (told.status, told.out) == (4, ""), told.err
    follows(stage)
