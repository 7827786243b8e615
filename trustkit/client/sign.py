"""Signing and revoking tags: the digest is resolved, verified, shown, and only then signed (TRUST 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from trustkit.client.change import Change
from trustkit.client.outcome import Leave
from trustkit.client.outcome import Outcome as Published
from trustkit.client.resolve import Outcome as Found
from trustkit.client.resolve import Resolved, Resolver, Unresolved
from trustkit.client.story import Story
from trustkit.client.trust import Current
from trustkit.core.bins import Near
from trustkit.core.manifests import describe
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.remote import ImageRegistry
from trustkit.core.view import SignedView
from trustkit.errors import UsageError

Watch: TypeAlias = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Told how many references there are; gives what to call, in any thread, whenever one is resolved."""


@contextmanager
def unwatched(total: int) -> Iterator[Callable[[], None]]:  # noqa: ARG001 - the signature of a Watch
    """A Watch that tells nobody."""
    yield lambda: None


class TagPublisher(Protocol):
    """What publishes changes of tags: ``Publisher``, or ``EitherPublisher``."""

    def require(self, gun: Gun) -> None: ...
    def current(self, gun: Gun, tags: Near | None = None) -> Current | None: ...
    def publish(
        self,
        gun: Gun,
        change: Change,
        *,
        root_key: str | None = None,
        found: bool = True,
        leave: Leave = Leave.IF_NEEDED,
    ) -> Published: ...


@dataclass(frozen=True, slots=True)
class SignedTag:
    """A tag that is signed now, for this digest."""

    gun: Gun
    tag: Tag
    digest: Digest

    def __str__(self) -> str:
        return f"{self.gun}:{self.tag}@{self.digest}"


class Sign:
    """The sign, revoke and init use cases.

    Args:
        registry: safe to use from several threads.
        say: says one line to whoever signs.
        watch: told how the resolving of many references goes.
    """

    def __init__(
        self,
        registry: ImageRegistry,
        publisher: TagPublisher,
        *,
        say: Callable[[str], None],
        watch: Watch = unwatched,
    ) -> None:
        self._resolver = Resolver(registry, publisher.require)
        self._publisher = publisher
        self._say = say
        self._watch = watch

    def require(self, gun: Gun) -> None:
        """Raises RoleMissing, LoginRequired and the like where the caller may not sign."""
        self._publisher.require(gun)

    def sign(
        self, refs: Sequence[ImageRef], *, root_key: str | None = None, recursive: bool = False
    ) -> list[SignedTag]:
        """Signs what each reference names, publishing each GUN once: ``resolve`` and ``publish``.

        Raises:
            the error of the first reference that can't be resolved; then nothing was signed.
            everything that ``resolve`` and ``publish`` raise.
        """
        resolved = []
        for outcome in self.resolve(refs, recursive=recursive):
            if isinstance(outcome, Unresolved):
                raise outcome.error
            resolved.append(outcome)
        return [signed for published in self.publish(resolved, root_key=root_key) for signed in published]

    def resolve(self, refs: Sequence[ImageRef], *, recursive: bool = False) -> list[Found]:
        """What each reference names, in their order, shown; no key is touched and nothing is changed.

        A reference with a digest names that digest; one without names what the registry's own tag points at.

        Args:
            recursive: also the manifests below indexes, each fetched and hashed.

        Raises:
            UsageError: no references.
            InvalidReference: a reference without a tag.
        """
        if not refs:
            raise UsageError(
                "No reference was given.", hint="Name tags, HOST/repository:TAG, or give a list: --file FILE."
            )
        for ref in refs:
            _ = ref.required_tag
        with self._watch(len(refs)) as tick:
            outcomes = self._resolver(refs, recursive=recursive, tick=tick)
        for outcome in outcomes:
            if isinstance(outcome, Resolved):
                self._show(outcome)
        return outcomes

    def publish(
        self,
        resolved: Sequence[Resolved],
        *,
        root_key: str | None = None,
        forget: bool = False,
        leave: Leave = Leave.IF_NEEDED,
        told: Callable[[Gun, Published], None] = lambda _gun, _outcome: None,
    ) -> Iterator[list[SignedTag]]:
        """Signs what was resolved and publishes each GUN once; yields a GUN's tags as soon as they are signed.

        Of a GUN where others have to sign, too, a proposal is left, and nothing is yielded.

        Args:
            forget: what these tags were before can't be pulled by digest any more.
            leave: when a proposal is left.
            told: of each GUN, what became of it.

        What was yielded stays signed, whatever happens to a later GUN; that one and those after it are told.

        Raises:
            everything that ``Publisher.publish`` raises.
        """
        wanted: dict[Gun, dict[Tag, Resolved]] = {}
        for each in resolved:
            wanted.setdefault(each.ref.gun, {})[each.ref.required_tag] = each
        story = Story(list(wanted), self._say)
        for gun, tags in wanted.items():
            change = _change(tags, forget=forget)
            with story.of(gun):
                outcome = story.add(self._publisher.publish(gun, change, root_key=root_key, leave=leave))
            told(gun, outcome)
            if outcome.proposal is None:
                yield [SignedTag(gun, tag, each.manifest.digest) for tag, each in tags.items()]

    def signed(self, gun: Gun, tag: Tag) -> Digest | None:
        """The digest that a tag is signed for now; None where it is unsigned.  Raises as ``Trust.current``."""
        current = self._publisher.current(gun, Near({tag}))
        target = current.view.targets.get(tag) if current else None
        return target.digest if target else None

    def revoke(self, refs: Sequence[ImageRef]) -> list[ImageRef]:
        """Withdraws the signatures of these tags, publishing each GUN once.

        Returns:
            Those that are withdrawn now; for the others a proposal was left.

        Raises:
            UsageError: a reference with a digest.
            Unsigned, NoCollection: nothing to withdraw.
        """
        drops: dict[Gun, set[Tag]] = {}
        for ref in refs:
            if ref.digest is not None:
                raise UsageError(f"{ref} has a digest; a tag is revoked.", hint="Leave out the part from @ on.")
            drops.setdefault(ref.gun, set()).add(ref.required_tag)
        for gun in drops:
            self._publisher.require(gun)
        story = Story(list(drops), self._say)
        for gun, tags in drops.items():
            with story.of(gun):
                story.add(self._publisher.publish(gun, Change(drop=frozenset(tags)), found=False))
        return [ref for ref in refs if ref.gun in story.done]

    def init(self, gun: Gun, *, root_key: str | None = None) -> SignedView:
        """Founds a collection that signs nothing yet; raises UsageError where there is one."""
        self._publisher.require(gun)
        there = self._publisher.current(gun)
        if there is not None:
            raise UsageError(f"{gun} has a collection already, with {len(there.view.targets)} signed tags.")
        return self._publisher.publish(gun, Change(), root_key=root_key).view

    def _show(self, found: Resolved) -> None:
        manifest = found.manifest
        self._say(f"{found.ref.gun}:{found.ref.tag} is {manifest.digest} ({describe(manifest)})")
        for child in found.children:
            self._say(f"  with {child.digest} ({describe(child)})")


def _change(tags: dict[Tag, Resolved], *, forget: bool) -> Change:
    return Change(
        put={tag: each.manifest for tag, each in tags.items()},
        children={tag: tuple(child.digest for child in each.children) for tag, each in tags.items() if each.children},
        forget=forget,
    )
