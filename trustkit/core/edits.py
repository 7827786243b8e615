"""The files of a draft: those that it starts from, and the edited ones."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime

from tuf.api.metadata import Root, Snapshot, Targets

from trustkit.core.bins import prefix_of
from trustkit.core.build import first_targets, next_targets
from trustkit.core.delegations import TARGETS, Delegations, read_delegations
from trustkit.core.draftfiles import files_with_tags
from trustkit.core.formats.tuf1 import meta_version, read
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.places import Places
from trustkit.core.readings import Reader
from trustkit.core.shape import Shape
from trustkit.errors import Rejected

MAX_JUMP = 64
"""How far the service may say that a role's version lies ahead, for proposals that were dropped (TRUST 3.4)."""


class Edits:
    """The next state of a collection, file by file: what ``Draft`` is made of.

    Args:
        files: the verified current files by role, snapshot included; of hash bins those that are to be edited are
            enough, as long as nothing but tags is.
        floors: by role a version that was used up without being published; the next one lies above it.
        reader: reads the files, where the caller has one that knows them.

    Raises:
        Malformed: a file can't be read; they were verified, so this can't happen to who got them from ``Trust``.
    """

    def __init__(
        self,
        gun: Gun,
        files: Mapping[str, bytes],
        *,
        now: datetime,
        lifetimes: Lifetimes,
        floors: Mapping[str, int] | None = None,
        reader: Reader = read,
    ) -> None:
        self.gun = gun
        self.now = now
        self._life, self._longest = lifetimes.default, lifetimes.longest
        self._floors = floors or {}
        self._files = files
        self._snapshot = reader(files["snapshot"], Snapshot).signed
        self._old_root = reader(files["root"], Root)
        self._old = files_with_tags(files, self._old_root.signed, reader)
        self._root: Root | None = None
        self._edited: dict[str, Targets] = {}
        self._prefixes: dict[str, str | None] = {}
        self.ready: dict[str, bytes] = {}
        """Files that were signed elsewhere and go as they are, by role."""

    @property
    def root(self) -> Root:
        """The root as the draft has it; change it through ``edit_root``."""
        return self._root or self._old_root.signed

    @property
    def old_root(self) -> Root:
        """The root that the draft started from."""
        return self._old_root.signed

    def edit_root(self) -> Root:
        """The next root, to be changed in place; its expiry is a whole life from now."""
        self._require_whole()
        if self._root is None:
            self._root = deepcopy(self._old_root.signed)
            self._root.version += 1
            self._root.expires = (self.now + self._life["root"]).replace(microsecond=0)
        return self._root

    def targets(self, role: str = TARGETS) -> Targets | None:
        """A role's file as the draft has it; None where it has none yet."""
        if role in self._edited:
            return self._edited[role]
        return self._old[role].signed if role in self._old else None

    def edit(self, role: str = TARGETS) -> Targets:
        """The next version of a role's file, to be changed in place; an empty first one where there is none.

        A name that was in use before goes on at the version after its last (TRUST 3.4).
        """
        if role not in self._edited:
            assert role in self._old or not self._unseen(role), role  # noqa: S101 - a programming error: see ``files``
            life = self._life["targets"]
            used = max(self.version(role), self._floor(role))
            if role in self._old:
                following = next_targets(self._old[role].signed, now=self.now, life=life)
                following.version = used + 1
            else:
                name = role if prefix_of(role) else None
                following = first_targets(self.gun, now=self.now, life=life, version=used + 1, hash_bin=name)
            self._edited[role] = following
        return self._edited[role]

    def _unseen(self, role: str) -> bool:
        """Whether this is a bin with tags that isn't here; one that only attributes is made anew then."""
        bins = self.places.bins if prefix_of(role) and self.version(role) else None
        return bins is not None and role in bins

    def version(self, role: str) -> int:
        """The version of a role's file that the draft started from, 0 where it never had one; not for root."""
        return meta_version(self._snapshot.meta, role) or 0

    def latest_expiry(self, role: str) -> datetime:
        """The latest expiry that a role's file may have (TRUST 3.3)."""
        return self.now + self._longest["root" if role == "root" else TARGETS]

    def _floor(self, role: str) -> int:
        current = self.version(role)
        floor = self._floors.get(role, 0)
        if floor > current + MAX_JUMP:
            raise Rejected(
                f"The service says that {role} of {self.gun} is at version {floor}, {floor - current} after the one "
                f"that it serves; nothing is signed that far ahead.",
                hint="Ask the service's operator what happened.",
            )
        return floor

    @property
    def delegations(self) -> Delegations | None:
        """Who may sign which tags in the draft; raises BadDelegation where an edit broke the shape."""
        return read_delegations(self._certain(TARGETS), self.root)

    @property
    def places(self) -> Places:
        """Who may sign which tags in the draft, and where they lie."""
        return self.after.places

    @property
    def before(self) -> Shape:
        """The state that the draft started from."""
        return Shape(self._old_root.signed, {role: file.signed for role, file in self._old.items()})

    @property
    def after(self) -> Shape:
        """The state that the draft makes."""
        return Shape(self.root, {role: file.signed for role, file in self._old.items()} | self._edited)

    def _require_whole(self) -> None:
        assert set(self.before.places.files) <= self._old.keys()  # noqa: S101 - a programming error: see ``files``

    def _certain(self, role: str) -> Targets:
        found = self.targets(role)
        assert found is not None  # noqa: S101 - every collection has it
        return found
