"""The embedded registry against the distribution specification 1.1, over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest

APP = "/v2/team/app"
DATA = bytes(range(256)) * 40


def digest_of(data: bytes) -> str:
    return str(Digest.of(data))


def start(client) -> str:
    reply = client("POST", f"{APP}/blobs/uploads/")
    assert reply.status == 202
    assert reply.headers["range"] == "0-0"
    return reply.headers["location"]


def finish(client, location: str, data: bytes, body: bytes = b"", **headers: str):
    return client("PUT", f"{location}?digest={digest_of(data)}", body, **headers)


class TestUploads:
    def test_in_one_request(self, client) -> None:
        reply = client("POST", f"{APP}/blobs/uploads/?digest={digest_of(DATA)}", DATA)
        assert reply.status == 201
        assert client("GET", reply.headers["location"]).body == DATA

    def test_post_then_put(self, client) -> None:
        location = start(client)
        assert finish(client, location, DATA, DATA).status == 201
        assert client("GET", f"{APP}/blobs/{digest_of(DATA)}").body == DATA
        assert client("PUT", f"{location}?digest={digest_of(DATA)}").code == "BLOB_UPLOAD_UNKNOWN"

    def test_streamed_as_docker_does(self, client) -> None:
        location = start(client)
        patched = client("PATCH", location, iter([DATA[:5000], DATA[5000:]]))
        assert (patched.status, patched.headers["range"]) == (202, f"0-{len(DATA) - 1}")
        assert finish(client, location, DATA).status == 201

    def test_chunks_in_order_with_resume(self, client) -> None:
        location = start(client)
        assert client("PATCH", location, DATA[:4000], content_range="0-3999").status == 202
        wrong = client("PATCH", location, DATA[5000:], content_range=f"5000-{len(DATA) - 1}")
        assert (wrong.status, wrong.headers["range"]) == (416, "0-3999")
        state = client("GET", location)
        assert (state.status, state.headers["range"], state.body) == (204, "0-3999", b"")
        last = finish(client, location, DATA, DATA[4000:], content_range=f"4000-{len(DATA) - 1}")
        assert last.status == 201

    def test_a_chunk_shorter_than_its_range_is_not_kept(self, client) -> None:
        location = start(client)
        assert client("PATCH", location, DATA[:10], content_range="0-99").code == "SIZE_INVALID"
        assert client("GET", location).headers["range"] == "0-0"

    def test_the_wrong_digest_is_refused_and_nothing_is_kept(self, client) -> None:
        location = start(client)
        assert finish(client, location, DATA, DATA + b"x").code == "DIGEST_INVALID"
        assert client("HEAD", f"{APP}/blobs/{digest_of(DATA)}").status == 404
        assert client("HEAD", f"{APP}/blobs/{digest_of(DATA + b'x')}").status == 404
        assert client("GET", location).status == 404

    def test_cancel(self, client) -> None:
        location = start(client)
        assert client("DELETE", location).status == 204
        assert client("PATCH", location, DATA).code == "BLOB_UPLOAD_UNKNOWN"

    def test_a_truncated_upload_is_resumed_where_it_broke_off(self, client) -> None:
        location = start(client)
        with socket.create_connection(("127.0.0.1", client.port)) as raw:
            head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n"
            raw.sendall(head.encode() + DATA[:1000])
        for _ in range(100):
            state = client("GET", location)
            if state.status == 204:
                break
        assert client("HEAD", f"{APP}/blobs/{digest_of(DATA)}").status == 404
        begun = 0 if state.headers["range"] == "0-0" else int(state.headers["range"][2:]) + 1
        assert begun <= 1000
        assert finish(client, location, DATA, DATA[begun:]).status == 201

    @pytest.mark.parametrize(
        "session", ["..", "../x", "_lock", "%2e%2e", "0" * 32, "..%2f_lock", "index.json", "A" * 32, "0" * 31 + "%00"]
    )
    def test_no_session_leads_anywhere(self, client, session: str) -> None:
        start(client)
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            assert client(method, f"{APP}/blobs/uploads/{session}").status in (400, 404)

    @pytest.mark.parametrize("digest", ["", "sha256:abc", "sha512:" + "0" * 128, "sha256:" + "A" * 64, "../../x"])
    def test_no_other_digest_ends_an_upload(self, client, digest: str) -> None:
        assert client("PUT", f"{start(client)}?digest={digest}", DATA).code == "DIGEST_INVALID"

    def test_a_parameter_given_twice_is_refused(self, client) -> None:
        query = f"digest={digest_of(DATA)}&digest={digest_of(b'')}"
        assert client("POST", f"{APP}/blobs/uploads/?{query}", DATA).status == 400

    def test_mount_takes_the_blob_over(self, client) -> None:
        digest = client.blob(DATA)
        mounted = client("POST", f"/v2/other/blobs/uploads/?mount={digest}&from=team/app")
        assert mounted.status == 201
        assert client("GET", f"/v2/other/blobs/{digest}").body == DATA
        assert client("POST", f"/v2/other/blobs/uploads/?mount={digest_of(b'no')}&from=team/app").status == 202


class TestBlobs:
    @pytest.mark.parametrize(
        ("header", "status", "part"),
        [
            ("bytes=0-9", 206, slice(0, 10)),
            ("bytes=100-", 206, slice(100, None)),
            ("bytes=-5", 206, slice(-5, None)),
            ("bytes=5-999999", 206, slice(5, None)),
            ("bytes=-999999", 206, slice(0, None)),
            ("bytes=0-1,4-5", 200, slice(None)),
            ("bytes=9-2", 416, None),
            ("bytes=-", 200, slice(None)),
            ("lines=0-1", 200, slice(None)),
            ("bytes=10240-", 416, None),
            ("bytes=-0", 416, None),
        ],
    )
    def test_ranges(self, client, header: str, status: int, part: slice | None) -> None:
        digest = client.blob(DATA)
        reply = client("GET", f"{APP}/blobs/{digest}", range=header)
        assert reply.status == status
        if part is not None:
            assert reply.body == DATA[part]
        if status == 416:
            assert reply.headers["content-range"] == f"bytes */{len(DATA)}"

    def test_head_has_the_length_and_no_body(self, client) -> None:
        reply = client("HEAD", f"{APP}/blobs/{client.blob(DATA)}")
        assert (reply.status, reply.headers["content-length"], reply.body) == (200, str(len(DATA)), b"")

    def test_delete(self, client) -> None:
        digest = client.blob(DATA)
        assert client("DELETE", f"{APP}/blobs/{digest}").status == 202
        assert client("GET", f"{APP}/blobs/{digest}").code == "BLOB_UNKNOWN"
        assert client("DELETE", f"{APP}/blobs/{digest}").status == 404

    def test_other_methods_are_unsupported(self, client) -> None:
        assert client("PATCH", f"{APP}/blobs/{client.blob(DATA)}").code == "UNSUPPORTED"


class TestManifests:
    def test_put_and_get_by_tag_and_digest(self, client) -> None:
        data = client.image("one", "v1")
        for reference in ("v1", digest_of(data)):
            reply = client("GET", f"{APP}/manifests/{reference}")
            assert (reply.status, reply.body) == (200, data)
            assert reply.headers["content-type"] == OCI_MANIFEST
            assert reply.headers["docker-content-digest"] == digest_of(data)
            assert client("HEAD", f"{APP}/manifests/{reference}").headers["content-length"] == str(len(data))

    def test_a_tag_moves_and_its_old_manifest_stays(self, client) -> None:
        old, new = client.image("old", "v1"), client.image("new", "v1")
        assert client("GET", f"{APP}/manifests/v1").body == new
        assert client("GET", f"{APP}/manifests/{digest_of(old)}").body == old
        assert client("GET", f"{APP}/tags/list").json["tags"] == ["v1"]

    def test_a_blob_is_no_manifest(self, client) -> None:
        digest = client.blob(b'{"schemaVersion":2}')
        assert client("GET", f"{APP}/manifests/{digest}").code == "MANIFEST_UNKNOWN"

    @pytest.mark.parametrize(
        ("body", "media_type", "code"),
        [
            (b"no json", OCI_MANIFEST, "MANIFEST_INVALID"),
            (b"[]", OCI_MANIFEST, "MANIFEST_INVALID"),
            (b"[" * 5000, OCI_MANIFEST, "MANIFEST_INVALID"),
            (b'{"layers":[],"layers":[]}', OCI_MANIFEST, "MANIFEST_INVALID"),
            (b'{"layers":[],"manifests":[]}', OCI_MANIFEST, "MANIFEST_INVALID"),
            (b'{"manifests":[]}', OCI_MANIFEST, "MANIFEST_INVALID"),
            (b'{"layers":[]}', OCI_INDEX, "MANIFEST_INVALID"),
            (b'{"mediaType":"a/b","layers":[]}', OCI_MANIFEST, "MANIFEST_INVALID"),
            (b'{"layers":[{"digest":"md5:0"}]}', OCI_MANIFEST, "MANIFEST_INVALID"),
            (b'{"layers":["x"]}', OCI_MANIFEST, "MANIFEST_INVALID"),
            (b'{"layers":{}}', OCI_MANIFEST, "MANIFEST_INVALID"),
            (b'{"layers":[]}', "", "MANIFEST_INVALID"),
            (b'{"layers":[{"digest":"sha256:%s"}]}' % (b"0" * 64), OCI_MANIFEST, "MANIFEST_BLOB_UNKNOWN"),
            (b'{"manifests":[{"digest":"sha256:%s"}]}' % (b"0" * 64), OCI_INDEX, "MANIFEST_BLOB_UNKNOWN"),
        ],
    )
    def test_what_is_no_manifest_is_refused(self, client, body: bytes, media_type: str, code: str) -> None:
        reply = client("PUT", f"{APP}/manifests/v1", body, content_type=media_type)
        assert reply.code == code
        assert client("HEAD", f"{APP}/manifests/v1").status == 404

    def test_the_digest_in_the_path_is_checked(self, client) -> None:
        reply = client("PUT", f"{APP}/manifests/{digest_of(b'')}", b'{"layers":[]}', content_type=OCI_MANIFEST)
        assert reply.code == "DIGEST_INVALID"

    def test_four_mebibytes_are_the_limit(self, client) -> None:
        body = b'{"layers":[],"x":"' + b"x" * (4 << 20) + b'"}'
        assert client("PUT", f"{APP}/manifests/v1", body, content_type=OCI_MANIFEST).status == 413
        assert client("PUT", f"{APP}/manifests/v1", iter([body]), content_type=OCI_MANIFEST).status == 413

    def test_delete_a_tag_then_the_manifest(self, client) -> None:
        data = client.image("one", "v1")
        client("PUT", f"{APP}/manifests/v2", data, content_type=OCI_MANIFEST)
        assert client("DELETE", f"{APP}/manifests/v1").status == 202
        assert client("GET", f"{APP}/manifests/v1").status == 404
        assert client("GET", f"{APP}/manifests/{digest_of(data)}").status == 200
        assert client("DELETE", f"{APP}/manifests/{digest_of(data)}").status == 202
        assert client("GET", f"{APP}/manifests/v2").status == 404
        assert client("GET", f"{APP}/manifests/{digest_of(data)}").status == 404
        assert client("GET", f"{APP}/blobs/{digest_of(data)}").status == 404
        assert client("DELETE", f"{APP}/manifests/v1").status == 404

    def test_a_blob_delete_spares_manifests(self, client) -> None:
        data = client.image("one", "v1")
        assert client("DELETE", f"{APP}/blobs/{digest_of(data)}").status == 404
        assert client("GET", f"{APP}/manifests/v1").body == data


class TestLists:
    def test_tags_page_by_page(self, client) -> None:
        data = client.image("one", "b")
        for tag in ("a", "d", "c"):
            client("PUT", f"{APP}/manifests/{tag}", data, content_type=OCI_MANIFEST)
        first = client("GET", f"{APP}/tags/list?n=3")
        assert first.json == {"name": "team/app", "tags": ["a", "b", "c"]}
        following = first.headers["link"].removeprefix("<").partition(">")[0]
        last = client("GET", following)
        assert last.json["tags"] == ["d"]
        assert "link" not in last.headers
        assert client("GET", f"{APP}/tags/list?n=0").json["tags"] == []
        assert client("GET", f"{APP}/tags/list?n=x").status == 400
        assert client("GET", "/v2/nowhere/tags/list").code == "NAME_UNKNOWN"

    def test_catalog_lists_what_the_caller_may_pull(self, client, world) -> None:
        from trustkit.core.names import Repository

        for name in ("team/app", "team", "other"):
            client.image("one", "v1", Repository(name))
        assert client("GET", "/v2/_catalog").json == {"repositories": ["other", "team", "team/app"]}
        world.denied["puller", Repository("team")] = frozenset()
        assert client("GET", "/v2/_catalog", who="puller").json["repositories"] == ["other", "team/app"]

    def test_referrers(self, client) -> None:
        subject = client.image("one", "v1")
        about = {"mediaType": OCI_MANIFEST, "digest": digest_of(subject), "size": len(subject)}
        sbom = client.image("sbom", "", subject=about, artifactType="a/sbom", annotations={"k": "v"})
        client.image("other", "", subject=about, artifactType="a/other")
        listed = client("GET", f"{APP}/referrers/{digest_of(subject)}")
        assert listed.headers["content-type"] == OCI_INDEX
        assert len(listed.json["manifests"]) == 2
        one = client("GET", f"{APP}/referrers/{digest_of(subject)}?artifactType=a/sbom")
        assert one.headers["oci-filters-applied"] == "artifactType"
        assert one.json["manifests"] == [
            {
                "mediaType": OCI_MANIFEST,
                "digest": digest_of(sbom),
                "size": len(sbom),
                "artifactType": "a/sbom",
                "annotations": {"k": "v"},
            }
        ]
        assert client("GET", f"{APP}/referrers/{digest_of(b'none')}").json["manifests"] == []


class TestAccess:
    @pytest.mark.parametrize(
        ("who", "method", "path", "error"),
        [
            ("nobody", "GET", "/v2/", None),
            ("nobody", "GET", "/v2/_catalog", None),
            ("nobody", "GET", f"{APP}/manifests/v1", None),
            ("puller", "PUT", f"{APP}/manifests/v1", "insufficient_scope"),
            ("puller", "POST", f"{APP}/blobs/uploads/", "insufficient_scope"),
            ("puller", "GET", f"{APP}/blobs/uploads/" + "0" * 32, "insufficient_scope"),
            ("pusher", "DELETE", f"{APP}/manifests/v1", "insufficient_scope"),
        ],
    )
    def test_a_lack_is_401_with_the_challenge(
        self, client, who: str, method: str, path: str, error: str | None
    ) -> None:
        reply = client(method, path, who=who)
        assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
        assert ("insufficient_scope" in reply.headers["www-authenticate"]) == (error is not None)

    def test_the_base_says_who_may_come_in(self, client) -> None:
        assert client("GET", "/v2/", who="puller").headers["docker-distribution-api-version"] == "registry/2.0"

    def test_a_mount_takes_pull_on_its_source(self, client, world) -> None:
        from trustkit.core.names import Repository

        digest = client.blob(DATA, Repository("secret"))
        world.denied["pusher", Repository("secret")] = frozenset()
        for query in (f"mount={digest}&from=secret", f"from=secret&mount={digest}", f"mount={digest}&from=%73ecret"):
            reply = client("POST", f"{APP}/blobs/uploads/?{query}", who="pusher")
            assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
        assert client("POST", f"{APP}/blobs/uploads/?mount={digest}&from=a&from=secret", who="pusher").status == 400
        assert client("POST", f"{APP}/blobs/uploads/?mount={digest}&from=../secret", who="pusher").status == 400
        assert client("HEAD", f"{APP}/blobs/{digest}").status == 404


@pytest.mark.real
class TestSkopeo:
    def test_copies_there_and_back(self, client, root: Path, real, tmp_path: Path) -> None:
        skopeo = real("skopeo")
        data = client.image("one", "v1")
        ours = f"oci:{root}/team/app/_oci:v1"
        remote = f"docker://{client.host}/copy/app:v1"
        for command in (
            ["copy", ours, remote, "--dest-tls-verify=false"],
            ["copy", remote, f"oci:{tmp_path}/back:v1", "--src-tls-verify=false"],
            ["inspect", "--raw", f"oci:{tmp_path}/back:v1"],
        ):
            env = {**os.environ, "TMPDIR": str(tmp_path)}
            done = subprocess.run([skopeo, "--insecure-policy", *command], capture_output=True, timeout=60, env=env)
            assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["config"] == json.loads(data)["config"]
