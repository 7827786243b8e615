"""The embedded registry held against the OCI distribution specification 1.1: push.

A test for each requirement.  ``end-N`` and ``code-N`` are the specification's own numbers of endpoints and codes.
"""

from __future__ import annotations

import json
import os
import time
import uuid

import pytest

from tests.gateway.conftest import image_of, index_of
from tests.gateway.repo import DATA, NOWHERE, Repo, digest_of
from trustkit.core.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Repository
from trustkit.gateway.uploads import MAX_AGE


class TestMonolithicPush:
    def test_post_then_put(self, repo: Repo) -> None:
        """end-4a, end-6: 202 with a Location that has a unique id; then 201 with a Location to pull from."""
        begun = repo("POST", "blobs/uploads/", content_length="0")
        assert begun.status == 202
        session = begun.headers["location"].rpartition("/")[2]
        assert uuid.UUID(session)
        assert session != repo.start().rpartition("/")[2]
        put = repo("PUT", f"{begun.headers['location']}?digest={digest_of(DATA)}", DATA)
        assert (put.status, put.headers["docker-content-digest"]) == (201, digest_of(DATA))
        assert repo("GET", put.headers["location"]).body == DATA

    def test_single_post(self, repo: Repo) -> None:
        """end-4b: 201 with a Location to pull from."""
        reply = repo("POST", f"blobs/uploads/?digest={digest_of(DATA)}", DATA)
        assert reply.status == 201
        assert repo("GET", reply.headers["location"]).body == DATA

    def test_a_blob_may_be_pushed_again(self, repo: Repo) -> None:
        for _ in range(2):
            assert repo("POST", f"blobs/uploads/?digest={digest_of(DATA)}", DATA).status == 201

    @pytest.mark.parametrize("how", ["post", "put", "stream", "chunk"])
    def test_other_bytes_than_the_digest_says_are_400_and_not_kept(self, repo: Repo, how: str) -> None:
        """end-4b, end-6, code-4."""
        query, bad = f"?digest={digest_of(DATA)}", DATA + b"x"
        if how == "post":
            reply = repo("POST", f"blobs/uploads/{query}", bad)
        else:
            location = repo.start()
            if how != "put":
                more = {"content_range": f"0-{len(bad) - 1}"} if how == "chunk" else {}
                assert repo("PATCH", location, bad, **more).status == 202
            reply = repo("PUT", f"{location}{query}", bad if how == "put" else b"")
        assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
        for data in (DATA, bad):
            assert repo("HEAD", f"blobs/{digest_of(data)}").status == 404

    @pytest.mark.parametrize("query", ["", "?digest=", "?digest=sha256:abc", "?digest=sha512:" + "0" * 128])
    def test_a_session_is_closed_with_a_digest_only(self, repo: Repo, query: str) -> None:
        """end-6: the digest is required; without one the session goes on."""
        location = repo.start()
        reply = repo("PUT", f"{location}{query}", DATA)
        assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
        assert repo("PUT", f"{location}?digest={digest_of(DATA)}", DATA).status == 201

    def test_a_single_post_that_can_not_end_leaves_nothing_behind(self, repo: Repo) -> None:
        repo.start()
        before = sorted((repo.folder / "_uploads").iterdir())
        assert repo("POST", "blobs/uploads/?digest=sha256:abc", DATA).code == "DIGEST_INVALID"
        assert sorted((repo.folder / "_uploads").iterdir()) == before


class TestChunkedPush:
    def test_chunks_in_order(self, repo: Repo) -> None:
        """end-5: each is 202 with the Location of the next and how far it has come; then PUT with no body."""
        location, at = repo.start(), 0
        for size in (1, 4000, 239, 6000):
            chunk = DATA[at : at + size]
            reply = repo("PATCH", location, chunk, content_range=f"{at}-{at + size - 1}")
            at += size
            assert (reply.status, reply.headers["range"]) == (202, f"0-{at - 1}")
            location = reply.headers["location"]
        closed = repo("PUT", f"{location}?digest={digest_of(DATA)}", b"")
        assert closed.status == 201
        assert repo("GET", closed.headers["location"]).body == DATA

    def test_the_last_chunk_may_come_with_the_put(self, repo: Repo) -> None:
        """end-6."""
        location = repo.start()
        assert repo("PATCH", location, DATA[:4000], content_range="0-3999").status == 202
        query = f"?digest={digest_of(DATA)}"
        closed = repo("PUT", location + query, DATA[4000:], content_range=f"4000-{len(DATA) - 1}")
        assert closed.status == 201

    @pytest.mark.parametrize("method", ["PATCH", "PUT"])
    @pytest.mark.parametrize("range_", ["4001-10239", "3999-10238", "0-6239", "50-40", "x-y", "4000", "-5", "4000-"])
    def test_out_of_order_is_416_with_the_offset_and_the_session_goes_on(
        self, repo: Repo, method: str, range_: str
    ) -> None:
        """end-5: 416; end-13: GET tells where to go on."""
        location = repo.start()
        assert repo("PATCH", location, DATA[:4000], content_range="0-3999").status == 202
        query = f"?digest={digest_of(DATA)}"
        wrong = repo(method, location + (query if method == "PUT" else ""), DATA[4000:], content_range=range_)
        assert (wrong.status, wrong.code) == (416, "BLOB_UPLOAD_INVALID")
        assert wrong.headers["range"] == "0-3999"
        state = repo("GET", wrong.headers["location"])
        assert (state.status, state.headers["range"]) == (204, "0-3999")
        right = f"4000-{len(DATA) - 1}"
        assert repo("PUT", state.headers["location"] + query, DATA[4000:], content_range=right).status == 201

    def test_the_first_chunk_begins_with_0(self, repo: Repo) -> None:
        """end-5."""
        assert repo("PATCH", repo.start(), DATA[1:], content_range=f"1-{len(DATA) - 1}").status == 416

    @pytest.mark.parametrize("range_", ["0-99", "0-8"], ids=["too short", "too long"])
    def test_a_chunk_is_as_long_as_its_range(self, repo: Repo, range_: str) -> None:
        """code-10; nothing of it is kept."""
        location = repo.start()
        reply = repo("PATCH", location, DATA[:10], content_range=range_)
        assert (reply.status, reply.code) == (400, "SIZE_INVALID")
        assert repo("PUT", f"{location}?digest={digest_of(DATA)}", DATA).status == 201

    def test_a_stream_is_one_chunk(self, repo: Repo) -> None:
        """PATCH with chunked transfer and no Content-Range, as docker pushes."""
        reply = repo("PATCH", repo.start(), iter([DATA[:1], DATA[1:5000], DATA[5000:]]))
        assert (reply.status, reply.headers["range"]) == (202, f"0-{len(DATA) - 1}")
        assert repo("PUT", f"{reply.headers['location']}?digest={digest_of(DATA)}").status == 201

    def test_the_state_of_an_upload(self, repo: Repo) -> None:
        """end-13: 204 with Location and Range."""
        location = repo.start()
        assert repo("PATCH", location, DATA[:77]).status == 202
        state = repo("GET", location)
        assert (state.status, state.body) == (204, b"")
        assert (state.headers["range"], state.headers["location"]) == ("0-76", location)

    def test_cancel(self, repo: Repo) -> None:
        """end-14: 204, and the session is gone."""
        location = repo.start()
        assert repo("PATCH", location, DATA).status == 202
        assert repo("DELETE", location).status == 204
        for method in ("GET", "PATCH", "DELETE"):
            reply = repo(method, location)
            assert (reply.status, reply.code) == (404, "BLOB_UPLOAD_UNKNOWN")

    def test_a_session_is_of_its_repository(self, repo: Repo) -> None:
        session = repo.start().rpartition("/")[2]
        assert repo("GET", f"/v2/{repo.name}/other/blobs/uploads/{session}").status == 404

    def test_an_unfinished_upload_is_thrown_away_in_time(self, repo: Repo) -> None:
        """Uploads SHOULD time out."""
        old, young = repo.start(), repo.start()
        passed = time.time() - MAX_AGE - 60
        os.utime(repo.folder / "_uploads" / old.rpartition("/")[2], (passed, passed))
        repo.start()
        assert repo("GET", old).status == 404
        assert repo("GET", young).status == 204


class TestMount:
    def test_a_blob_of_another_repository_is_mounted(self, repo: Repo) -> None:
        """end-11: 201 with a Location to pull from; deleting the source leaves it."""
        source = Repository(f"{repo.name}/source")
        digest = repo.client.blob(DATA, source)
        reply = repo("POST", f"blobs/uploads/?mount={digest}&from={source}")
        assert (reply.status, reply.headers["docker-content-digest"]) == (201, digest)
        assert repo("DELETE", f"/v2/{source}/blobs/{digest}").status == 202
        assert repo("GET", reply.headers["location"]).body == DATA

    @pytest.mark.parametrize("query", [f"mount={NOWHERE}&from={{}}/source", f"mount={NOWHERE}&from=no/where"])
    def test_what_can_not_be_mounted_is_202_and_pushed(self, repo: Repo, query: str) -> None:
        """end-11."""
        repo.client.blob(DATA, Repository(f"{repo.name}/source"))
        reply = repo("POST", f"blobs/uploads/?{query.format(repo.name)}")
        assert reply.status == 202
        assert repo("PUT", f"{reply.headers['location']}?digest={digest_of(DATA)}", DATA).status == 201

    def test_without_a_source_it_is_202(self, repo: Repo) -> None:
        """end-11: the source may be required; nobody's rights on some other repository are guessed."""
        digest = repo.client.blob(DATA, Repository(f"{repo.name}/source"))
        assert repo("POST", f"blobs/uploads/?mount={digest}").status == 202
        assert repo("HEAD", f"blobs/{digest}").status == 404


class TestManifestPush:
    @pytest.mark.parametrize("by", ["tag", "digest"])
    def test_put(self, repo: Repo, by: str) -> None:
        """end-7: 201, a Location to pull from, the digest; stored byte for byte."""
        repo.blob(b"{}")
        value = image_of(b"{}", b"{}")
        data = json.dumps(value, indent=3).encode() + b"\n\n"
        reply = repo.put(data, "v1" if by == "tag" else "")
        assert (reply.status, reply.headers["docker-content-digest"]) == (201, digest_of(data))
        assert repo("GET", reply.headers["location"]).body == data

    def test_parameters_of_the_content_type_are_ignored(self, repo: Repo) -> None:
        data = repo.image("one")
        assert repo.put(data, "v1", f"{OCI_MANIFEST}; charset=utf-8").status == 201
        assert repo("GET", "manifests/v1").headers["content-type"] == OCI_MANIFEST

    @pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
    def test_image_manifests_of_both_kinds(self, repo: Repo, media_type: str) -> None:
        repo.blob(b"{}")
        value = {**image_of(b"{}", b"{}"), "mediaType": media_type}
        assert repo.put(value, "v1", media_type).status == 201
        assert repo("GET", "manifests/v1").headers["content-type"] == media_type

    @pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
    def test_indexes_of_both_kinds_also_empty_and_nested(self, repo: Repo, media_type: str) -> None:
        child = repo.image("child")
        for children, types in (([], []), ([child], [OCI_MANIFEST])):
            value = {**index_of(children, types), "mediaType": media_type}
            assert repo.put(value, "v1", media_type).status == 201
        inner = json.dumps(value).encode()
        outer = {**index_of([inner], [media_type]), "mediaType": media_type}
        assert repo.put(outer, "v2", media_type).status == 201
        assert repo("GET", "manifests/v2").headers["content-type"] == media_type

    def test_an_artifact_without_layers_and_unknown_members(self, repo: Repo) -> None:
        repo.blob(b"{}")
        value = {
            **image_of(b"{}", b"{}", config_type="application/vnd.oci.empty.v1+json"),
            "layers": [],
            "artifactType": "application/vnd.example",
            "com.example.unknown": {"a": [1, 2, None]},
        }
        reply = repo.put(value, "v1")
        assert reply.status == 201
        assert repo("GET", "manifests/v1").json == value

    def test_a_layer_that_is_kept_elsewhere_need_not_be_here(self, repo: Repo) -> None:
        repo.blob(b"{}")
        value = image_of(b"{}", b"elsewhere", layer_type="application/vnd.oci.image.layer.nondistributable.v1.tar")
        value["layers"][0]["urls"] = ["https://store.example.com/layer"]
        assert repo.put(value, "v1").status == 201

    @pytest.mark.parametrize("which", ["config", "layer", "child"])
    def test_what_refers_to_nothing_is_refused(self, repo: Repo, which: str) -> None:
        """end-7: 404; code-5, naming what is missing."""
        repo.blob(b"{}")
        gone = b"not here"
        if which == "child":
            reply = repo.put(index_of([gone], [OCI_MANIFEST]), "v1", OCI_INDEX)
        else:
            reply = repo.put(image_of(*((gone, b"{}") if which == "config" else (b"{}", gone))), "v1")
        assert (reply.status, reply.code) == (404, "MANIFEST_BLOB_UNKNOWN")
        assert reply.json["errors"][0]["detail"]["missing"] == [digest_of(gone)]
        assert repo("HEAD", "manifests/v1").status == 404

    def test_another_digest_in_the_path_is_400(self, repo: Repo) -> None:
        """code-4."""
        repo.blob(b"{}")
        reply = repo.put(image_of(b"{}", b"{}"), NOWHERE)
        assert (reply.status, reply.code) == (400, "DIGEST_INVALID")

    @pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'"text"', b'{"layers": 1}'])
    def test_what_is_no_manifest_is_400(self, repo: Repo, data: bytes) -> None:
        """code-6."""
        reply = repo.put(data, "v1")
        assert (reply.status, reply.code) == (400, "MANIFEST_INVALID")

    def test_four_mebibytes_are_taken_and_more_is_413(self, repo: Repo) -> None:
        """end-7: 413; at least 4 MB SHOULD be taken."""
        repo.blob(b"{}")
        value = image_of(b"{}", b"{}", annotations={"filling": ""})
        room = (4 << 20) - len(json.dumps(value).encode())
        value["annotations"] = {"filling": "x" * room}
        assert repo.put(value, "v1").status == 201
        value["annotations"] = {"filling": "x" * (room + 1)}
        assert repo.put(value, "v2").status == 413
        assert repo("HEAD", "manifests/v2").status == 404
