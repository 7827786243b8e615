"""What a trust server of Docker's may answer instead of files: no answer is a verdict, and none is believed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.attacks.collection import Collection
from tests.attacks.dockers import DockerStage, DockerVictim, absent
from tests.attacks.evil import Lie, refusal
from tests.formats_docker.forge import ecdsa, role_of, tags
from tests.remote.conftest import Handler
from trustkit.remote.http import Limits
from trustkit.remote.sockets import Speed

HTML = b"<!doctype html><title>Sign in</title>"


def _redirect(handler: Handler) -> None:
    handler.reply(302, b"", Location="https://elsewhere.example/")


def _cut(handler: Handler) -> None:
    handler.reply(200, b"{", Content_Length="500")
    handler.close_connection = True


def _drip(handler: Handler) -> None:
    handler.reply(200, b"", Content_Length="5000")
    for _ in range(200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.02)


ANSWERS: dict[str, tuple[Lie, int, str]] = {
    "login page": (HTML, 4, "garbage"),
    "not allowed to ask": (refusal(401), 5, "login-required"),
    "not allowed": (refusal(403), 5, "role-missing"),
    "a proxy's 404": (lambda handler: handler.reply(404, HTML), 4, "garbage"),
    "a registry's 404": (refusal(404, code="NAME_UNKNOWN"), 4, "garbage"),
    "500": (refusal(500, code="UNKNOWN"), 4, "server-failed"),
    "405": (refusal(405), 4, "server-failed"),
    "redirect": (_redirect, 4, "garbage"),
    "nothing at all": (lambda handler: handler.reply(200, b""), 4, "garbage"),
    "cut off": (_cut, 4, "garbage"),
}
FILES = ("1.root.json", "2.root.json", "timestamp.json", "snapshot.json", "targets.json", "targets/releases.json")


def _with_releases(stage: DockerStage) -> None:
    key = ecdsa()
    stage.honest.forge.delegate(role_of("targets/releases", key[0]), tags("v1"), key)
    stage.honest.forge.roles["targets"].version += 1
    stage.serve(stage.honest.publish())


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_in_the_place_of_everything(docker_stage: DockerStage, cache: str, case: str) -> None:
    lie, status, slug = ANSWERS[case]
    docker_stage.meet(cache)
    docker_stage.server.lies["*"] = lie
    docker_stage.refuses(status, slug)
    docker_stage.recovers()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("case", ["login page", "not allowed", "500", "a proxy's 404"])
def test_an_answer_in_the_place_of_one_file(docker_stage: DockerStage, name: str, case: str) -> None:
    """403 on the next root ends no walk, and neither does a page: only Notary's own word does (TRUST 6.2)."""
    lie, status, slug = ANSWERS[case]
    _with_releases(docker_stage)
    docker_stage.server.lies[name] = lie
    docker_stage.refuses(status, slug)
    docker_stage.recovers()


@pytest.mark.parametrize("name", ["snapshot.json", "targets.json", "targets/releases.json"])
def test_a_file_that_is_named_is_not_there(docker_stage: DockerStage, name: str) -> None:
    _with_releases(docker_stage)
    docker_stage.server.lies[name] = None
    docker_stage.refuses(4, "garbage")
    docker_stage.recovers()


def test_nothing_was_ever_signed(docker_stage: DockerStage) -> None:
    docker_stage.server.lies["*"] = absent
    docker_stage.refuses(3, "no-collection")
    docker_stage.recovers()


@pytest.mark.parametrize("lie", [absent, refusal(404, "no-collection")], ids=["notary", "trustkit"])
def test_a_collection_that_was_seen_is_gone(docker_stage: DockerStage, lie: Callable[[Handler], None]) -> None:
    """Whoever deleted it, or says that somebody did: nothing unsigned may take its place (TRUST 6.4)."""
    docker_stage.trusts()
    docker_stage.server.lies["*"] = lie
    docker_stage.refuses(4, "collection-gone")
    docker_stage.recovers()


def test_the_pin_of_a_root_file_says_that_there_was_one(docker_stage: DockerStage) -> None:
    file = docker_stage.folder / "root.json"
    file.write_bytes(docker_stage.honest.names["1.root.json"])
    arguments = ("pin", "add", str(docker_stage.gun), "--format", "docker", "--root", str(file), "--replace")
    assert docker_stage.victim(*arguments).status == 0
    docker_stage.server.lies["*"] = absent
    docker_stage.refuses(4, "collection-gone")
    docker_stage.recovers()


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b" " * 9], ids=["short", "long"])
@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_a_file_of_another_size(docker_stage: DockerStage, role: str, change: Callable[[bytes], bytes]) -> None:
    docker_stage.server.lies[f"{role}.json"] = change(docker_stage.honest.forge.files()[role])
    docker_stage.refuses(4, "garbage")
    docker_stage.recovers()


def test_an_endless_timestamp(docker_stage: DockerStage) -> None:
    docker_stage.server.lies["timestamp.json"] = b"[" * 2_000_000
    docker_stage.refuses(4, "garbage")
    docker_stage.recovers()


@pytest.mark.parametrize("name", ["timestamp.json", "targets.json"])
def test_a_slow_drip(docker_stage: DockerStage, name: str) -> None:
    docker_stage.victim.limits = Limits(total=0.4, connect=5.0, speed=Speed())
    docker_stage.server.lies[name] = _drip
    docker_stage.refuses(4, "timed-out")
    docker_stage.victim.limits = None
    docker_stage.recovers()


def test_no_end_of_roots(docker_stage: DockerStage) -> None:
    """All files together have a deadline (TRUST 6.2)."""
    seconds = iter(range(0, 100_000, 100))
    docker_stage.victim.patience = lambda: float(next(seconds))
    docker_stage.refuses(4, "timed-out")


def test_what_only_attributes_can_be_withheld_and_takes_no_trust(docker_stage: DockerStage) -> None:
    key = ecdsa()
    docker_stage.honest.forge.delegate(role_of("targets/alice", key[0]), tags("v1"), key)
    docker_stage.serve(docker_stage.honest.publish())
    docker_stage.server.lies["targets/alice.json"] = refusal(500)
    shown = docker_stage.victim("inspect", str(docker_stage.gun))
    assert (shown.status, "Repo Admin" in shown.out.splitlines()[1]) == (0, True), shown.err
    docker_stage.trusts()


def _seen_as_tuf(stage: DockerStage) -> DockerVictim:
    victim, tuf = DockerVictim(stage.folder / "consumer"), Collection(stage.gun)
    tuf.found("v1")
    stage.server.collections[str(stage.gun)] = tuf
    assert victim("pin", "add", str(stage.gun), "--root-key", tuf.root.public_key.keyid).status == 0
    assert victim("verify", stage.ref).status == 0
    return victim


def test_a_collection_that_was_pinned_in_tuf_is_not_taken_in_dockers_format(docker_stage: DockerStage) -> None:
    """TRUST 5.4: the service may have converted it, and the old format goes on saying what was revoked since."""
    victim = _seen_as_tuf(docker_stage)
    key = ("--format", "docker", "--root-key", docker_stage.honest.root_key)
    for more in ((), ("--replace",)):
        done = victim("pin", "add", str(docker_stage.gun), *key, *more)
        assert (done.status, done.slug) == (1, "conflict"), done.err
    assert victim("pin", "remove", str(docker_stage.gun)).status == 0
    assert victim("pin", "add", str(docker_stage.gun), *key).status == 0
    docker_stage.refuses(3, "format-downgraded", victim)


def test_the_service_hides_the_tuf_collection(docker_stage: DockerStage) -> None:
    victim = _seen_as_tuf(docker_stage)
    docker_stage.server.collections = {"other.example/x": Collection(docker_stage.gun)}
    docker_stage.refuses(4, "collection-gone", victim)


def test_pin_add_says_which_format_is_served_and_pins_nothing(docker_stage: DockerStage) -> None:
    victim = DockerVictim(docker_stage.folder / "new")
    docker_stage.server.collections = {"other.example/x": Collection(docker_stage.gun)}
    done = victim("pin", "add", str(docker_stage.gun), "--root-key", docker_stage.honest.root_key)
    assert (done.status, done.slug) == (1, "wrong-format"), done.err
    assert victim("pin", "list").out == ""
