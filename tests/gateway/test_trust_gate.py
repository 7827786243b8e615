"""Attacks on a trust-only repository, over HTTP (TRUST 7)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.gateway.conftest import APP as REPOSITORY
from tests.gateway.conftest import NOW, World, descriptor, image_of, target
from trustkit.core.access import Action
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest, Repository
from trustkit.core.view import Superseded
from trustkit.errors import ServerFailed, TrustDisabled, Unreachable

APP = "/v2/team/app"


def digest_of(data: bytes) -> str:
    return str(Digest.of(data))


@pytest.fixture(autouse=True)
def trust_only(world: World) -> None:
    world.trust_only.add(REPOSITORY)


def read(client, reference: object, who: str = "puller", method: str = "GET", **headers: str):
    return client(method, f"{APP}/manifests/{reference}", who=who, **headers)


class TestTags:
    def test_a_tag_is_its_signed_digest_wherever_the_registry_moved_it(self, client, world) -> None:
        signed, moved = client.image("signed", "v1"), client.image("attacker", "v1")
        world.sign(REPOSITORY, {"v1": target("v1", signed)})
        for who in ("puller", "pusher", "admin"):
            assert read(client, "v1", who).body == signed
            head = read(client, "v1", who, "HEAD")
            assert (head.status, head.headers["docker-content-digest"]) == (200, digest_of(signed))
        assert read(client, digest_of(moved)).code == "DENIED"

    def test_an_unsigned_tag(self, client, world) -> None:
        client.image("one", "v1")
        world.sign(REPOSITORY, {})
        refused = read(client, "v1")
        assert (refused.status, refused.code, refused.reason) == (403, "DENIED", "unsigned")
        head = read(client, "v1", method="HEAD")
        assert (head.status, head.body) == (403, b"")
        assert head.headers["warning"] == '299 - "team/app:v1 is not signed."'
        assert read(client, "v1", "pusher", "HEAD").status == 404
        assert read(client, "v1", "pusher").status == 403

    def test_the_list_of_tags_is_the_signed_view(self, client, world) -> None:
        data = client.image("one", "v1")
        client.image("two", "dev")
        assert client("GET", f"{APP}/tags/list").json == {"name": "team/app", "tags": []}
        world.sign(
            REPOSITORY, {"v2": target("v2", data), "v1": target("v1", data)}, expires=NOW + timedelta(seconds=1)
        )
        for who in ("puller", "pusher", "admin"):
            assert client("GET", f"{APP}/tags/list", who=who).json["tags"] == ["v1", "v2"]
        assert client("GET", f"{APP}/tags/list?n=1").json["tags"] == ["v1"]
        registry = {"trustkit-view": "registry"}
        assert client("GET", f"{APP}/tags/list", who="signer", **registry).json["tags"] == ["dev", "v1"]
        assert client("GET", f"{APP}/tags/list", who="pusher", **registry).status == 401
        world.now = NOW + timedelta(seconds=1)
        assert client("GET", f"{APP}/tags/list").reason == "expired"

    def test_nothing_signed_here(self, client) -> None:
        data = client.image("one", "v1")
        assert read(client, "v1").reason == "no-collection"
        assert read(client, digest_of(data)).reason == "no-collection"
        assert read(client, "v1", "pusher", "HEAD").status == 404
        assert read(client, digest_of(data), "pusher").body == data

    def test_expired_trust_serves_nothing(self, client, world) -> None:
        data = client.image("one", "v1")
        world.sign(REPOSITORY, {"v1": target("v1", data)}, expires=NOW + timedelta(seconds=1))
        assert read(client, "v1").status == 200
        world.now = NOW + timedelta(seconds=1)
        assert read(client, "v1").reason == "expired"
        assert read(client, digest_of(data)).reason == "expired"

    @pytest.mark.parametrize(
        ("error", "status", "reason"),
        [
            (TrustDisabled("Content trust is off."), 403, "content-trust-disabled"),
            (Unreachable("No database."), 503, "unreachable"),
            (ServerFailed("Broken."), 503, "server-failed"),
        ],
    )
    @pytest.mark.parametrize("who", ["puller", "pusher"])
    def test_no_view_serves_nothing(self, client, world, error, status, reason, who) -> None:
        data = client.image("one", "v1")
        world.views[REPOSITORY] = error
        for path in ("manifests/v1", f"manifests/{digest_of(data)}", f"referrers/{digest_of(data)}"):
            reply = client("GET", f"{APP}/{path}", who=who)
            assert (reply.status, reply.reason) == (status, reason)
        assert client("GET", f"{APP}/blobs/{digest_of(b'layer of one')}", who=who).status == status
        assert read(client, "v1", who, "HEAD").status == status

    def test_another_collections_view_serves_nothing(self, client, world) -> None:
        data = client.image("one", "v1")
        world.sign(Repository("other"), {"v1": target("v1", data)})
        world.views[REPOSITORY] = world.views[Repository("other")]
        assert read(client, "v1").reason == "wrong-collection"

    def test_the_length_that_was_signed_counts(self, client, world) -> None:
        from dataclasses import replace

        data = client.image("one", "v1")
        world.sign(REPOSITORY, {"v1": replace(target("v1", data), length=5)})
        assert read(client, "v1").reason == "digest-mismatch"

    def test_a_signed_manifest_that_is_gone_is_404(self, client, world) -> None:
        world.sign(REPOSITORY, {"v1": target("v1", b"gone")})
        assert read(client, "v1").code == "MANIFEST_UNKNOWN"

    def test_other_repositories_are_plain(self, client) -> None:
        data = client.image("one", "v1", Repository("plain"))
        assert client("GET", "/v2/plain/manifests/v1", who="puller").body == data


class TestRegistryView:
    def test_for_who_may_sign(self, client, world) -> None:
        signed, moved = client.image("signed", "v1"), client.image("moved", "v1")
        world.sign(REPOSITORY, {"v1": target("v1", signed)})
        assert read(client, "v1", "signer", trustkit_view="registry").body == moved
        assert read(client, "v1", "signer").body == signed

    @pytest.mark.parametrize("who", ["puller", "pusher"])
    def test_not_for_anybody_else(self, client, world, who: str) -> None:
        client.image("one", "v1")
        refused = read(client, "v1", who, trustkit_view="registry")
        assert refused.status == 401
        assert "pull,sign" in refused.headers["www-authenticate"]


class TestDigests:
    def test_children_of_a_signed_index(self, client, world) -> None:
        one, two, other = client.image("one"), client.image("two"), client.image("other")
        index = client.index([one, two], "v1")
        world.sign(REPOSITORY, {"v1": target("v1", index, OCI_INDEX)})
        assert read(client, digest_of(one)).body == one
        assert read(client, digest_of(two)).body == two
        assert read(client, digest_of(other)).status == 403

    def test_a_moved_index_smuggles_no_child(self, client, world) -> None:
        good, evil = client.image("good"), client.image("evil")
        signed = client.index([good], "v1")
        client.index([good, evil], "v1")
        world.sign(REPOSITORY, {"v1": target("v1", signed, OCI_INDEX)})
        assert read(client, digest_of(evil)).status == 403

    @pytest.mark.parametrize(("depth", "status"), [(1, 200), (4, 200), (5, 403)])
    def test_four_steps_below_a_signed_index_and_no_more(self, client, world, depth: int, status: int) -> None:
        bottom = client.image("bottom")
        at, kind = bottom, OCI_MANIFEST
        for _ in range(depth):
            at, kind = client.index([at], "", [kind]), OCI_INDEX
        world.sign(REPOSITORY, {"v1": target("v1", at, OCI_INDEX)})
        assert read(client, digest_of(bottom)).status == status

    def test_what_a_signed_image_lists_as_layer_is_not_reached(self, client, world) -> None:
        evil = client.image("evil")
        config = b"{}"
        client.blob(config)
        signed = client.manifest(image_of(config, evil, layer_type=OCI_MANIFEST), "v1")
        world.sign(REPOSITORY, {"v1": target("v1", signed)})
        assert read(client, digest_of(evil)).status == 403
        assert client("GET", f"{APP}/blobs/{digest_of(evil)}", who="puller").status == 403

    def test_a_layer_that_an_index_lists_as_child_stays_a_blob(self, client, world) -> None:
        layer = b"layer"
        client.blob(layer)
        index = client.index([layer], "v1")
        world.sign(REPOSITORY, {"v1": target("v1", index, OCI_INDEX)})
        assert read(client, digest_of(layer)).code == "MANIFEST_UNKNOWN"
        assert client("GET", f"{APP}/blobs/{digest_of(layer)}", who="puller").body == layer

    def test_an_unsigned_child_goes_on_when_it_is_listed_as_another_type(self, client, world) -> None:
        bottom = client.image("bottom")
        inner = client.index([bottom])
        outer = client.index([inner], "v1", [OCI_MANIFEST])
        world.sign(REPOSITORY, {"v1": target("v1", outer, OCI_INDEX)})
        assert read(client, digest_of(bottom)).status == 403
        assert read(client, digest_of(inner)).reason == "digest-mismatch"

    def test_superseded_until_its_date(self, client, world) -> None:
        old_image = client.image("old")
        old, new = client.index([old_image], "v1"), client.image("new", "v1")
        until = NOW + timedelta(days=1)
        world.sign(REPOSITORY, {"v1": target("v1", new, superseded=(Superseded(Digest.of(old), until),))})
        assert read(client, digest_of(old)).body == old
        assert read(client, digest_of(old_image)).body == old_image
        world.now = until
        assert read(client, digest_of(old)).status == 403
        assert read(client, digest_of(old_image)).status == 403

    def test_revoked_is_refused_at_once(self, client, world) -> None:
        data = client.image("one", "v1")
        world.sign(REPOSITORY, {"v1": target("v1", data), "v2": target("v2", data)})
        assert read(client, digest_of(data)).status == 200
        world.sign(REPOSITORY, {"v2": target("v2", data)})
        assert read(client, digest_of(data)).status == 200
        world.sign(REPOSITORY, {})
        assert read(client, digest_of(data)).status == 403


class TestBlobs:
    @pytest.fixture(autouse=True)
    def signed(self, client, world) -> None:
        world.sign(REPOSITORY, {"v1": target("v1", client.image("signed", "v1"))})

    def test_layers_and_configs_are_served(self, client) -> None:
        layer = digest_of(b"layer of signed")
        assert client("GET", f"{APP}/blobs/{layer}", who="puller").body == b"layer of signed"

    @pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-0"}, {"range": "bytes=-1"}, {"range": "bytes=5-"}])
    def test_a_stored_manifest_is_no_blob(self, client, headers) -> None:
        evil = client.image("evil")
        reply = client("GET", f"{APP}/blobs/{digest_of(evil)}", who="puller", **headers)
        assert (reply.status, reply.code) == (403, "DENIED")
        assert client("HEAD", f"{APP}/blobs/{digest_of(evil)}", who="puller").status == 403
        assert client("GET", f"{APP}/blobs/{digest_of(evil)}", who="pusher", **headers).status in (200, 206)

    @pytest.mark.parametrize(
        "data",
        [
            b'{"schemaVersion":2,"config":{"digest":"sha256:0"},"layers":[]}',
            b' \n\t{"Layers":[]}',
            b'{"MANIFESTS":[]}',
            b'{"layers":[]}trailing',
            b'{"x":"\xff","layers":[]}',
            b'{"x":%s,"layers":[]}' % (b"1" * 5000),
            b'{"\\u006cayers":[]}',
            b'{"layers":[],"layers":null}',
            b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"layers":[]}',
            b'{"mediaType":"application/vnd.oci.image.index.v1+json"}',
        ],
        ids=["image", "case", "index", "trailing", "utf8", "digits", "escape", "twice", "deep", "type"],
    )
    def test_an_image_uploaded_as_a_blob_is_refused(self, client, data: bytes) -> None:
        digest = client.blob(data)
        assert client("GET", f"{APP}/blobs/{digest}", who="puller").code == "DENIED"

    @pytest.mark.parametrize(
        "data",
        [
            b'{"architecture":"amd64","config":{"Env":[]},"rootfs":{"type":"layers","diff_ids":[]}}',
            b'{"SchemaVersion":2,"Results":[]}',
            b"",
            b"{",
            b"[1,2]",
            b"\x1f\x8b\x08",
        ],
    )
    def test_other_json_is_served(self, client, data: bytes) -> None:
        digest = client.blob(data)
        assert client("GET", f"{APP}/blobs/{digest}", who="puller").body == data

    def test_a_mounted_manifest_is_refused_as_well(self, client) -> None:
        evil = client.image("evil", "v1", Repository("plain"))
        mounted = client("POST", f"{APP}/blobs/uploads/?mount={digest_of(evil)}&from=plain", who="pusher")
        assert mounted.status == 201
        assert client("GET", f"{APP}/blobs/{digest_of(evil)}", who="puller").status == 403
        assert read(client, digest_of(evil)).status == 403

    def test_a_manifest_is_not_mounted_out_of_a_repository_that_does_not_show_it(self, client, world) -> None:
        """Neither is anything else while nobody can say what is signed there."""
        unsigned, layer = digest_of(client.image("evil", "v1")), digest_of(b"layer of evil")
        world.denied["pusher", REPOSITORY] = frozenset({Action.PULL})
        world.sign(REPOSITORY, {})
        mount = f"/v2/own/blobs/uploads/?from={REPOSITORY}&mount="
        refused = client("POST", mount + unsigned, who="pusher")
        assert (refused.status, refused.reason) == (403, "unsigned")
        assert client("GET", f"/v2/own/blobs/{unsigned}", who="pusher").status == 404
        assert client("POST", mount + layer, who="pusher").status == 201
        assert client("POST", mount + unsigned, who="admin").status == 201, "who may push there may read it there"
        world.views[REPOSITORY] = Unreachable("No database.")
        assert client("POST", mount + layer, who="pusher").status == 503


class TestReferrers:
    @pytest.fixture
    def subject(self, client, world) -> bytes:
        data = client.image("signed", "v1")
        world.sign(REPOSITORY, {"v1": target("v1", data)})
        return data

    @staticmethod
    def artifact(
        client, subject: bytes, reference: str = "", config_type: str = "a/b", layer_type: str = "a/c"
    ) -> bytes:
        config, layer = b"{}", b"statement"
        client.blob(config)
        client.blob(layer)
        about = descriptor(subject, OCI_MANIFEST)
        return client.manifest(image_of(config, layer, config_type, layer_type, subject=about), reference)

    def listed(self, client, digest: str) -> list[str]:
        reply = client("GET", f"{APP}/referrers/{digest}", who="puller")
        return [item["digest"] for item in reply.json["manifests"]]

    def test_artifacts_are_listed_and_served(self, client, subject) -> None:
        one = self.artifact(client, subject)
        two = self.artifact(client, one)
        assert self.listed(client, digest_of(subject)) == [digest_of(one)]
        assert self.listed(client, digest_of(one)) == [digest_of(two)]
        assert read(client, digest_of(two)).body == two

    @pytest.mark.parametrize(
        ("config_type", "layer_type"),
        [
            ("application/vnd.oci.image.config.v1+json", "a/c"),
            ("application/octet-stream", "a/c"),
            ("Application/JSON; charset=utf-8", "a/c"),
            ("a/b", "application/vnd.oci.image.layer.v1.tar+gzip"),
            ("a/b", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ],
    )
    def test_an_image_is_no_referrer(self, client, subject, config_type: str, layer_type: str) -> None:
        evil = self.artifact(client, subject, "", config_type, layer_type)
        assert self.listed(client, digest_of(subject)) == []
        assert read(client, digest_of(evil)).status == 403

    def test_an_index_is_no_referrer(self, client, subject) -> None:
        evil = client.image("evil")
        about = descriptor(subject, OCI_MANIFEST)
        index = client.manifest(
            {"schemaVersion": 2, "manifests": [descriptor(evil, OCI_MANIFEST)], "subject": about}, "", OCI_INDEX
        )
        assert self.listed(client, digest_of(subject)) == []
        assert read(client, digest_of(index)).status == 403
        assert read(client, digest_of(evil)).status == 403

    def test_a_referrer_of_something_unsigned_is_refused(self, client, subject) -> None:
        unsigned = client.image("unsigned")
        about = self.artifact(client, unsigned)
        assert read(client, digest_of(about)).status == 403
        assert client("GET", f"{APP}/referrers/{digest_of(unsigned)}", who="puller").status == 403

    def test_fallback_tags(self, client, subject) -> None:
        tag = f"sha256-{Digest.of(subject).hex}"
        one, evil = self.artifact(client, subject), client.image("evil")
        good = client.index([one], tag)
        assert read(client, tag).body == good
        client.index([one, evil], tag)
        assert read(client, tag).status == 403
        client.manifest(json.loads(evil), tag)
        assert read(client, tag).status == 403
        client.manifest(json.loads(one), f"{tag}.att")
        assert read(client, f"{tag}.att").body == one
        client.manifest(json.loads(one), f"sha256-{Digest.of(evil).hex}")
        assert read(client, f"sha256-{Digest.of(evil).hex}").status == 403
