"""What is found in a file: references with the places where their digest is or goes, and what is left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trustkit.builds.source import OUTSIDE, Source, Traced
from trustkit.builds.words import Expanded
from trustkit.core.familiar import familiar
from trustkit.core.names import Digest, ImageRef, shown
from trustkit.errors import InvalidReference

MAX_SITES = 1000
_DIGEST_LENGTH = len("sha256:") + 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file a digest goes: in place of what stands there, or as new text where ``start`` is ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Edit:
    """New text in the place of old."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Site:
    """One reference to an image.

    Args:
        what: what names it, as the file's language says it: ``FROM``, ``image``.
        written: the reference with its variables replaced.
        places: where its digest can be written, the best first; empty where it comes from outside the file.
        end: where the word ends that names it, for who writes a file that counts once; ``OUTSIDE`` where nowhere.
    """

    line: int
    what: str
    written: str
    ref: ImageRef
    places: tuple[Place, ...]
    end: int = OUTSIDE

    def edit(self, digest: Digest, choice: int) -> Edit | None:
        """How the digest is written at one of the places; None where there is none.

        Args:
            choice: which of ``places``; the last where there are fewer.
        """
        if not self.places:
            return None
        place = self.places[min(choice, len(self.places) - 1)]
        if place.start != place.end:
            return Edit(place.start, place.end, str(digest))
        tag = "" if ":" in self.written.rpartition("/")[2] else f":{self.ref.tag}"
        return Edit(place.start, place.end, f"{tag}@{digest}")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that looks like a reference and is none to be resolved, and why."""

    line: int
    what: str
    written: str
    reason: str


@dataclass(frozen=True, slots=True)
class Other:
    """A file that counts as if it stood in this one, by its path from this one's folder."""

    line: int
    what: str
    path: str


@dataclass(frozen=True, slots=True)
class Build:
    """A build by a Dockerfile of its own.

    Args:
        context, dockerfile: as they are written, variables replaced; the second one in the first.
        arguments: what counts as build arguments.
        contexts: the names of additional contexts.
        by_default: nobody wrote the Dockerfile's name, and tools look for several.
    """

    line: int
    context: str
    dockerfile: str
    arguments: Mapping[str, str]
    contexts: Sequence[str] = ()
    by_default: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """What the last stage of a Dockerfile runs on, and what else it is built from.

    Args:
        runtime: None for ``scratch``.
    """

    line: int
    runtime: ImageRef | None
    buildtime: tuple[ImageRef, ...]


@dataclass(slots=True)
class Reading:
    """All that was found in a file, in its order."""

    sites: list[Site] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    arguments: set[str] = field(default_factory=set)
    others: list[Other] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)

    def add(self, source: Source, what: str, expanded: Expanded, *, line: int) -> ImageRef:
        """Adds a reference.

        Args:
            line: where it is named.

        Raises:
            BuildFileInvalid: it is none, or there are too many.
        """
        written = expanded.text.text
        try:
            ref = familiar(written)
        except InvalidReference as error:
            raise source.invalid_line(line, f"({what}): {error.message}", hint=error.hint) from error
        if len(self.sites) == MAX_SITES:
            raise source.invalid_line(line, f"is past {MAX_SITES} references.", hint="Divide the file.")
        self.sites.append(Site(line, what, written, ref, _places(expanded, ref), expanded.outer))
        return ref

    def skip(self, what: str, written: str, reason: str, *, line: int) -> None:
        """Adds something that is left alone."""
        quoted = written if written.isprintable() and len(written) <= 120 else shown(written)
        self.skipped.append(Skipped(line, what, quoted, reason))

    def extend(self, other: Reading) -> None:
        """Adds all that was found in a part of the file."""
        self.sites += other.sites
        self.skipped += other.skipped
        self.chains += other.chains
        self.arguments |= other.arguments
        self.others += other.others
        self.builds += other.builds


def _places(expanded: Expanded, ref: ImageRef) -> tuple[Place, ...]:
    text: Traced = expanded.text
    if ref.digest is not None:
        digest = text.part(len(text.text) - _DIGEST_LENGTH, len(text.text))
        return (Place(*digest.span),) if digest.span else ()
    if expanded.inner is None:
        return ()
    return tuple(Place(end, end) for end in dict.fromkeys((expanded.inner, expanded.outer)) if end >= 0)


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The text with each edit made; edits of the same place have to be the same, or none fits.

    Raises:
        ValueError: two edits overlap and aren't equal.
    """
    chosen: Mapping[tuple[int, int], Edit] = {(edit.start, edit.end): edit for edit in edits}
    if any(chosen[edit.start, edit.end] != edit for edit in edits):
        raise ValueError("one place, two digests")
    done, position = [], 0
    for edit in sorted(chosen.values(), key=lambda each: (each.start, each.end)):
        if edit.start < position:
            raise ValueError("places overlap")
        done += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*done, text[position:]])
