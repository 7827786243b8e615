"""What the judge and verifiers refuse of hash bins: each attack by somebody who has keys that count."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from securesystemslib.signer import Signer

from tests.core.test_bins import FEW, TAGS, sign_tag
from tests.simulator import LIFE, NOW, Publisher, edited, make_signer
from trustkit.core.bins import next_prefix
from trustkit.core.draft import Draft
from trustkit.core.evaluate import check_received, evaluate
from trustkit.core.formats.tuf1 import sign
from trustkit.core.growth import Growth
from trustkit.core.judge import judge
from trustkit.core.names import Gun, SignerName, Tag
from trustkit.core.rotation import rotate_repository
from trustkit.core.signers import add_signer
from trustkit.errors import (
    BadDelegation,
    BadSignature,
    Garbage,
    InvalidName,
    Malformed,
    Rejected,
    SignatureInvalid,
    WrongCollection,
)

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def binned() -> Publisher:
    publisher = Publisher()
    publisher.accept(publisher.first_upload(*TAGS))
    publisher.accept(publisher.change(lambda draft: draft.grow(FEW)))
    return publisher


def bin_of(publisher: Publisher, tag: str) -> str:
    bins = Draft(publisher.gun, publisher.files, now=NOW, lifetimes=LIFE).places.bins
    assert bins is not None
    return bins.of(tag)


def changed(publisher: Publisher, role: str, change: Change, *signers: Signer) -> dict[str, bytes]:
    """The next version of a role's file with its JSON changed, signed by these keys, by default the repository's."""

    def whole(value: dict[str, Any]) -> None:
        value["signed"]["version"] += 1
        change(value["signed"])

    keys = publisher.signed(*(signers or (publisher.repository,)))
    return {role: edited(publisher.files[role], whole, resign=keys)}


def succinct(**members: Any) -> Change:
    def change(signed: dict[str, Any]) -> None:
        signed["delegations"]["succinct_roles"] |= members

    return change


HOLDER: dict[str, tuple[Change, type[Rejected]]] = {
    "tags beside the bins": (lambda signed: signed["targets"].update(ENTRY), BadDelegation),
    "thousands of millions of bins": (succinct(bit_length=32), BadDelegation),
    "more bins than anybody has": (succinct(bit_length=13), BadDelegation),
    "no bins": (succinct(bit_length=0), Malformed),
    "half a bin": (succinct(bit_length=True), Malformed),
    "fewer bins under the same names": (succinct(bit_length=2), BadDelegation),
    "more bins under the same names": (succinct(bit_length=4), BadDelegation),
    "bins that have no files": (succinct(name_prefix="bins-2"), BadDelegation),
    "names that signers have": (succinct(name_prefix="dora"), BadDelegation),
    "names of another kind": (succinct(name_prefix="bins-01"), BadDelegation),
    "names that aren't text": (succinct(name_prefix=1), Malformed),
    "a threshold of none": (succinct(threshold=0), Malformed),
    "a threshold of more than the holder's": (succinct(threshold=2), BadDelegation),
    "something else beside": (succinct(paths=["v*"]), Malformed),
}
ENTRY: dict[str, Any] = {}


@pytest.mark.parametrize("case", HOLDER)
def test_a_holder_that_delegates_to_other_bins(binned: Publisher, case: str) -> None:
    change, error = HOLDER[case]
    ENTRY.clear()
    ENTRY.update(json.loads(binned.files[bin_of(binned, "v1")])["signed"]["targets"])
    upload = changed(binned, "targets", change)
    with pytest.raises(error):
        judge(binned.state, upload, now=NOW, lifetimes=LIFE)


def test_bins_with_a_key_of_their_own(binned: Publisher) -> None:
    """Whoever signs targets once would sign tags for ever, and no rotation of the holder's keys would end it."""
    thief = make_signer()

    def change(signed: dict[str, Any]) -> None:
        signed["delegations"]["keys"][thief.public_key.keyid] = thief.public_key.to_dict()
        signed["delegations"]["succinct_roles"]["keyids"].append(thief.public_key.keyid)

    with pytest.raises(BadDelegation, match="other keys or another threshold"):
        judge(binned.state, changed(binned, "targets", change), now=NOW, lifetimes=LIFE)


def test_a_threshold_binds_the_bins_of_who_has_it(binned: Publisher) -> None:
    """Releases takes two signatures, its bins one: the second pair of eyes would see nothing."""
    dora = make_signer()

    def edit(draft: Draft) -> None:
        add_signer(draft, SignerName("dora"), dora.public_key)
        roles = [replace(role, threshold=2 if role.name == "releases" else 1) for role in draft.delegations.roles]
        draft.delegate(roles, draft.delegations.keys)

    upload = binned.change(edit, binned.root, binned.repository, dora)
    assert len(upload) == 2 + 8
    binned.accept(upload)
    binned.accept(sign_tag(binned, "v1", "both", binned.repository, dora))
    with pytest.raises(BadSignature):
        binned.accept(sign_tag(binned, "v1", "dora alone", dora))
    lowered = changed(binned, "releases", succinct(threshold=1), binned.repository, dora)
    with pytest.raises(BadDelegation, match="another threshold"):
        judge(binned.state, lowered, now=NOW, lifetimes=LIFE)


def test_what_stays_stored_verifies_under_the_new_state(binned: Publisher) -> None:
    """A new repository key, and bins that only the old one has signed: nothing could be verified any more."""
    new = make_signer()
    upload = binned.change(
        lambda draft: rotate_repository(draft, binned.repository.public_key.keyid, new.public_key),
        binned.root,
        new,
    )
    assert len(upload) == 2 + 8
    for left in ("bins-1-3", "bins-1-7"):
        with pytest.raises(BadSignature):
            judge(binned.state, {r: d for r, d in upload.items() if r != left}, now=NOW, lifetimes=LIFE)
    binned.accept(upload)
    assert set(evaluate(binned.files, binned.gun, NOW).targets)


def test_a_root_whose_keys_the_bins_do_not_repeat(binned: Publisher) -> None:
    more = make_signer()

    def change(root: Any) -> None:
        root.add_key(more.public_key, "targets")

    with pytest.raises(BadDelegation, match="other keys"):
        judge(binned.state, binned.change_root(change), now=NOW, lifetimes=LIFE)


def test_a_tag_in_another_bin_than_its_name_says(binned: Publisher) -> None:
    right = bin_of(binned, "v1")
    wrong = next(f"bins-1-{n}" for n in range(8) if f"bins-1-{n}" != right)
    entry = json.loads(binned.files[right])["signed"]["targets"]
    upload = changed(binned, wrong, lambda signed: signed["targets"].update(entry))
    with pytest.raises(BadDelegation, match="answers for"):
        judge(binned.state, upload, now=NOW, lifetimes=LIFE)
    binned.install(upload)
    with pytest.raises(Garbage, match="another bin"):
        evaluate(binned.files, binned.gun, NOW)


def test_a_bin_alone_is_judged_as_all_of_it(binned: Publisher) -> None:
    """As the service does it: the other bins aren't even read."""
    name = bin_of(binned, "v1")
    files = {role: data for role, data in binned.state.files.items() if not role.startswith("bins-") or role == name}
    state = replace(binned.state, files=files, whole=False)
    accepted = judge(state, sign_tag(binned, "v1", "other"), now=NOW, lifetimes=LIFE)
    assert (list(accepted.changed), sorted(accepted.delegated)) == (["v1"], [name])
    thief = make_signer()
    forged = changed(binned, name, lambda signed: signed["targets"].clear(), thief)
    with pytest.raises(BadSignature):
        judge(state, forged, now=NOW, lifetimes=LIFE)
    delegates = changed(binned, name, lambda signed: signed.update(DELEGATES))
    with pytest.raises((BadDelegation, Malformed)):
        judge(state, delegates, now=NOW, lifetimes=LIFE)


DELEGATES = {"delegations": {"keys": {}, "roles": []}}


def test_first_bins_come_all_at_once(binned: Publisher) -> None:
    publisher = Publisher()
    publisher.accept(publisher.first_upload(*TAGS))
    upload = publisher.change(lambda draft: draft.grow(FEW))
    for left in ("bins-1-0", "bins-1-5", "targets"):
        with pytest.raises(BadDelegation):
            judge(publisher.state, {r: d for r, d in upload.items() if r != left}, now=NOW, lifetimes=LIFE)
    strange = {**upload, "bins-2-0": upload["bins-1-0"]}
    with pytest.raises(BadDelegation, match="Nothing delegates to bins-2-0"):
        judge(publisher.state, strange, now=NOW, lifetimes=LIFE)
    for name in ("bins-1-+1", "bins-1-8", "bins-1-03", "bins-1"):
        with pytest.raises(BadDelegation):
            judge(publisher.state, {**upload, name: upload["bins-1-0"]}, now=NOW, lifetimes=LIFE)


def test_a_limited_signer_has_no_bins(binned: Publisher) -> None:
    ci = make_signer()
    binned.accept(binned.change(lambda draft: add_signer(draft, SignerName("ci"), ci.public_key, paths=["v?"])))
    keys = {ci.public_key.keyid: ci.public_key.to_dict()}
    roles = {"keyids": list(keys), "threshold": 1, "bit_length": 2, "name_prefix": "bins-2"}
    upload = changed(
        binned,
        "ci",
        lambda signed: signed.update(delegations={"keys": keys, "succinct_roles": roles}),
        ci,
    )
    with pytest.raises(BadDelegation, match=r"ci\.json delegates further"):
        judge(binned.state, upload, now=NOW, lifetimes=LIFE)


def test_an_old_bin_under_a_new_snapshot(binned: Publisher) -> None:
    """A service that serves an old bin, with a revoked tag, and a snapshot that names it in its old version."""
    name, old = bin_of(binned, "v1"), dict(binned.files)
    binned.accept(binned.change(lambda draft: draft.drop(["v1"])))
    with pytest.raises(Garbage, match="not the version"):
        evaluate({**binned.files, name: old[name]}, binned.gun, NOW)
    other = Publisher(binned.gun)
    other.accept(other.first_upload(*TAGS))
    other.accept(other.change(lambda draft: draft.grow(FEW)))
    other.accept(other.change(lambda draft: draft.drop(["v1"])))
    with pytest.raises(SignatureInvalid):
        evaluate({**binned.files, name: other.files[name]}, binned.gun, NOW)


def test_a_bin_of_another_collection_by_the_same_keys(binned: Publisher) -> None:
    twin = Publisher(Gun.parse("registry.example.com/team/twin"), root=binned.root, repository=binned.repository)
    twin.accept(twin.first_upload(*TAGS))
    twin.accept(twin.change(lambda draft: draft.grow(FEW)))
    name = bin_of(twin, "v1")
    with pytest.raises(Rejected):
        judge(binned.state, sign_tag(twin, "v1", "the twin's"), now=NOW, lifetimes=LIFE)
    with pytest.raises(WrongCollection):
        evaluate({**binned.files, name: twin.files[name]}, binned.gun, NOW)


def test_other_bins_take_another_name(binned: Publisher) -> None:
    names = [role for role in binned.files if role.startswith("bins-")]
    assert next_prefix(names) == "bins-2"
    assert next_prefix([*names, "bins-41-00", "dora"]) == "bins-42"
    with pytest.raises(BadDelegation):
        next_prefix(["bins-999999-0"])


@pytest.mark.parametrize("name", ["bins-1", "bins-1-000", "bins-x"])
def test_no_signer_has_the_name_of_a_bin(name: str) -> None:
    with pytest.raises(InvalidName):
        SignerName.parse(name)


def test_nothing_grows_that_has_bins_or_too_few_tags(binned: Publisher) -> None:
    for growth in (FEW, Growth(above=0), Growth(above=6)):
        draft = Draft(binned.gun, binned.files, now=NOW, lifetimes=LIFE)
        assert draft.grow(growth) is None
        assert not draft.changed
    flat = Publisher()
    flat.accept(flat.first_upload(*TAGS))
    for growth in (Growth(above=0), Growth(above=6)):
        assert Draft(flat.gun, flat.files, now=NOW, lifetimes=LIFE).grow(growth) is None


def test_a_draft_of_some_bins_changes_nothing_but_their_tags(binned: Publisher) -> None:
    name = bin_of(binned, "v1")
    files = {role: data for role, data in binned.files.items() if not role.startswith("bins-") or role == name}
    draft = Draft(binned.gun, files, now=NOW, lifetimes=LIFE)
    draft.drop(["v1"])
    draft.settle()
    assert set(draft.changed) == {name}
    for edit in (
        lambda: draft.edit_root(),
        lambda: draft.delegate([], {}),
        lambda: draft.edit(next(f"bins-1-{n}" for n in range(8) if f"bins-1-{n}" != name)),
    ):
        with pytest.raises(AssertionError):
            edit()
    assert sign(draft.changed[name], {})


def test_what_the_holder_signed_long_ago_is_no_bin() -> None:
    """A thief of the online keys shows old targets, by the same key, as the bin of a tag that was revoked since.

    Its version is higher than the bin's, so that a warm client sees nothing going back.
    """
    publisher = Publisher()
    publisher.accept(publisher.first_upload("v1"))
    for text in ("second", "third"):
        publisher.accept(sign_tag(publisher, "v1", text))
    old = publisher.history["targets", 2]
    publisher.accept(sign_tag(publisher, "v2", "one more"))
    publisher.accept(publisher.change(lambda draft: draft.grow(Growth(above=1, bits=3))))
    name = bin_of(publisher, "v1")
    with pytest.raises(BadDelegation, match="no bin"):
        judge(publisher.state, {name: old}, now=NOW, lifetimes=LIFE)
    publisher.install({name: old})
    with pytest.raises(Garbage, match="no bin"):
        evaluate(publisher.files, publisher.gun, NOW, tags={Tag("v1")})
    with pytest.raises(Garbage, match="no bin"):
        check_received(name, old, publisher.gun)


def test_a_bin_is_no_other_bin_and_no_role(binned: Publisher) -> None:
    """Two bins of one version, by one key: an empty one hides the tags of the other."""
    name = bin_of(binned, "v1")
    other = next(f"bins-1-{n}" for n in range(8) if f"bins-1-{n}" != name)
    for role in (name, "targets"):
        with pytest.raises(Garbage, match="says that it is of"):
            evaluate({**binned.files, role: binned.files[other]}, binned.gun, NOW)
    renamed = changed(binned, name, lambda signed: signed.update({"x-trustkit-role": other}))
    with pytest.raises(BadDelegation, match="says that it is of"):
        judge(binned.state, renamed, now=NOW, lifetimes=LIFE)
    named = changed(binned, "targets", lambda signed: signed.update({"x-trustkit-role": "targets"}))
    with pytest.raises(BadDelegation, match="says that it is of"):
        judge(binned.state, named, now=NOW, lifetimes=LIFE)
