"""Uploads that the judge of format docker refuses, and those of stock clients that it has to take.

Each attack is signed by whoever could sign it; what is wrong is told by the error's class.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import Snapshot, Targets

from tests.formats_docker.forge import GUN, NOW, Forge, Pair, certified, ecdsa, eddsa, role_of, sealed, tags
from trustkit.core.formats.docker import files
from trustkit.core.formats.docker.judge import Accepted, State, chain, judge
from trustkit.core.formats.docker.roles import TARGETS
from trustkit.core.formats.docker.roots import check_threshold
from trustkit.core.lifetimes import Lifetimes
from trustkit.errors import (
    BadDelegation,
    BadExpiry,
    BadKeys,
    BadSignature,
    BadVersion,
    Conflict,
    Expired,
    Malformed,
    TrustkitError,
    WrongGun,
    WrongOnlineKeys,
)

ALICE, BOB, OWN, TIMESTAMP = ecdsa(), ecdsa(), ecdsa(), ecdsa()
RELEASES = "targets/releases"


@dataclass
class Scene:
    """A stored collection with two delegations, and the next state of it, to be changed.

    Attributes:
        next: what is uploaded of it is in ``roles``.
        ours: whether the snapshot's key is the service's.
    """

    ours: bool = True
    roles: set[str] = field(default_factory=lambda: {"targets"})
    pending: dict[str, Pair] = field(default_factory=dict)

    def __post_init__(self) -> None:
        signers = {"snapshot": [OWN if self.ours else BOB], "timestamp": [TIMESTAMP]}
        self.next = Forge(signers=signers)
        self.next.delegate(role_of(RELEASES, ALICE[0]), tags("v2"), ALICE)
        self.next.delegate(role_of("targets/alice", ALICE[0]), tags("v2"), ALICE)
        self.stored = self.next.files()
        self.changed: dict[str, Callable[[bytes], bytes]] = {}
        self.raw: dict[str, bytes] = {}
        for role in self.next.roles:
            self.next.roles[role].version = 2

    @property
    def targets(self) -> Targets:
        return self.next.roles["targets"]

    def snapshot(self, data: Mapping[str, bytes], version: int = 2, **changed: bytes) -> bytes:
        meta = {files.meta_name(role): files.meta_of(changed.get(role, each)) for role, each in data.items()}
        return files.sign(Snapshot(version, None, NOW + timedelta(days=1000), meta), self.next.signers["snapshot"])

    def upload(self) -> dict[str, bytes]:
        self.next.version = 2 if "root" in self.roles else 1
        made = self.next.files(self.changed)
        up = {role: made[role] for role in self.roles if role in made}
        if not self.ours:
            stays = {role: data for role, data in self.stored.items() if role not in ("snapshot", "timestamp")}
            up["snapshot"] = self.snapshot({**stays, **up})
        return up | self.raw

    def judge(self, upload: Mapping[str, bytes] | None = None, *, now: Any = NOW) -> Accepted:
        online = {"snapshot": OWN[0], "timestamp": TIMESTAMP[0]}
        pending = {role: pair[0] for role, pair in self.pending.items()}
        stored = {role: data for role, data in self.stored.items() if role != "timestamp"}
        state = State(GUN, chain(stored), online, pending, stored)
        upload = self.upload() if upload is None else upload
        verified = _verified(stored)
        found, knowing = (_outcome(state, upload, now, known) for known in ((), verified))
        if isinstance(found, TrustkitError):
            assert isinstance(knowing, type(found))
            assert (knowing.message, knowing.context) == (found.message, found.context)
            raise found
        assert isinstance(knowing, Accepted)
        assert replace(knowing, root=found.root) == found
        return found


def _outcome(
    state: State, upload: Mapping[str, bytes], now: Any, verified: Collection[str]
) -> Accepted | TrustkitError:
    try:
        return judge(state, upload, now=now, lifetimes=Lifetimes(), verified=verified)
    except TrustkitError as error:
        return error


def _verified(stored: Mapping[str, bytes]) -> set[str]:
    """The stored files below the root that verify, which a judge who knows that has to come to the same by."""
    if not stored:
        return set()
    read = {role: files.read(data, files.role_kind(role)) for role, data in stored.items()}
    found = set()
    for role in (TARGETS, RELEASES, "targets/alice"):
        above = read["root" if role == TARGETS else TARGETS].signed
        with suppress(BadSignature):
            if role in read:
                check_threshold(above, role, read[role], stored[role])
                found.add(role)
    return found


Change = Callable[[Scene], None]


def _new_root(scene: Scene, change: Change = lambda _: None) -> None:
    scene.roles.add("root")
    old = scene.next.signers["root"]
    change(scene)
    scene.changed["root"] = lambda data: files.sign(
        files.read(data, files.role_kind("root")).signed,
        list({key.keyid: (key, by) for key, by in [*old, *scene.next.signers["root"]]}.values()),
    )


def _signers(**pairs: Pair) -> Change:
    return lambda scene: scene.next.signers.update({role: [pair] for role, pair in pairs.items()})


def _uploads(*roles: str) -> Change:
    return lambda scene: scene.roles.__init__(roles)  # type: ignore[misc]  # replaces what is in the set


TAKEN: dict[str, tuple[bool, Change]] = {
    "targets alone": (True, lambda _: None),
    "a delegation alone": (True, _uploads(RELEASES)),
    "a publisher's snapshot": (False, lambda _: None),
    "a publisher's snapshot alone": (False, _uploads()),
    "another root key": (True, lambda s: _new_root(s, _signers(root=certified()))),
    "another targets key, and targets by it": (True, lambda s: _new_root(s, _signers(targets=ecdsa()))),
    "the snapshot goes to the service": (False, lambda s: _to_the_service(s)),
    "the snapshot comes back": (True, lambda s: _from_the_service(s)),
    "a key that waited": (True, lambda s: _waited(s)),
}


def _to_the_service(scene: Scene) -> None:
    _new_root(scene, _signers(snapshot=OWN))
    scene.ours = True


def _from_the_service(scene: Scene) -> None:
    _new_root(scene, _signers(snapshot=BOB))
    scene.ours = False


def _waited(scene: Scene) -> None:
    scene.pending["timestamp"] = ecdsa()
    _new_root(scene, _signers(timestamp=scene.pending["timestamp"]))


@pytest.mark.parametrize("case", TAKEN)
def test_what_stock_clients_send_is_taken(case: str) -> None:
    ours, change = TAKEN[case]
    scene = Scene(ours=ours)
    change(scene)
    accepted = scene.judge()
    assert not accepted.founding
    assert not accepted.dropped
    assert set(accepted.files) == {"root", "targets", RELEASES, "targets/alice"} | (
        set() if accepted.ours else {"snapshot"}
    )


def _as(role: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    """Has a file say something else, truly signed."""

    def apply(scene: Scene) -> None:
        scene.roles.add(role)
        scene.changed[role] = lambda data: sealed(data, scene.next.signers[role], change)

    return apply


def _version(role: str, version: int) -> Change:
    return _as(role, lambda signed: signed.update(version=version))


def _expires(role: str, **delta: int) -> Change:
    text = (NOW + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _as(role, lambda signed: signed.update(expires=text))


def _without_resigned_targets(scene: Scene) -> None:
    _new_root(scene, _signers(targets=ecdsa()))
    scene.roles = {"root"}


def _raw(role: str, data: bytes) -> Change:
    return lambda scene: scene.raw.update({role: data})


def _shared(scene: Scene) -> None:
    _new_root(scene, _signers(targets=OWN))


def _both(scene: Scene) -> None:
    _new_root(scene)
    scene.next.signers["timestamp"] = [TIMESTAMP, BOB]


def _by_a_stranger(role: str) -> Change:
    def apply(scene: Scene) -> None:
        scene.roles.add(role)
        scene.changed[role] = lambda data: sealed(data, [eddsa()], lambda _: None)

    return apply


def _stranger_root(scene: Scene) -> None:
    scene.roles.add("root")
    scene.next.signers["root"] = [certified()]


def _snapshot(change: Callable[[Scene, dict[str, bytes]], bytes]) -> Change:
    """A snapshot made of the very files that are uploaded with it, and of those that stay."""

    def apply(scene: Scene) -> None:
        scene.raw.update({role: data for role, data in scene.upload().items() if role != "snapshot"})
        stays = {role: data for role, data in scene.stored.items() if role not in ("snapshot", "timestamp")}
        scene.raw["snapshot"] = change(scene, {**stays, **scene.raw})

    return apply


def _less(role: str) -> Callable[[Scene, dict[str, bytes]], bytes]:
    return lambda scene, data: scene.snapshot({each: data[each] for each in data if each != role})


ATTACKS: dict[str, tuple[bool, Change, type[TrustkitError]]] = {
    "the same version": (True, _version("targets", 1), Conflict),
    "a leap": (True, _version("targets", 3), BadVersion),
    "the last version there is": (True, _version("targets", 2**31 - 1), BadVersion),
    "a delegation leaps": (True, _version(RELEASES, 2**31 - 1), BadVersion),
    "a root leaps": (True, lambda s: (_new_root(s), _version("root", 3)(s)), BadVersion),
    "a snapshot leaps": (False, _snapshot(lambda s, d: s.snapshot(d, version=9)), BadVersion),
    "a snapshot again": (False, _snapshot(lambda s, d: s.snapshot(d, version=1)), Conflict),
    "expired": (True, _expires("targets", days=-1), BadExpiry),
    "for an instant": (True, _expires("targets", minutes=5), BadExpiry),
    "for ever": (True, _expires("targets", days=36500), BadExpiry),
    "a stranger's targets": (True, _by_a_stranger("targets"), BadSignature),
    "a stranger's delegation": (True, _by_a_stranger(RELEASES), BadSignature),
    "a stranger's root": (True, _stranger_root, BadSignature),
    "targets that stay lose their key": (True, _without_resigned_targets, BadSignature),
    "a root certificate of another name": (
        True,
        lambda s: _new_root(s, _signers(root=certified(gun="localhost:5000/other"))),
        WrongGun,
    ),
    "a root key that is no certificate": (True, lambda s: _new_root(s, _signers(root=ecdsa())), BadKeys),
    "somebody else's timestamp key": (True, lambda s: _new_root(s, _signers(timestamp=ecdsa())), WrongOnlineKeys),
    "a second timestamp key": (True, _both, WrongOnlineKeys),
    "the service's key for targets": (True, _shared, WrongOnlineKeys),
    "the timestamp's key for the snapshot": (
        True,
        lambda s: _new_root(s, _signers(snapshot=TIMESTAMP)),
        WrongOnlineKeys,
    ),
    "a key that waits for the other role": (
        True,
        lambda s: (s.pending.update(timestamp=BOB), _new_root(s, _signers(snapshot=BOB))),
        WrongOnlineKeys,
    ),
    "no snapshot": (False, lambda s: s.__setattr__("ours", True), Malformed),
    "a snapshot where the service makes it": (True, _snapshot(lambda s, d: s.snapshot(d)), BadSignature),
    "a snapshot without the root": (False, _snapshot(_less("root")), Malformed),
    "a snapshot without a delegation": (False, _snapshot(_less(RELEASES)), Malformed),
    "a snapshot of the targets before": (
        False,
        _snapshot(lambda s, d: s.snapshot(d, targets=s.stored["targets"])),
        Malformed,
    ),
    "a snapshot of another stored file": (
        False,
        _snapshot(lambda s, d: s.snapshot({**d, "targets/alice": d[RELEASES]})),
        Malformed,
    ),
    "a snapshot of what isn't there": (
        False,
        _snapshot(lambda s, d: s.snapshot({**d, "targets/eve": d[RELEASES]})),
        Malformed,
    ),
    "a timestamp": (True, lambda s: s.raw.update(timestamp=s.stored["timestamp"]), Malformed),
    "a role of no kind": (True, lambda s: s.raw.update(mirrors=s.stored["targets"]), Malformed),
    "a path for a role": (True, lambda s: s.raw.update({"targets/../root": s.stored["targets"]}), Malformed),
    "a role in capitals": (True, lambda s: s.raw.update({"targets/Bob": s.stored["targets"]}), Malformed),
    "what nobody delegates to": (
        True,
        lambda s: s.raw.update({"targets/eve": s.upload()["targets"]}),
        BadDelegation,
    ),
    "targets in the place of root": (True, lambda s: s.raw.update(root=s.stored["targets"]), Malformed),
    "no JSON": (True, _raw("targets", b"{"), Malformed),
    "another spelling": (True, lambda s: s.raw.update(targets=s.upload()["targets"] + b"\n"), Malformed),
    "a member that Notary forgets": (True, _as("targets", lambda signed: signed.update(spec_version="1")), Malformed),
    "a delegation past its parent": (
        True,
        _as("targets", lambda s: s["delegations"]["roles"][0].update(name="targets/a/b")),
        BadDelegation,
    ),
}


@pytest.mark.parametrize("case", ATTACKS)
def test_attacks_are_refused(case: str) -> None:
    ours, change, error = ATTACKS[case]
    scene = Scene(ours=ours)
    change(scene)
    with pytest.raises(error, match=SAID.get(case)) as caught:
        scene.judge()
    assert caught.value.message.endswith(".")


SAID = {
    "expired": "at most 1830 days",
    "a root leaps": "root.json has version 3",
    "targets that stay lose their key": "targets that are stored would have too few",
    "no snapshot": "has no snapshot",
    "a snapshot without the root": "does not name root",
    "a snapshot without a delegation": "doesn't name targets/releases",
    "a snapshot of the targets before": "another targets than",
    "a snapshot of another stored file": "another targets/alice than",
    "a snapshot of what isn't there": "names targets/eve",
    "a role in capitals": "can't be a role",
    "a timestamp": "the service's own",
}
"""What some of them are told, where the class alone would leave it open what was caught."""


def test_certificates_that_ended_found_nothing() -> None:
    scene = Scene()
    _new_root(scene, _signers(root=certified(now=NOW - timedelta(days=4000))))
    with pytest.raises(Expired):
        scene.judge()


def test_a_delegation_whose_keys_are_gone_leaves_the_snapshot() -> None:
    """``docker trust signer remove`` takes the key away, and has no file to put in the place of the one it signed."""
    scene = Scene()
    delegations = scene.targets.delegations
    assert delegations is not None
    assert delegations.roles is not None
    delegations.roles[RELEASES] = role_of(RELEASES, BOB[0])
    delegations.keys[BOB[0].keyid] = BOB[0]
    del delegations.roles["targets/alice"]
    accepted = scene.judge()
    assert accepted.dropped == {RELEASES, "targets/alice"}
    assert set(accepted.files) == {"root", "targets"}
    held = Scene(ours=False)
    held.next.roles = copy.deepcopy(scene.next.roles)
    with pytest.raises(BadSignature, match="too few valid signatures") as caught:
        held.judge()
    assert "notary witness" in caught.value.hint


def test_a_delegation_that_comes_back_begins_anew() -> None:
    scene = Scene()
    stored = {role: data for role, data in scene.stored.items() if role not in (RELEASES, "timestamp")}
    stored["snapshot"] = scene.snapshot({r: d for r, d in stored.items() if r != "snapshot"}, version=1)
    state = State(GUN, chain(stored), {"snapshot": OWN[0], "timestamp": TIMESTAMP[0]}, {}, scene.stored)
    scene.next.roles[RELEASES].version = 1
    scene.roles = {RELEASES}
    accepted = judge(state, scene.upload(), now=NOW, lifetimes=Lifetimes())
    assert accepted.begins == {RELEASES}
    scene.next.roles[RELEASES].version = 3
    with pytest.raises(BadVersion):
        judge(state, scene.upload(), now=NOW, lifetimes=Lifetimes())


HONEST = Scene(ours=False)
VALID, STORED = HONEST.upload(), HONEST.stored


def test_the_honest_upload_is_taken() -> None:
    assert HONEST.judge(VALID).uploaded == set(VALID)


@given(data=st.data())
def test_no_bit_may_differ(data: st.DataObject) -> None:
    """Whatever an upload is, it is refused by an error of ours, and only the honest one is taken."""
    role = data.draw(st.sampled_from(sorted(VALID)))
    at = data.draw(st.integers(0, len(VALID[role]) - 1))
    byte = data.draw(st.integers(0, 255))
    bent = VALID[role][:at] + bytes([byte]) + VALID[role][at + 1 :]
    if bent != VALID[role]:
        with pytest.raises(TrustkitError):
            HONEST.judge({**VALID, role: bent})


FIRSTS: dict[str, tuple[int, int, type[TrustkitError] | None]] = {
    "as docker founds": (1, 2, None),
    "at the very first": (1, 1, None),
    "a root that was rotated before": (2, 2, None),
    "a root too late": (3, 1, BadVersion),
    "targets too late": (1, 3, BadVersion),
}


@pytest.mark.parametrize("case", FIRSTS)
def test_first_versions(case: str) -> None:
    root, targets, error = FIRSTS[case]
    forge = Forge(signers={"snapshot": [OWN], "timestamp": [TIMESTAMP]}, version=root)
    forge.roles["targets"].version = targets
    made = forge.files()
    state = State(GUN, {}, {"snapshot": OWN[0], "timestamp": TIMESTAMP[0]})
    upload = {role: made[role] for role in ("root", "targets")}
    if error is None:
        assert judge(state, upload, now=NOW, lifetimes=Lifetimes()).founding
    else:
        with pytest.raises(error):
            judge(state, upload, now=NOW, lifetimes=Lifetimes())
    for alone in upload:
        with pytest.raises(Malformed, match="no collection yet"):
            judge(state, {alone: upload[alone]}, now=NOW, lifetimes=Lifetimes())
