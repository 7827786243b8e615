"""What a service that lies could have an approver sign, by showing something else (TRUST 3.10)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Targets

from tests.attacks.collection import now
from tests.attacks.two import Two
from tests.simulator import edited
from trustkit.core.approval import examine
from trustkit.core.difference import difference
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.proposals import proposal_id
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
        (_set(expires="9999-01-01T00:00:00Z"), Rejected),
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
        "for ever",
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


def test_what_is_trusted_by_digest_beside_a_tag_is_shown(who: Two) -> None:
    """The tag stays, or is another honest image; what is smuggled in hangs on it, to be pulled by digest."""
    files = {name: data for name, (_, data) in who.served().items()}
    evil, child = "ee" * 32, "cc" * 32
    there = read(files["targets"], Targets).signed.targets["v1"].hashes["sha256"]

    def lines(**smuggled: object) -> list[str]:
        targets = json.loads(files["targets"])["signed"]
        targets["version"] += 1
        targets["targets"]["v1"]["custom"]["x-trustkit"].update(smuggled)
        made = Metadata(Targets.from_dict(targets))
        draft = Draft(who.gun, files, now=now(), lifetimes=Lifetimes())
        examine(draft, proposal_id({"targets": made}, None), {"targets": sign(made.signed, {})})
        return difference(draft.before, draft.after).lines()

    assert lines() == ["targets is signed anew"]
    until = {"digest": f"sha256:{evil}", "until": "2099-01-01T00:00:00Z"}
    stays = f"v1: sha256:{there} stays, signed by targets, otherwise than before"
    never = "which it was never signed as before, may be pulled by digest until 2099-01-01 00:00 UTC"
    assert lines(superseded=[until]) == [stays, f"  sha256:{evil}, {never}"]
    index = "application/vnd.oci.image.index.v1+json"
    assert lines(media_type=index, children=[f"sha256:{child}"]) == [
        stays,
        f"  sha256:{child}, said to be below it, is trusted by digest too",
        f"  it is signed as {index} instead of application/vnd.oci.image.manifest.v1+json",
    ]


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
