"""Why a registry has to keep a manifest: who signed what it is, or what it lies below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from trustkit.core.names import Digest, Tag
from trustkit.core.view import SignedView


@dataclass(frozen=True, slots=True)
class Use:
    """One manifest that is in use.

    Attributes:
        tag: a tag that needs it.
        until: the moment from which it isn't needed any more; None as long as the tag is signed.
        root: what it lies below; itself for what the tag names, or has named.
    """

    digest: Digest
    tag: Tag
    until: datetime | None
    root: Digest

    def __str__(self) -> str:
        below = "" if self.root == self.digest else f", below {self.root}"
        if self.until is None:
            return f"signed as {self.tag}{below}"
        return f"superseded at {self.tag} until {self.until:%Y-%m-%d %H:%M} UTC{below}"


def named_uses(view: SignedView, now: datetime) -> Mapping[Digest, Use]:
    """What the view itself says is in use at ``now``: signed, signed along as a child, or superseded (TRUST 4.4).

    What lies below these in the registry is in use for the same reason; see ``below``.
    """
    uses: dict[Digest, Use] = {}
    for use in _uses(view, now):
        known = uses.get(use.digest)
        if known is None or (known.until is not None and _later(use, known)):
            uses[use.digest] = use
    return uses


def below(use: Use, digest: Digest) -> Use:
    """What is in use because ``use`` reaches it."""
    return Use(digest, use.tag, use.until, use.root)


def _uses(view: SignedView, now: datetime) -> Iterator[Use]:
    for target in view.targets.values():
        yield Use(target.digest, target.tag, None, target.digest)
    for target in view.targets.values():
        yield from (Use(child, target.tag, None, target.digest) for child in target.children)
        for former in target.superseded:
            if now < former.until:
                yield Use(former.digest, target.tag, former.until, former.digest)


def _later(one: Use, other: Use) -> bool:
    return one.until is None or (other.until is not None and one.until > other.until)
