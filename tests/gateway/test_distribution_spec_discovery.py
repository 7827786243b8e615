"""The embedded registry held against the OCI distribution specification 1.1: content discovery.

A test for each requirement.  ``end-N`` and ``code-N`` are the specification's own numbers of endpoints and codes.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.gateway.conftest import Reply, descriptor, image_of, index_of
from tests.gateway.repo import Repo, digest_of
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.gateway.paging import REFERRERS


class TestTagList:
    TAGS = ("B", "a", "b", "v1", "v10", "v2", "_x")

    @pytest.fixture
    def tagged(self, repo: Repo) -> Repo:
        data = repo.image("one", self.TAGS[0])
        for tag in self.TAGS[1:]:
            assert repo.put(data, tag).status == 201
        return repo

    def test_all_tags_in_order(self, tagged: Repo) -> None:
        """end-8a: name, and tags as Go's sort.Strings puts them."""
        reply = tagged("GET", "tags/list")
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        assert reply.json == {"name": str(tagged.name), "tags": sorted(self.TAGS)}
        assert "link" not in reply.headers

    def test_n_and_last(self, tagged: Repo) -> None:
        """end-8b: exactly n tags after ``last``, which need not be there."""
        every = sorted(self.TAGS)
        assert tagged("GET", "tags/list?n=3").json["tags"] == every[:3]
        assert tagged("GET", f"tags/list?n=3&last={every[2]}").json["tags"] == every[3:6]
        assert tagged("GET", f"tags/list?last={every[4]}").json["tags"] == every[5:]
        assert tagged("GET", "tags/list?last=v1x").json["tags"] == ["v2"]
        assert tagged("GET", "tags/list?last=zzz").json["tags"] == []
        assert tagged("GET", f"tags/list?n={len(every)}").json["tags"] == every
        assert tagged("GET", "tags/list?n=999999999").json["tags"] == every

    def test_n_of_0_is_an_empty_list_without_a_link(self, tagged: Repo) -> None:
        """end-8b."""
        reply = tagged("GET", "tags/list?n=0")
        assert (reply.status, reply.json["tags"]) == (200, [])
        assert "link" not in reply.headers

    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_the_links_lead_through_all_tags_once(self, tagged: Repo, size: int) -> None:
        """end-8b: Link with rel="next" (RFC 5988) while there is more."""
        path, seen = f"tags/list?n={size}", []
        while path:
            reply = tagged("GET", path)
            seen += reply.json["tags"]
            link = re.fullmatch(r'<([^>]+)>; rel="next"', reply.headers.get("link", ""))
            path = link[1] if link else ""
        assert seen == sorted(self.TAGS)

    @pytest.mark.parametrize("n", ["x", "-1", "1.5", "0x1"])
    def test_n_is_a_number(self, tagged: Repo, n: str) -> None:
        assert tagged("GET", f"tags/list?n={n}").status == 400

    def test_a_repository_without_tags_has_an_empty_list(self, tagged: Repo) -> None:
        for tag in self.TAGS:
            assert tagged("DELETE", f"manifests/{tag}").status == 202
        assert tagged("GET", "tags/list").json["tags"] == []

    def test_of_no_repository_it_is_404(self, repo: Repo) -> None:
        """end-8a, code-9."""
        reply = repo("GET", "tags/list")
        assert (reply.status, reply.code) == (404, "NAME_UNKNOWN")


class TestReferrers:
    def about(self, repo: Repo, subject: bytes, name: str, **more: object) -> tuple[bytes, Reply]:
        """Pushes an artifact about the subject."""
        repo.blob(b"{}")
        value = image_of(b"{}", b"{}", config_type=more.pop("config_type", "application/vnd.oci.empty.v1+json"))
        value |= {"subject": descriptor(subject, OCI_MANIFEST), "annotations": {"name": name}, **more}
        data = json.dumps(value).encode()
        return data, repo.put(data)

    def listed(self, repo: Repo, subject: bytes, query: str = "") -> Reply:
        reply = repo("GET", f"referrers/{digest_of(subject)}{query}")
        assert (reply.status, reply.headers["content-type"]) == (200, OCI_INDEX)
        assert reply.json["schemaVersion"] == 2
        assert reply.json["mediaType"] == OCI_INDEX
        return reply

    def test_the_push_says_that_the_subject_was_seen(self, repo: Repo) -> None:
        """OCI-Subject; so the client keeps no fallback tag."""
        subject = repo.image("one", "v1")
        _, reply = self.about(repo, subject, "sbom", artifactType="a/sbom")
        assert reply.headers["oci-subject"] == digest_of(subject)
        assert "oci-subject" not in repo.put(subject, "v2").headers

    def test_a_subject_need_not_be_there_yet(self, repo: Repo) -> None:
        subject = b'{"not": "pushed"}'
        data, reply = self.about(repo, subject, "early")
        assert (reply.status, reply.headers["oci-subject"]) == (201, digest_of(subject))
        assert [one["digest"] for one in self.listed(repo, subject).json["manifests"]] == [digest_of(data)]

    def test_the_artifact_type_is_the_manifests_own_or_its_configs(self, repo: Repo) -> None:
        """end-12a: descriptors with artifactType and annotations."""
        subject = repo.image("one", "v1")
        own, _ = self.about(repo, subject, "own", artifactType="a/own")
        config, _ = self.about(repo, subject, "config", config_type="a/config")
        empty, _ = self.about(repo, subject, "empty", config_type="a/config", artifactType="")
        found = {one["digest"]: one for one in self.listed(repo, subject).json["manifests"]}
        expected = {digest_of(own): "a/own", digest_of(config): "a/config", digest_of(empty): "a/config"}
        assert {digest: one["artifactType"] for digest, one in found.items()} == expected
        assert found[digest_of(own)]["annotations"] == {"name": "own"}
        assert found[digest_of(own)]["size"] == len(own)
        assert found[digest_of(own)]["mediaType"] == OCI_MANIFEST

    def test_an_index_without_an_artifact_type_has_none(self, repo: Repo) -> None:
        """end-12a."""
        subject = repo.image("one", "v1")
        value = {**index_of([], []), "subject": descriptor(subject, OCI_MANIFEST)}
        assert repo.put(value, media_type=OCI_INDEX).headers["oci-subject"] == digest_of(subject)
        (one,) = self.listed(repo, subject).json["manifests"]
        assert one["mediaType"] == OCI_INDEX
        assert "artifactType" not in one

    def test_the_filter_is_applied_and_said(self, repo: Repo) -> None:
        """end-12b: OCI-Filters-Applied."""
        subject = repo.image("one", "v1")
        sbom, _ = self.about(repo, subject, "sbom", artifactType="a/sbom+json")
        self.about(repo, subject, "other", artifactType="a/sbom")
        reply = self.listed(repo, subject, "?artifactType=a/sbom%2Bjson")
        assert reply.headers["oci-filters-applied"] == "artifactType"
        assert [one["digest"] for one in reply.json["manifests"]] == [digest_of(sbom)]
        assert "oci-filters-applied" not in self.listed(repo, subject).headers
        assert self.listed(repo, subject, "?artifactType=a/none").json["manifests"] == []

    @pytest.mark.parametrize("exists", [True, False], ids=["in a repository", "in no repository"])
    def test_of_nothing_the_list_is_empty_and_never_404(self, repo: Repo, exists: bool) -> None:
        """end-12a."""
        if exists:
            repo.image("one", "v1")
        assert self.listed(repo, b"nothing").json["manifests"] == []

    @pytest.mark.parametrize("digest", ["sha256:abc", "v1", "sha256:" + "A" * 64])
    def test_what_is_no_digest_is_400(self, repo: Repo, digest: str) -> None:
        """end-12a."""
        assert repo("GET", f"referrers/{digest}").status == 400

    def test_a_deleted_referrer_is_listed_no_more(self, repo: Repo) -> None:
        subject = repo.image("one", "v1")
        data, _ = self.about(repo, subject, "sbom")
        assert repo("DELETE", f"manifests/{digest_of(data)}").status == 202
        assert self.listed(repo, subject).json["manifests"] == []

    def test_more_than_a_page_is_linked_and_keeps_the_filter(self, repo: Repo) -> None:
        """end-12: a Link with rel="next" where the list is not whole."""
        subject, expected = repo.image("one", "v1"), set()
        for number in range(5):
            data, _ = self.about(repo, subject, f"number {number}", artifactType="a/sbom+json")
            expected.add(digest_of(data))
        self.about(repo, subject, "other", artifactType="a/other")
        path, seen = f"referrers/{digest_of(subject)}?artifactType=a/sbom%2Bjson&n=2", []
        while path:
            reply = repo("GET", path)
            assert reply.headers["oci-filters-applied"] == "artifactType"
            seen += [one["digest"] for one in reply.json["manifests"]]
            link = re.fullmatch(r'<([^>]+)>; rel="next"', reply.headers.get("link", ""))
            path = link[1] if link else ""
        assert len(seen) == len(expected)
        assert set(seen) == expected
        assert REFERRERS == 1_000, "or a page may be longer than what a client reads"
