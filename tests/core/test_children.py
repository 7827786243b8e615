"""The children of an index, recorded with its tag: the record's shape, and what it makes trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tuf.api.metadata import TargetFile, Targets

from tests.simulator import DAY, GUN, LIFE, NOW, Publisher, edited, manifest
from trustkit.client.verify import find
from trustkit.core.build import next_targets
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.gating import Refuse, Serve, by_digest
from trustkit.core.manifests import OCI_INDEX
from trustkit.core.names import Digest, ImageRef, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.targets import MAX_CHILDREN, make_target, read_target
from trustkit.core.view import SignedTarget, SignedView
from trustkit.errors import BadTarget, TagMoved, Unsigned

V1 = Tag("v1")
ONE, TWO = (manifest(text).digest for text in ("one", "two"))


def index(note: str = "") -> ManifestBytes:
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "note": note}).encode()
    return ManifestBytes(Digest.of(data), OCI_INDEX, data)


def entry(image: ManifestBytes, *children: Digest, tag: Tag = V1, previous: SignedTarget | None = None) -> TargetFile:
    return make_target(tag, image, previous, now=NOW, keep=30 * DAY, children=children)


def test_what_is_recorded_is_read_back_in_its_order() -> None:
    assert read_target("v1", entry(index(), TWO, ONE), "targets").children == (TWO, ONE)


def test_without_children_there_is_no_record() -> None:
    assert set(entry(index()).unrecognized_fields["custom"]["x-trustkit"]) == {"media_type", "superseded"}
    assert read_target("v1", entry(index()), "targets").children == ()


def test_the_record_stays_with_its_bytes_and_goes_with_them() -> None:
    first = read_target("v1", entry(index(), ONE), "targets")
    assert read_target("v1", entry(index(), previous=first), "targets").children == (ONE,)
    assert read_target("v1", entry(index(), TWO, previous=first), "targets").children == (TWO,)
    assert read_target("v1", entry(index("other"), previous=first), "targets").children == ()


WRONG: dict[str, Any] = {
    "empty": [],
    "no list": {"a": 1},
    "a string": str(ONE),
    "null": None,
    "twice": [str(ONE), str(ONE)],
    "a number": [1],
    "without algorithm": [ONE.hex],
    "upper case": [str(ONE).upper()],
    "another algorithm": ["sha512:" + "a" * 128],
    "too many": [f"sha256:{number:064x}" for number in range(MAX_CHILDREN + 1)],
    "the index itself": [str(index().digest)],
}


@pytest.mark.parametrize("children", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_record_is_refused(children: object) -> None:
    target = entry(index(), ONE)
    target.unrecognized_fields["custom"]["x-trustkit"]["children"] = children
    with pytest.raises(BadTarget):
        read_target("v1", target, "targets")


def test_as_many_as_an_index_may_have_are_taken() -> None:
    many = [Digest(f"{number:064x}") for number in range(MAX_CHILDREN)]
    assert read_target("v1", entry(index(), *many), "targets").children == tuple(many)


def test_an_image_has_no_children() -> None:
    with pytest.raises(BadTarget):
        read_target("v1", entry(manifest("x"), ONE), "targets")


def collection(*entries: TargetFile) -> Publisher:
    """A collection with these entries, accepted by the judge."""
    publisher = Publisher()
    publisher.accept(publisher.first_upload())
    current = read(publisher.files["targets"], Targets).signed
    following = next_targets(current, put=entries, now=NOW, life=LIFE.default["targets"])
    publisher.accept({"targets": sign(following, publisher.signed(publisher.repository))})
    return publisher


def view_of(publisher: Publisher) -> SignedView:
    return evaluate(publisher.files, GUN, NOW)


def test_the_judge_refuses_a_record_that_a_verifier_would_not_read() -> None:
    publisher = collection(entry(index(), ONE))
    upload = {"targets": edited(publisher.files["targets"], lambda value: _record(value, []))}

    def next_version(value: dict[str, Any]) -> None:
        value["signed"]["version"] += 1

    resign = publisher.signed(publisher.repository)
    with pytest.raises(BadTarget):
        publisher.accept({"targets": edited(upload["targets"], next_version, resign=resign)})


def _record(value: dict[str, Any], children: object) -> None:
    value["signed"]["targets"]["v1"]["custom"]["x-trustkit"]["children"] = children


def test_a_child_is_trusted_by_digest_alone_and_says_by_which_tag() -> None:
    view = view_of(collection(entry(index(), ONE), entry(index(), ONE, tag=Tag("a"))))
    found = find(view, ImageRef(GUN, None, ONE))
    assert (str(found), found.by.tag, found.by.digest) == (f"{GUN}@{ONE}", Tag("a"), index().digest)
    assert found.is_child
    with pytest.raises(Unsigned):
        find(view, ImageRef(GUN, None, TWO))
    with pytest.raises(TagMoved):
        find(view, ImageRef(GUN, V1, ONE))


def test_a_tag_of_its_own_goes_before_being_a_child() -> None:
    view = view_of(collection(entry(index(), ONE, tag=Tag("a")), entry(manifest("one"), tag=Tag("z"))))
    found = find(view, ImageRef(GUN, None, ONE))
    assert (str(found), found.is_child) == (f"{GUN}:z@{ONE}", False)


@pytest.mark.parametrize(
    ("change", "kind"),
    [(lambda _: None, Serve), (lambda targets: targets.pop("v1"), Refuse)],
    ids=["signed", "revoked"],
)
def test_the_gate_serves_a_recorded_child_without_looking_into_an_index(
    change: Callable[[dict[str, TargetFile]], object], kind: type
) -> None:
    entries = {"v1": entry(index(), ONE), "other": entry(manifest("x"), tag=Tag("other"))}
    change(entries)
    search = by_digest(view_of(collection(*entries.values())), GUN.repository, ONE, actions=frozenset(), now=NOW)
    with pytest.raises(StopIteration) as decided:
        next(search)
    assert isinstance(decided.value.value, kind)


def test_a_child_of_what_the_tag_was_before_is_not_recorded_any_more() -> None:
    first = read_target("v1", entry(index(), ONE), "targets")
    view = view_of(collection(entry(manifest("new"), previous=first)))
    with pytest.raises(Unsigned):
        find(view, ImageRef(GUN, None, ONE))
