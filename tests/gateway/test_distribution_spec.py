"""The embedded registry held against the OCI distribution specification 1.1: pull, management, errors.

A test for each requirement.  ``end-N`` and ``code-N`` are the specification's own numbers of endpoints and codes.
"""

from __future__ import annotations

import re

import pytest

from tests.gateway.repo import DATA, NOWHERE, Repo, digest_of
from trustkit.core.manifests import OCI_MANIFEST
from trustkit.core.names import Repository


class TestBase:
    def test_get_v2_is_200(self, repo: Repo) -> None:
        """end-1."""
        assert repo("GET", "/v2/").status == 200

    def test_without_a_login_it_is_401_with_a_challenge(self, repo: Repo) -> None:
        """end-1."""
        reply = repo.client("GET", "/v2/", who="nobody")
        assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
        assert reply.headers["www-authenticate"].startswith("Bearer ")

    @pytest.mark.parametrize(
        "name", ["a", "a/b/c", "a0.b_c-d/e__f---g", "x" * 255], ids=["one", "three", "separators", "255 characters"]
    )
    def test_names_of_the_grammar_are_taken(self, repo: Repo, name: str) -> None:
        assert repo("GET", f"/v2/{name}/manifests/v1").code == "MANIFEST_UNKNOWN"

    @pytest.mark.parametrize("name", ["A", "a//b", "a/", "-a", "a_", "a..b", "a___b", "x" * 256, "a/_b", "a%2fb"])
    def test_other_names_are_400(self, repo: Repo, name: str) -> None:
        """code-8; the harness answers as the service does."""
        reply = repo.client("GET", f"/v2/{name}/manifests/v1")
        assert (reply.status, reply.code) == (400, "NAME_INVALID")


class TestPull:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("by", ["tag", "digest"])
    def test_a_manifest_by_tag_and_by_digest(self, repo: Repo, method: str, by: str) -> None:
        """end-3: 200, Content-Type as pushed, the digest, the length; the bytes as they were pushed."""
        data = repo.image("one", "v1")
        reply = repo(method, f"manifests/{'v1' if by == 'tag' else digest_of(data)}")
        assert (reply.status, reply.body) == (200, data if method == "GET" else b"")
        assert reply.headers["content-type"] == OCI_MANIFEST
        assert reply.headers["docker-content-digest"] == digest_of(data)
        assert reply.headers["content-length"] == str(len(data))

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("reference", ["v1", NOWHERE])
    @pytest.mark.parametrize("exists", [True, False], ids=["in a repository", "in no repository"])
    def test_an_unknown_manifest_is_404(self, repo: Repo, method: str, reference: str, exists: bool) -> None:
        """end-3, code-7."""
        if exists:
            repo.image("one", "other")
        reply = repo(method, f"manifests/{reference}")
        assert reply.status == 404
        if method == "GET":
            assert reply.code == "MANIFEST_UNKNOWN"

    @pytest.mark.parametrize(
        "reference", ["sha256:baddigeststring", "sha256:" + "A" * 64, "-x", "x" * 129, "sha512:0"]
    )
    def test_a_reference_outside_the_grammar_is_400(self, repo: Repo, reference: str) -> None:
        for method in ("GET", "PUT", "DELETE"):
            assert repo(method, f"manifests/{reference}", b"{}" if method == "PUT" else None).status == 400

    @pytest.mark.parametrize("data", [DATA, b"", b"{}"], ids=["data", "empty", "empty JSON"])
    def test_a_blob(self, repo: Repo, data: bytes) -> None:
        """end-2: 200 with the digest, to GET with the bytes, to HEAD with the length and no body."""
        digest = repo.blob(data)
        got, asked = repo("GET", f"blobs/{digest}"), repo("HEAD", f"blobs/{digest}")
        assert (got.status, got.body) == (200, data)
        assert (asked.status, asked.body) == (200, b"")
        for reply in (got, asked):
            assert reply.headers["docker-content-digest"] == digest
            assert reply.headers["content-length"] == str(len(data))

    def test_an_unknown_blob_is_404(self, repo: Repo) -> None:
        """end-2, code-1."""
        reply = repo("GET", f"blobs/{NOWHERE}")
        assert (reply.status, reply.code) == (404, "BLOB_UNKNOWN")
        assert repo("HEAD", f"blobs/{NOWHERE}").status == 404

    def test_a_blob_of_another_repository_is_404(self, repo: Repo) -> None:
        digest = repo.client.blob(DATA, Repository(f"{repo.name}/other"))
        assert repo("GET", f"blobs/{digest}").status == 404


class TestRanges:
    """Range requests of RFC 9110, which registries SHOULD support."""

    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [("500-1499", 500, 1499), ("500-", 500, 10239), ("-500", 9740, 10239), ("10000-99999", 10000, 10239)],
    )
    def test_a_part_is_206(self, repo: Repo, asked: str, first: int, last: int) -> None:
        reply = repo("GET", f"blobs/{repo.blob(DATA)}", range=f"bytes={asked}")
        assert (reply.status, reply.body) == (206, DATA[first : last + 1])
        assert reply.headers["content-range"] == f"bytes {first}-{last}/{len(DATA)}"
        assert reply.headers["content-length"] == str(last - first + 1)

    @pytest.mark.parametrize("asked", ["500-0", "50000-60000", "10240-", "-0"])
    def test_a_part_that_is_not_there_is_416(self, repo: Repo, asked: str) -> None:
        reply = repo("GET", f"blobs/{repo.blob(DATA)}", range=f"bytes={asked}")
        assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(DATA)}")

    def test_no_part_of_an_empty_blob_is_there(self, repo: Repo) -> None:
        assert repo("GET", f"blobs/{repo.blob(b'')}", range="bytes=0-").status == 416

    def test_head_has_no_parts(self, repo: Repo) -> None:
        """RFC 9110, 14.2: Range means something to GET only."""
        reply = repo("HEAD", f"blobs/{repo.blob(DATA)}", range="bytes=0-9")
        assert (reply.status, reply.headers["content-length"]) == (200, str(len(DATA)))
        assert "content-range" not in reply.headers

    def test_a_pull_is_resumed_only_where_it_was_of_these_bytes(self, repo: Repo) -> None:
        """RFC 9110, 13.1.5: If-Range."""
        digest = repo.blob(DATA)
        same = repo("GET", f"blobs/{digest}", range="bytes=9-", if_range=f'"{digest}"')
        other = repo("GET", f"blobs/{digest}", range="bytes=9-", if_range=f'"{NOWHERE}"')
        assert (same.status, same.body) == (206, DATA[9:])
        assert (other.status, other.body) == (200, DATA)


class TestConditionalRequests:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("kind", ["blobs", "manifests"])
    @pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"other", "{}"', "*", "{}"])
    def test_what_the_client_has_is_304(self, repo: Repo, method: str, kind: str, form: str) -> None:
        """RFC 9110, 13.1.2: If-None-Match."""
        digest = repo.blob(DATA) if kind == "blobs" else digest_of(repo.image("one", "v1"))
        reply = repo(method, f"{kind}/{digest}", if_none_match=form.format(digest))
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", f'"{digest}"')

    def test_a_tag_that_moved_is_200(self, repo: Repo) -> None:
        old = repo.image("old", "v1")
        assert repo("GET", "manifests/v1", if_none_match=f'"{digest_of(old)}"').status == 304
        new = repo.image("new", "v1")
        reply = repo("GET", "manifests/v1", if_none_match=f'"{digest_of(old)}"')
        assert (reply.status, reply.body) == (200, new)

    def test_what_is_gone_is_404_whatever_the_client_has(self, repo: Repo) -> None:
        for path in (f"blobs/{NOWHERE}", f"manifests/{NOWHERE}", "manifests/v1"):
            assert repo("GET", path, if_none_match=f'"{NOWHERE}", *').status == 404


class TestContentManagement:
    def test_a_tag_is_deleted_and_its_manifest_stays(self, repo: Repo) -> None:
        """end-9: 202; then 404 for the tag."""
        data = repo.image("one", "v1")
        assert repo("DELETE", "manifests/v1").status == 202
        assert repo("GET", "manifests/v1").status == 404
        assert repo("GET", f"manifests/{digest_of(data)}").body == data

    def test_a_manifest_is_deleted_with_its_tags(self, repo: Repo) -> None:
        """end-9: 202; then 404 for the digest and every tag of it; the tag list says so."""
        data = repo.image("one", "v1")
        assert repo.put(data, "v2").status == 201
        repo.image("two", "v3")
        assert repo("DELETE", f"manifests/{digest_of(data)}").status == 202
        for reference in (digest_of(data), "v1", "v2"):
            assert repo("GET", f"manifests/{reference}").status == 404
        assert repo("GET", "tags/list").json["tags"] == ["v3"]

    @pytest.mark.parametrize("reference", ["v1", NOWHERE])
    @pytest.mark.parametrize("exists", [True, False], ids=["in a repository", "in no repository"])
    def test_what_is_not_there_is_404(self, repo: Repo, reference: str, exists: bool) -> None:
        """end-9."""
        if exists:
            repo.image("one", "other")
        reply = repo("DELETE", f"manifests/{reference}")
        assert (reply.status, reply.code) == (404, "MANIFEST_UNKNOWN")
        assert repo.folder.exists() == exists, "and a refused delete makes no repository"

    def test_a_blob_is_deleted(self, repo: Repo) -> None:
        """end-10: 202; then 404."""
        digest = repo.blob(DATA)
        assert repo("DELETE", f"blobs/{digest}").status == 202
        assert repo("GET", f"blobs/{digest}").status == 404
        again = repo("DELETE", f"blobs/{digest}")
        assert (again.status, again.code) == (404, "BLOB_UNKNOWN")

    def test_a_deleted_image_can_be_pushed_again(self, repo: Repo) -> None:
        data = repo.image("one", "v1")
        assert repo("DELETE", f"manifests/{digest_of(data)}").status == 202
        assert repo.image("one", "v1") == data
        assert repo("GET", "manifests/v1").body == data


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "manifests/v1"),
            ("PATCH", f"blobs/{NOWHERE}"),
            ("PUT", "tags/list"),
            ("DELETE", f"referrers/{NOWHERE}"),
            ("PUT", "blobs/uploads/"),
            ("POST", "/v2/"),
            ("DELETE", "/v2/_catalog"),
        ],
    )
    def test_a_method_that_means_nothing_is_405(self, repo: Repo, method: str, path: str) -> None:
        """code-13."""
        reply = repo(method, path)
        assert (reply.status, reply.code) == (405, "UNSUPPORTED")

    def test_a_refused_head_says_why_in_a_warning(self, repo: Repo) -> None:
        """Warning: 299, agent "-", no date, at most 4,096 bytes."""
        warning = repo("HEAD", "manifests/v1").headers["warning"]
        assert re.fullmatch(r'299 - "(?:[^"\\]|\\.)+"', warning)
        assert len(warning) < 4096

    def test_the_rights_that_lack_are_401_and_push_needs_them(self, repo: Repo) -> None:
        """code-11."""
        reply = repo.client("POST", f"/v2/{repo.name}/blobs/uploads/", who="puller")
        assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
