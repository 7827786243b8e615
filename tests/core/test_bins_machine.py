"""A collection in hash bins goes through everything that one without them does, and everybody believes the same."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, rule

from tests.core.test_grown_view import look, same
from tests.core.test_signer_machine import KEYS, TAGS, Signers
from tests.simulator import LIFE, NOW, make_signer
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.grownview import Grown, may_have_bins
from trustkit.core.growth import Growth
from trustkit.core.names import SignerName, Tag
from trustkit.core.rotation import rotate_repository
from trustkit.core.signers import add_signer

SPARE = [make_signer() for _ in range(20)]


class Binned(Signers):
    """Signers that come, sign, go and come back, rotations, and tags that are put into four bins at some moment.

    What signers say that they signed is divided as soon as it is of two tags.
    """

    growth = Growth(above=1, bits=2)

    known: Grown | None = None
    rotated = 0

    @rule()
    def grow(self) -> None:
        upload = self.publisher.change(lambda draft: draft.grow(Growth(above=1, bits=2)))
        if upload:
            self.publisher.accept(upload)

    @rule()
    def dora_signs_much(self) -> None:
        """More than one file of hers is for, so that the others find her file divided."""
        if "dora" not in self.signing:
            key = KEYS["dora"][0].public_key
            self._accept(lambda draft: add_signer(draft, SignerName("dora"), key))
            self.signing["dora"] = 0
        upload = self.publisher.change(lambda draft: draft.grow(Growth(above=1, bits=2)))
        if upload:
            self.publisher.accept(upload)
        owner = Draft(self.publisher.gun, self.publisher.files, now=NOW, lifetimes=LIFE).owner
        for tag in [tag for tag in TAGS if owner(Tag(tag)) == "releases"]:
            self._sign(tag, "dora")

    @rule()
    def rotate(self) -> None:
        old, new = self.publisher.repository, SPARE[self.rotated % len(SPARE)]
        if old.public_key.keyid == new.public_key.keyid:
            return
        self.rotated += 1
        self.publisher.repository = new
        self._accept(lambda draft: rotate_repository(draft, old.public_key.keyid, new.public_key))

    @invariant()
    def bins_stay(self) -> None:
        if not hasattr(self, "publisher") or not may_have_bins(self.publisher.files):
            return
        places = Draft(self.publisher.gun, self.publisher.files, now=NOW, lifetimes=LIFE).places
        assert places.bins is not None
        assert places.bins.prefix == "bins-1"
        assert not Draft(self.publisher.gun, self.publisher.files, now=NOW, lifetimes=LIFE).grow(Growth(1, 3))
        view, self.known, _ = look(self.publisher, self.known)
        same(view, evaluate(self.publisher.files, self.publisher.gun, NOW))


Binned.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestBinned = Binned.TestCase
