"""What a trust-only repository serves to whom (TRUST 7): the decision, without the fetching.

A decision that has to look into signed indexes is a generator: it yields the digest of an index, is sent everything
that ``below`` found there, and returns the decision.  ``below`` yields the digests of indexes, and is sent what each
of them lists.  Who drives them fetches and hashes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from trustkit.core.access import Action
from trustkit.core.manifests import INDEXES, Descriptor
from trustkit.core.names import Digest, Repository, Tag
from trustkit.core.view import SignedTarget, SignedView

MAX_DEPTH = 4
"""How many steps below a signed index a manifest may be."""
MAX_DESCRIPTORS = 1_000
"""How many descriptors below one signed index are looked at; what comes after them isn't reached."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Serve the manifest of this digest.

    ``media_type`` and ``length`` are what was signed for it; where they are set, nothing else may be served.
    """

    digest: Digest
    media_type: str | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Don't serve it, and say why.  ``slug`` is that of the error in ``trustkit.errors`` that it corresponds to."""

    slug: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Answer as if there were nothing: a client that pushes asks first whether the tag exists (TRUST 7.3)."""


Decision = Serve | Refuse | Missing
Reached = Mapping[Digest, Descriptor]
Search = Generator[Digest, Reached, Decision]
Below = Generator[Digest, Sequence[Descriptor], dict[Digest, Descriptor]]


def may_read_unsigned(actions: frozenset[Action]) -> bool:
    """Whether unsigned manifests are readable by digest: to who may push (TRUST 7.3)."""
    return {Action.PULL, Action.PUSH} <= actions


def distrust(view: SignedView | None, repository: Repository, now: datetime) -> Refuse | None:
    """Why nothing in this view may be believed; None where it may (TRUST 7.1)."""
    if view is None:
        return Refuse("no-collection", f"Nothing is signed in {repository}, which serves signed tags only.")
    if view.gun.repository != repository:
        return Refuse("wrong-collection", f"The trust data of {repository} belongs to {view.gun}.")
    if now >= view.expires:
        return Refuse("expired", f"The trust data of {repository} expired on {view.expires:%Y-%m-%d %H:%M} UTC.")
    return None


def by_tag(
    view: SignedView | None,
    repository: Repository,
    tag: Tag,
    *,
    actions: frozenset[Action],
    head: bool,
    now: datetime,
) -> Decision:
    """A tag is its signed digest, whatever the registry's tag points at (TRUST 7.2).

    Args:
        actions: what the caller may do in this repository.
        head: whether only the existence is asked for.
    """
    refusal = distrust(view, repository, now)
    if refusal is None and view is not None:
        target = view.targets.get(tag)
        if target is not None:
            return _signed(target)
        refusal = Refuse("unsigned", f"{repository}:{tag} is not signed.")
    if head and may_read_unsigned(actions):
        return Missing()
    return refusal or Refuse("unsigned", f"{repository}:{tag} is not signed.")


def signed_tags(view: SignedView | None, repository: Repository, *, now: datetime) -> tuple[Tag, ...] | Refuse:
    """The tags that anybody is told of: the signed ones, in order; none where there is no collection (TRUST 7.2)."""
    if view is None:
        return ()
    return distrust(view, repository, now) or tuple(sorted(view.targets, key=lambda tag: tag.name))


def by_digest(
    view: SignedView | None,
    repository: Repository,
    digest: Digest,
    *,
    actions: frozenset[Action],
    now: datetime,
) -> Search:
    """A digest is served where the signed view reaches it, or to who may push (TRUST 7.3).

    Reached is what a signed tag names or records as a child, what a tag had before as long as that is superseded and
    not revoked, and the children of indexes among these, at most four steps and 1,000 descriptors below each.
    """
    refusal = distrust(view, repository, now)
    if refusal is None and view is not None:
        named = view.named.get(digest)
        if named is not None:
            return _signed(named)
        if digest in view.recorded:
            return Serve(digest)
        found = yield from _below(view, digest, now)
        if found is not None:
            return found
    if may_read_unsigned(actions):
        return Serve(digest)
    return refusal or Refuse("unsigned", f"{repository}@{digest} is not signed, and no signed index lists it.")


def roots(view: SignedView, now: datetime) -> tuple[Digest, ...]:
    """What is looked below: the signed indexes, then whatever is superseded and not past its date (TRUST 7.3)."""
    superseded = {digest for digest, until in view.superseded.items() if now < until}
    return (*view.indexes, *sorted(superseded.difference(view.indexes)))


def below(root: Digest) -> Below:
    """Everything below one index, each with the descriptor that comes first, level by level.

    It is true of the root's bytes for ever, so whoever drives this may keep it, if it found every index that it asked
    for.  At most four steps and 1,000 descriptors.
    """
    level, reached, seen, left = [root], dict[Digest, Descriptor](), {root}, MAX_DESCRIPTORS
    for _ in range(MAX_DEPTH):
        deeper: list[Digest] = []
        for index in level:
            listed = (yield index)[:left]
            left -= len(listed)
            for child in listed:
                reached.setdefault(child.digest, child)
            deeper.extend(_fresh(listed, seen))
        level = deeper
    return reached


def _signed(target: SignedTarget) -> Serve:
    return Serve(target.digest, target.media_type or None, target.length)


def _below(view: SignedView, wanted: Digest, now: datetime) -> Generator[Digest, Reached, Serve | None]:
    until = view.superseded.get(wanted)
    if until is not None and now < until:
        return Serve(wanted)
    for root in roots(view, now):
        child = (yield root).get(wanted)
        if child is not None:
            return Serve(wanted, child.media_type, child.size)
    return None


def _fresh(listed: Iterable[Descriptor], seen: set[Digest]) -> list[Digest]:
    fresh = [child.digest for child in listed if child.media_type in INDEXES and child.digest not in seen]
    fresh = list(dict.fromkeys(fresh))
    seen.update(fresh)
    return fresh
