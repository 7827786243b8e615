"""Referrers in a trust-only repository before an upstream: pages, none at all, and tricks (TRUST 7.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.conftest import APP, Client, Serving, World, descriptor, image_of, target
from tests.gateway.test_upstream_registry import behind_odd, odd  # noqa: F401 - fixtures
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest
from trustkit.gateway.embedded import EmbeddedRegistry
from trustkit.gateway.index import Entry, Index
from trustkit.gateway.paging import REFERRERS
from trustkit.gateway.upstream import MAX_REFERRER_PAGES, UpstreamRegistry

PATH = f"/v2/{APP}"
SUBJECT = Digest.of(b"{}")


@pytest.fixture
def paged(root: Path, world: World) -> Iterator[Client]:
    """The gate before a registry with more referrers than fit on one of its pages."""
    blobs = root.joinpath(*APP.path.split("/"), "_oci", "blobs", "sha256")
    blobs.mkdir(parents=True)
    (blobs / SUBJECT.hex).write_bytes(b"{}")
    index = [Entry(SUBJECT, OCI_MANIFEST, 2).descriptor(None)]
    for number in range(REFERRERS + 40):
        value = image_of(b"{}", b"", "a/b", "a/c", subject=descriptor(b"{}", OCI_MANIFEST), n=number)
        data = json.dumps(value).encode()
        digest = Digest.of(data)
        (blobs / digest.hex).write_bytes(data)
        index.append(Entry(digest, OCI_MANIFEST, len(data), "a/b", SUBJECT).descriptor(None))
    (blobs.parents[1] / "index.json").write_bytes(Index(tuple(index)).serialise())
    with (
        Serving(lambda: EmbeddedRegistry(root), World()) as behind,
        Serving(lambda: UpstreamRegistry(f"http://{behind.host}"), world) as client,
    ):
        yield client


def sign(world: World) -> None:
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", b"{}")})


def test_every_page_of_the_upstream_is_read(paged: Client, world: World, root: Path) -> None:
    index = Index.parse(root.joinpath(*APP.path.split("/"), "_oci", "index.json").read_bytes())
    every = sorted(str(e.digest) for e in index.manifests.values() if e.subject == SUBJECT)
    sign(world)
    last = every[-6]
    reply = paged("GET", f"{PATH}/referrers/{SUBJECT}?n=10&last={last}", who="puller")
    assert [item["digest"] for item in reply.json["manifests"]] == every[-5:]
    assert "link" not in reply.headers


def page(*referrers: bytes) -> bytes:
    listed = [descriptor(data, OCI_MANIFEST) for data in referrers]
    return json.dumps({"schemaVersion": 2, "manifests": listed}).encode()


@pytest.mark.parametrize("link", ["", "?n=1", "/v2/team/app/referrers/{s}?n=1"])
def test_pages_that_lead_in_a_circle_end(behind_odd: Client, odd, world: World, link: str) -> None:  # noqa: F811
    sign(world)
    headers = {"Content-Type": OCI_INDEX, "Link": f'<{link.format(s=SUBJECT)}>; rel="next"'}
    odd.answers["referrers"] = (200, headers, page(b"lost"))
    odd.answers["manifests"] = (404, {}, b"")
    reply = behind_odd("GET", f"{PATH}/referrers/{SUBJECT}", who="puller")
    assert (reply.status, reply.json["manifests"]) == (200, [])
    asked = [path for path, _ in odd.seen if "/referrers/" in path]
    assert len(asked) == len(set(asked)) <= MAX_REFERRER_PAGES


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b" {}",
        lambda data: data.replace(b"{", b'{"n":' + b"1" * 5000 + b",", 1),
        lambda data: data.replace(b"{", b'{"x":"\xff",', 1),
        lambda data: data.replace(b"{", b'{"annotations":' + b"[" * 3000 + b"]" * 3000 + b",", 1),
    ],
    ids=["trailing", "digits", "utf-8", "deep"],
)
def test_what_json_reads_otherwise_than_we_do_hides_no_other_referrer(
    behind_odd: Client,  # noqa: F811
    odd,  # noqa: F811
    world: World,
    spoil: Callable[[bytes], bytes],
) -> None:
    """Go's registries take such a manifest from whoever may push."""
    sign(world)
    note = spoil(json.dumps(image_of(b"{}", b"", "a/b", "a/c", subject=descriptor(b"{}", OCI_MANIFEST))).encode())
    odd.answers["manifests"] = (200, {"Content-Type": OCI_MANIFEST}, note)
    odd.answers["referrers"] = (200, {"Content-Type": OCI_INDEX}, page(note))
    reply = behind_odd("GET", f"{PATH}/referrers/{SUBJECT}", who="puller")
    assert reply.status == 200
    assert [item["digest"] for item in reply.json["manifests"]] in ([], [str(Digest.of(note))])


@pytest.mark.parametrize("link", ["http://evil.example/v2/team/app/referrers/{s}", "/v2/other/referrers/{s}", "/x"])
def test_a_page_elsewhere_is_not_asked_for(behind_odd: Client, odd, world: World, link: str) -> None:  # noqa: F811
    sign(world)
    headers = {"Content-Type": OCI_INDEX, "Link": f'<{link.format(s=SUBJECT)}>; rel="next"'}
    odd.answers["referrers"] = (200, headers, page())
    assert behind_odd("GET", f"{PATH}/referrers/{SUBJECT}", who="puller").status == 502
    assert len(odd.seen) == 1


def test_without_the_api_clients_are_told_so_and_take_the_fallback_tag(
    behind_odd: Client,  # noqa: F811
    odd,  # noqa: F811
    world: World,
) -> None:
    sign(world)
    odd.answers["referrers"] = (404, {}, b"404 page not found")
    for who in ("puller", "pusher"):
        assert behind_odd("GET", f"{PATH}/referrers/{SUBJECT}", who=who).status == 404


@pytest.mark.real
def test_docker_registry_has_no_such_api_and_its_fallback_tags_are_served(docker_registry, world: World) -> None:
    with Serving(lambda: UpstreamRegistry(docker_registry.url), world) as client:
        subject = client.image("one", "v1")
        kinds = {"config_type": "a/b", "layer_type": "a/c", "subject": descriptor(subject, OCI_MANIFEST)}
        sbom = client.image("sbom", **kinds)
        listing = client.index([sbom], f"sha256-{Digest.of(subject).hex}")
        world.trust_only.add(APP)
        world.sign(APP, {"v1": target("v1", subject)})
        assert client("GET", f"{PATH}/referrers/{Digest.of(subject)}", who="puller").status == 404
        tag = f"{PATH}/manifests/sha256-{Digest.of(subject).hex}"
        assert client("GET", tag, who="puller").body == listing
        assert client("GET", f"{PATH}/manifests/{Digest.of(sbom)}", who="puller").body == sbom
