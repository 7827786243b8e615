"""What is asked of the policy for each reference of a file, and what its answer means for the file."""

from __future__ import annotations

import threading

import pytest

from tests.builds.reads import digest_of, trusted
from trustkit.builds.sites import Place, Site
from trustkit.client.enforce import Verdict
from trustkit.client.pinning import Answer, Finding, Waived, answer, ask_all
from trustkit.client.verify import Trusted
from trustkit.core.names import ImageRef
from trustkit.errors import PolicyDenies, Unsigned

TAG = ImageRef.parse("r.io/a:1")
PINNED = ImageRef(TAG.gun, TAG.tag, digest_of(TAG))
OTHER = ImageRef(TAG.gun, TAG.tag, digest_of(TAG, "other"))
BARE = ImageRef(TAG.gun, None, digest_of(TAG))


def signed(ref: ImageRef) -> Verdict:
    found = trusted(ImageRef(ref.gun, TAG.tag))
    return Verdict(ref, allowed=True, rule="*", image=ref, trusted=found)


def unsigned(ref: ImageRef) -> Verdict:
    return Verdict(ref, allowed=False, rule="*", error=Unsigned(f"{ref} is not signed."))


def detecting(ref: ImageRef) -> Verdict:
    return Verdict(ref, allowed=True, rule="*", image=ref, error=Unsigned(f"{ref} is not signed."))


def unasked(ref: ImageRef) -> Verdict:
    return Verdict(ref, allowed=True, rule="r.io/*", image=ref)


def digest_only(ref: ImageRef) -> Verdict:
    if ref.digest is None:
        return Verdict(ref, allowed=False, rule="r.io/*", error=PolicyDenies(f"{ref} names no digest."))
    return unasked(ref)


CASES = [
    ("signed", signed, TAG, Trusted),
    ("signed, asked by the tag whatever digest stands there", signed, OTHER, Trusted),
    ("signed, a digest alone", signed, BARE, Trusted),
    ("unsigned", unsigned, TAG, Unsigned),
    ("unsigned, with a digest", unsigned, OTHER, Unsigned),
    ("a rule that only detects does not make it signed", detecting, TAG, Unsigned),
    ("a rule that detects, with a digest", detecting, OTHER, Unsigned),
    ("taken unasked", unasked, TAG, Waived),
    ("digests only, and there is one", digest_only, OTHER, Waived),
    ("digests only, and there is none", digest_only, TAG, PolicyDenies),
]


@pytest.mark.parametrize(("enforce", "ref", "kind"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_what_the_policy_says(enforce, ref, kind) -> None:  # type: ignore[no-untyped-def]
    assert isinstance(answer(ref, enforce), kind)


FOUND: list[tuple[str, ImageRef, Answer, str, ImageRef | None]] = [
    ("pinned", PINNED, trusted(TAG), "", PINNED),
    ("pinned to another", OTHER, trusted(TAG), "not-pinned", PINNED),
    ("not pinned", TAG, trusted(TAG), "not-pinned", PINNED),
    ("a digest alone", BARE, trusted(TAG), "", BARE),
    ("unsigned", OTHER, Unsigned("no"), "unsigned", None),
    ("taken unasked", TAG, Waived("*"), "", TAG),
]


@pytest.mark.parametrize(("ref", "said", "slug", "wanted"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
@pytest.mark.parametrize("places", [(Place(1, 1),), ()], ids=["in the file", "outside"])
def test_what_check_refuses(
    ref: ImageRef, said: Answer, slug: str, wanted: ImageRef | None, places: tuple[Place, ...]
) -> None:
    finding = Finding(Site(3, "FROM", str(ref), ref, places), said)
    problem = finding.problem("Dockerfile")
    assert (problem.slug if problem else "") == slug
    assert finding.wanted == wanted
    if slug == "not-pinned":
        assert problem is not None
        assert ("--write" in problem.hint) == bool(places)


def test_each_reference_is_asked_once_and_those_of_one_collection_in_turn() -> None:
    asked: list[ImageRef] = []
    busy: set[str] = set()
    guard = threading.Lock()

    def enforce(ref: ImageRef) -> Verdict:
        with guard:
            assert str(ref.gun) not in busy, "two at once"
            busy.add(str(ref.gun))
            asked.append(ref)
        threading.Event().wait(0.002)
        with guard:
            busy.discard(str(ref.gun))
        return signed(ref)

    refs = [ImageRef.parse(f"r.io/{name}:{tag}") for name in "abcd" for tag in (1, 2, 3)] * 2
    answers = ask_all(refs, enforce)
    assert set(answers) == set(refs)
    assert sorted(map(str, asked)) == sorted(map(str, set(refs)))
