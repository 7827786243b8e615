"""Fewer signatures than the threshold asks for (TRUST 3.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from securesystemslib.signer import Signer
from tuf.api.metadata import Root

from tests.attacks.collection import ROLES, Collection, now, reread
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import Publisher, edited, make_signer, manifest
from trustkit.core.formats.tuf1 import sign

FIRST, SECOND, THIRD = (make_signer() for _ in range(3))


def _takes(role: str, threshold: int, *keys: Signer) -> Callable[[Root], None]:
    """A root in which a role has these keys besides its own, and this threshold."""

    def change(root: Root) -> None:
        for key in keys:
            root.add_key(key.public_key, role)
        root.roles[role].threshold = threshold

    return change


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_too_few_signatures_of_a_role(stage: Stage, cache: str, role: str) -> None:
    """Three keys, of which two have to sign; a stranger's signature beside them fills no place."""
    stage.meet(cache)
    honest = stage.honest
    honest.release("v1", manifest("new"))
    honest.rotate(_takes(role, 2, FIRST, SECOND))
    signed, own = honest.current(role), honest.signer(role)
    honest.put(signed, own, FIRST)
    name = honest.name(role)
    for signers in ((), (own,), (SECOND,), (own, THIRD)):
        stage.server.lies[name] = edited(honest.by(signed), lambda value: None, resign=honest.signed(*signers))
        stage.refuses(3, "signature-invalid")
    stage.server.lies[name] = honest.by(signed, FIRST, SECOND)
    stage.trusts(stage.other_victim())
    stage.recovers()


def _root_of_two(gun_of: Stage) -> Collection:
    """A collection whose root takes two of three keys."""
    made = Collection(gun_of.gun)
    made.found("v1")
    root: Root = made.current("root")
    _takes("root", 2, FIRST, SECOND)(root)
    made.put(root, made.root, FIRST)
    return made


def test_too_few_signatures_of_the_next_root(stage: Stage, cache: str) -> None:
    stage.honest = _root_of_two(stage)
    stage.server.collections[str(stage.gun)] = stage.honest
    stage.pin(stage.victim, stage.honest.root)
    stage.meet(cache)
    following: Root = stage.honest.current("root")
    following.version = 2
    for signers in ((), (stage.honest.root,), (FIRST,), (FIRST, THIRD)):
        by = stage.honest.signed(*signers)
        stage.server.lies["2.root.json"] = edited(sign(following, {}), lambda value: None, resign=by)
        stage.refuses(3, "wrong-root")
    stage.recovers()
    stage.honest.put(following, FIRST, SECOND)
    stage.trusts()


def test_a_root_that_lowers_its_own_threshold_needs_the_old_one(stage: Stage, cache: str) -> None:
    stage.honest = _root_of_two(stage)
    stage.server.collections[str(stage.gun)] = stage.honest
    stage.pin(stage.victim, stage.honest.root)
    stage.meet(cache)
    lowered: Root = stage.honest.current("root")
    lowered.version, lowered.roles["root"].threshold = 2, 1
    stage.server.lies["2.root.json"] = stage.honest.by(lowered, stage.honest.root)
    stage.refuses(3, "wrong-root")
    stage.recovers()


def _handing_over(root: Root, old: Signer) -> None:
    root.revoke_key(old.public_key.keyid, "root")
    root.add_key(FIRST.public_key, "root")


@pytest.mark.parametrize("signed_by", ["the old key only", "the new key only"])
def test_a_new_root_key_takes_the_old_and_the_new_signature(stage: Stage, cache: str, signed_by: str) -> None:
    stage.meet(cache)
    old = stage.honest.root
    root: Root = stage.honest.current("root")
    root.version = 2
    _handing_over(root, old)
    stage.server.lies["2.root.json"] = stage.honest.by(root, old if signed_by == "the old key only" else FIRST)
    stage.refuses(3, "wrong-root")
    stage.recovers()
    stage.honest.put(root, old, FIRST)
    stage.trusts()


def test_a_first_root_below_its_own_threshold(stage: Stage) -> None:
    """The pin takes one key, and that one has signed; the root itself takes two."""
    stage.honest = _root_of_two(stage)
    stage.server.collections[str(stage.gun)] = stage.honest
    stage.pin(stage.victim, stage.honest.root)
    stage.meet("cold")
    root = stage.honest.current("root")
    stage.server.lies["1.root.json"] = stage.honest.by(root, stage.honest.root)
    stage.refuses(3, "wrong-root")
    stage.recovers()


def test_a_first_root_below_the_pins_threshold(stage: Stage) -> None:
    stage.pin(stage.victim, stage.honest.root, FIRST, SECOND, threshold=2)
    root: Root = stage.honest.current("root")
    _takes("root", 1, FIRST)(root)
    stage.honest.put(root, stage.honest.root)
    stage.refuses(3, "wrong-root")
    stage.honest.put(root, stage.honest.root, FIRST)
    stage.recovers()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("threshold", [0, -1, 3])
def test_a_threshold_that_means_nothing(stage: Stage, cache: str, role: str, threshold: int) -> None:
    stage.meet(cache)
    root = stage.honest.change_root(lambda root: None)["root"]
    stage.server.lies["2.root.json"] = edited(
        root,
        lambda value: value["signed"]["roles"][role].update(threshold=threshold),
        resign=stage.honest.signed(stage.honest.root),
    )
    stage.refuses(*((3, "signature-invalid") if threshold > 0 else (4, "garbage")))
    stage.recovers()


def _of_two(who: Publisher) -> dict[str, bytes]:
    """A first upload whose root and targets take two signatures each, which they have."""
    good = who.first_upload("v1", now=now())
    root = reread(good["root"], "root").signed
    _takes("root", 2, FIRST)(root)
    _takes("targets", 2, SECOND)(root)
    targets = reread(good["targets"], "targets").signed
    return {
        "root": sign(root, who.signed(who.root, FIRST)),
        "targets": sign(targets, who.signed(who.repository, SECOND)),
    }


def test_the_service_takes_no_publish_below_a_threshold(insider: MakeInsider) -> None:
    who = insider()
    good = _of_two(who)
    keys = {"root": (who.root, FIRST), "targets": (who.repository, SECOND)}
    for role, signers in keys.items():
        for few in ((), signers[:1], signers[1:], (signers[0], THIRD)):
            bad = edited(good[role], lambda value: None, resign=who.signed(*few))
            who.refused({**good, role: bad}, 400, "bad-signature")
    who.taken(good)
    next_root = who.change_root(lambda root: None, who.root, FIRST)
    next_targets = edited(who.release("v2")["targets"], lambda value: None, resign=who.signed(who.repository, SECOND))
    for role, data in {"targets": next_targets, **next_root}.items():
        for few in ((), keys[role][:1], keys[role][1:], (keys[role][0], THIRD)):
            bad = edited(data, lambda value: None, resign=who.signed(*few))
            who.refused({role: bad}, 400, "bad-signature")
        who.taken({role: data})


def test_the_service_takes_a_lower_threshold_from_the_old_one_only(insider: MakeInsider) -> None:
    who = insider()
    who.taken(_of_two(who))
    lower = _takes("root", 1)
    who.refused(who.change_root(lower, who.root), 400, "bad-signature")
    who.taken(who.change_root(lower, who.root, FIRST))


@pytest.mark.parametrize("signed_by", ["the old key only", "the new key only"])
def test_the_service_takes_a_new_root_key_from_both(insider: MakeInsider, signed_by: str) -> None:
    who = insider()
    who.found("v1")
    old = who.root

    def hand_over(root: Root) -> None:
        _handing_over(root, old)

    alone = old if signed_by == "the old key only" else FIRST
    who.refused(who.change_root(hand_over, alone), 400, "bad-signature")
    who.taken(who.change_root(hand_over, old, FIRST))


@pytest.mark.parametrize(("threshold", "slug"), [(0, "malformed"), (-1, "malformed"), (3, "bad-keys")])
@pytest.mark.parametrize("role", ["root", "targets"])
def test_the_service_takes_no_threshold_that_means_nothing(
    insider: MakeInsider, role: str, threshold: int, slug: str
) -> None:
    who = insider()
    who.found("v1")
    good = who.change_root(lambda root: None)
    bad = edited(
        good["root"],
        lambda value: value["signed"]["roles"][role].update(threshold=threshold),
        resign=who.signed(who.root),
    )
    who.refused({"root": bad}, 400, slug)
    who.taken(good)


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_the_services_own_roles_take_one_key(insider: MakeInsider, role: str) -> None:
    who = insider()
    who.found("v1")
    who.refused(who.change_root(_takes(role, 1, THIRD)), 400, "wrong-online-keys")
    who.refused(who.change_root(_takes(role, 2, THIRD)), 400, "wrong-online-keys")
    who.taken(who.change_root(lambda root: None))
