"""Resolving many references: order, what fails and what is asked no more, and the way down from an index."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest

from trustkit.client.resolve import Outcome, Resolved, Resolver, Unresolved
from trustkit.core.gating import MAX_DEPTH, MAX_DESCRIPTORS
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.errors import DigestMismatch, Garbage, NotFound, RoleMissing, TimedOut, TrustkitError, Unreachable

APP = "r.example.com/app"


def image(note: str) -> ManifestBytes:
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "note": note}).encode()
    return ManifestBytes(Digest.of(data), OCI_MANIFEST, data)


def index(*below: ManifestBytes, **changed: object) -> ManifestBytes:
    listed = [{"mediaType": m.media_type, "digest": str(m.digest), "size": len(m.data), **changed} for m in below]
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode()
    return ManifestBytes(Digest.of(data), OCI_INDEX, data)


class Registry:
    """Manifests by tag or digest in every repository, and what goes wrong; the real one is asked in tests/e2e."""

    def __init__(self) -> None:
        self.held: dict[str, ManifestBytes] = {}
        self.wrong: dict[str, TrustkitError] = {}
        self.asked: list[str] = []
        self.together: threading.Barrier | None = None
        self._lock = threading.Lock()

    def hold(self, *manifests: ManifestBytes, **tags: ManifestBytes) -> None:
        self.held |= {str(m.digest): m for m in (*manifests, *tags.values())} | tags

    def manifest(self, gun: Gun, reference: Tag | Digest, *, registry_view: bool = False) -> ManifestBytes:
        assert registry_view, "the registry's own tag is what gets signed (TRUST 7.2)"
        with self._lock:
            self.asked.append(f"{gun.host}:{reference}")
        if self.together:
            self.together.wait(20)
        if error := self.wrong.get(str(gun.host)) or self.wrong.get(str(reference)):
            raise error
        if str(reference) not in self.held:
            raise NotFound(f"{gun}:{reference} is not there.")
        return self.held[str(reference)]


@pytest.fixture
def registry() -> Registry:
    return Registry()


def resolve(registry: Registry, *texts: str, recursive: bool = False, workers: int = 4) -> Sequence[Outcome]:
    resolver = Resolver(registry, lambda _: None, workers=workers)  # type: ignore[arg-type] # its one method
    return resolver([ImageRef.parse(text) for text in texts], recursive=recursive)


def errors(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.error.slug for outcome in outcomes if isinstance(outcome, Unresolved)]


def test_outcomes_stand_in_the_order_of_the_references(registry: Registry) -> None:
    registry.hold(**{f"v{number}": image(str(number)) for number in range(40)})
    names = [f"{APP}:v{number}" for number in reversed(range(40))]
    outcomes = resolve(registry, *names)
    assert [str(outcome.ref) for outcome in outcomes] == names
    assert all(isinstance(o, Resolved) and o.manifest == registry.held[str(o.ref.tag)] for o in outcomes)


def test_sixteen_are_asked_at_a_time(registry: Registry) -> None:
    registry.hold(**{f"v{number}": image(str(number)) for number in range(16)})
    registry.together = threading.Barrier(16)
    resolver = Resolver(registry, lambda _: None)  # type: ignore[arg-type] # its one method
    outcomes = resolver([ImageRef.parse(f"{APP}:v{number}") for number in range(16)])
    assert errors(outcomes) == []


def test_each_failure_is_told_and_stops_no_other(registry: Registry) -> None:
    registry.hold(a=image("a"), d=image("d"))
    registry.wrong["c"] = Garbage("no manifest")
    outcomes = resolve(registry, f"{APP}:a", f"{APP}:b", f"{APP}:c", f"{APP}:d")
    assert [type(outcome).__name__ for outcome in outcomes] == ["Resolved", "Unresolved", "Unresolved", "Resolved"]
    assert errors(outcomes) == ["not-found", "garbage"]


def test_rights_are_asked_once_a_repository_and_before_its_tags(registry: Registry) -> None:
    registry.hold(a=image("a"), b=image("b"))
    required: list[str] = []

    def require(gun: Gun) -> None:
        required.append(str(gun))
        if gun.repository.path == "other":
            raise RoleMissing("AcrImageSigner lacks")

    refs = [ImageRef.parse(text) for text in (f"{APP}:a", "r.example.com/other:b", f"{APP}:b")]
    outcomes = Resolver(registry, require)(refs)  # type: ignore[arg-type] # its one method
    assert sorted(required) == [APP, "r.example.com/other"]
    assert [type(outcome).__name__ for outcome in outcomes] == ["Resolved", "Unresolved", "Resolved"]
    assert sorted(registry.asked) == ["r.example.com:a", "r.example.com:b"]


@pytest.mark.parametrize("error", [Unreachable("down"), TimedOut("slow")], ids=lambda error: error.slug)
def test_a_host_that_is_down_is_not_asked_for_every_tag(registry: Registry, error: TrustkitError) -> None:
    registry.hold(a=image("a"))
    registry.wrong["down.example.com"] = error
    outcomes = resolve(registry, *(f"down.example.com/app:v{n}" for n in range(100)), f"{APP}:a", workers=2)
    assert errors(outcomes) == [error.slug] * 100
    assert isinstance(outcomes[-1], Resolved)
    assert 1 <= sum(asked.startswith("down") for asked in registry.asked) <= 2


def test_another_digest_than_was_named_is_refused(registry: Registry) -> None:
    registry.held[str(image("wanted").digest)] = image("other")
    assert errors(resolve(registry, f"{APP}:a@{image('wanted').digest}")) == ["digest-mismatch"]


def test_a_tag_named_twice_for_two_digests_has_failed(registry: Registry) -> None:
    registry.hold(image("old"), a=image("new"))
    outcomes = resolve(registry, f"{APP}:a", f"{APP}:a@{image('new').digest}", f"{APP}:a@{image('old').digest}")
    assert errors(outcomes) == ["usage"]
    assert isinstance(outcomes[2], Unresolved)


def below(outcome: Outcome) -> set[str]:
    assert isinstance(outcome, Resolved)
    return {str(child.digest) for child in outcome.children}


def test_all_below_an_index_is_fetched_once_for_all_its_tags(registry: Registry) -> None:
    deep, one, two = image("deep"), image("one"), image("two")
    inner = index(deep)
    multi = index(one, two, inner)
    registry.hold(deep, one, two, inner, a=multi, b=multi, c=image("flat"))
    outcomes = resolve(registry, f"{APP}:a", f"{APP}:b", f"{APP}:c", recursive=True)
    assert below(outcomes[0]) == below(outcomes[1]) == {str(m.digest) for m in (deep, one, two, inner)}
    assert below(outcomes[2]) == set()
    by_digest = [asked for asked in registry.asked if "sha256:" in asked]
    assert len(by_digest) == len(set(by_digest)) == 4


def test_without_being_told_to_nothing_below_is_looked_at(registry: Registry) -> None:
    registry.hold(image("one"), a=index(image("one")))
    assert below(resolve(registry, f"{APP}:a")[0]) == set()
    assert len(registry.asked) == 1


def nested(levels: int, registry: Registry) -> ManifestBytes:
    top = image("leaf")
    for _ in range(levels):
        registry.hold(top)
        top = index(top)
    return top


@pytest.mark.parametrize(("levels", "expected"), [(MAX_DEPTH, []), (MAX_DEPTH + 1, ["garbage"])])
def test_it_goes_as_deep_as_the_gateway_does(registry: Registry, levels: int, expected: list[str]) -> None:
    registry.hold(a=nested(levels, registry))
    outcomes = resolve(registry, f"{APP}:a", recursive=True)
    assert errors(outcomes) == expected
    assert expected or len(below(outcomes[0])) == MAX_DEPTH


@pytest.mark.parametrize(("more", "expected"), [(0, []), (1, ["garbage"])])
def test_it_goes_as_far_as_the_gateway_does(registry: Registry, more: int, expected: list[str]) -> None:
    many = [image(str(number)) for number in range(MAX_DESCRIPTORS - 1 + more)]
    inner = index(*many)
    registry.hold(*many, inner, a=index(inner))
    assert errors(resolve(registry, f"{APP}:a", recursive=True)) == expected


@pytest.mark.parametrize(
    ("changed", "held", "slug"),
    [
        ({}, False, NotFound.slug),
        ({"size": 1}, True, DigestMismatch.slug),
        ({"mediaType": OCI_INDEX}, True, DigestMismatch.slug),
        ({"digest": "sha256:aa"}, True, Garbage.slug),
        ({"size": "1"}, True, Garbage.slug),
    ],
    ids=["missing", "size", "media-type", "bad-digest", "bad-size"],
)
def test_a_child_that_is_not_as_its_index_says(
    registry: Registry, changed: dict[str, object], held: bool, slug: str
) -> None:
    child = image("child")
    registry.hold(a=index(child, **changed), b=image("fine"))
    if held:
        registry.hold(child)
    outcomes = resolve(registry, f"{APP}:a", f"{APP}:b", recursive=True)
    assert errors(outcomes) == [slug]
    assert isinstance(outcomes[1], Resolved), "the other isn't touched by it"


D = json.dumps({"mediaType": "m/m", "digest": f"sha256:{'0' * 64}", "size": 1})
AMBIGUOUS = [
    ("an index and an image", OCI_INDEX, f'{{"manifests":[{D}],"layers":[{D}]}}'),
    ("an index and an image, in other letters", OCI_MANIFEST, f'{{"config":{D},"Manifests":[{D}]}}'),
    ("an image that is said to be an index", OCI_INDEX, f'{{"config":{D},"layers":[{D}]}}'),
    ("an index that is said to be an image", OCI_MANIFEST, f'{{"manifests":[{D}]}}'),
    ("a member twice", OCI_INDEX, f'{{"manifests":[],"manifests":[{D}]}}'),
    ("a member twice, in other letters", OCI_INDEX, f'{{"manifests":[],"Manifests":[{D}]}}'),
    ("a member of a descriptor twice", OCI_INDEX, f'{{"manifests":[{D[:-1]},"size":2}}]}}'),
    ("a member twice, by Unicode", OCI_MANIFEST, f'{{"layers":[{D}],"layer\u017f":[]}}'),
    ("two lists of a Docker manifest of old", "application/x", f'{{"manifests":[{D}],"fsLayers":[]}}'),
]


@pytest.mark.parametrize(("kind", "text"), [row[1:] for row in AMBIGUOUS], ids=[row[0] for row in AMBIGUOUS])
def test_what_engines_may_read_in_two_ways_is_not_signed(registry: Registry, kind: str, text: str) -> None:
    """A signature is on bytes: what a registry says of them decides then what is run (CVE-2021-41190)."""
    registry.hold(v1=ManifestBytes(Digest.of(text.encode()), kind, text.encode()))
    assert errors(resolve(registry, f"{APP}:v1")) == ["garbage"]
    listed = index(registry.held["v1"])
    registry.hold(v2=listed)
    assert errors(resolve(registry, f"{APP}:v2", recursive=True)) == ["garbage"]


def test_annotations_may_differ_in_their_letters_only(registry: Registry) -> None:
    text = json.dumps({"mediaType": OCI_MANIFEST, "layers": [], "annotations": {"a": "1", "A": "2"}})
    registry.hold(v1=ManifestBytes(Digest.of(text.encode()), OCI_MANIFEST, text.encode()))
    assert errors(resolve(registry, f"{APP}:v1")) == []


def test_every_reference_ticks_also_those_that_fail(registry: Registry) -> None:
    registry.hold(a=image("a"))
    ticks: list[int] = []
    refs = [ImageRef.parse(f"{APP}:{tag}") for tag in "aaab"]
    Resolver(registry, lambda _: None)(refs, tick=lambda: ticks.append(1))  # type: ignore[arg-type] # its one method
    assert len(ticks) == 4
