"""Keys are rotated in any order, beside signers who come and go: the collection always verifies, old keys never sign.

A stock client that has followed from the first root goes on after each step, and so does one that starts anew.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from securesystemslib.signer import CryptoSigner

from tests.simulator import DAY, LIFE, NOW, Publisher, make_signer, manifest
from tests.stock import StockClient
from trustkit.core.ceremony import Wanted, propose, read_ceremony
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.names import SignerName, Tag
from trustkit.core.pinning import anchor, meets
from trustkit.core.ports.remote import Pin
from trustkit.core.rotation import carry_delegations, rotate_repository, rotate_root, rotate_signer, withdraw
from trustkit.core.signers import add_signer, remove_signer
from trustkit.core.targets import make_target
from trustkit.errors import BadSignature, Conflict, TrustkitError

NAMES = {"ci": ["v*"], "dora": []}
TAGS = ["v1", "v2", "latest", "edge"]
KEYS = [make_signer() for _ in range(40)]
"""A new key for each rotation; made once, since making them is slow."""


class Rotations(RuleBasedStateMachine):
    """What the machine remembers: which keys sign now and which did, and what each tag was last signed for."""

    @initialize()
    def found(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rotations-"))
        self.publisher = Publisher()
        self.publisher.accept(self.publisher.first_upload("latest", "v1"))
        self.first = self.publisher.history["root", 1]
        self.client = StockClient(self.publisher, self.folder / "warm")
        self.signing: dict[str, CryptoSigner] = {}
        self.retired: list[CryptoSigner] = []
        self.wanted = {tag: manifest(tag).digest.hex for tag in ("latest", "v1")}
        self.spare = iter(KEYS)
        self.cold = 0

    def teardown(self) -> None:
        shutil.rmtree(getattr(self, "folder", "/nonexistent"), ignore_errors=True)

    @rule()
    def rotate_root(self) -> None:
        old, new = self.publisher.root, next(self.spare, None)
        if new is None:
            return
        keys = (old, new, self.publisher.repository)
        self._accept(lambda draft: rotate_root(draft, old.public_key.keyid, new.public_key), *keys)
        self.publisher.root = new
        self.retired.append(old)
        gun = self.publisher.gun
        pin = Pin(str(gun), key_ids=(new.public_key.keyid,), threshold=1)
        assert meets(pin, gun, self.publisher.files["root"]), "the new key's pin is met at once"

    @rule(data=st.data(), thief=st.booleans())
    def rotate_repository(self, data: st.DataObject, thief: bool) -> None:
        old, new = self.publisher.repository, next(self.spare, None)
        if new is None:
            return
        stolen = (
            data.draw(st.lists(st.sampled_from(sorted(self.wanted)), unique=True)) if thief and self.wanted else []
        )

        def edit(draft: Draft) -> None:
            withdraw(draft, stolen)
            rotate_repository(draft, old.public_key.keyid, new.public_key)

        self._accept(edit, self.publisher.root, new)
        self.publisher.repository = new
        self.retired.append(old)
        for tag in stolen:
            del self.wanted[tag]

    @rule(repository=st.booleans())
    def ceremony(self, repository: bool) -> None:
        """Root and repository key change together, by a file that goes from hand to hand."""
        old, new = self.publisher.root, next(self.spare, None)
        worker = next(self.spare, None) if repository else self.publisher.repository
        if new is None or worker is None:
            return
        wanted = Wanted(
            add=[new.public_key],
            remove=[old.public_key.keyid],
            repository=[worker.public_key] if repository else [],
        )
        gun = self.publisher.gun
        made = propose(gun, self.publisher.files["root"], wanted, now=NOW, life=LIFE.default["root"])
        for holder in (new, old):
            made = read_ceremony(made.render(), "file")
            made = made.with_signatures({holder.public_key.keyid: holder.sign(made.payload).signature})

        def edit(draft: Draft) -> None:
            before, keys = draft.delegations, draft.root.roles["targets"].keyids
            draft.adopt_root(made.signed)
            if repository:
                carry_delegations(draft, before, keys, [worker.public_key])

        upload = self.publisher.change(edit, new, worker)
        self.publisher.accept({**upload, "root": made.signed})
        self.retired.append(old)
        if repository:
            self.retired.append(self.publisher.repository)
        self.publisher.root, self.publisher.repository = new, worker

    @rule(name=st.sampled_from(sorted(NAMES)))
    def add_or_rotate_signer(self, name: str) -> None:
        new = next(self.spare, None)
        if new is None:
            return
        key = new.public_key
        if name in self.signing:
            old = self.signing[name]
            keys = (self.publisher.root, self.publisher.repository, new)
            self._accept(
                lambda draft: rotate_signer(draft, SignerName(name), old.public_key.keyid, key, signs_here=True),
                *keys,
            )
            self.retired.append(old)
        else:
            self._accept(lambda draft: add_signer(draft, SignerName(name), key, paths=NAMES[name]))
        self.signing[name] = new

    @precondition(lambda self: self.signing)
    @rule(data=st.data())
    def remove_signer(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.signing)))
        self._accept(lambda draft: remove_signer(draft, SignerName(name), resign=True))
        self.retired.append(self.signing.pop(name))

    @rule(tag=st.sampled_from(TAGS), text=st.integers(0, 9))
    def sign(self, tag: str, text: int) -> None:
        image = manifest(f"{tag} {text}")
        self._accept(lambda draft: draft.put([make_target(Tag(tag), image, None, now=NOW, keep=30 * DAY)]))
        self.wanted[tag] = image.digest.hex

    @precondition(lambda self: self.retired)
    @rule(data=st.data(), tag=st.sampled_from(TAGS))
    def a_thief_has_an_old_key(self, data: st.DataObject, tag: str) -> None:
        """With it alone nothing is signed, and the root isn't changed."""
        thief = data.draw(st.sampled_from(self.retired))
        evil = make_target(Tag(tag), manifest("evil"), None, now=NOW, keep=30 * DAY)
        new = KEYS[-1].public_key
        for edit in (
            lambda draft: draft.put([evil]),
            lambda draft: rotate_root(draft, self.publisher.root.public_key.keyid, new),
            lambda draft: rotate_repository(draft, self.publisher.repository.public_key.keyid, new),
        ):
            with pytest.raises(BadSignature):
                self.publisher.accept(self.publisher.change(edit, thief))

    @invariant()
    def everybody_believes_the_same(self) -> None:
        if not hasattr(self, "publisher"):
            return
        view = evaluate(self.publisher.files, self.publisher.gun, NOW)
        assert {tag.name: target.digest.hex for tag, target in view.targets.items()} == self.wanted
        assert self.client.digests(TAGS) == self.wanted
        self.cold += 1
        if self.cold % 4 == 0:
            assert StockClient(self.publisher, self.folder / str(self.cold)).digests(TAGS) == self.wanted

    @invariant()
    def the_first_pin_is_still_met(self) -> None:
        if not hasattr(self, "publisher"):
            return
        last = max(version for role, version in self.publisher.history if role == "root")
        roots = [self.publisher.history["root", version] for version in range(1, last + 1)]
        newest = Pin(str(self.publisher.gun), key_ids=(self.publisher.root.public_key.keyid,), threshold=1)
        assert anchor(Pin(str(self.publisher.gun), root=self.first), self.publisher.gun, roots) == self.first
        assert anchor(newest, self.publisher.gun, roots) in roots

    def _accept(self, edit: object, *keys: CryptoSigner) -> None:
        self.publisher.accept(self.publisher.change(edit, *keys))  # type: ignore[arg-type]


Rotations.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestRotations = Rotations.TestCase


@pytest.mark.parametrize(("rotate", "role"), [(rotate_root, "root"), (rotate_repository, "repository")])
def test_a_rotation_that_somebody_else_did_first_says_so(rotate: Callable[..., None], role: str) -> None:
    publisher, first, second = Publisher(), make_signer(), make_signer()
    publisher.accept(publisher.first_upload("v1"))
    old, keys = getattr(publisher, role).public_key.keyid, (publisher.root, publisher.repository, first)
    publisher.accept(publisher.change(lambda draft: rotate(draft, old, first.public_key), *keys))
    draft = Draft(publisher.gun, publisher.files, now=NOW, lifetimes=LIFE)
    rotate(draft, old, first.public_key)
    assert not draft.changed, "the same rotation again has nothing to do"
    with pytest.raises(Conflict, match="somebody else"):
        rotate(draft, old, second.public_key)


@pytest.mark.parametrize("whose", ["root", "repository", "snapshot", "signer"])
def test_a_key_that_has_a_purpose_already_gets_no_other_one(whose: str) -> None:
    publisher, signer = Publisher(), make_signer()
    publisher.accept(publisher.first_upload("v1"))
    publisher.accept(
        publisher.change(lambda draft: add_signer(draft, SignerName("ci"), signer.public_key, paths=["v*"]))
    )
    key = {"signer": signer}.get(whose) or getattr(publisher, whose)
    for rotate, role in ((rotate_root, "root"), (rotate_repository, "repository")):
        if whose == role:
            continue
        draft = Draft(publisher.gun, publisher.files, now=NOW, lifetimes=LIFE)
        with pytest.raises(TrustkitError, match=r"already|a signer's"):
            rotate(draft, getattr(publisher, role).public_key.keyid, key.public_key)
