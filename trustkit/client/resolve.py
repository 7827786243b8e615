"""What references point at: asked many at a time, each hashed, all of them before a key is touched (TRUST 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from trustkit.core.gating import MAX_DEPTH, MAX_DESCRIPTORS
from trustkit.core.manifests import Descriptor, check_unambiguous, children
from trustkit.core.names import Digest, Gun, Host, ImageRef, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.remote import ImageRegistry
from trustkit.errors import DigestMismatch, Garbage, TimedOut, TrustkitError, Unreachable, UsageError

T = TypeVar("T")

WORKERS = 16
_HOST_IS_DOWN = (Unreachable, TimedOut)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A reference with the manifest that it names, and what lies below an index where that was asked for."""

    ref: ImageRef
    manifest: ManifestBytes
    children: tuple[ManifestBytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A reference that can't be signed, and why."""

    ref: ImageRef
    error: TrustkitError


Outcome: TypeAlias = Resolved | Unresolved


class Resolver:
    """Finds out what references point at in the registry's own view, 16 requests at a time.

    Args:
        registry: safe to use from several threads.
        require: raises where the caller may not publish to a GUN; asked before the GUN's tags are (TRUST 8.1).
    """

    def __init__(self, registry: ImageRegistry, require: Callable[[Gun], None], *, workers: int = WORKERS) -> None:
        self._registry = registry
        self._require = require
        self._workers = workers

    def __call__(
        self, refs: Sequence[ImageRef], *, recursive: bool = False, tick: Callable[[], None] = lambda: None
    ) -> list[Outcome]:
        """The outcome of each reference, in their order; what fails doesn't stop the others.

        Args:
            refs: each with a tag.
            recursive: fetch the manifests below indexes, too: four steps and 1,000 descriptors, as in the gateway.
            tick: called, in any thread, whenever a reference is done.
        """
        with ThreadPoolExecutor(self._workers) as pool:
            asking = _Asking(self._registry, pool)
            guns = list(dict.fromkeys(ref.gun for ref in refs))
            rights = dict(zip(guns, pool.map(lambda gun: asking.may(gun, self._require), guns), strict=True))

            def top(ref: ImageRef) -> Outcome:
                refused = rights[ref.gun]
                got = refused or asking.manifest(ref.gun, ref.digest or ref.required_tag)
                tick()
                return Unresolved(ref, got) if isinstance(got, TrustkitError) else Resolved(ref, got)

            outcomes = list(pool.map(top, refs))
            if recursive:
                outcomes = asking.below(outcomes)
        return _agreeing(outcomes)


class _Asking:
    """One run's requests.  A host that can't be reached, or doesn't answer in time, isn't asked again."""

    def __init__(self, registry: ImageRegistry, pool: ThreadPoolExecutor) -> None:
        self._registry = registry
        self._pool = pool
        self._down: dict[Host, TrustkitError] = {}

    def may(self, gun: Gun, require: Callable[[Gun], None]) -> TrustkitError | None:
        """Why nothing may be published to a GUN; None where it may."""
        return self._attempt(gun, lambda: require(gun))

    def manifest(self, gun: Gun, reference: Tag | Digest) -> ManifestBytes | TrustkitError:
        """A manifest in the registry's own view, with the digest that was asked for."""
        return self._attempt(gun, lambda: self._fetch(gun, reference))

    def below(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The same with everything below the indexes among them, level by level and each manifest once."""
        walks = [_Walk(outcome) for outcome in outcomes]
        for _ in range(MAX_DEPTH):
            wanted = list(dict.fromkeys((walk.ref.gun, child.digest) for walk in walks for child in walk.level))
            got = dict(zip(wanted, self._pool.map(lambda want: self.manifest(*want), wanted), strict=True))
            for walk in walks:
                walk.descend(got)
        return [walk.end() for walk in walks]

    def _fetch(self, gun: Gun, reference: Tag | Digest) -> ManifestBytes:
        found = self._registry.manifest(gun, reference, registry_view=True)
        if isinstance(reference, Digest) and found.digest != reference:
            raise DigestMismatch(f"The registry sent {found.digest} for {gun}@{reference}.")
        check_unambiguous(found)
        children(found)  # an index that can't be read is not signed, also where nobody asks for what is below it
        return found

    def _attempt(self, gun: Gun, act: Callable[[], T]) -> T | TrustkitError:
        if (error := self._down.get(gun.host)) is not None:
            return error
        try:
            return act()
        except _HOST_IS_DOWN as down:
            return self._down.setdefault(gun.host, down)
        except TrustkitError as failed:
            return failed


@dataclass(slots=True)
class _Walk:
    """The way down from one reference: what was found, and the level that comes next."""

    start: Outcome
    found: dict[Digest, ManifestBytes] = field(default_factory=dict)
    listed: dict[Digest, Descriptor] = field(default_factory=dict)
    level: tuple[Descriptor, ...] = ()
    error: TrustkitError | None = None

    def __post_init__(self) -> None:
        if isinstance(self.start, Resolved):
            self._go_on([self.start.manifest])

    @property
    def ref(self) -> ImageRef:
        return self.start.ref

    def descend(self, got: Mapping[tuple[Gun, Digest], ManifestBytes | TrustkitError]) -> None:
        """Takes the manifests of this level, each of which has to be what its index says."""
        fresh = []
        for child in self.level:
            manifest = got[self.ref.gun, child.digest]
            if isinstance(manifest, TrustkitError):
                self._fail(manifest)
                return
            if (len(manifest.data), manifest.media_type) != (child.size, child.media_type):
                self._fail(_otherwise(self.ref, child, manifest))
                return
            self.found[child.digest] = manifest
            fresh.append(manifest)
        self._go_on(fresh)

    def end(self) -> Outcome:
        """The outcome, after the last level."""
        if self.level:
            self._fail(Garbage(f"{self.ref} is nested deeper than {MAX_DEPTH} levels."))
        if self.error is not None:
            return Unresolved(self.ref, self.error)
        if isinstance(self.start, Unresolved):
            return self.start
        return Resolved(self.ref, self.start.manifest, tuple(self.found.values()))

    def _go_on(self, manifests: Iterable[ManifestBytes]) -> None:
        below = {child: None for manifest in manifests for child in children(manifest)}
        for child in below:
            if self.listed.setdefault(child.digest, child) != child:
                self._fail(DigestMismatch(f"{self.ref} lists the manifest {child.digest} twice, in different ways."))
                return
        self.level = tuple(child for child in below if child.digest not in self.found)
        if len(self.listed) > MAX_DESCRIPTORS:
            self._fail(Garbage(f"{self.ref} has more than {MAX_DESCRIPTORS} manifests below it."))

    def _fail(self, error: TrustkitError) -> None:
        self.error, self.level = error, ()


def _otherwise(ref: ImageRef, listed: Descriptor, found: ManifestBytes) -> DigestMismatch:
    said = f"{listed.size} bytes of {ascii(listed.media_type)[:100]}"
    return DigestMismatch(
        f"{ref}: the manifest {listed.digest} is not as its index says: {len(found.data)} bytes of "
        f"{found.media_type}, not {said}."
    )


def _agreeing(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The same, where a tag that is named again for another digest has failed."""
    digests: dict[tuple[Gun, Tag | None], Digest] = {}
    agreed: list[Outcome] = []
    for outcome in outcomes:
        if isinstance(outcome, Resolved):
            digest, ref = outcome.manifest.digest, outcome.ref
            if digests.setdefault((ref.gun, ref.tag), digest) != digest:
                error = UsageError(f"{ref.gun}:{ref.tag} is named twice, for different digests.")
                agreed.append(Unresolved(ref, error))
                continue
        agreed.append(outcome)
    return agreed
