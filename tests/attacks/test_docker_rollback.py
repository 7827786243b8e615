"""Older files of a collection in format docker, served by who has the server, and by who has its keys, too.

Snapshot and timestamp of this format name no versions, so only what a home has seen tells of an older file.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.dockers import DockerStage, Published
from tests.formats_docker.forge import ecdsa, role_of, tags

OLD, NEW = "0d" * 32, "1e" * 32
State = dict[str, bytes]


def _with_releases(honest: Published) -> None:
    key = ecdsa()
    honest.forge.delegate(role_of("targets/releases", key[0]), tags("v1", digest=OLD), key)
    honest.forge.roles["targets"].version += 1
    honest.publish()
    honest.release("v1", NEW, role="targets/releases")


def _snapshot(honest: Published) -> State:
    """An old snapshot, named by a new timestamp."""
    return honest.publish(snapshot=1)


def _targets(honest: Published) -> State:
    """An old targets file, named by a new snapshot."""
    targets = honest.forge.roles["targets"]
    targets.targets.update(tags("v1", digest=OLD))
    return honest.publish(targets=targets.version - 1)


def _releases(honest: Published) -> State:
    """An old file of ``targets/releases``, named by a new snapshot."""
    releases = honest.forge.roles["targets/releases"]
    releases.targets.update(tags("v1", digest=OLD))
    releases.version -= 1
    return honest.publish()


def _hidden(honest: Published) -> State:
    """A new snapshot that names no ``targets/releases``, so that what ``targets`` said before counts again."""
    del honest.forge.roles["targets/releases"]
    return honest.publish()


STOLEN: dict[str, Callable[[Published], State]] = {
    "snapshot": _snapshot,
    "targets": _targets,
    "targets/releases": _releases,
    "hidden releases": _hidden,
}
"""What who has the server's online keys can make of files that publishers have signed."""


@pytest.fixture
def warm(docker_stage: DockerStage) -> DockerStage:
    """The victim has verified the newest state."""
    docker_stage.honest.release("v1", OLD)
    docker_stage.honest.release("v1", NEW)
    _with_releases(docker_stage.honest)
    docker_stage.serve(docker_stage.honest.names)
    docker_stage.trusts()
    return docker_stage


def test_an_old_state_as_a_whole(docker_stage: DockerStage) -> None:
    before = docker_stage.honest.names
    docker_stage.serve(docker_stage.honest.release("v1", NEW))
    docker_stage.trusts()
    docker_stage.serve(before)
    result = docker_stage.refuses(3, "rolled-back")
    assert "version 1, and version 2 was seen" in result.err
    docker_stage.recovers()


def test_an_old_state_that_has_expired_meanwhile_is_still_told_as_an_old_one(docker_stage: DockerStage) -> None:
    honest = docker_stage.honest
    honest.forge.ends = {"timestamp": honest.forge.expires.replace(year=honest.forge.expires.year - 2)}
    before = honest.publish()
    honest.forge.ends = {}
    docker_stage.serve(honest.release("v1", NEW))
    docker_stage.trusts()
    docker_stage.serve(before)
    docker_stage.refuses(3, "rolled-back")


@pytest.mark.parametrize("case", STOLEN)
def test_old_files_under_stolen_online_keys(warm: DockerStage, case: str) -> None:
    honest = warm.honest.names
    warm.serve(STOLEN[case](warm.honest))
    assert "was seen here before" in warm.refuses(3, "rolled-back").err
    warm.serve(honest)
    result = warm.victim("verify", warm.ref)
    assert (result.status, result.out) == (0, f"{warm.ref}@sha256:{NEW}\n")


def test_a_replica_that_lags_is_asked_again(docker_stage: DockerStage) -> None:
    before = docker_stage.honest.names["timestamp.json"]
    docker_stage.serve(docker_stage.honest.release("v1", NEW))
    docker_stage.trusts()
    answers = [before, before]
    docker_stage.server.lies["timestamp.json"] = lambda handler: handler.reply(
        200, answers.pop() if answers else docker_stage.honest.names["timestamp.json"]
    )
    docker_stage.trusts()
    assert not answers


def test_files_of_two_states_are_mixed(docker_stage: DockerStage, cache: str) -> None:
    """The files that are named by hash can't be other ones, whatever the server has under the name."""
    before = docker_stage.honest.forge.files()
    docker_stage.serve(docker_stage.honest.release("v1", NEW))
    docker_stage.meet(cache)
    docker_stage.serve(docker_stage.honest.release("v1", "2f" * 32))
    for role in ("snapshot", "targets"):
        docker_stage.server.lies = {f"{role}.json": before[role]}
        assert "has not the length or hash" in docker_stage.refuses(4, "garbage").err
    docker_stage.recovers()


def test_what_was_seen_under_a_rotated_key_counts_no_more(docker_stage: DockerStage) -> None:
    """A thief who drove versions up is answered with new keys (TRUST 3.7); numbers may begin anew then."""
    honest = docker_stage.honest
    docker_stage.serve(honest.publish(snapshot=4000, timestamp=4000))
    docker_stage.trusts()
    docker_stage.serve(honest.publish())
    docker_stage.refuses(3, "rolled-back")
    honest.forge.signers |= {"snapshot": [ecdsa()], "timestamp": [ecdsa()]}
    honest.forge.cosigners = {"root": honest.forge.signers["root"]}
    docker_stage.serve(honest.publish(root=True))
    docker_stage.trusts()


def test_what_was_kept_is_damaged(docker_stage: DockerStage) -> None:
    """Then nobody knows what was seen: it isn't as if nothing had been."""
    docker_stage.trusts()
    (kept,) = docker_stage.victim.home.glob("cache/metadata/*/docker-*/timestamp.json")
    kept.write_bytes(b"{}")
    docker_stage.refuses(1, "state")
