"""Nobody is led back from format tuf to what Docker's format said (TRUST 5.4): a revocation is never undone."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.attacks.converting import Converting, bare, forget, write_policy
from tests.attacks.dockers import DockerStage, DockerVictim, Published
from tests.attacks.evil import Lie, refusal
from tests.attacks.test_docker_answers import ANSWERS
from tests.attacks.test_docker_roots import authority_named, issued
from tests.formats_docker.forge import certified
from tests.service import Result
from trustkit.core.names import Gun


@pytest.fixture
def stage(docker_stage: DockerStage) -> Converting:
    """A victim that pinned the collection in format docker, and has never seen it."""
    return Converting(docker_stage)


def _second_victim(stage: Converting, *arguments: str) -> DockerVictim:
    victim = DockerVictim(stage.docker.folder / "second")
    done = victim("pin", "add", stage.gun, "--format", "docker", *arguments)
    assert done.status == 0, done.err
    return victim


def test_a_pin_follows_and_says_tuf_for_good(stage: Converting, cache: str) -> None:
    stage.docker.meet(cache)
    stage.convert()
    stage.docker.server.seen.clear()
    assert "pinned so from now on" in stage.follows()
    asked = ["1.root.json", "2.root.json", "1.root.json", "2.root.json"]
    asked += ["timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert stage.docker.server.seen == asked[cache == "warm" :]
    assert [pin[1] for pin in stage.pinned()] == ["tuf"]
    stage.docker.server.seen.clear()
    assert stage.follows() == ""
    assert [name for name in stage.docker.server.seen if "root" in name] == ["2.root.json"]
    forget(stage.victim)
    assert stage.follows() == ""


def test_a_refresh_of_what_was_not_converted_asks_for_nothing_more(stage: Converting) -> None:
    stage.docker.trusts()
    stage.docker.server.seen.clear()
    stage.docker.trusts()
    assert stage.docker.server.seen == ["2.root.json", "timestamp.json"]


@pytest.mark.parametrize("kind", ["certificate", "bare key", "root file"])
def test_each_pin_of_a_key_follows(stage: Converting, kind: str) -> None:
    key, file = stage.root_keys[0][0], stage.docker.folder / "root.json"
    file.write_bytes(stage.docker.honest.names["1.root.json"])
    what = {
        "certificate": ("--root-key", key.keyid),
        "bare key": ("--root-key", key.canonical_id),
        "root file": ("--root", str(file)),
    }
    victim = _second_victim(stage, *what[kind])
    stage.convert()
    stage.follows(victim)
    assert [pin[1] for pin in stage.pinned(victim)] == ["tuf"]


def test_two_pinned_keys_both_have_to_have_signed(stage: Converting) -> None:
    first, second = stage.root_keys[0], certified(gun=stage.docker.gun)
    stage.docker.honest.forge.signers["root"] = [first, second]
    stage.docker.serve(stage.docker.honest.publish(root=True))
    victim = _second_victim(stage, "--root-key", first[0].keyid, "--root-key", second[0].keyid)
    either = DockerVictim(stage.docker.folder / "either")
    keys = ("--root-key", first[0].keyid, "--root-key", second[0].keyid, "--threshold", "1")
    assert either("pin", "add", stage.gun, "--format", "docker", *keys).status == 0
    stage.docker.trusts(victim)
    stage.convert()
    stage.follows(either)
    refused = stage.docker.refuses(3, "converted", victim)
    assert "fewer than 2 of the keys" in refused.err

    stage.tuf.rotate(lambda root: root.add_key(bare(second).public_key, "root"), bare(first), bare(second))
    stage.follows(victim)


def test_what_its_publisher_says_is_signed_is_not_taken_from_the_last_state(stage: Converting) -> None:
    """The service shows the last state and hides what it became: its own root says that there is more."""
    stage.convert()
    stage.hide()
    stage.docker.refuses(4, "collection-gone")
    stage.show()
    stage.follows()


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_in_the_place_of_the_new_root(stage: Converting, case: str) -> None:
    """Whatever it is, it is no reason to believe the old side."""
    lie, status, slug = ANSWERS[case]
    victim = _second_victim(stage, "--root-key", stage.root_keys[0][0].keyid)
    stage.docker.trusts(victim)
    stage.convert()
    only_tuf(stage, lie)
    stage.docker.refuses(status, slug, victim)
    stage.docker.server.lies.clear()
    stage.follows(victim)


def only_tuf(stage: Converting, lie: Lie) -> None:
    """Answers so where the new root is asked for; 1.root.json of Docker's is another path, and cached."""
    stage.docker.server.lies["1.root.json"] = lie


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json"])
@pytest.mark.parametrize("lie", [b"{}", None, refusal(403)], ids=["garbage", "nothing", "forbidden"])
def test_a_new_side_that_does_not_verify_moves_no_pin(stage: Converting, name: str, lie: Lie) -> None:
    """Its root alone is no collection; nor does the old side count while it is so."""
    stage.convert()
    stage.docker.server.lies[name] = lie
    refused = stage.victim("verify", stage.ref)
    assert (refused.status in (3, 4, 5), refused.out) == (True, ""), refused.err
    assert [pin[1] for pin in stage.pinned()] == ["docker"]
    stage.docker.server.lies.clear()
    stage.follows()


def test_the_new_side_is_hidden_after_the_pin_followed(stage: Converting, cache: str) -> None:
    old = dict(stage.docker.honest.names)
    stage.convert()
    stage.follows()
    if cache == "cold":
        forget(stage.victim)
    for state in (stage.docker.honest.names, old):
        stage.hide()
        stage.docker.serve(state)
        stage.docker.refuses(4, "collection-gone")
    stage.show()
    stage.follows()


def test_who_has_seen_the_last_root_is_shown_the_state_before_it(stage: Converting) -> None:
    """The new side is hidden, so the pin couldn't follow; the old state is believed no more for all that."""
    before = dict(stage.docker.honest.names)
    stage.docker.trusts()
    stage.convert()
    stage.hide()
    stage.docker.refuses(4, "collection-gone")
    stage.docker.serve(before)
    stage.docker.refuses(4, "collection-gone")
    stage.show()
    stage.follows()


def test_a_root_after_the_last_one_is_not_believed(stage: Converting, cache: str) -> None:
    """A thief of the old root key goes on in Docker's format, after the publisher rotated it in format tuf."""
    if cache == "warm":
        stage.docker.trusts()
    stage.convert()
    stage.docker.honest.forge.last = False
    stage.docker.honest.release("v1", "cd" * 32)
    stage.docker.serve(stage.docker.honest.publish(root=True))
    stage.hide()
    stage.docker.refuses(4, "collection-gone")
    stage.show()
    stage.follows()


def test_who_has_not_seen_it_is_held_back_until_the_old_timestamp_ends(stage: Converting) -> None:
    """The residual risk: nobody knows what nobody shows him.  It ends with the timestamp of before, not later."""
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    stage.docker.honest.forge.ends = {"timestamp": ends}
    before = dict(stage.docker.honest.publish())
    stage.docker.honest.forge.ends = {}
    stage.convert()
    stage.hide()
    stage.docker.serve(before)
    stage.docker.trusts()
    stage.victim.clock = lambda: ends + timedelta(seconds=1)
    stage.docker.refuses(3, "expired")


def test_the_state_before_with_a_tag_that_was_revoked_since(stage: Converting) -> None:
    before = dict(stage.docker.honest.names)
    stage.docker.trusts()
    stage.convert()
    stage.follows()
    stage.tuf.accept(stage.tuf.change(lambda draft: draft.drop(["v1"]), now=stage.tuf.moment), stage.tuf.moment)
    stage.docker.refuses(3, "unsigned")
    stage.docker.serve(before)
    stage.docker.refuses(3, "unsigned")
    stage.hide()
    stage.docker.refuses(4, "collection-gone")


def test_beyond_its_final_expiry_the_old_side_leads_on_and_says_nothing(stage: Converting) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    stage.make()
    stage.freeze(until)
    stage.show()
    stage.victim.clock = lambda: until + timedelta(minutes=1)
    stage.hide()
    stage.docker.refuses(4, "collection-gone")
    stage.show()
    stage.follows()


def test_a_root_by_another_root_key_of_docker_s(stage: Converting) -> None:
    first, second = stage.root_keys[0], certified(gun=stage.docker.gun)
    stage.docker.honest.forge.signers["root"] = [first, second]
    stage.docker.serve(stage.docker.honest.publish(root=True))
    stage.docker.trusts()
    stage.convert(bare(second))
    refused = stage.docker.refuses(3, "converted")
    assert "has not signed the new root" in refused.err
    assert f"--root-key {bare(second).public_key.keyid}" in refused.err
    assert [pin[1] for pin in stage.pinned()] == ["docker"]


def test_a_root_that_merely_lists_the_pinned_key(stage: Converting) -> None:
    stranger = bare(certified(gun=stage.docker.gun))
    pinned = bare(stage.root_keys[0]).public_key
    stage.make(stranger)
    stage.tuf.rotate(lambda root: root.add_key(pinned, "root"), stranger)
    stage.freeze()
    stage.show()
    stage.docker.refuses(3, "converted")


def test_a_root_of_another_collection_by_the_same_root_key(stage: Converting) -> None:
    """A publisher's root key is shared between collections: the root has to name this one (TRUST 1.3)."""
    stage.make(name=f"{stage.docker.gun.host}/other")
    stage.freeze()
    stage.show()
    stage.docker.refuses(3, "wrong-collection")


def test_a_root_that_no_root_of_docker_s_announces(stage: Converting, cache: str) -> None:
    """A stranger founds a collection in format tuf beside it: nobody's word makes a pin follow, or refuse."""
    stage.docker.meet(cache)
    stage.make(bare(certified(gun=stage.docker.gun)))
    stage.show()
    stage.docker.trusts()


def test_the_root_key_was_rotated_before_the_conversion(stage: Converting) -> None:
    """The chain leads to the new certificate; the pin was of the old one, and who follows is asked, once."""
    stage.docker.honest.rotate_root()
    stage.docker.serve(stage.docker.honest.names)
    stage.docker.trusts()
    stage.convert()
    refused = stage.docker.refuses(3, "converted")
    assert "it was rotated before, or somebody else signs there" in refused.err
    assert _typed(stage, refused).status == 0
    stage.follows()


def test_both_keys_sign_where_the_root_key_was_rotated_before(stage: Converting) -> None:
    old = stage.root_keys[0]
    stage.docker.honest.rotate_root()
    stage.docker.serve(stage.docker.honest.names)
    new = bare(stage.root_keys[0])
    stage.make(new)
    stage.tuf.rotate(lambda root: root.add_key(bare(old).public_key, "root"), new, bare(old))
    stage.freeze()
    stage.show()
    stage.follows()


def _typed(stage: Converting, refused: Result) -> Result:
    """The command that a refusal names, as a person types it."""
    command = refused.err.partition("trustkit pin add ")[2].splitlines()[0]
    return stage.victim("pin", "add", *command.split())


def test_a_pin_by_authority_does_not_follow_by_itself(stage: Converting) -> None:
    authority = authority_named("ours")
    stage.docker.serve(stage.docker.honest.rotate_root(issued(stage.docker.gun, authority)))
    file = stage.docker.folder / "ca.pem"
    file.write_bytes(authority[0].public_bytes(Encoding.PEM))
    stage.docker.victim = _second_victim(stage, "--ca", str(file))
    stage.docker.trusts()
    stage.convert()
    refused = stage.docker.refuses(3, "converted")
    assert "a pin by authority doesn't follow by itself" in refused.err
    assert _typed(stage, refused).status == 0
    stage.follows()


def test_a_collection_of_docker_s_made_anew_under_a_name_that_was_tuf(stage: Converting) -> None:
    stage.convert()
    stage.follows()
    new = Published(stage.docker.gun)
    stage.docker.serve(new.publish())
    key = ("--format", "docker", "--root-key", new.root_key)
    for more in ((), ("--replace",)):
        done = stage.victim("pin", "add", stage.gun, *key, *more)
        assert (done.status, done.slug) == (1, "conflict"), done.err
    stage.follows()
    stage.hide()
    stage.docker.refuses(4, "collection-gone")
    assert stage.victim("pin", "remove", stage.gun).status == 0
    assert stage.victim("pin", "add", stage.gun, *key).status == 0
    stage.docker.refuses(4, "collection-gone")
    stage.show()
    stage.docker.refuses(3, "format-downgraded")


def test_who_removes_the_pin_and_pins_the_old_root_again_follows_again(stage: Converting) -> None:
    stage.convert()
    stage.follows()
    assert stage.victim("pin", "remove", stage.gun).status == 0
    stage.docker.pin(stage.victim, stage.docker.honest.root_key)
    stage.follows()
    assert [pin[1] for pin in stage.pinned()] == ["tuf"]


def test_a_pin_of_many_collections_follows_in_the_converted_one_only(stage: Converting) -> None:
    host, private = stage.docker.gun.host, stage.root_keys[0][1].private  # type: ignore[attr-defined]  # a RawSigner
    other = Published(Gun.parse(f"{host}/team/other"))
    other.forge.signers["root"] = [certified(private, other.gun)]
    stage.docker.server.served[str(other.gun)] = dict(other.publish())
    victim = DockerVictim(stage.docker.folder / "many")
    key = stage.root_keys[0][0].canonical_id
    assert victim("pin", "add", f"{host}/team/*", "--format", "docker", "--root-key", key).status == 0
    stage.convert()
    stage.follows(victim)
    pins = sorted(pin[:2] for pin in stage.pinned(victim))
    assert pins == sorted([[f"{host}/team/*", "docker"], [stage.gun, "tuf"]])
    there = victim("verify", f"{other.gun}:v1")
    assert (there.status, "ab" * 32 in there.out) == (0, True), there.err
    stage.hide()
    stage.docker.refuses(4, "collection-gone", victim)


def test_a_policy_s_pin_follows_in_each_process_and_says_how_to_write_it_down(stage: Converting) -> None:
    victim = DockerVictim(stage.docker.folder / "policed")
    path = write_policy(victim, stage.gun, format="docker", root_keys=[stage.docker.honest.root_key])
    stage.docker.trusts(victim)
    stage.convert()
    for _ in range(2):
        said = stage.follows(victim)
        assert f'root_keys = ["{bare(stage.root_keys[0]).public_key.keyid}"]' in said
    forget(victim)
    stage.follows(victim)
    assert victim("pin", "list").out == ""
    stage.hide()
    stage.docker.refuses(4, "collection-gone", victim)
    forget(victim)
    stage.docker.refuses(4, "collection-gone", victim)
    stage.show()
    line = next(line for line in said.splitlines() if "root_keys" in line)
    path = write_policy(victim, stage.gun, root_keys=[line.partition('["')[2].partition('"]')[0]])
    assert path.exists()
    assert stage.follows(victim) == ""


def test_a_policy_s_pin_follows_offline_as_long_as_the_policy_lets_it(stage: Converting) -> None:
    """By a root that was verified here; the state that it leads to counts from when the service signed it."""
    victim = DockerVictim(stage.docker.folder / "policed")
    key = stage.docker.honest.root_key
    write_policy(victim, stage.gun, format="docker", root_keys=[key], max_staleness="2d")
    stage.docker.trusts(victim)
    stage.convert()
    stage.follows(victim)
    stage.docker.server.close()
    try:
        assert "The policy lets count" in stage.follows(victim)
        victim.clock = lambda: datetime.now(UTC) + timedelta(days=3)
        stage.docker.refuses(4, "unreachable", victim)
        victim.clock = lambda: datetime.now(UTC)
        stage.docker.refuses(4, "unreachable")
    finally:
        stage.docker.server.open()


def test_many_processes_follow_at_once(stage: Converting) -> None:
    stage.convert()
    results: list[Result] = []
    threads = [
        threading.Thread(target=lambda: results.append(stage.victim.as_process("verify", stage.ref)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(done.status, done.out) for done in results] == [(0, stage.answer)] * 4, [done.err for done in results]
    assert [pin[:2] for pin in stage.pinned()] == [[stage.gun, "tuf"]]


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """What would be longer can't be written, as when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_pin_can_t_be_written(stage: Converting) -> None:
    """What was decided holds, nothing is half written, and the next process follows again."""
    for number in range(20):
        stage.victim("pin", "add", f"other.example/app{number}", "--format", "docker", "--root-key", "ab" * 32)
    stage.docker.trusts()
    stage.convert()
    pins = stage.victim.home / "pins.json"
    before = pins.read_bytes()
    longest = max(map(len, [*stage.tuf.files.values(), *stage.docker.honest.names.values()]))
    assert longest < len(before)
    with files_no_longer_than(longest):
        for _ in range(2):
            assert "its pin couldn't follow" in stage.follows()
            assert pins.read_bytes() == before
        stage.hide()
        stage.docker.refuses(4, "collection-gone")
    assert sorted(path.name for path in stage.victim.home.iterdir()) == [".pins.json.lock", "cache", "pins.json"]
    stage.show()
    assert "pinned so from now on" in stage.follows()
