"""Is this reference signed, and for which digest?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from trustkit.client.trust import Trust
from trustkit.core.names import ImageRef
from trustkit.core.view import SignedTarget, SignedView
from trustkit.errors import InvalidReference, TagMoved, Unsigned


class Verify:
    """The verify use case; the clock is read once a call and rules all of its checks."""

    def __init__(self, trust: Trust, *, clock: Callable[[], datetime]) -> None:
        self._trust = trust
        self._clock = clock

    def __call__(self, ref: ImageRef) -> SignedTarget:
        """The signed target of a tag, or of a digest that a tag is signed for now.

        Raises:
            Unsigned: the tag isn't signed, or no signed tag has the digest.
            TagMoved: tag and digest are both given and don't agree.
            NotTrusted and its leaves, NotAllowed.
        """
        if ref.tag is None and ref.digest is None:
            raise InvalidReference(f"{ref} names no tag and no digest.", hint="Write NAME:TAG; no tag is assumed.")
        tags = None if ref.tag is None else {ref.tag}
        return find(self._trust.current(ref.gun, self._clock(), tags=tags).view, ref)


def find(view: SignedView, ref: ImageRef) -> SignedTarget:
    """The target that a reference means in a verified view; raises as ``Verify``."""
    if ref.tag is None:
        by_digest = [target for target in view.targets.values() if target.digest == ref.digest]
        if not by_digest:
            raise Unsigned(f"No signed tag of {ref.gun} has {ref.digest}.", gun=str(ref.gun))
        return min(by_digest, key=lambda target: target.tag)
    target = view.targets.get(ref.tag)
    if target is None:
        raise Unsigned(
            f"{ref.gun}:{ref.tag} is not signed.",
            hint=f"Its publisher signs it with: trustkit sign {ref.gun}:{ref.tag}",
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
