"""``trustkit sign --recursive``: the manifests below an index are trusted with its tag, all of them or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.registry_view import Own
from tests.service import Person, Result, RunningService
from trustkit.core.manifests import OCI_INDEX
from trustkit.core.names import Digest


def children(service: RunningService, alice: Person, repository: str, *flags: str) -> tuple[str, str, list[str]]:
    """A signed index: its GUN, its digest and those of its two images."""
    gun = f"{service.host}/{repository}"
    top = alice.push(f"{gun}:multi", architectures=("amd64", "arm64"))
    signed = alice("sign", *flags, f"{gun}:multi")
    assert signed.status == 0, signed.err
    token = alice.token(service.host, f"repository:{repository}:pull")
    import urllib.request

    accept = "application/vnd.oci.image.index.v1+json"
    request = urllib.request.Request(f"{service.url}/v2/{repository}/manifests/{top}", headers={"Accept": accept})
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        listed = [str(entry["digest"]) for entry in json.loads(answer.read())["manifests"]]
    assert all((digest in signed.err) is ("--recursive" in flags) for digest in listed), "each is shown"
    return gun, top, listed


def test_a_child_is_trusted_by_the_tag_that_it_was_signed_with(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    gun, top, (amd64, _) = children(service, alice, "many/recursive", "--recursive")
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    checked = carol("verify", f"{gun}@{amd64}")
    assert (checked.status, checked.out.strip()) == (0, f"{gun}@{amd64}"), checked.err
    assert f"{gun}:multi@{top}" in checked.err
    pulled = carol("pull", f"{gun}@{amd64}", "--to", f"oci:{tmp_path / 'out'}")
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}@{amd64}")
    names = [e["annotations"] for e in json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]]
    assert "multi" not in names[0].values(), "the tag is the whole index"
    assert alice("sign", f"{gun}:multi").status == 0
    assert carol("verify", f"{gun}@{amd64}").status == 0, "signing the same bytes again forgets nothing"
    alice.push(f"{gun}:other")
    assert alice("sign", f"{gun}:other").status == 0
    assert carol("verify", f"{gun}@{amd64}").status == 0, "nor does another tag"
    assert alice("revoke", f"{gun}:multi").status == 0
    revoked = carol("verify", f"{gun}@{amd64}")
    assert (revoked.status, revoked.slug) == (3, "unsigned")


def test_without_the_record_a_child_is_not_trusted(service: RunningService, alice: Person) -> None:
    gun, _, (amd64, _) = children(service, alice, "many/flat")
    refused = alice("verify", f"{gun}@{amd64}")
    assert (refused.status, refused.slug) == (3, "unsigned")
    assert alice("sign", "--recursive", f"{gun}:multi").status == 0
    assert alice("verify", f"{gun}@{amd64}").status == 0


BELOW = {
    "another size": (lambda child: {**child, "size": 3}, "not 3 bytes of"),
    "another media type": (lambda child: {**child, "mediaType": OCI_INDEX}, "not as its index says"),
    "twice, in two ways": (lambda child: [child, {**child, "size": 3}], "twice, in different ways"),
}


@pytest.mark.parametrize(("change", "words"), BELOW.values(), ids=BELOW.keys())
def test_an_index_that_lies_about_a_child_is_not_signed_nor_is_what_was_asked_for_along_with_it(
    tall: Tall, change: Callable[[dict[str, object]], object], words: str
) -> None:
    listed = change(tall.child)
    tall.lie(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed if isinstance(listed, list) else [listed]}
    )
    refused = tall.sign("--recursive", "fine", "lie")
    assert (refused.status, refused.slug, refused.out) == (3, "digest-mismatch", ""), refused.err
    assert words in refused.err
    assert f"{tall.own.gun}:lie" in refused.err
    assert "Nothing was signed." in refused.err
    assert alike(tall, "fine") == 3


def alike(tall: Tall, tag: str) -> int:
    """The status of verifying a tag: 3 where it is unsigned."""
    return tall.own.person("verify", f"{tall.own.gun}:{tag}").status


def test_an_index_whose_child_is_gone_is_not_signed(tall: Tall, service: RunningService) -> None:
    gone = tall.own.person.push(f"{tall.own.gun}:gone", "gone meanwhile", architectures=("amd64", "arm64"))
    body = tall.own.manifest("gone")
    child = json.loads(body)["manifests"][1]["digest"]
    cleaner = service.principal(f"cleaner-{tall.own.repository.replace('/', '-')}", "AcrDelete", "AcrPull")
    Own(service, cleaner, tall.own.repository).delete(child)
    refused = tall.sign("--recursive", "fine", "gone")
    assert (refused.status, refused.slug, refused.out) == (1, "not-found", ""), refused.err
    assert child in refused.err
    assert f"{tall.own.gun}:gone" in refused.err
    assert alike(tall, "fine") == 3
    assert str(Digest.of(body)) == gone


def test_an_index_in_an_index_is_recorded_with_all_that_is_below(tall: Tall) -> None:
    inner = tall.own.manifest("fine")
    entry = {"mediaType": OCI_INDEX, "digest": str(Digest.of(inner)), "size": len(inner)}
    tall.lie({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})
    signed = tall.sign("--recursive", "lie")
    assert signed.status == 0, signed.err
    for digest in (entry["digest"], *(each["digest"] for each in json.loads(inner)["manifests"])):
        assert f"  with {digest} " in signed.err
        assert tall.own.person("verify", f"{tall.own.gun}@{digest}").status == 0


@dataclass
class Tall:
    """A repository with an index ``fine``, and ``child``, how it lists its first image."""

    own: Own
    child: dict[str, object]

    def lie(self, index: dict[str, object]) -> None:
        self.own.put({"lie": json.dumps(index).encode()}, OCI_INDEX)

    def sign(self, *arguments: str) -> Result:
        flags = [each for each in arguments if each.startswith("-")]
        return self.own.person("sign", *flags, *(f"{self.own.gun}:{each}" for each in arguments if each not in flags))


@pytest.fixture
def tall(service: RunningService, alice: Person, request: pytest.FixtureRequest) -> Tall:
    own = Own(service, alice, f"tall/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}")
    alice.push(f"{own.gun}:fine", architectures=("amd64", "arm64"))
    return Tall(own, json.loads(own.manifest("fine"))["manifests"][0])
