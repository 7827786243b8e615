"""Any sequence of operations leaves a collection that verifies, equals a plain dict, and stock python-tuf accepts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import Signer
from tuf.api.metadata import Root, Snapshot, Targets
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from tests.simulator import DAY, GUN, LIFE, NOW, Publisher, make_signer, manifest
from trustkit.core.build import first_targets, next_snapshot, next_targets
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import Digest, Tag

SPARE: list[Signer] = [make_signer() for _ in range(6)]
"""Keys to rotate to; made once, so that a failing example can be run again."""

_TAGS = st.sampled_from(["v1", "v2", "latest", "targets", "root.json", "1.root"])
_OPERATION = st.one_of(
    st.tuples(st.just("sign"), _TAGS, st.sampled_from("abc")),
    st.tuples(st.just("revoke"), _TAGS, st.just("")),
    st.tuples(st.just("rotate root"), st.sampled_from("012"), st.just("")),
    st.tuples(st.just("rotate repository"), st.sampled_from("345"), st.just("")),
    st.tuples(st.just("wait"), st.sampled_from(["1", "6", "40"]), st.just("")),
)


class Story:
    """A publisher, the plain dict that its collection has to equal, and the clock."""

    def __init__(self) -> None:
        self.publisher = Publisher()
        self.now = NOW
        self.model: dict[str, Digest] = {}
        self.publisher.accept(self.publisher.first_upload())

    def step(self, verb: str, what: str, text: str) -> None:
        match verb:
            case "sign":
                self.model[what] = manifest(text).digest
                self.accept(self.publisher.sign_upload(what, manifest(text), self.now))
            case "revoke":
                self.model.pop(what, None)
                self.accept({"targets": self.targets(drop=what)})
            case "rotate root":
                self.rotate_root(SPARE[int(what)])
            case "rotate repository":
                self.rotate_repository(SPARE[int(what)])
            case _:
                self.now += int(what) * DAY
                self.accept({"targets": self.targets()})

    def accept(self, upload: Mapping[str, bytes]) -> None:
        self.publisher.accept(dict(upload), self.now)

    def targets(self, drop: str | None = None) -> bytes:
        current = read(self.publisher.files["targets"], Targets).signed
        dropped = [Tag(drop)] if drop else []
        following = next_targets(current, drop=dropped, now=self.now, life=LIFE.default["targets"])
        return sign(following, self.publisher.signed(self.publisher.repository))

    def rotate_root(self, fresh: Signer) -> None:
        old = self.publisher.root

        def change(root: Root) -> None:
            root.revoke_key(old.public_key.keyid, "root")
            root.add_key(fresh.public_key, "root")

        self.accept(self.publisher.change_root(change, old, fresh))
        self.publisher.root = fresh

    def rotate_repository(self, fresh: Signer) -> None:
        old = self.publisher.repository

        def change(root: Root) -> None:
            root.revoke_key(old.public_key.keyid, "targets")
            root.add_key(fresh.public_key, "targets")

        self.publisher.repository = fresh
        self.accept(self.publisher.change_root(change) | {"targets": self.targets()})


def _stock_client_accepts(publisher: Publisher, now: datetime) -> Targets:
    """Walks the whole client workflow of python-tuf over what was published."""
    trusted = TrustedMetadataSet(publisher.history["root", 1], EnvelopeType.METADATA)
    trusted.reference_time = now
    last = json.loads(publisher.files["root"])["signed"]["version"]
    for version in range(2, last + 1):
        trusted.update_root(publisher.history["root", version])
    trusted.update_timestamp(publisher.files["timestamp"])
    trusted.update_snapshot(publisher.files["snapshot"])
    trusted.update_delegated_targets(publisher.files["targets"], "targets", "root")
    return trusted.targets


@settings(max_examples=60, deadline=None)
@given(st.lists(_OPERATION, max_size=12))
def test_any_story_verifies_and_equals_a_plain_dict(operations: list[tuple[str, str, str]]) -> None:
    story = Story()
    versions = dict(evaluate(story.publisher.files, GUN, story.now).versions)
    for operation in operations:
        story.step(*operation)
        view = evaluate(story.publisher.files, GUN, story.now)
        assert {tag.name: target.digest for tag, target in view.targets.items()} == story.model
        assert view.expires == story.now + LIFE.default["timestamp"]
        for role, version in view.versions.items():
            assert version - versions[role] in (0, 1)
        assert view.versions["snapshot"] > versions["snapshot"]
        assert view.versions["timestamp"] > versions["timestamp"]
        versions = dict(view.versions)
        stock = _stock_client_accepts(story.publisher, story.now)
        assert {path: target.hashes["sha256"] for path, target in stock.targets.items()} == {
            name: digest.hex for name, digest in story.model.items()
        }


def test_the_next_targets_leave_the_current_ones_alone() -> None:
    publisher = Publisher()
    publisher.accept(publisher.first_upload("v1", "v2"))
    current = read(publisher.files["targets"], Targets).signed
    before = current.to_dict()
    following = next_targets(current, drop=[Tag("v1"), Tag("gone")], now=NOW + DAY, life=DAY)
    assert current.to_dict() == before
    assert set(following.targets) == {"v2"}
    assert (following.version, following.expires) == (2, NOW + 2 * DAY)


def test_a_name_once_in_snapshot_stays_at_its_last_version() -> None:
    first = next_snapshot(GUN, None, {"targets": 1, "alice": 4}, now=NOW, life=DAY)
    second = next_snapshot(GUN, first, {"targets": 2}, now=NOW, life=DAY)
    assert {name: entry.version for name, entry in second.meta.items()} == {"targets.json": 2, "alice.json": 4}
    assert (first.version, second.version) == (1, 2)
    assert all(entry.hashes is None and entry.length is None for entry in second.meta.values())


def test_what_is_built_is_what_is_read() -> None:
    key = make_signer()
    targets = first_targets(GUN, now=NOW.replace(microsecond=5), life=DAY)
    data = sign(targets, {key.public_key.keyid: key})
    assert read(data, Targets).signed == targets
    snapshot = next_snapshot(GUN, None, {"targets": 1}, now=NOW, life=DAY)
    assert read(sign(snapshot, {key.public_key.keyid: key}), Snapshot).signed == snapshot
