"""Who may push tries to get an unsigned image to who may only pull, by every door but its tag (TRUST 7.3, 7.4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.attacks.victims import INDEX, MANIFEST, Reply, ask, serving
from tests.service import Person, RunningService

TEAM, OTHER, SECRET = "team/app", "team/other", "secret/app"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


@dataclass(frozen=True)
class Smuggler:
    """Mallory, who has AcrPush below ``team/`` and nothing elsewhere, and carol, who has AcrPull there."""

    host: str
    signed: str
    evil: bytes
    carol: Person
    tokens: dict[str, str] = field(repr=False)

    def __call__(self, who: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        return ask(self.host, method, path, body, token=self.tokens[who], **headers)

    def read(self, kind: str, reference: str, *, who: str = "carol", repository: str = TEAM, **headers: str) -> Reply:
        accept = {"accept": f"{MANIFEST}, {INDEX}", **headers}
        return self(who, "GET", f"/v2/{repository}/{kind}/{reference}", **accept)

    def blob(self, data: bytes, repository: str = TEAM) -> str:
        digest = digest_of(data)
        path = f"/v2/{repository}/blobs/uploads/?digest={digest}"
        assert self("mallory", "POST", path, data).status == 201
        return digest

    def put(self, value: dict[str, Any] | bytes, reference: str = "", media_type: str = MANIFEST) -> bytes:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        path = f"/v2/{TEAM}/manifests/{reference or digest_of(data)}"
        reply = self("mallory", "PUT", path, data, content_type=media_type)
        assert reply.status == 201, reply.message
        return data

    def image(self, *, config: str = CONFIG, layer: str = LAYER, **more: Any) -> dict[str, Any]:
        """An image (or what looks like one), its parts in the repository."""
        parts = {config: b'{"evil":true}', layer: b"evil layer"}
        for data in parts.values():
            self.blob(data)
        described = {media_type: descriptor(data, media_type) for media_type, data in parts.items()}
        base = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[config], "layers": [described[layer]]}
        return base | more


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with serving(tmp_path_factory.mktemp("service"), "--trust-only") as service:
        yield service


@pytest.fixture(scope="module")
def mallory(service: RunningService) -> Smuggler:
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    carol = service.principal("carol", "AcrPull", pattern="team/*")
    pusher = service.principal("mallory", "AcrPush", pattern="team/*")
    gun = f"{service.host}/{TEAM}"
    signed = alice.push(f"{gun}:v1", "signed")
    evil = pusher.push(f"{gun}:evil", "evil")
    secret = alice.push(f"{service.host}/{SECRET}:v1", "secret")
    assert alice("sign", f"{gun}:v1", f"{service.host}/{SECRET}:v1").status == 0
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    scopes = {"carol": "pull", "mallory": "pull,push", "alice": "pull,push"}
    people = {"carol": carol, "mallory": pusher, "alice": alice}
    tokens = {
        name: people[name].token(service.host, " ".join(f"repository:{r}:{actions}" for r in (TEAM, OTHER, SECRET)))
        for name, actions in scopes.items()
    }
    data = ask(service.host, "GET", f"/v2/{TEAM}/manifests/{evil}", token=tokens["mallory"]).body
    assert digest_of(data) == evil
    assert ask(service.host, "GET", f"/v2/{SECRET}/manifests/{secret}", token=tokens["alice"]).status == 200
    return Smuggler(service.host, signed, data, carol, tokens)


def refused(reply: Reply) -> None:
    assert (reply.status, reply.code, reply.slug) == (403, "DENIED", "unsigned"), reply
    assert "sign" in reply.message or "manifest" in reply.message


def test_the_signed_image_is_served_whole(mallory: Smuggler) -> None:
    manifest = mallory.read("manifests", "v1")
    assert (manifest.status, digest_of(manifest.body)) == (200, mallory.signed)
    for part in (manifest.json["config"], *manifest.json["layers"]):
        blob = mallory.read("blobs", part["digest"])
        assert (blob.status, digest_of(blob.body)) == (200, part["digest"])


class TestAsAChild:
    def test_of_an_index_that_nobody_signed(self, mallory: Smuggler) -> None:
        listed = [descriptor(mallory.evil, MANIFEST), descriptor(mallory.read("manifests", "v1").body, MANIFEST)]
        index = mallory.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}, "bundle", INDEX)
        for reference in ("bundle", digest_of(index), digest_of(mallory.evil)):
            refused(mallory.read("manifests", reference))
        assert mallory.read("manifests", digest_of(mallory.evil), who="mallory").body == mallory.evil

    def test_of_an_index_that_takes_the_signed_tag(self, mallory: Smuggler) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(mallory.evil, MANIFEST)]}
        mallory.put(index, "v1", INDEX)
        assert digest_of(mallory.read("manifests", "v1").body) == mallory.signed
        refused(mallory.read("manifests", digest_of(mallory.evil)))

    def test_the_client_finds_no_way_to_it(self, mallory: Smuggler, tmp_path: Path) -> None:
        gun = f"{mallory.host}/{TEAM}"
        good = mallory.carol("pull", f"{gun}:v1", "--to", f"oci:{tmp_path / 'good'}")
        assert (good.status, good.out.strip()) == (0, f"{gun}:v1@{mallory.signed}")
        for reference in (f"{gun}@{digest_of(mallory.evil)}", f"{gun}:evil"):
            bad = mallory.carol("pull", reference, "--to", f"oci:{tmp_path / 'bad'}")
            assert (bad.status, bad.slug, (tmp_path / "bad").exists()) == (3, "unsigned", False)


class TestAsABlob:
    def test_a_stored_manifest(self, mallory: Smuggler) -> None:
        digest = digest_of(mallory.evil)
        refused(mallory.read("blobs", digest))
        refused(mallory.read("blobs", digest, range="bytes=1-"))
        assert mallory("carol", "HEAD", f"/v2/{TEAM}/blobs/{digest}").status == 403

    @pytest.mark.parametrize(
        "disguise",
        [
            lambda data: data + b" ",
            lambda data: b"\n\t " + data,
            lambda data: data.replace(b'"layers"', b'"Layers"').replace(b'"config"', b'"CONFIG"'),
            lambda data: data + b"trailing",
            lambda data: b'{"x":"\xff",' + data[1:],
            lambda data: b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"," + data[1:],
        ],
        ids=["longer", "blanks", "case", "trailing", "utf-8", "deep"],
    )
    def test_a_manifest_uploaded_as_a_blob(self, mallory: Smuggler, disguise: Any) -> None:
        refused(mallory.read("blobs", mallory.blob(disguise(mallory.evil))))

    def test_listed_as_a_layer_of_what_takes_the_signed_tag(self, mallory: Smuggler) -> None:
        mallory.put(mallory.image(layers=[descriptor(mallory.evil, MANIFEST)]), "v1")
        refused(mallory.read("blobs", digest_of(mallory.evil)))
        refused(mallory.read("manifests", digest_of(mallory.evil)))


class TestByMount:
    def mount(self, mallory: Smuggler, digest: str, query: str) -> Reply:
        return mallory("mallory", "POST", f"/v2/{TEAM}/blobs/uploads/?{query.format(digest=digest)}", b"")

    @pytest.fixture
    def secret(self, mallory: Smuggler) -> dict[str, Any]:
        manifest: dict[str, Any] = mallory.read("manifests", "v1", who="alice", repository=SECRET).json
        return manifest

    def test_from_where_the_caller_may_pull(self, mallory: Smuggler) -> None:
        layer = mallory.blob(b"my own", OTHER)
        assert self.mount(mallory, layer, "mount={digest}&from=team/other").status == 201
        assert mallory.read("blobs", layer, who="mallory").body == b"my own"

    @pytest.mark.parametrize(
        "query",
        [
            f"mount={{digest}}&from={SECRET}",
            f"from={SECRET}&mount={{digest}}",
            f"mount={{digest}}&from={quote(SECRET, safe='')}",
            f"mount={{digest}}&from=team/other&from={SECRET}",
            f"mount={{digest}}&from={SECRET}&from=team/other",
            f"mount={{digest}}&from=team/other;from={SECRET}",
            f"mount={{digest}};from={SECRET}",
            f"mount={{digest}}&from=team/../{SECRET}",
            f"mount={{digest}}&from=team/other%2f..%2f..%2f{quote(SECRET, safe='')}",
            f"mount={{digest}}&from=/{SECRET}",
            f"mount={{digest}}&from={SECRET}%00",
            f"mount={{digest}}&From={SECRET}",
            "mount={digest}&from=Secret/App",
            "mount={digest}&from=",
            "mount={digest}",
        ],
    )
    @pytest.mark.parametrize("part", ["config", "layer"])
    def test_from_where_the_caller_may_not(
        self, mallory: Smuggler, secret: dict[str, Any], part: str, query: str
    ) -> None:
        digest = secret["config"]["digest"] if part == "config" else secret["layers"][0]["digest"]
        assert mallory.read("blobs", digest, who="alice", repository=SECRET).status == 200
        reply = self.mount(mallory, digest, query)
        assert reply.status in (202, 400, 401), reply
        for who in ("mallory", "carol"):
            assert mallory.read("blobs", digest, who=who).status == 404

    def test_a_manifest_of_another_repository(self, mallory: Smuggler) -> None:
        evil = mallory.evil.replace(b"2", b"2 ", 1)
        path = f"/v2/team/other/manifests/{digest_of(evil)}"
        parts = json.loads(evil)
        for part in (parts["config"], *parts["layers"]):
            query = f"mount={part['digest']}&from={TEAM}"
            assert mallory("mallory", "POST", f"/v2/team/other/blobs/uploads/?{query}", b"").status == 201
        assert mallory("mallory", "PUT", path, evil, content_type=MANIFEST).status == 201
        assert self.mount(mallory, digest_of(evil), "mount={digest}&from=team/other").status == 201
        refused(mallory.read("blobs", digest_of(evil)))
        refused(mallory.read("manifests", digest_of(evil)))


class TestAsAReferrer:
    @pytest.fixture
    def subject(self, mallory: Smuggler) -> bytes:
        return mallory.read("manifests", mallory.signed).body

    def listed(self, mallory: Smuggler, digest: str) -> list[str]:
        return [entry["digest"] for entry in mallory.read("referrers", digest).json["manifests"]]

    def test_an_artifact_is_listed_and_served(self, mallory: Smuggler, subject: bytes) -> None:
        about = descriptor(subject, MANIFEST)
        data = mallory.put(mallory.image(config="application/x.note", layer="text/x.note", subject=about))
        assert digest_of(data) in self.listed(mallory, mallory.signed)
        assert mallory.read("manifests", digest_of(data)).body == data

    @pytest.mark.parametrize(
        ("config", "layer"),
        [
            (CONFIG, LAYER),
            (CONFIG, "text/x.note"),
            ("application/x.note", f"{LAYER}+gzip"),
            ("application/octet-stream", "text/x.note"),
            ("APPLICATION/JSON; charset=utf-8", "text/x.note"),
        ],
    )
    def test_an_image_is_neither(self, mallory: Smuggler, subject: bytes, config: str, layer: str) -> None:
        about = descriptor(subject, MANIFEST)
        data = mallory.put(
            mallory.image(config=config, layer=layer, subject=about, artifactType="application/x.note")
        )
        assert digest_of(data) not in self.listed(mallory, mallory.signed)
        refused(mallory.read("manifests", digest_of(data)))

    def test_an_index_is_neither(self, mallory: Smuggler, subject: bytes) -> None:
        about, listed = descriptor(subject, MANIFEST), [descriptor(mallory.evil, MANIFEST)]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed, "subject": about}
        data = mallory.put(index, media_type=INDEX)
        assert digest_of(data) not in self.listed(mallory, mallory.signed)
        for digest in (digest_of(data), digest_of(mallory.evil)):
            refused(mallory.read("manifests", digest))

    def test_of_something_unsigned(self, mallory: Smuggler) -> None:
        about = descriptor(mallory.evil, MANIFEST)
        data = mallory.put(mallory.image(config="application/x.note", layer="text/x.note", subject=about))
        refused(mallory.read("manifests", digest_of(data)))
        refused(mallory.read("referrers", digest_of(mallory.evil)))


class TestByFallbackTag:
    @pytest.fixture
    def tag(self, mallory: Smuggler) -> str:
        return mallory.signed.replace(":", "-")

    @pytest.fixture
    def note(self, mallory: Smuggler) -> bytes:
        about = descriptor(mallory.read("manifests", mallory.signed).body, MANIFEST)
        return mallory.put(mallory.image(config="application/x.note", layer="text/x.sig", subject=about))

    def index(self, mallory: Smuggler, tag: str, *listed: bytes, media_type: str = MANIFEST) -> bytes:
        manifests = [descriptor(data, media_type) for data in listed]
        return mallory.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, tag, INDEX)

    def test_a_list_of_artifacts_is_served(self, mallory: Smuggler, tag: str, note: bytes) -> None:
        data = self.index(mallory, tag, note)
        assert mallory.read("manifests", tag).body == data
        mallory.put(note, f"{tag}.sig")
        assert mallory.read("manifests", f"{tag}.sig").body == note

    def test_a_list_with_an_image_is_not(self, mallory: Smuggler, tag: str, note: bytes) -> None:
        for media_type in (MANIFEST, "application/x.note"):
            self.index(mallory, tag, note, mallory.evil, media_type=media_type)
            refused(mallory.read("manifests", tag))

    def test_an_image_is_not(self, mallory: Smuggler, tag: str) -> None:
        for name in (tag, f"{tag}.sig", f"{tag}.att"):
            mallory.put(mallory.evil, name)
            refused(mallory.read("manifests", name))

    def test_of_something_unsigned_is_not(self, mallory: Smuggler, note: bytes) -> None:
        evil = digest_of(mallory.evil).replace(":", "-")
        for name in (evil, f"{evil}.sig"):
            mallory.put(note, name)
            refused(mallory.read("manifests", name))
