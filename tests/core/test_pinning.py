"""The first root to believe: what meets a pin, and what only looks as if."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tuf.api.metadata import Root

from tests.simulator import GUN, Publisher, edited, make_signer
from trustkit.core.formats.tuf1 import GUNS
from trustkit.core.names import Gun
from trustkit.core.pinning import MAX_ROOTS, anchor, meets, root_key_ids
from trustkit.core.ports.remote import Pin
from trustkit.errors import Malformed, WrongCollection, WrongRoot

OTHER = Gun.parse("registry.example.com/team/other")


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    return made


def _pin(*keys: str, threshold: int | None = None) -> Pin:
    return Pin(str(GUN), key_ids=keys, threshold=len(keys) if threshold is None else threshold)


def _own(publisher: Publisher) -> Pin:
    return _pin(publisher.root.public_key.keyid)


def test_a_root_that_the_pinned_key_signed(publisher: Publisher) -> None:
    data = publisher.files["root"]
    assert anchor(_own(publisher), GUN, [data]) == data
    assert root_key_ids(data) == ((publisher.root.public_key.keyid,), 1)


def _listed_not_signed(victim: Publisher) -> bytes:
    """A stranger's root, valid in itself, that lists the pinned key beside the stranger's."""
    stranger = Publisher()
    stranger.accept(stranger.first_upload())
    return stranger.change_root(lambda root: root.add_key(victim.root.public_key, "root"))["root"]


def _filed_under(victim: Publisher) -> bytes:
    """A stranger's key filed under the pinned id, and signing there."""
    stranger = Publisher()
    pinned = victim.root.public_key.keyid

    def refile(value: dict[str, Any]) -> None:
        own = stranger.root.public_key.keyid
        value["signed"]["keys"][pinned] = value["signed"]["keys"].pop(own)
        value["signed"]["roles"]["root"]["keyids"] = [pinned]

    return edited(stranger.first_upload()["root"], refile, resign={pinned: stranger.root})


def _in_another_role(victim: Publisher) -> bytes:
    """The pinned key signs, but as a repository key of a stranger's root."""
    stranger = Publisher(repository=victim.root)
    root = stranger.first_upload()["root"]
    return edited(root, lambda value: None, resign=stranger.signed(stranger.root, victim.root))


def _own_threshold_unmet(victim: Publisher) -> bytes:
    second = make_signer()

    def two(root: Root) -> None:
        root.add_key(second.public_key, "root")
        root.roles["root"].threshold = 2

    return victim.change_root(two)["root"]


def _changed(change: Callable[[dict[str, Any]], None], *, resign: bool = True) -> Callable[[Publisher], bytes]:
    return lambda victim: edited(victim.files["root"], change, resign=victim.signed(victim.root) if resign else None)


NOT_MET: dict[str, Callable[[Publisher], bytes]] = {
    "lists the pinned key without its signature": _listed_not_signed,
    "files another key under the pinned id": _filed_under,
    "has the pinned key in another role": _in_another_role,
    "isn't signed by its own threshold": _own_threshold_unmet,
    "a signature over other bytes": _changed(lambda v: v["signed"].update(version=2), resign=False),
    "no signature": _changed(lambda v: v.update(signatures=[]), resign=False),
    "another collection's": _changed(lambda v: v["signed"].update({GUNS: [str(OTHER)]})),
    "no collection's": _changed(lambda v: v["signed"].pop(GUNS)),
    "version true": _changed(lambda v: v["signed"].update(version=True)),
    "no consistent snapshots": _changed(lambda v: v["signed"].update(consistent_snapshot=False)),
    "a duplicate member": lambda v: v.files["root"].replace(b'"signed":{', b'"signed":{"version":1,', 1),
    "targets instead": lambda v: v.files["targets"],
    "HTML": lambda v: b"<html>",
    "nothing": lambda v: b"",
    "too large": lambda v: b" " * 600_000,
}


@pytest.mark.parametrize("case", NOT_MET)
def test_what_does_not_meet_a_pin(publisher: Publisher, case: str) -> None:
    pin, data = _own(publisher), NOT_MET[case](publisher)
    assert not meets(pin, GUN, data)
    with pytest.raises(WrongRoot, match="None of the 1 root versions"):
        anchor(pin, GUN, [data])
    good = publisher.files["root"]
    assert anchor(pin, GUN, [data, good]) == good, "a bad version before it doesn't hide the good one"


def test_two_of_two_pins_both_have_to_sign(publisher: Publisher) -> None:
    second = make_signer()
    first, other = publisher.root.public_key.keyid, second.public_key.keyid

    def add(root: Root) -> None:
        root.add_key(second.public_key, "root")

    one = publisher.change_root(add)["root"]
    both = publisher.change_root(add, publisher.root, second)["root"]
    assert not meets(_pin(first, other), GUN, one)
    assert meets(_pin(first, other, threshold=1), GUN, one)
    assert meets(_pin(first, other), GUN, both)
    assert anchor(_pin(first, other), GUN, [publisher.files["root"], one, both]) == both


@pytest.mark.parametrize("threshold", [0, -1, 2])
def test_a_threshold_that_makes_no_sense_is_never_met(publisher: Publisher, threshold: int) -> None:
    own = publisher.root.public_key.keyid
    assert not meets(_pin(own, threshold=threshold), GUN, publisher.files["root"])
    assert not meets(_pin(own, own, threshold=2), GUN, publisher.files["root"]), "one key twice is one key"
    assert not meets(_pin(), GUN, publisher.files["root"]), "an empty pin pins nothing"


def test_a_pin_that_only_version_two_meets(publisher: Publisher) -> None:
    fresh = make_signer()

    def rotate(root: Root) -> None:
        root.revoke_key(publisher.root.public_key.keyid, "root")
        root.add_key(fresh.public_key, "root")

    first = publisher.files["root"]
    publisher.accept(publisher.change_root(rotate, publisher.root, fresh))
    second = publisher.files["root"]
    assert anchor(_pin(fresh.public_key.keyid), GUN, [first, second]) == second
    assert anchor(_own(publisher), GUN, [first, second]) == first
    assert not meets(_own(publisher), GUN, second), "the old key signs the way out, and is no root key any more"


def test_no_more_roots_are_read_than_needed(publisher: Publisher) -> None:
    read = 0

    def served(good_at: int) -> Iterator[bytes]:
        nonlocal read
        for number in range(1, 10_000):
            read = number
            yield publisher.files["root"] if number == good_at else b"{}"

    assert anchor(_own(publisher), GUN, served(3))
    assert read == 3
    assert anchor(_own(publisher), GUN, served(MAX_ROOTS))
    with pytest.raises(WrongRoot, match=f"{MAX_ROOTS} root versions"):
        anchor(_own(publisher), GUN, served(MAX_ROOTS + 1))
    assert read == MAX_ROOTS
    with pytest.raises(WrongRoot, match="0 root versions"):
        anchor(_own(publisher), GUN, [])


def test_a_pinned_file_is_the_anchor_itself(publisher: Publisher) -> None:
    data = publisher.files["root"]
    assert anchor(Pin(str(GUN), root=data), GUN, iter(())) == data
    with pytest.raises(WrongCollection):
        anchor(Pin(str(OTHER), root=data), OTHER, [data])


@pytest.mark.parametrize("case", [case for case in NOT_MET if "collection" not in case and "pinned key" not in case])
def test_a_pinned_file_that_can_not_be_used(publisher: Publisher, case: str) -> None:
    pin = Pin(str(GUN), root=NOT_MET[case](publisher))
    with pytest.raises(WrongRoot):
        anchor(pin, GUN, [publisher.files["root"]])


def test_key_ids_of_what_is_no_root() -> None:
    with pytest.raises(Malformed):
        root_key_ids(b"{}")
