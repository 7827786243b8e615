"""The shape that delegations have to have, and who answers for which tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tuf.api.metadata import DelegatedRole, Targets

from tests.simulator import DAY, LIFE, NOW, Publisher, make_signer, manifest
from trustkit.core.delegations import Delegation, Kind, read_delegations
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import SignerName, Tag
from trustkit.core.signers import add_signer, overlapping, remove_signer, replace_signer, signed_alone
from trustkit.core.targets import make_target
from trustkit.errors import BadDelegation, BadSignature, Conflict, NotFound, Rejected, UsageError

CI, NIGHTLY, DORA = SignerName("ci"), SignerName("nightly"), SignerName("dora")


def entry(tag: str, text: str = "") -> Any:
    return make_target(Tag(tag), manifest(text or tag), None, now=NOW, keep=30 * DAY)


@pytest.fixture
def keys() -> dict[str, Any]:
    return {name: make_signer() for name in ("ci", "nightly", "dora")}


@pytest.fixture
def publisher(keys: dict[str, Any]) -> Publisher:
    """ci signs v*, nightly signs nightly-*, dora is one of releases; latest and v1 were there before."""
    made = Publisher()
    made.accept(made.first_upload("latest", "v1"))

    def edit(draft: Draft) -> None:
        add_signer(draft, CI, keys["ci"].public_key, paths=["v*"])
        add_signer(draft, NIGHTLY, keys["nightly"].public_key, paths=["nightly-*"])
        add_signer(draft, DORA, keys["dora"].public_key)

    made.accept(made.change(edit))
    return made


def roles_of(publisher: Publisher) -> dict[str, str]:
    return {tag.name: target.role for tag, target in evaluate(publisher.files, publisher.gun, NOW).targets.items()}


def test_each_tag_is_in_the_one_role_that_answers_for_it(publisher: Publisher) -> None:
    assert roles_of(publisher) == {"latest": "releases", "v1": "ci"}
    assert read(publisher.files["targets"], Targets).signed.targets == {}


def test_a_signer_signs_its_paths_and_is_refused_others(publisher: Publisher, keys: dict[str, Any]) -> None:
    publisher.accept(publisher.change(lambda draft: draft.put([entry("v2")]), keys["ci"]))
    assert roles_of(publisher)["v2"] == "ci"
    with pytest.raises(BadSignature):
        publisher.accept(publisher.change(lambda draft: draft.put([entry("latest", "evil")]), keys["ci"]))


def test_a_tag_in_anothers_file_is_refused(publisher: Publisher, keys: dict[str, Any]) -> None:
    def smuggle(draft: Draft) -> None:
        draft.edit("ci").targets["latest"] = entry("latest", "evil")

    with pytest.raises(BadDelegation, match="releases answers for"):
        publisher.accept(publisher.change(smuggle, keys["ci"]))


def test_a_view_of_some_tags_needs_only_the_roles_that_answer(publisher: Publisher) -> None:
    some = {role: data for role, data in publisher.files.items() if role != "releases"}
    assert set(evaluate(some, publisher.gun, NOW, tags=[Tag("v1")]).targets) == {Tag("v1")}
    with pytest.raises(Exception, match="no releases"):
        evaluate(some, publisher.gun, NOW)
    with pytest.raises(Exception, match="no releases"):
        evaluate(some, publisher.gun, NOW, tags=[Tag("latest")])


def test_removal_withdraws_what_that_signer_alone_signed(publisher: Publisher, keys: dict[str, Any]) -> None:
    publisher.accept(publisher.change(lambda draft: draft.put([entry("v2")]), keys["ci"]))
    draft = Draft(publisher.gun, publisher.files, now=NOW, lifetimes=LIFE)
    assert signed_alone(draft, CI) == {"v1", "v2"}
    publisher.accept(publisher.change(lambda draft: remove_signer(draft, CI, resign=False)))
    assert roles_of(publisher) == {"latest": "releases"}


@pytest.mark.parametrize("name", ["ci", "nightly", "dora"])
def test_a_removed_signer_signs_nothing_and_can_come_back(
    publisher: Publisher, keys: dict[str, Any], name: str
) -> None:
    tag = {"ci": "v7", "nightly": "nightly-7", "dora": "edge"}[name]
    publisher.accept(publisher.change(lambda draft: draft.put([entry(tag)]), keys[name]))
    before = evaluate(publisher.files, publisher.gun, NOW).versions
    publisher.accept(publisher.change(lambda draft: remove_signer(draft, SignerName(name), resign=True)))
    assert roles_of(publisher)[tag] == "releases"
    with pytest.raises(Rejected):
        publisher.accept(publisher.change(lambda draft: draft.put([entry(tag, "evil")]), keys[name]))
    paths = {"ci": ["v*"], "nightly": ["nightly-*"], "dora": []}[name]
    publisher.accept(
        publisher.change(lambda draft: add_signer(draft, SignerName(name), keys[name].public_key, paths=paths))
    )
    after = evaluate(publisher.files, publisher.gun, NOW).versions
    assert all(after[role] >= version for role, version in before.items())
    publisher.accept(publisher.change(lambda draft: draft.put([entry(tag, "new")]), keys[name]))


def test_without_signers_targets_holds_the_tags_again(publisher: Publisher) -> None:
    for name in (CI, NIGHTLY, DORA):
        publisher.accept(publisher.change(lambda draft, name=name: remove_signer(draft, name, resign=True)))
    assert roles_of(publisher) == {"latest": "targets", "v1": "targets"}
    assert read(publisher.files["targets"], Targets).signed.delegations is None


def test_a_replaced_key_keeps_the_place_and_loses_the_right(publisher: Publisher, keys: dict[str, Any]) -> None:
    new = make_signer()
    publisher.accept(publisher.change(lambda draft: replace_signer(draft, CI, new.public_key, resign=True)))
    assert roles_of(publisher)["v1"] == "ci"
    with pytest.raises(BadSignature):
        publisher.accept(publisher.change(lambda draft: draft.put([entry("v2")]), keys["ci"]))
    publisher.accept(publisher.change(lambda draft: draft.put([entry("v2")]), new))


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (lambda d, k: add_signer(d, CI, make_signer().public_key), Conflict),
        (lambda d, k: add_signer(d, SignerName("eve"), k["dora"].public_key), Conflict),
        (lambda d, k: add_signer(d, SignerName("eve"), k["dora"].public_key, paths=["x*"]), Conflict),
        (lambda d, k: remove_signer(d, SignerName("eve"), resign=False), NotFound),
        (lambda d, k: add_signer(d, SignerName("eve"), make_signer().public_key, paths=["a[bc]"]), UsageError),
        (lambda d, k: add_signer(d, SignerName("eve"), make_signer().public_key, paths=["a"], before=DORA), NotFound),
        (lambda d, k: replace_signer(d, CI, k["ci"].public_key, resign=False), Conflict),
    ],
)
def test_what_can_not_be_asked_for(
    publisher: Publisher, keys: dict[str, Any], edit: Callable[..., None], error: type[Exception]
) -> None:
    with pytest.raises(error):
        publisher.change(lambda draft: edit(draft, keys))


def _role(targets: Targets, name: str) -> DelegatedRole:
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    return targets.delegations.roles[name]


def _reorder(targets: Targets, *names: str) -> None:
    assert targets.delegations is not None
    targets.delegations.roles = {name: _role(targets, name) for name in names}


SHAPES: dict[str, Callable[[Targets, Publisher, Any], object]] = {
    "releases first": lambda t, p, k: _reorder(t, "releases", "ci", "nightly", "dora"),
    "attribution before releases": lambda t, p, k: _reorder(t, "ci", "dora", "nightly", "releases"),
    "no releases": lambda t, p, k: _reorder(t, "ci", "nightly", "dora"),
    "releases with paths": lambda t, p, k: setattr(_role(t, "releases"), "paths", ["v*"]),
    "releases passes on": lambda t, p, k: setattr(_role(t, "releases"), "terminating", False),
    "a limited signer's key in releases": lambda t, p, k: _role(t, "releases").keyids.append(
        k["ci"].public_key.keyid
    ),
    "an attribution that terminates": lambda t, p, k: setattr(_role(t, "dora"), "terminating", True),
    "an attribution of a key outside releases": lambda t, p, k: _role(t, "releases").keyids.remove(
        k["dora"].public_key.keyid
    ),
    "a threshold of nought": lambda t, p, k: setattr(_role(t, "ci"), "threshold", 0),
    "a threshold that can't be met": lambda t, p, k: setattr(_role(t, "ci"), "threshold", 3),
    "a key twice": lambda t, p, k: _role(t, "ci").keyids.append(k["ci"].public_key.keyid),
    "a key that no role uses": lambda t, p, k: t.delegations.keys.update(  # type: ignore[union-attr]
        {(s := make_signer()).public_key.keyid: s.public_key}
    ),
    "a key of the service": lambda t, p, k: (
        _role(t, "ci").keyids.append(p.timestamp.public_key.keyid),
        t.delegations.keys.update({p.timestamp.public_key.keyid: p.timestamp.public_key}),  # type: ignore[union-attr]
    ),
    "a pattern with brackets": lambda t, p, k: setattr(_role(t, "ci"), "paths", ["v[0-9]"]),
    "no patterns": lambda t, p, k: setattr(_role(t, "ci"), "paths", []),
    "hash prefixes": lambda t, p, k: (
        setattr(_role(t, "ci"), "paths", None),
        setattr(_role(t, "ci"), "path_hash_prefixes", ["00"]),
    ),
    "tags in targets, too": lambda t, p, k: t.targets.update({"latest": entry("latest")}),
    "a limited signer with the repository key alone": lambda t, p, k: (
        _role(t, "ci").keyids.remove(k["ci"].public_key.keyid),
        t.delegations.keys.pop(k["ci"].public_key.keyid),  # type: ignore[union-attr]
    ),
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.replace(" ", "-"))
def test_another_shape_is_refused_by_judge_and_verifier(
    publisher: Publisher, keys: dict[str, Any], shape: str
) -> None:
    targets = read(publisher.files["targets"], Targets).signed
    targets.version += 1
    SHAPES[shape](targets, publisher, keys)
    upload = {"targets": sign(targets, publisher.signed(publisher.repository))}
    with pytest.raises(Rejected):
        publisher.accept(upload)
    publisher.install(upload)
    with pytest.raises(Exception, match=r"targets|releases|Signer|key|threshold|Role"):
        evaluate(publisher.files, publisher.gun, NOW)


def test_a_role_without_file_is_refused(publisher: Publisher) -> None:
    def edit(draft: Draft) -> None:
        add_signer(draft, SignerName("eve"), make_signer().public_key, paths=["eve-*"])

    upload = publisher.change(edit)
    assert "eve" in upload
    del upload["eve"]
    with pytest.raises(BadDelegation, match="no file"):
        publisher.accept(upload)


def test_files_of_roles_that_are_not_delegated_to_are_refused(publisher: Publisher, keys: dict[str, Any]) -> None:
    upload = publisher.change(lambda draft: draft.put([entry("v9")]), keys["ci"])
    with pytest.raises(BadDelegation, match="does not delegate"):
        publisher.accept({"eve": upload["ci"]})


def test_owner_and_matching() -> None:
    limited = Delegation("ci", Kind.LIMITED, ("a",), 1, ("v*", "r-?"))
    assert [tag for tag in ("v", "v1", "r-1", "r-12", "x") if limited.matches(tag)] == ["v", "v1", "r-1"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("v*", "v1*", True),
        ("v*", "*-rc", True),
        ("v*", "w*", False),
        ("a?c", "abc", True),
        ("a?c", "ab", False),
        ("*", "x", True),
        ("v?", "v", False),
        ("a*b", "a*c", False),
    ],
)
def test_overlapping_patterns(one: str, other: str, expected: bool) -> None:
    assert overlapping(one, other) is overlapping(other, one) is expected


def test_none_where_there_are_no_signers() -> None:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    root_and_targets = Draft(made.gun, made.files, now=NOW, lifetimes=LIFE)
    assert root_and_targets.delegations is None
    assert read_delegations(read(made.files["targets"], Targets).signed, root_and_targets.root) is None
