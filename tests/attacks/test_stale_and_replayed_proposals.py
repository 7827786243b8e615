"""Signatures for one proposal used for another, or for a dropped one, or got by showing another (TRUST 3.10)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from securesystemslib.signer import Signer
from tuf.api.metadata import Root, Targets

from tests.attacks.collection import now
from tests.attacks.conftest import MakeInsider
from tests.attacks.insider import Insider
from tests.attacks.victims import Reply
from tests.simulator import edited, make_signer
from trustkit.core.approval import examine
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.errors import (
    BadDelegation,
    BadKeys,
    BadTarget,
    Malformed,
    ProposalStale,
    Rejected,
    TrustkitError,
    WrongGun,
)

SECOND, STRANGER = make_signer(), make_signer()


class Two(Insider):
    """An insider with the first of two repository keys, both of which ``targets`` takes."""

    def begin(self) -> Two:
        self.found("v1")
        self.taken(self.raised())
        return self

    def raised(self) -> dict[str, bytes]:
        def change(root: Root) -> None:
            root.add_key(SECOND.public_key, "targets")
            root.roles["targets"].threshold = 2

        return {
            **self.change_root(change),
            "targets": self.by(self.release("v1", "v1"), self.repository, SECOND),
        }

    def by(self, upload: Mapping[str, bytes], *signers: Signer) -> bytes:
        return edited(upload["targets"], lambda value: None, resign=self.signed(*signers))

    def half(self, tag: str, text: str = "", *, version: int = 0) -> dict[str, bytes]:
        """A release that only the first key has signed."""
        signed = read(self.release(tag, text)["targets"], Targets).signed
        signed.version = version or signed.version
        return {"targets": sign(signed, self.signed(self.repository))}

    def send(self, upload: Mapping[str, bytes], tail: str = "") -> Reply:
        parts = [("files", (f"{role}.json", data, "application/json")) for role, data in upload.items()]
        body, kind = urllib3.encode_multipart_formdata(parts)
        return self._ask("POST", f"proposals{tail}", body, content_type=kind)

    def opened(self, upload: Mapping[str, bytes]) -> str:
        reply = self.send(upload)
        assert reply.status == 200, reply.body
        return str(reply.json["proposal"]["id"])

    def approve(self, identifier: str, upload: Mapping[str, bytes]) -> Reply:
        return self.send(upload, f"/{identifier}")

    def drop(self, identifier: str) -> None:
        assert self._ask("DELETE", f"proposals/{identifier}").status == 200

    def listed(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "proposals").json["proposals"])


@pytest.fixture
def who(insider: MakeInsider) -> Two:
    made = insider()
    made.__class__ = Two
    return made.begin()  # type: ignore[attr-defined, no-any-return]  # it is a Two now


def refused(reply: Reply, status: int, slug: str) -> None:
    assert (reply.status, reply.slug) == (status, slug), reply.body


def second(who: Two, upload: Mapping[str, bytes], *signers: Signer) -> dict[str, bytes]:
    """The same payload, signed by the second key alone."""
    return {"targets": who.by(upload, *(signers or (SECOND,)))}


def test_the_signatures_of_a_dropped_proposal_do_not_come_back(who: Two) -> None:
    half = who.half("v2")
    who.drop(who.opened(half))
    whole = {"targets": who.by(half, who.repository, SECOND)}
    before = who.served()
    refused(who.post(whole), 400, "rejected")
    refused(who.send(half), 400, "rejected")
    refused(who.post({"targets": who.by(who.half("v3"), who.repository, SECOND)}), 409, "conflict")
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


# What a service that lies could have an approver sign.

OTHER = Gun.parse("registry.example.com/other")


def _renamed(value: dict[str, Any]) -> None:
    value["signed"]["x-trustkit-guns"] = [str(OTHER)]


def _set(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["signed"].update(members)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_renamed, WrongGun),
        (_set(version=2), ProposalStale),
        (_set(version=1), ProposalStale),
        (_set(version=2 + 64 + 2), ProposalStale),
        (_set(expires="2020-01-01T00:00:00Z"), ProposalStale),
        (_set(targets={"-bad": {"length": 1, "hashes": {"sha256": "ab" * 32}}}), BadTarget),
        (lambda value: value.update(extra=1), Malformed),
        (_set(targets={}), Rejected),
    ],
    ids=[
        "another GUN",
        "the current version",
        "an old one",
        "far ahead",
        "expired",
        "no tag",
        "unknown",
        "another change",
    ],
)
def test_a_client_signs_nothing_but_the_next_state_that_was_named(
    who: Two, change: Callable[[dict[str, Any]], None], error: type[TrustkitError]
) -> None:
    half = who.half("v2")
    identifier = who.opened(half)
    files = {role: data for role, (_, data) in who.served().items()}
    life = Lifetimes()

    def draft() -> Draft:
        return Draft(who.gun, files, now=now() + timedelta(seconds=1), lifetimes=life)

    assert set(examine(draft(), identifier, half)) == {"targets"}
    with pytest.raises(error):
        examine(draft(), identifier, {"targets": edited(half["targets"], change, resign=who.signed(who.repository))})


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_a_client_signs_no_file_of_the_services_own_roles(who: Two, role: str) -> None:
    identifier = who.opened(who.half("v2"))
    files = {name: data for name, (_, data) in who.served().items()}
    draft = Draft(who.gun, files, now=now(), lifetimes=Lifetimes())
    with pytest.raises(Malformed):
        examine(draft, identifier, {role: files[role]})


def test_a_client_signs_no_root_that_breaks_the_rules_of_keys(who: Two) -> None:
    files = {name: data for name, (_, data) in who.served().items()}
    draft = Draft(who.gun, files, now=now(), lifetimes=Lifetimes())
    evil = who.change_root(lambda root: root.add_key(root.keys[root.roles["snapshot"].keyids[0]], "root"))
    with pytest.raises(BadKeys):
        examine(draft, "0" * 16, evil)


def test_a_client_signs_no_file_that_nobody_delegates_to(who: Two) -> None:
    half = who.half("v2")
    files = {name: data for name, (_, data) in who.served().items()}
    draft = Draft(who.gun, files, now=now(), lifetimes=Lifetimes())
    strange = json.loads(half["targets"])
    assert strange["signed"]["version"] == 3
    with pytest.raises(BadDelegation):
        examine(
            draft, "0" * 16, {**half, "evil": sign(read(who.half("v9", version=1)["targets"], Targets).signed, {})}
        )
