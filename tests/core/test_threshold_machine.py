"""Thresholds go up and down, and people sign, propose, approve and drop in any order: the collection always verifies.

Both sides are the real use cases, in one process.  A stock client that has followed from the first root goes on after
each step, and so does one that starts anew; what they find is what the people were shown, and nothing else.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tuf.api.metadata import Root, Targets

from tests.office import PEOPLE, Files, Office, by_id, payload_of
from tests.simulator import DAY, GUN, NOW, make_signer, manifest
from tests.stock import StockClient
from trustkit.client.outcome import Leave, Outcome
from trustkit.client.publish import floors_of
from trustkit.client.thresholds import Thresholds
from trustkit.core.approval import examine
from trustkit.core.difference import Difference, difference
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import SignerName, Tag
from trustkit.core.ports.keys import KeyRole
from trustkit.core.proposals import Proposal
from trustkit.core.rotation import rotate_repository, rotate_root
from trustkit.core.signers import add_signer, remove_signer
from trustkit.core.targets import make_target
from trustkit.errors import (
    BadSignature,
    Conflict,
    KeyMissing,
    NotFound,
    NotTrusted,
    ProposalOpen,
    ProposalStale,
    Rejected,
    UsageError,
)

SIGNERS = {"dora": [], "ci": ["v*"]}
"""One of releases, and one that has ``v*`` to itself."""
TAGS = ["v1", "latest", "edge"]
KEYS = [make_signer() for _ in range(60)]
"""A new key for each rotation; made once, since making them is slow."""
REFUSED = (KeyMissing, ProposalOpen, ProposalStale, UsageError, NotFound, Conflict)
"""What an honest person's step may meet in whatever state; anything else is a fault."""
TEMPLATE = Path(tempfile.mkdtemp(prefix="thresholds-"), "empty.db")

people = st.sampled_from(PEOPLE)
tags = st.sampled_from(TAGS)


class Thresholding(RuleBasedStateMachine):
    """What the machine remembers.

    Attributes:
        wanted: by tag the digest that whoever published last was shown.
        sealed: approvals that somebody has signed and not sent yet, with the proposal's id.
        dropped: files of dropped proposals, with the signatures that they had.
    """

    @initialize()
    def found(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="thresholds-"))
        self.numbers = count(1)
        self.wanted = {tag: manifest(tag).digest.hex for tag in ("v1", "latest")}
        self.office = Office(self.folder, TEMPLATE, iter(KEYS), tags=self.wanted, signers=SIGNERS)
        self.desks, self.service = self.office.desks, self.office.service
        self.sealed: list[tuple[str, Files]] = []
        self.dropped: list[Files] = []
        self.client = self._stock("warm")
        self.client.digests(TAGS)
        self.add_signer("dora", "alice")

    def _stock(self, name: str) -> StockClient:
        return StockClient(self.service, self.folder / name)  # type: ignore[arg-type]  # it serves as a publisher does

    def teardown(self) -> None:
        if hasattr(self, "office"):
            self.service.close()
        shutil.rmtree(getattr(self, "folder", "/nonexistent"), ignore_errors=True)

    # What people do.

    @rule(who=people, role=st.sampled_from(["root", "targets", "releases", "releases"]), number=st.integers(1, 3))
    def set_threshold(self, who: str, role: str, number: int) -> None:
        self._set(who, role, number, withdraw=False)

    @rule(who=people, number=st.integers(1, 3))
    def set_threshold_and_withdraw(self, who: str, number: int) -> None:
        self._set(who, "releases", number, withdraw=True)

    def _set(self, who: str, role: str, number: int, *, withdraw: bool) -> None:
        thresholds = Thresholds(self.desks[who].publisher, say=lambda _: None)
        done = self._step(lambda agree: thresholds.set(GUN, role, number, agree, withdraw=withdraw))
        if done is not None and done.proposal is None:
            files = self.service.files
            root, targets = read(files["root"], Root).signed, read(files["targets"], Targets).signed
            if role != "releases" or targets.delegations is not None:
                asked = (targets if role == "releases" else root).get_delegated_role(role)
                assert asked.threshold == number

    @rule(who=people, tag=tags, leave=st.sampled_from([Leave.IF_NEEDED, Leave.IF_NEEDED, Leave.ALWAYS]))
    def sign(self, who: str, tag: str, leave: Leave) -> None:
        image = manifest(f"{tag} {next(self.numbers)}")
        done = self._change(
            who, lambda draft: draft.put([make_target(Tag(tag), image, None, now=NOW, keep=30 * DAY)]), leave
        )
        assert (self.wanted.get(tag) == image.digest.hex) is (done is not None and done.proposal is None)

    @precondition(lambda self: self.wanted)
    @rule(who=people, data=st.data())
    def revoke(self, who: str, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.wanted)))
        self._change(who, lambda draft: draft.drop([tag]))

    @rule(name=st.sampled_from(sorted(SIGNERS)), who=people)
    def add_signer(self, name: str, who: str) -> None:
        key = self.office.signers[name].public_key
        self._change(who, lambda draft: add_signer(draft, SignerName(name), key, paths=SIGNERS[name]))

    @rule(name=st.sampled_from(sorted(SIGNERS)), who=people, resign=st.booleans())
    def remove_signer(self, name: str, who: str, resign: bool) -> None:
        self._change(who, lambda draft: remove_signer(draft, SignerName(name), resign=resign))

    @rule(who=st.sampled_from(["alice", "bob"]), role=st.sampled_from([KeyRole.ROOT, KeyRole.REPOSITORY]))
    def rotate(self, who: str, role: KeyRole) -> None:
        """A key for one's own; where others have to sign for it, it is proposed."""
        old, new = self.office.key_of(who, role), self.office.new_key(who, role)
        exchange = rotate_root if role is KeyRole.ROOT else rotate_repository
        self._change(who, lambda draft: exchange(draft, old, new.public_key))

    # What becomes of proposals.

    @precondition(lambda self: self.open)
    @rule(who=people, data=st.data())
    def approve(self, who: str, data: st.DataObject) -> None:
        identifier = self._one(data).id
        self._step(lambda agree: self.desks[who].proposals.approve(GUN, identifier, agree))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def everybody_approves(self, data: st.DataObject) -> None:
        """No proposal is stuck: it becomes current, or it is said to be stale."""
        proposal = self._one(data)
        for desk in self.desks.values():
            self._step(lambda agree, desk=desk: desk.proposals.approve(GUN, proposal.id, agree))
        left = {each.id: each for each in self.open}
        assert bool(proposal.stale) is (proposal.id in left)

    @precondition(lambda self: self.open)
    @rule(who=people, data=st.data())
    def approve_later(self, who: str, data: st.DataObject) -> None:
        """Somebody signs now, and sends it when the state may be another one."""
        identifier = self._one(data).id
        upload = self.office.approval(who, self.desks[who].calls.proposal(GUN, identifier)[1])
        if upload:
            self.sealed.append((identifier, upload))

    @precondition(lambda self: self.sealed)
    @rule(data=st.data(), keep=st.booleans())
    def send_what_was_approved_earlier(self, data: st.DataObject, keep: bool) -> None:
        identifier, upload = data.draw(st.sampled_from(self.sealed), label="sealed")
        if not keep:
            self.sealed.remove((identifier, upload))
        calls = self.desks["bob"].calls
        with self._unless_refused(NotFound, ProposalStale, Conflict, BadSignature):
            files = calls.proposal(GUN, identifier)[1]
            draft = self.office.draft()
            examine(draft, identifier, files)
            if calls.approve(GUN, identifier, upload).proposal is None:
                self._now_is(difference(draft.before, draft.after))

    @precondition(lambda self: self.open)
    @rule(who=people, data=st.data())
    def drop(self, who: str, data: st.DataObject) -> None:
        proposal = self._one(data)
        self.dropped.append(self.desks[who].calls.proposal(GUN, proposal.id)[1])
        self.desks[who].proposals.drop(GUN, proposal.id)
        with pytest.raises(NotFound):
            self.desks[who].proposals.approve(GUN, proposal.id, lambda _: None)

    # What a thief does.

    @precondition(lambda self: self.dropped)
    @rule(data=st.data(), proposing=st.booleans(), apart=st.booleans())
    def what_was_signed_for_a_dropped_one_comes_again(
        self, data: st.DataObject, proposing: bool, apart: bool
    ) -> None:
        """With the signatures that were missing, too."""
        files = data.draw(st.sampled_from(self.dropped), label="dropped")
        whole = {role: self.office.signed(role, file, self.office.keys.values()) for role, file in files.items()}
        calls = self.desks["dora"].calls
        for upload in [{role: file} for role, file in whole.items()] if apart else [whole]:
            with pytest.raises((Rejected, Conflict, ProposalOpen)):
                (calls.propose if proposing else calls.publish)(GUN, upload)

    @rule(tag=tags, data=st.data())
    def too_few_sign(self, tag: str, data: st.DataObject) -> None:
        """One key less than the role takes, and every key that may not sign it."""
        draft = self.office.draft()
        draft.put([make_target(Tag(tag), manifest("evil"), None, now=NOW, keep=30 * DAY)])
        role = draft.owner(Tag(tag))
        (need,) = draft.needs(role)
        few = data.draw(st.permutations(sorted(need.keys)), label="few")[: need.threshold - 1]
        signers = [key for key_id, key in self.office.keys.items() if key_id in few or key_id not in need.keys]
        with pytest.raises((BadSignature, ProposalOpen, Conflict)) as caught:
            self.desks["dora"].calls.publish(GUN, {role: sign(draft.changed[role], by_id(signers))})
        if isinstance(caught.value, Conflict):  # a proposal that was dropped has used that version up
            draft = self.office.draft(floors_of(caught.value))
            draft.put([make_target(Tag(tag), manifest("evil"), None, now=NOW, keep=30 * DAY)])
            with pytest.raises((BadSignature, ProposalOpen)):
                self.desks["dora"].calls.publish(GUN, {role: sign(draft.changed[role], by_id(signers))})
        forged = {**self.service.files, role: self.office.signed(role, self.service.files[role], signers)}
        with pytest.raises(NotTrusted):
            evaluate(forged, GUN, NOW)

    # What always holds.

    @invariant()
    def everybody_believes_what_was_shown(self) -> None:
        if not hasattr(self, "client"):
            return
        view = evaluate(self.service.look(), GUN, NOW)
        assert {tag.name: target.digest.hex for tag, target in view.targets.items()} == self.wanted
        assert self.client.digests(TAGS) == self.wanted
        assert self._stock(f"cold{next(self.numbers)}").digests(TAGS) == self.wanted

    @invariant()
    def nothing_that_was_dropped_is_current(self) -> None:
        if not hasattr(self, "client"):
            return
        dropped = {(role, payload_of(role, data)) for files in self.dropped for role, data in files.items()}
        assert not dropped & {(role, payload_of(role, data)) for role, data in self.service.files.items()}
        roles = [role for proposal in self.open for role in proposal.versions]
        assert len(roles) == len(set(roles)), "a role stands in one proposal"

    # How a step is taken.

    @property
    def open(self) -> list[Proposal]:
        """The open proposals, as the service tells of them."""
        return self.desks["alice"].proposals.list(GUN)

    def _one(self, data: st.DataObject) -> Proposal:
        return data.draw(st.sampled_from(self.open), label="proposal")

    def _change(self, who: str, edit: Callable[[Draft], None], leave: Leave = Leave.IF_NEEDED) -> Outcome | None:
        return self._step(lambda agree: self.desks[who].publisher.change(GUN, edit, agree=agree, leave=leave))

    def _step(self, step: Callable[[Callable[[Difference], None]], Outcome]) -> Outcome | None:
        """Takes a person's step; where it was published, what is trusted changed as that person was shown."""
        shown: list[Difference] = []
        with self._unless_refused(*REFUSED):
            done = step(shown.append)
            if done.proposal is None and shown:
                self._now_is(shown[-1])
            return done
        return None

    @contextmanager
    def _unless_refused(self, *errors: type[Exception]) -> Iterator[None]:
        before = {role: payload_of(role, data) for role, data in self.service.look().items()}
        try:
            yield
        except errors:
            after = {role: payload_of(role, data) for role, data in self.service.look().items()}
            assert after == before, "what was refused changes nothing"

    def _now_is(self, change: Difference) -> None:
        for tag in change.tags:
            self.wanted.pop(tag.tag, None)
            if tag.after is not None:
                self.wanted[tag.tag] = tag.after


Thresholding.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestThresholding = pytest.mark.timeout(900)(Thresholding.TestCase)
