"""Signatures for one proposal used for another, or for a dropped one (TRUST 3.10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tuf.api.metadata import Root, Targets

from tests.attacks.two import SECOND, STRANGER, Two, refused, second
from tests.simulator import edited, make_signer
from trustkit.core.formats.tuf1 import read


def test_the_signatures_of_a_dropped_proposal_do_not_come_back(who: Two) -> None:
    half = who.half("v2")
    who.drop(who.opened(half))
    whole = {"targets": who.by(half, who.repository, SECOND)}
    before = who.served()
    for upload in (whole, {"targets": who.by(who.half("v3"), who.repository, SECOND)}):
        told = who.post(upload)
        refused(told, 409, "conflict")
        refused(who.send(upload), 409, "conflict")
        assert told.json["errors"][0]["detail"]["versions"]["targets"] == 3
    assert who.served() == before
    further = who.half("v2", version=4)
    identifier = who.opened(further)
    refused(who.approve(identifier, second(who, half)), 400, "rejected")
    assert who.approve(identifier, second(who, further)).json["versions"]["targets"] == 4


def test_a_dropped_root_does_not_come_back_and_another_one_may_have_its_version(who: Two) -> None:
    third = make_signer()

    def two_roots(root: Root) -> None:
        root.add_key(third.public_key, "root")
        root.roles["root"].threshold = 2

    who.drop(who.opened(who.change_root(two_roots)))
    whole = who.change_root(two_roots, who.root, third)
    refused(who.post(whole), 400, "rejected")
    who.taken(who.change_root(lambda root: None))


def test_one_proposal_does_not_replace_another(who: Two) -> None:
    half = who.half("v2")
    identifier = who.opened(half)
    for upload in (who.half("v2", "evil"), second(who, who.half("v3"))):
        refused(who.send(upload), 409, "proposal-open")
    refused(who.post({"targets": who.by(half, who.repository, SECOND)}), 409, "proposal-open")
    assert [each["id"] for each in who.listed()] == [identifier]


@pytest.mark.parametrize(
    ("make", "slug"),
    [
        (lambda who, half: second(who, who.half("v2", "evil")), "rejected"),
        (lambda who, half: second(who, half, STRANGER), "bad-signature"),
        (lambda who, half: second(who, half, SECOND, STRANGER), "bad-signature"),
        (lambda who, half: second(who, half, who.root), "bad-signature"),
        (lambda who, half: {"targets": edited(half["targets"], _forged)}, "bad-signature"),
        (
            lambda who, half: {"targets": edited(half["targets"], lambda value: value.update(signatures=[]))},
            "bad-signature",
        ),
        (lambda who, half: who.change_root(lambda root: None), "rejected"),
        (lambda who, half: {"evil": second(who, half)["targets"]}, "rejected"),
    ],
    ids=[
        "another payload",
        "a stranger",
        "a stranger too",
        "a root key",
        "forged",
        "none",
        "another role",
        "a new role",
    ],
)
def test_an_approval_is_a_counting_signature_over_what_is_proposed(
    who: Two, make: Callable[[Two, dict[str, bytes]], dict[str, bytes]], slug: str
) -> None:
    half = who.half("v2")
    identifier = who.opened(half)
    before = who.served()
    refused(who.approve(identifier, make(who, half)), 400, slug)
    assert who.served() == before
    assert who.listed()[0]["missing"] == 1
    assert who.approve(identifier, second(who, half)).status == 200


def _forged(value: dict[str, Any]) -> None:
    value["signatures"] = [{"keyid": SECOND.public_key.keyid, "sig": "ab" * 64}]


def test_one_key_does_not_approve_twice(who: Two) -> None:
    half = who.half("v2")
    identifier = who.opened(half)
    refused(who.approve(identifier, half), 409, "conflict")
    assert who.listed()[0]["missing"] == 1


def test_nobody_without_a_key_that_counts_opens_one(who: Two) -> None:
    half = who.half("v2")
    for signers in ((), (STRANGER,), (who.root,)):
        refused(who.send({"targets": who.by(half, *signers)}), 400, "bad-signature")
    mine = who.change_root(lambda root: root.add_key(STRANGER.public_key, "root"), STRANGER)
    refused(who.send(mine), 400, "bad-signature")
    assert who.listed() == []


def test_a_root_that_names_other_online_keys_is_not_proposed(who: Two) -> None:
    def change(root: Root) -> None:
        root.roles["root"].threshold = 2
        root.add_key(SECOND.public_key, "root")
        root.revoke_key(root.roles["snapshot"].keyids[0], "snapshot")
        root.add_key(STRANGER.public_key, "snapshot")

    refused(who.send(who.change_root(change)), 400, "wrong-online-keys")


def test_a_removed_signers_proposal_does_not_become_current(who: Two) -> None:
    """Its holder signed while the key was good; when the second signature comes, the key isn't any more."""
    half = who.half("v2")
    identifier = who.opened(half)
    third = make_signer()

    def replaced(root: Root) -> None:
        root.revoke_key(who.repository.public_key.keyid, "targets")
        root.add_key(third.public_key, "targets")

    refused(who.post(who.change_root(replaced)), 400, "bad-signature")
    who.drop(identifier)
    unsigned = who.half("v1", "v1", version=4)
    who.taken({**who.change_root(replaced), "targets": who.by(unsigned, third, SECOND)})
    refused(who.send(who.half("v2")), 400, "bad-signature")
    refused(who.approve(identifier, second(who, half)), 404, "not-found")


def test_opening_and_dropping_for_ever_burns_no_versions(who: Two) -> None:
    """Clients sign nothing further than 64 versions ahead: somebody with one key must not keep them from it."""
    version = 3
    for number in range(70):
        who.drop(who.opened(who.half("v2", f"text {number}", version=version)))
        version = min(version + 1, 2 + 64 + 1)
    half = who.half("v2", version=version)
    assert who.approve(who.opened(half), second(who, half)).json["versions"]["targets"] == version


def test_keys_of_a_proposal_are_judged_by_the_root_of_that_moment(who: Two) -> None:
    """Its one signature is by a key that a root took away meanwhile: who approves it approves nothing."""
    third = make_signer()
    who.taken(who.change_root(lambda root: root.add_key(third.public_key, "targets")))
    who.taken({"targets": who.by(who.release("v1", "v1"), SECOND, third)})
    half = who.half("v2")
    identifier = who.opened(half)
    removed = who.repository.public_key.keyid
    who.taken(who.change_root(lambda root: root.revoke_key(removed, "targets")))
    before = who.served()
    assert who.listed()[0]["stale"]
    refused(who.approve(identifier, second(who, half)), 400, "proposal-stale")
    refused(who.approve(identifier, {"targets": who.by(half, SECOND, third)}), 400, "proposal-stale")
    refused(who.approve(identifier, {"targets": who.by(half, who.repository)}), 400, "proposal-stale")
    assert who.served() == before
    who.drop(identifier)
    refused(who.send(who.half("v2", version=5)), 400, "bad-signature")
    anew = {"targets": who.by(who.half("v2", version=5), SECOND)}
    assert who.approve(who.opened(anew), {"targets": who.by(anew, third)}).json["versions"]["targets"] == 5


def test_a_signature_by_a_key_that_was_removed_since_does_not_count(who: Two) -> None:
    """Three of four: two have signed, one of them loses its key, and two more are needed, not one."""
    third, fourth = make_signer(), make_signer()

    def four(root: Root) -> None:
        for key in (third, fourth):
            root.add_key(key.public_key, "targets")
        root.roles["targets"].threshold = 3

    current = {"targets": who.by(who.release("v1", "v1"), SECOND, third, fourth)}
    who.taken({**who.change_root(four), **current})
    proposed = {"targets": who.by(who.half("v2"), who.repository, SECOND)}
    identifier = who.opened(proposed)
    assert who.listed()[0]["missing"] == 1
    removed = who.repository.public_key.keyid
    who.taken(who.change_root(lambda root: root.revoke_key(removed, "targets")))
    (listed,) = who.listed()
    assert (listed["missing"], listed["stale"]) == (2, False)
    assert removed not in listed["lacks"][0]["keys"]
    before = who.served()
    refused(who.approve(identifier, {"targets": who.by(proposed, who.repository, third)}), 400, "bad-signature")
    assert who.approve(identifier, second(who, proposed, third)).json["proposal"]["missing"] == 1
    assert who.served() == before
    assert who.approve(identifier, second(who, proposed, fourth)).json["versions"]["targets"] == 4
    published = read(who.served()["targets"][1], Targets)
    assert set(published.signatures) == {key.public_key.keyid for key in (SECOND, third, fourth)}


def test_a_key_that_came_since_may_approve(who: Two) -> None:
    half = who.half("v2")
    identifier = who.opened(half)
    refused(who.approve(identifier, second(who, half, STRANGER)), 400, "bad-signature")
    who.taken(who.change_root(lambda root: root.add_key(STRANGER.public_key, "targets")))
    assert STRANGER.public_key.keyid in who.listed()[0]["lacks"][0]["keys"]
    assert who.approve(identifier, second(who, half, STRANGER)).json["versions"]["targets"] == 3
