"""Build and deployment files to signed digests: ask for each reference once, plan what to write, read it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from trustkit.builds.read import FileKind
from trustkit.builds.sites import Edit, Reading, Site, apply
from trustkit.builds.source import Source, shown_path
from trustkit.client.enforce import Verdict
from trustkit.client.verify import Trusted
from trustkit.core.names import Gun, ImageRef
from trustkit.errors import BuildFileInvalid, CannotPin, NotPinned, PolicyDenies, TrustkitError

WORKERS = 8


@dataclass(frozen=True, slots=True)
class Waived:
    """The policy takes it as it is, and nobody was asked whether it is signed.

    Args:
        rule: the pattern of the rule.
    """

    rule: str


Answer = Trusted | Waived | TrustkitError
Answers = Mapping[ImageRef, Answer]
Read = Callable[[Source], Reading]


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file as it was read."""

    source: Source
    kind: FileKind
    reading: Reading


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one reference: the digest that is signed for it, or why there is none."""

    site: Site
    answer: Answer

    @property
    def pinned(self) -> bool:
        """Whether the file has the digest that is signed."""
        return isinstance(self.answer, Trusted) and self.site.ref.digest == self.answer.digest

    @property
    def wanted(self) -> ImageRef | None:
        """What the file should say: the reference with its signed digest, or as it is; None where it is refused."""
        if isinstance(self.answer, Trusted):
            return ImageRef(self.site.ref.gun, self.site.ref.tag, self.answer.digest)
        return self.site.ref if isinstance(self.answer, Waived) else None

    def problem(self, file: str) -> TrustkitError | None:
        """Why ``--check`` refuses it; None where it doesn't."""
        if not isinstance(self.answer, Trusted):
            return None if isinstance(self.answer, Waived) else self.answer
        if self.pinned:
            return None
        ref, signed = self.site.ref, self.answer.digest
        was = f"is pinned to {ref.digest}" if ref.digest else "is pinned to no digest"
        outside = f"Its value isn't written in the file as it is meant; set it to {self.wanted}"
        return NotPinned(
            f"{ref.gun}:{ref.tag} {was}, and {signed} is signed.",
            hint=f"Write it in: trustkit resolve --write {shown_path(file)}" if self.site.places else outside,
            file=file,
            line=self.site.line,
            signed=str(signed),
        )


def answer(ref: ImageRef, enforce: Callable[[ImageRef], Verdict]) -> Answer:
    """What is trusted now of what a file names: by its tag, where it has one, whatever digest stands there."""
    verdict = enforce(ImageRef(ref.gun, ref.tag) if ref.tag else ref)
    if verdict.trusted is not None:
        return verdict.trusted
    if verdict.allowed and verdict.error is None:
        return Waived(verdict.rule)
    if ref.tag and ref.digest:
        as_it_is = enforce(ref)
        if as_it_is.allowed and as_it_is.error is None and as_it_is.trusted is None:
            return Waived(as_it_is.rule)
    return verdict.error or PolicyDenies(f"{ref} is refused by the rule {verdict.rule}.")


def ask_all(refs: Iterable[ImageRef], enforce: Callable[[ImageRef], Verdict], *, workers: int = WORKERS) -> Answers:
    """What is trusted of each reference; collections at the same time, references of one in turn.

    Args:
        enforce: decides for one reference, in any thread.
        workers: how many collections at a time; 1 where a person may be asked.
    """
    by_gun: dict[Gun, list[ImageRef]] = {}
    for ref in dict.fromkeys(refs):
        by_gun.setdefault(ref.gun, []).append(ref)

    def one_gun(wanted: Sequence[ImageRef]) -> list[tuple[ImageRef, Answer]]:
        return [(ref, answer(ref, enforce)) for ref in wanted]

    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(one_gun, by_gun.values()))
    return dict(each for answers in done for each in answers)


def findings(file: ReadFile, answers: Answers) -> list[Finding]:
    """What is known of each reference of a file, in its order."""
    return [Finding(site, answers[site.ref]) for site in file.reading.sites]


def pinned_text(file: ReadFile, found: Sequence[Finding], read: Read) -> str:
    """The file's text with every reference by its signed digest, everything else as it is.

    The text is read again, and every reference has to be what it was, with its digest.

    Args:
        found: all of the file's, none of them refused.
        read: reads a text as the file was read.

    Raises:
        CannotPin: a reference is set outside the file, or its digest would change something else.
    """
    wanted = [each.wanted for each in found]
    for each in found:
        if isinstance(each.answer, Trusted) and not each.pinned and not each.site.places:
            raise CannotPin(
                f"{shown_path(file.source.name)}:{each.site.line} ({each.site.what}): the value "
                f"{each.site.written} isn't written in the file as it is meant.",
                hint=f"Set it where it comes from, or write it out, as {each.wanted}",
                file=file.source.name,
                line=each.site.line,
            )
    differs: Site | None = None
    for choice in (0, 1):
        try:
            text = apply(file.source.text, _edits(found, choice))
            again = read(Source(file.source.name, text))
        except (BuildFileInvalid, ValueError):
            continue
        read_back = [site.ref for site in again.sites]
        if read_back == wanted and len(again.skipped) == len(file.reading.skipped):
            return text
        pairs = zip(found, read_back, wanted, strict=False)
        differs = differs or next((each.site for each, got, want in pairs if got != want), None)
    first = differs or next(each.site for each in found if each.wanted != each.site.ref)
    raise CannotPin(
        f"{shown_path(file.source.name)}:{first.line} ({first.what}): a digest in {first.written} would change what "
        "other lines mean.",
        hint="A variable is used in several ways. Write the reference out in this line.",
        file=file.source.name,
        line=first.line,
    )


def _edits(found: Sequence[Finding], choice: int) -> list[Edit]:
    edits = []
    for each in found:
        if isinstance(each.answer, Trusted) and not each.pinned:
            edit = each.site.edit(each.answer.digest, choice)
            if edit is not None:
                edits.append(edit)
    return edits
