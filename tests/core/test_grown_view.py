"""The view of a collection in bins that is made anew from what changed is the one that is made from everything."""

from __future__ import annotations

import random

import pytest

from tests.core.test_bins import FEW, TAGS, sign_tag
from tests.simulator import DAY, NOW, Publisher, make_signer
from trustkit.core.evaluate import evaluate
from trustkit.core.grownview import Grown, evaluate_grown, may_have_bins, outdated
from trustkit.core.names import SignerName
from trustkit.core.signers import add_signer
from trustkit.core.view import SignedView
from trustkit.errors import Expired, Garbage, NotTrusted


@pytest.fixture
def binned() -> Publisher:
    publisher = Publisher()
    publisher.accept(publisher.first_upload(*TAGS))
    publisher.accept(publisher.change(lambda draft: draft.grow(FEW)))
    return publisher


def without_bins(files: dict[str, bytes]) -> dict[str, bytes]:
    return {role: data for role, data in files.items() if not role.startswith("bins-")}


def look(publisher: Publisher, known: Grown | None) -> tuple[SignedView, Grown | None, list[str]]:
    """As the gate does: of the bins those that it doesn't know."""
    base = without_bins(publisher.files)
    assert may_have_bins(base)
    names = outdated(base, known)
    files = base | {name: publisher.files[name] for name in names}
    view, grown = evaluate_grown(files, publisher.gun, NOW, names, known)
    return view, grown, names


def same(view: SignedView, whole: SignedView) -> None:
    assert (view.targets, view.expires, view.versions) == (whole.targets, whole.expires, whole.versions)
    assert (view.roles, view.bins, view.whole) == (whole.roles, whole.bins, True)
    assert view.expiries == whole.expiries
    assert set(view.named) == set(whole.named)
    assert (view.superseded, view.indexes, set(view.recorded)) == (
        whole.superseded,
        whole.indexes,
        set(whole.recorded),
    )


def test_what_changed_is_enough(binned: Publisher) -> None:
    chance, known = random.Random(7), None
    for step in range(40):
        tag = chance.choice([*TAGS, *(f"n{number}" for number in range(9))])
        binned.accept(sign_tag(binned, tag, f"{step}", now=NOW - (step % 7) * DAY))
        view, known, names = look(binned, known)
        assert len(names) == (8 if step == 0 else 1)
        same(view, evaluate(binned.files, binned.gun, NOW))


def test_who_signs_bins_is_new_and_every_bin_is_verified_anew(binned: Publisher) -> None:
    _, known, _ = look(binned, None)
    dora = make_signer()
    binned.accept(binned.change(lambda draft: add_signer(draft, SignerName("dora"), dora.public_key)))
    view, known, names = look(binned, known)
    assert len(names) == 8
    same(view, evaluate(binned.files, binned.gun, NOW))
    binned.accept(sign_tag(binned, "v1", "by dora", dora))
    view, _, names = look(binned, known)
    assert len(names) == 1
    same(view, evaluate(binned.files, binned.gun, NOW))


def test_what_isnt_the_version_that_is_named_is_refused(binned: Publisher) -> None:
    _, known, _ = look(binned, None)
    binned.accept(sign_tag(binned, "v1", "newer"))
    with pytest.raises(Garbage):
        evaluate_grown(without_bins(binned.files), binned.gun, NOW, [], known)
    with pytest.raises(Garbage):
        evaluate_grown(without_bins(binned.files), binned.gun, NOW, [], None)


def test_a_bin_that_has_expired_meanwhile_ends_the_view(binned: Publisher) -> None:
    _, known, _ = look(binned, None)
    with pytest.raises((Expired, NotTrusted)):
        evaluate_grown(without_bins(binned.files), binned.gun, NOW + 2000 * DAY, [], known)
