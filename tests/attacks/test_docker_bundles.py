"""Bundles of collections in format docker that somebody changes on the way, or holds back (TRUST 6.3, 5.4)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.attacks.bundling import Members, archive, blob, changed, members
from tests.attacks.dockers import DockerStage
from tests.formats_docker.forge import NOW, eddsa, role_of
from tests.service import Result
from trustkit.core.manifests import OCI_MANIFEST
from trustkit.core.names import Digest
from trustkit.core.ports.images import ManifestBytes

WEEK = timedelta(days=7)
FORTNIGHT = "14d"


def image(text: str) -> ManifestBytes:
    """One that says its media type nowhere, as OCI allows: the bundle's index does."""
    data = json.dumps({"schemaVersion": 2, "note": text}).encode()
    return ManifestBytes(Digest.of(data), OCI_MANIFEST, data)


ONE, TWO = image("one"), image("two")


@pytest.fixture
def carried(docker_stage: DockerStage) -> DockerStage:
    """The tag is signed for an image, and timestamps live as long as our service's."""
    docker_stage.victim.clock = lambda: NOW
    docker_stage.honest.forge.ends = {"timestamp": NOW + WEEK}
    sign(docker_stage, ONE)
    return docker_stage


def sign(stage: DockerStage, one: ManifestBytes) -> None:
    targets = stage.honest.forge.roles["targets"]
    stage.serve(stage.honest.release("v1", one.digest.hex))
    targets.targets["v1"].length = len(one.data)
    targets.version += 1
    stage.serve(stage.honest.publish())


def files_of(stage: DockerStage) -> dict[str, bytes]:
    """The collection as a bundle names it: the roots by version, the rest by role."""
    names, newest = stage.honest.names, {}
    for role in ("snapshot", *stage.honest.forge.roles):
        newest[f"{role}.json"] = [data for name, data in names.items() if name.startswith(f"{role}.")][-1]
    roots = {name: data for name, data in names.items() if name.endswith(".root.json")}
    return {**roots, **newest, "timestamp.json": names["timestamp.json"]}


def parts(stage: DockerStage, files: dict[str, bytes] | None = None, one: ManifestBytes = ONE) -> Members:
    return members({stage.gun: files or files_of(stage)}, {stage.ref: one}, wire="docker")


def verify(stage: DockerStage, made: Members, age: str = FORTNIGHT) -> Result:
    file = archive(stage.folder / "app.tkb", made)
    stage.server.seen.clear()
    result = stage.victim("verify", "--bundle", str(file), "--max-age", age, stage.ref)
    assert stage.server.seen == [], "a bundle is verified with no network"
    return result


def trusts(stage: DockerStage, made: Members, age: str = FORTNIGHT, one: ManifestBytes = ONE) -> None:
    result = verify(stage, made, age)
    assert (result.status, result.out) == (0, f"{stage.ref}@{one.digest}\n"), result.err


def refuses(stage: DockerStage, made: Members, status: int, slug: str, age: str = FORTNIGHT) -> Result:
    folder = stage.victim.home / "cache" / "metadata"
    before = {file: file.read_bytes() for file in folder.rglob("*.json")}
    result = verify(stage, made, age)
    assert (result.status, result.slug, result.out) == (status, slug, ""), result.err
    assert {file: file.read_bytes() for file in folder.rglob("*.json")} == before, "something was left behind"
    return result


def later(stage: DockerStage, **time: float) -> None:
    stage.victim.clock = lambda: NOW + timedelta(**time)


def test_an_honest_bundle_is_trusted_cold_and_warm(carried: DockerStage, cache: str) -> None:
    carried.meet(cache)
    trusts(carried, parts(carried))
    trusts(carried, parts(carried))
    carried.trusts()


def test_nothing_that_has_expired_is_waived_by_an_age(carried: DockerStage, cache: str) -> None:
    carried.meet(cache)
    later(carried, days=6, hours=23)
    trusts(carried, parts(carried))
    later(carried, days=7, minutes=1)
    assert "doesn't say when" in refuses(carried, parts(carried), 3, "expired", age="3650d").err


def test_the_age_is_the_greatest_that_it_can_be(carried: DockerStage) -> None:
    told = refuses(carried, parts(carried), 3, "too-old", age="6d")
    assert "may be 7 days ago, and 6 days are allowed" in told.err
    trusts(carried, parts(carried), age="8d")
    later(carried, days=2)
    refuses(carried, parts(carried), 3, "too-old", age="8d")


def test_a_timestamp_that_is_good_for_longer_than_any_has_no_age(carried: DockerStage) -> None:
    carried.honest.forge.ends = {"timestamp": NOW + 2 * WEEK}
    carried.honest.publish()
    trusts(carried, parts(carried))
    later(carried, hours=-12)
    refuses(carried, parts(carried), 3, "clock-behind")
    later(carried, days=0)
    carried.honest.forge.ends = {"timestamp": NOW + 3 * WEEK}
    carried.honest.publish()
    assert "can't be told" in refuses(carried, parts(carried), 3, "clock-behind", age="3650d").err


@pytest.mark.parametrize("seen", ["online", "bundle"])
def test_an_older_bundle_after_a_newer_state_is_a_rollback(carried: DockerStage, seen: str) -> None:
    old = parts(carried)
    sign(carried, TWO)
    if seen == "online":
        carried.trusts()
    else:
        trusts(carried, parts(carried, one=TWO), one=TWO)
    assert "get a bundle that is newer" in refuses(carried, old, 3, "rolled-back").err
    carried.trusts()


def test_a_server_that_is_behind_a_bundle_is_a_rollback(carried: DockerStage) -> None:
    old = dict(carried.honest.names)
    sign(carried, TWO)
    trusts(carried, parts(carried, one=TWO), one=TWO)
    carried.serve(old)
    carried.refuses(3, "rolled-back")


def test_what_a_bundle_showed_is_not_fresh_for_who_is_online_and_reaches_nobody(carried: DockerStage) -> None:
    rule = f'pattern = "{carried.gun}"\nformat = "docker"\nroot_keys = ["{carried.honest.root_key}"]'
    policy = carried.victim.home / "policy.toml"
    policy.write_text(f'version = 1\n[[rule]]\n{rule}\nmax_staleness = "14d"\n')
    trusts(carried, parts(carried))
    carried.server.close()
    carried.refuses(4, "unreachable")
    trusts(carried, parts(carried))


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_files_of_different_moments_are_refused(carried: DockerStage, role: str) -> None:
    old = files_of(carried)
    sign(carried, TWO)
    mixed = {**files_of(carried), f"{role}.json": old[f"{role}.json"]}
    assert verify(carried, parts(carried, mixed, TWO)).status in (3, 4)


def test_a_delegation_that_is_left_out_refuses_everything(carried: DockerStage) -> None:
    pair = eddsa()
    tags = {"v1": carried.honest.forge.roles["targets"].targets["v1"]}
    carried.honest.forge.delegate(role_of("targets/releases", pair[0]), tags, pair)
    carried.honest.forge.roles["targets"].version += 1
    carried.serve(carried.honest.publish())
    without = {name: data for name, data in files_of(carried).items() if "releases" not in name}
    assert verify(carried, parts(carried, without)).status in (3, 4)
    trusts(carried, parts(carried))


def test_a_root_that_was_rotated_is_walked_to(carried: DockerStage, cache: str) -> None:
    carried.meet(cache)
    carried.serve(carried.honest.rotate_root())
    without = {name: data for name, data in files_of(carried).items() if name != "2.root.json"}
    refused = verify(carried, parts(carried, without))
    assert refused.status in (3, 4), "the newest root is hidden"
    trusts(carried, parts(carried))


def test_swapped_bytes_are_refused(carried: DockerStage) -> None:
    name, _ = blob(ONE.data)
    swapped = verify(carried, changed(parts(carried), name, lambda data: data.replace(b"one", b"two")))
    assert (swapped.status, swapped.slug, swapped.out) == (3, "digest-mismatch", "")
    other = parts(carried, one=TWO)
    assert verify(carried, other).status in (3, 4), "and another manifest"


def test_a_strangers_collection_and_one_of_the_other_format_are_refused(carried: DockerStage, tmp_path: Path) -> None:
    stranger = DockerStage.build(tmp_path / "stranger")
    stranger.honest.gun = carried.gun
    with_theirs = {**files_of(carried), "1.root.json": stranger.honest.names["1.root.json"]}
    assert verify(carried, parts(carried, with_theirs)).status == 3
    as_tuf = members({carried.gun: {"1.root.json": b"{}", "timestamp.json": b"{}"}}, {carried.ref: ONE})
    assert verify(carried, as_tuf).status in (3, 4)


def test_who_is_pinned_in_format_tuf_takes_no_bundle_of_dockers(carried: DockerStage) -> None:
    carried.victim("pin", "remove", str(carried.gun))
    carried.server.close()
    assert carried.victim("pin", "add", str(carried.gun), "--root-key", "ab" * 32).status == 0
    refused = refuses(carried, parts(carried), 3, "no-collection")
    assert "in format docker, not in format tuf" in refused.err
