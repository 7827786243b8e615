"""What one command wants of one collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tuf.api.metadata import TargetFile

from trustkit.core.bins import Near
from trustkit.core.draft import Draft
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.targets import KEEP_SUPERSEDED, make_target, read_target
from trustkit.core.view import SignedTarget, SignedView
from trustkit.errors import TagMoved, Unsigned


@dataclass(frozen=True, slots=True)
class Change:
    """What one command wants of one collection: tags to sign with their manifests, and tags to withdraw.

    ``children`` has, for tags of ``put``, the manifests below their index that are signed along with it.  With
    ``forget`` what the tags were before can't be pulled by digest any more, as after a theft (TRUST 4.4).
    """

    put: Mapping[Tag, ManifestBytes] = field(default_factory=dict)
    drop: frozenset[Tag] = frozenset()
    children: Mapping[Tag, tuple[Digest, ...]] = field(default_factory=dict)
    forget: bool = False

    @property
    def near(self) -> Near:
        """What of a collection in bins has to be there to make the change."""
        return Near({*self.put, *self.drop})

    def edit(self, draft: Draft) -> None:
        """Puts and drops in a draft; raises Unsigned for a tag to withdraw that isn't signed."""
        there = draft.entries()
        missing = sorted(tag.name for tag in self.drop if tag.name not in there)
        if missing:
            raise Unsigned(
                f"{draft.gun} does not sign {', '.join(missing)}.",
                hint=f"What it signs: trustkit inspect {draft.gun}",
                gun=str(draft.gun),
            )
        before = {Tag(path): read_target(path, entry, role) for path, (role, entry) in there.items()}
        draft.put(self.entries(before, draft.now))
        draft.drop(tag.name for tag in self.drop)

    def entries(self, before: Mapping[Tag, SignedTarget] | None, now: datetime) -> list[TargetFile]:
        """The entries that sign ``put``, after what the tags are signed as now."""
        return [
            make_target(
                tag,
                manifest,
                before.get(tag) if before and not self.forget else None,
                now=now,
                keep=KEEP_SUPERSEDED,
                children=self.children.get(tag, ()),
            )
            for tag, manifest in self.put.items()
        ]

    def check(self, gun: Gun, view: SignedView) -> None:
        """Raises TagMoved where a view doesn't show what was put."""
        for tag, manifest in self.put.items():
            target = view.targets.get(tag)
            if target is None or target.digest != manifest.digest:
                raise TagMoved(f"{gun}:{tag} was published for {manifest.digest}, but isn't served like that.")
