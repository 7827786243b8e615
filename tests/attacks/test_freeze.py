"""An old state is served for ever (TRUST 3.6): each role's expiry ends it, whoever has been seen before or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.attacks.collection import LIFE, ROLES, now
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import DAY, Publisher, edited, manifest
from trustkit.core.formats.tuf1 import write_time

SECOND = timedelta(seconds=1)


def _at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def _nothing(stage: Stage) -> None:
    """The timestamp is as old as everything else."""


def _timestamp(stage: Stage) -> None:
    stage.honest.renew_timestamp()


def _online(stage: Stage) -> None:
    stage.honest.renew()


def _all_but_root(stage: Stage) -> None:
    stage.honest.release("v1", manifest("new"))


YOUNGER: dict[str, Callable[[Stage], None]] = {
    "timestamp": _nothing,
    "snapshot": _timestamp,
    "targets": _online,
    "root": _all_but_root,
}
"""By the role that is frozen: what is renewed all the time."""


def _mend(stage: Stage, role: str, moment: datetime) -> None:
    """What the publisher or the service does in the end."""
    stage.honest.moment = moment
    if role == "root":
        stage.honest.rotate(lambda root: setattr(root, "expires", moment + LIFE["root"]))
    elif role == "targets":
        stage.honest.release("v1", manifest("mended"))
    else:
        stage.honest.renew()


@pytest.mark.parametrize("role", ROLES)
def test_an_old_state_is_refused_from_its_expiry_on(stage: Stage, cache: str, role: str) -> None:
    stage.meet(cache)
    expiry = stage.honest.moment + LIFE[role]
    stage.honest.moment = expiry - timedelta(hours=1)
    YOUNGER[role](stage)
    stage.victim.clock = _at(expiry - SECOND)
    stage.trusts(stage.other_victim())
    if cache == "warm":
        stage.trusts()
    for age in (timedelta(0), SECOND, DAY, 3650 * DAY):
        stage.victim.clock = _at(expiry + age)
        refused = stage.refuses(3, "expired")
        assert f": {role} " in refused.err or age > DAY, "it says what is too old"
    stage.victim.clock = _at(expiry + DAY)
    _mend(stage, role, expiry + DAY)
    stage.recovers()


def test_a_frozen_mirror_is_refused_by_the_real_clock(stage: Stage, cache: str) -> None:
    """Nothing is turned here but the age of what is served: signed eight days ago, as it was then."""
    stage.meet(cache)
    old = stage.honest.as_now()
    old.moment -= 8 * DAY
    old.release("v1", manifest("old"))
    stage.server.collections[str(stage.gun)] = old
    stage.refuses(3, "expired")
    asked = stage.victim.as_process("verify", stage.ref)
    assert (asked.status, asked.slug, asked.out) == (3, "expired", "")
    assert "timestamp" in asked.err
    stage.recovers()


def test_two_expired_roles_are_no_better_than_one(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    stage.victim.clock = _at(stage.honest.moment + LIFE["root"])
    stage.refuses(3, "expired")


def test_an_expired_root_on_the_way_is_no_freeze(stage: Stage, cache: str) -> None:
    """Only the last root of the walk has to be alive: a client that slept for years catches up."""
    stage.meet(cache)
    late = stage.honest.moment + LIFE["root"] + DAY
    _mend(stage, "root", late)
    stage.honest.release("v1", manifest("new"))
    stage.victim.clock = _at(late)
    stage.trusts()


def _expiring(publisher: Publisher, role: str, moment: datetime) -> dict[str, bytes]:
    good = (
        publisher.change_root(lambda root: None)
        if role == "root"
        else publisher.sign_upload("v1", manifest("new"), now())
    )
    signer = publisher.root if role == "root" else publisher.repository
    return {
        role: edited(
            good[role],
            lambda value: value["signed"].update(expires=write_time(moment)),
            resign=publisher.signed(signer),
        )
    }


@pytest.mark.parametrize("role", ["root", "targets"])
@pytest.mark.parametrize(
    "ahead", [-DAY, timedelta(0), timedelta(minutes=30), 36500 * DAY], ids=["past", "now", "soon", "a century"]
)
def test_the_service_bounds_how_long_a_state_can_be_served(insider: MakeInsider, role: str, ahead: timedelta) -> None:
    who = insider()
    who.found("v1")
    who.refused(_expiring(who, role, now() + ahead), 400, "bad-expiry")
    who.taken(_expiring(who, role, now() + 365 * DAY))
