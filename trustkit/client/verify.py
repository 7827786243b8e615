"""Is this reference signed, and for which digest?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from datetime import datetime

from trustkit.client.trust import Trust
from trustkit.core.evidence import Evidence, evidence
from trustkit.core.names import Digest, Gun, ImageRef
from trustkit.core.policy import Demand
from trustkit.core.records import dataclass
from trustkit.core.view import SignedTarget, SignedView
from trustkit.errors import InvalidReference, TagMoved, Unsigned


@dataclass(frozen=True, slots=True)
class Trusted:
    """A digest that may be used, and the signed tag that says so.  Nothing of it counts after ``expires``."""

    gun: Gun
    digest: Digest
    by: SignedTarget
    expires: datetime | None = None
    evidence: Evidence | None = field(default=None, compare=False, repr=False)

    @property
    def is_other(self) -> bool:
        """Whether the digest isn't the tag's own: a child of its index, or what the tag was before."""
        return self.digest != self.by.digest

    @property
    def is_child(self) -> bool:
        """Whether the digest is of a manifest that was signed along with its index."""
        return self.is_other and self.digest in self.by.children

    @property
    def ref(self) -> ImageRef:
        """The digest with its tag; without, where the tag is another digest."""
        return ImageRef(self.gun, None if self.is_other else self.by.tag, self.digest)

    def __str__(self) -> str:
        return str(self.ref)


class Verify:
    """The verify use case; the clock is read once a call and rules all of its checks.

    Args:
        demand: the policy for a GUN; None for none.
    """

    def __init__(
        self,
        trust: Trust,
        *,
        clock: Callable[[], datetime],
        demand: Callable[[Gun], Demand | None] = lambda _: None,
    ) -> None:
        self._trust = trust
        self._clock = clock
        self._demand = demand

    def __call__(self, ref: ImageRef, *, superseded: bool = False) -> Trusted:
        """What a tag is signed for, or a digest that a tag is signed for now, itself or as a child of an index.

        Args:
            superseded: take also a digest that a tag had before, until the date that its publisher set (TRUST 4.4).

        Raises:
            Unsigned: the tag isn't signed, or no signed tag has the digest.
            TagMoved: tag and digest are both given and don't agree.
            SignersMissing: a policy demands signers who haven't signed it.
            NotTrusted and its leaves, NotAllowed.
        """
        if ref.tag is None and ref.digest is None:
            raise InvalidReference(f"{ref} names no tag and no digest.", hint="Write NAME:TAG; no tag is assumed.")
        demand, now = self._demand(ref.gun), self._clock()
        tags = None if ref.tag is None or demand else {ref.tag}
        current = self._trust.current(ref.gun, now, tags=tags)
        found = _meanings(current.view, ref, now if superseded else None)
        if demand is None:
            return found[0]
        signed = self._trust.attributions(current, now)
        for each in found:
            if demand.met(signed.get(each.by.tag, frozenset())):
                return each
        raise demand.missing(ref, signed.get(found[0].by.tag, frozenset()))


def find(view: SignedView, ref: ImageRef) -> Trusted:
    """What a reference means in a verified view; raises as ``Verify``."""
    return _meanings(view, ref)[0]


def _meanings(view: SignedView, ref: ImageRef, moment: datetime | None = None) -> list[Trusted]:
    """By each signed tag that says so, the best one first: one for a tag, one or more for a digest."""
    targets = _by_digest(view, ref, ref.digest, moment) if ref.tag is None and ref.digest else [_by_tag(view, ref)]
    return [
        Trusted(ref.gun, ref.digest or target.digest, target, view.expires, evidence(view, target))
        for target in targets
    ]


def _by_digest(view: SignedView, ref: ImageRef, digest: Digest, moment: datetime | None) -> list[SignedTarget]:
    """The tags whose digest this is, then those that have it as a child, then those that had it before."""
    tags = sorted(view.targets.values(), key=lambda target: target.tag)
    found = [target for target in tags if target.digest == digest]
    found += [target for target in tags if digest in target.children and target not in found]
    if moment is not None:
        was = {each.tag for each in tags for old in each.superseded if old.digest == digest and moment < old.until}
        found += [target for target in tags if target.tag in was and target not in found]
    if not found:
        raise Unsigned(f"No signed tag of {ref.gun} has {digest}.", gun=str(ref.gun))
    return found


def _by_tag(view: SignedView, ref: ImageRef) -> SignedTarget:
    target = view.targets.get(ref.required_tag)
    if target is None:
        raise Unsigned(
            f"{ref.gun}:{ref.tag} is not signed.",
            hint=f"Its publisher signs it with: trustkit sign {ref.gun}:{ref.tag} "
            f"(signed tags: trustkit inspect {ref.gun})",
            gun=str(ref.gun),
            tag=str(ref.tag),
        )
    if ref.digest is not None and ref.digest != target.digest:
        raise TagMoved(
            f"{ref.gun}:{ref.tag} is signed for {target.digest}, not for {ref.digest}.",
            gun=str(ref.gun),
            signed=str(target.digest),
        )
    return target
