"""Signers come, sign, go and come back in any order: the collection always verifies, for warm stock clients too."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.simulator import DAY, LIFE, NOW, Publisher, make_signer, manifest
from tests.stock import StockClient
from trustkit.core.attribution import attributions
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.growth import Growth
from trustkit.core.names import SignerName, Tag
from trustkit.core.signers import add_signer, remove_signer, replace_signer, signed_alone
from trustkit.core.targets import make_target
from trustkit.errors import TrustkitError

NAMES = {"ci": ["v*"], "rc": ["v?-rc", "nightly"], "dora": [], "emil": []}
TAGS = ["v1", "v2-rc", "nightly", "latest", "edge"]
KEYS = {name: [make_signer(), make_signer()] for name in NAMES}

names = st.sampled_from(sorted(NAMES))
tags = st.sampled_from(TAGS)


class Signers(RuleBasedStateMachine):
    """What the machine remembers: who signs with which key, and what each tag was last signed for, and by whom."""

    growth = Growth(above=0)

    @initialize()
    def found(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="signers-"))
        self.publisher = Publisher()
        self.publisher.accept(self.publisher.first_upload("latest", "v1"))
        self.client = StockClient(self.publisher, self.folder)
        self.signing: dict[str, int] = {}
        self.wanted = {tag: manifest(tag).digest.hex for tag in ("latest", "v1")}
        self.by: dict[str, tuple[str, int] | None] = {}
        self.count = 0

    def teardown(self) -> None:
        shutil.rmtree(getattr(self, "folder", "/nonexistent"), ignore_errors=True)

    @rule(name=names, before=st.booleans())
    def add(self, name: str, before: bool) -> None:
        if name in self.signing:
            return
        first = SignerName("ci") if before and NAMES[name] and "ci" in self.signing and name != "ci" else None
        key = KEYS[name][0].public_key
        self._accept(lambda draft: add_signer(draft, SignerName(name), key, paths=NAMES[name], before=first))
        self.signing[name] = 0

    @precondition(lambda self: self.signing)
    @rule(data=st.data(), resign=st.booleans())
    def remove(self, data: st.DataObject, resign: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.signing)))
        if not resign:
            self._forget(name)
        self._accept(lambda draft: remove_signer(draft, SignerName(name), resign=resign))
        del self.signing[name]

    @precondition(lambda self: self.signing)
    @rule(data=st.data(), resign=st.booleans())
    def replace(self, data: st.DataObject, resign: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.signing)))
        other = 1 - self.signing[name]
        if not resign:
            self._forget(name)
        key = KEYS[name][other].public_key
        self._accept(lambda draft: replace_signer(draft, SignerName(name), key, resign=resign))
        self.signing[name] = other

    @rule(tag=tags)
    def owner_signs(self, tag: str) -> None:
        self._sign(tag, None)

    @precondition(lambda self: self.signing)
    @rule(tag=tags, data=st.data())
    def signer_signs(self, tag: str, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.signing)))
        owner = Draft(self.publisher.gun, self.publisher.files, now=NOW, lifetimes=LIFE).owner(Tag(tag))
        may = owner == name or (owner == "releases" and not NAMES[name])
        try:
            self._sign(tag, name)
        except TrustkitError:
            assert not may
        else:
            assert may

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.wanted)))
        self._accept(lambda draft: draft.drop([tag]))
        del self.wanted[tag]

    @invariant()
    def everybody_believes_the_same(self) -> None:
        if not hasattr(self, "publisher"):
            return
        view = evaluate(self.publisher.files, self.publisher.gun, NOW)
        assert {tag.name: target.digest.hex for tag, target in view.targets.items()} == self.wanted
        assert self.client.digests(TAGS) == self.wanted

    @invariant()
    def nobody_is_said_to_have_signed_what_another_has(self) -> None:
        if not hasattr(self, "publisher"):
            return
        owner = Draft(self.publisher.gun, self.publisher.files, now=NOW, lifetimes=LIFE).owner
        for tag, found in attributions(self.publisher.files, self.publisher.gun, NOW).items():
            if owner(tag) == "releases":
                (name,) = found
                assert self.by[tag.name] == (name, self.signing[name])

    def _sign(self, tag: str, name: str | None) -> None:
        self.count += 1
        image = manifest(f"{tag} {self.count}")
        key = [KEYS[name][self.signing[name]]] if name else []

        def edit(draft: Draft) -> None:
            draft.put([make_target(Tag(tag), image, None, now=NOW, keep=30 * DAY)])
            if key:
                draft.attribute(key[0].public_key.keyid, self.growth)

        self.publisher.accept(self.publisher.change(edit, *key))
        self.wanted[tag] = image.digest.hex
        self.by[tag] = (name, self.signing[name]) if name else None
        releases = (
            Draft(self.publisher.gun, self.publisher.files, now=NOW, lifetimes=LIFE).owner(Tag(tag)) == "releases"
        )
        if name and releases:
            assert attributions(self.publisher.files, self.publisher.gun, NOW)[Tag(tag)] == {name}

    def _forget(self, name: str) -> None:
        draft = Draft(self.publisher.gun, self.publisher.files, now=NOW, lifetimes=LIFE)
        for tag in signed_alone(draft, SignerName(name)):
            del self.wanted[tag]

    def _accept(self, edit: object) -> None:
        self.publisher.accept(self.publisher.change(edit))  # type: ignore[arg-type]


Signers.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSigners = Signers.TestCase
