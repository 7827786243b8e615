"""Files that are read once: what is remembered is what bytes say, never that they are trusted."""

from __future__ import annotations

import pytest
from tuf.api.metadata import Root, Snapshot, Targets

from tests.simulator import GUN, LIFE, NOW, Publisher, make_signer, manifest
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Tag
from trustkit.core.readings import Readings
from trustkit.core.rotation import rotate_root
from trustkit.errors import Malformed, SignatureInvalid


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    return made


def test_the_same_bytes_are_read_once_and_others_are_read(publisher: Publisher) -> None:
    reader, data = Readings(), publisher.files["targets"]
    first = reader(data, Targets)
    assert reader(bytes(bytearray(data)), Targets) is first
    publisher.accept(publisher.sign_upload("v1", manifest("newer")))
    second = reader(publisher.files["targets"], Targets)
    assert second.signed.version == first.signed.version + 1
    assert second.to_dict() == read(publisher.files["targets"], Targets).to_dict()


def test_the_same_bytes_as_a_file_of_another_type_are_refused_as_ever(publisher: Publisher) -> None:
    reader, data = Readings(), publisher.files["root"]
    reader(data, Root)
    for kind in (Targets, Snapshot):
        with pytest.raises(Malformed):
            reader(data, kind)
    for _ in range(2):
        with pytest.raises(Malformed, match="strict JSON"):
            reader(data + b"}", Root)


def test_what_is_remembered_stays_small(publisher: Publisher) -> None:
    root, targets = publisher.files["root"], publisher.files["targets"]
    reader = Readings(kept=len(root) + len(targets) - 1)
    first, second = reader(root, Root), reader(targets, Targets)
    assert reader(targets, Targets) is second
    assert reader(root, Root) is not first


def test_a_file_that_is_too_large_pushes_nothing_out(publisher: Publisher) -> None:
    root, targets = publisher.files["root"], publisher.files["targets"]
    assert len(targets) < len(root)
    reader = Readings(kept=len(root) - 1)
    first = reader(targets, Targets)
    assert reader(root, Root) is not reader(root, Root)
    assert reader(targets, Targets) is first


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_bytes_that_were_trusted_under_other_keys_are_judged_anew(publisher: Publisher, role: str) -> None:
    """The key of one role is replaced, and its file stays the very bytes that one reader has read and seen pass."""
    reader, other = Readings(), make_signer()
    assert evaluate(publisher.files, GUN, NOW, reader=reader).targets

    def replace(root: Root) -> None:
        root.revoke_key(root.roles[role].keyids[0], role)
        root.add_key(other.public_key, role)

    files = publisher.files | publisher.change_root(replace)
    with pytest.raises(SignatureInvalid, match=f"{role}.json"):
        evaluate(files, GUN, NOW, reader=reader)


def test_a_draft_changes_nothing_of_what_others_have_read(publisher: Publisher) -> None:
    reader = Readings()
    before = {role: reader(publisher.files[role], kind) for role, kind in (("root", Root), ("targets", Targets))}
    draft = Draft(GUN, publisher.files, now=NOW, lifetimes=LIFE, reader=reader)
    rotate_root(draft, publisher.root.public_key.keyid, make_signer().public_key)
    draft.edit().targets.pop("v1")
    draft.settle()
    assert set(draft.changed) == {"root", "targets"}
    assert {role: file.to_dict() for role, file in before.items()} == {
        "root": read(publisher.files["root"], Root).to_dict(),
        "targets": read(publisher.files["targets"], Targets).to_dict(),
    }
    assert Tag("v1") in evaluate(publisher.files, GUN, NOW, reader=reader).targets
