"""Who else may sign a collection's tags: adding, replacing, removing and listing signers (TRUST 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from securesystemslib.signer import Key

from trustkit.client.docker_publish import unspeakable
from trustkit.client.outcome import Outcome
from trustkit.client.story import Story
from trustkit.client.trust import Current
from trustkit.core.difference import Difference
from trustkit.core.draft import Draft
from trustkit.core.formats.docker import signers as docker_signers
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.keys import from_tuf
from trustkit.core.names import Gun, SignerName
from trustkit.core.signers import add_signer, overlapping, remove_signer, replace_signer
from trustkit.core.view import SignedView
from trustkit.errors import NoCollection

Agree = Callable[[Difference], None]


@dataclass(frozen=True, slots=True)
class Added:
    """What is wanted of a new or replaced signer; no ``paths`` is every path that no limited signer has."""

    name: SignerName
    key: Key
    paths: tuple[str, ...] = ()
    before: SignerName | None = None


@dataclass(frozen=True, slots=True)
class SignerRow:
    """A signer as it is now: its keys, the patterns it has to itself (none: all the rest), the tags in its role."""

    name: str
    key_ids: tuple[str, ...]
    paths: tuple[str, ...]
    threshold: int
    tags: int


@dataclass(frozen=True, slots=True)
class SignerEdit:
    """One change of a signer, in either format; ``key`` is None where it is removed, ``adds`` says that it is new."""

    name: SignerName
    key: Key | None
    paths: tuple[str, ...] = ()
    before: SignerName | None = None
    adds: bool = False
    resign: bool = False

    def __call__(self, draft: Draft) -> None:
        """In format ``tuf``."""
        if self.key is None:
            remove_signer(draft, self.name, resign=self.resign)
        elif self.adds:
            add_signer(draft, self.name, self.key, paths=self.paths, before=self.before)
        else:
            replace_signer(draft, self.name, self.key, resign=self.resign)

    def docker(self, draft: DockerDraft) -> None:
        """In format ``docker``; raises WrongFormat for paths and an order, which it hasn't."""
        if self.paths or self.before:
            raise unspeakable(
                draft.gun,
                "signers with paths of their own, or an order of them",
                "Docker asks every signer for every tag; leave out --paths and --before.",
            )
        key = None if self.key is None else from_tuf(self.key)
        if self.adds and key is not None:
            docker_signers.add_signer(draft, self.name, key)
        else:
            docker_signers.end_signer(draft, self.name, key, resign=self.resign)


class SignerPublisher(Protocol):
    """What publishes changes of signers."""

    def require(self, gun: Gun) -> None: ...
    def current(self, gun: Gun) -> Current | None: ...
    def change(self, gun: Gun, edit: SignerEdit, *, agree: Agree) -> Outcome: ...
    def preview(self, gun: Gun, edit: SignerEdit) -> Difference: ...


class Signers:
    """The use cases of ``trustkit signer``; each change is one atomic publish a collection."""

    def __init__(self, publisher: SignerPublisher, *, say: Callable[[str], None]) -> None:
        self._publisher = publisher
        self._say = say

    def add(self, guns: Sequence[Gun], wanted: Added, agree: Agree) -> Iterator[Gun]:
        """Adds a signer to each collection; yields each where that is done, not proposed.

        What was yielded stays done, whatever happens to a later one; that one and those after it are told.

        Raises:
            Conflict: it or its key signs already.
        """
        for gun in guns:
            self._warn_of_overlaps(gun, wanted)
        return self._each(guns, _adding(wanted), agree)

    def replace(self, guns: Sequence[Gun], wanted: Added, agree: Agree, *, resign: bool) -> Iterator[Gun]:
        """Gives the signer another key, and yields as ``add``; raises NotFound where it doesn't sign."""
        return self._each(guns, SignerEdit(wanted.name, wanted.key, resign=resign), agree)

    def remove(self, guns: Sequence[Gun], name: SignerName, agree: Agree, *, resign: bool) -> Iterator[Gun]:
        """Removes the signer, and yields as ``add``; raises NotFound where it doesn't sign."""
        return self._each(guns, SignerEdit(name, None, resign=resign), agree)

    def preview_add(self, gun: Gun, wanted: Added) -> Difference:
        """What ``add`` would change."""
        return self._publisher.preview(gun, _adding(wanted))

    def preview_replace(self, gun: Gun, wanted: Added, *, resign: bool) -> Difference:
        """What ``replace`` would change."""
        return self._publisher.preview(gun, SignerEdit(wanted.name, wanted.key, resign=resign))

    def preview_remove(self, gun: Gun, name: SignerName, *, resign: bool) -> Difference:
        """What ``remove`` would change."""
        return self._publisher.preview(gun, SignerEdit(name, None, resign=resign))

    def _each(self, guns: Sequence[Gun], edit: SignerEdit, agree: Agree) -> Iterator[Gun]:
        for gun in guns:
            self._publisher.require(gun)
        story = Story(guns, self._say)
        for gun in guns:
            self._say(f"{gun}:")
            with story.of(gun):
                outcome = story.add(self._changed(gun, edit, agree))
            if outcome.proposal is None:
                yield gun

    def _changed(self, gun: Gun, edit: SignerEdit, agree: Agree) -> Outcome:
        try:
            return self._publisher.change(gun, edit, agree=agree)
        except NoCollection as error:
            error.hint = f"Make its collection first: trustkit init {gun}, or sign a tag."
            raise

    def _warn_of_overlaps(self, gun: Gun, wanted: Added) -> None:
        current = self._publisher.current(gun)
        for role in signer_rows(current.view) if current else ():
            shared = [(own, its) for own in wanted.paths for its in role.paths if overlapping(own, its)]
            if shared and role.name != wanted.name.name:
                first = wanted.name if wanted.before and wanted.before.name == role.name else role.name
                self._say(
                    f"{gun}: {shared[0][0]} and {shared[0][1]} of {role.name} match tags alike; {first} is asked "
                    "first, and what it doesn't sign isn't trusted. --before changes the order."
                )


def _adding(wanted: Added) -> SignerEdit:
    return SignerEdit(wanted.name, wanted.key, wanted.paths, wanted.before, adds=True)


def signer_rows(view: SignedView) -> list[SignerRow]:
    """The signers of a verified collection in the order in which they are asked; none where there are none."""
    counts: dict[str, int] = {}
    for target in view.targets.values():
        counts[target.role] = counts.get(target.role, 0) + 1
    releases = counts.get(view.releases, 0)
    rows = []
    for role in view.signers:
        own = tuple(key_id for key_id in role.key_ids if key_id not in view.target_keys)
        paths = role.paths if role.grants else ()
        name = role.name.removeprefix("targets/")
        rows.append(SignerRow(name, own, paths, role.threshold, counts.get(role.name, 0) if paths else releases))
    return rows
