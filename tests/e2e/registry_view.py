"""The registry's own view in tests: its tags as they point, whatever is signed; and many manifests put quickly."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.service import Person, RunningService
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest

ACCEPT = f"{OCI_MANIFEST}, {OCI_INDEX}"


@dataclass
class Own:
    """One repository, looked at and written by somebody who may push and sign."""

    service: RunningService
    person: Person
    repository: str

    @property
    def gun(self) -> str:
        return f"{self.service.host}/{self.repository}"

    def tag(self, tag: str) -> str:
        """The digest that the registry's own tag has; empty where there is none."""
        status, body = self._ask([("GET", tag, b"", {"Accept": ACCEPT, "Trustkit-View": "registry"})])[0]
        assert status in (200, 404), body
        return str(Digest.of(body)) if status == 200 else ""

    def manifest(self, tag: str) -> bytes:
        """The bytes of the manifest that the registry's own tag has."""
        status, body = self._ask([("GET", tag, b"", {"Accept": ACCEPT, "Trustkit-View": "registry"})])[0]
        assert status == 200, body
        return body

    def delete(self, digest: str) -> None:
        """Deletes a manifest."""
        status, body = self._ask([("DELETE", digest, b"", {})], actions="pull,delete")[0]
        assert status == 202, body

    def put(self, tags: Mapping[str, bytes], media_type: str = OCI_MANIFEST) -> None:
        """Puts manifests under tags, whose blobs the repository holds."""
        done = self._ask(("PUT", tag, data, {"Content-Type": media_type}) for tag, data in tags.items())
        assert {status for status, _ in done} == {201}, done[0]

    def images(self, first: str, count: int) -> dict[str, str]:
        """Pushes images of their own digests under ``v0``, ``v1`` and so on; the digests by tag.

        Args:
            first: the tag of an image that is there, whose blobs they share.
        """
        made = json.loads(self.manifest(first))
        tags = {f"v{n}": json.dumps({**made, "annotations": {"number": str(n)}}).encode() for n in range(count)}
        self.put(tags)
        return {tag: str(Digest.of(data)) for tag, data in tags.items()}

    def _ask(
        self, requests: Iterable[tuple[str, str, bytes, Mapping[str, str]]], *, actions: str = "pull,push,sign"
    ) -> list[tuple[int, bytes]]:
        token = self.person.token(self.service.host, f"repository:{self.repository}:{actions}")
        connection = http.client.HTTPConnection(self.service.host, timeout=60)
        done = []
        for method, tag, body, headers in requests:
            sent = {**headers, "Authorization": f"Bearer {token}"}
            connection.request(method, f"/v2/{self.repository}/manifests/{tag}", body, sent)
            answer = connection.getresponse()
            done.append((answer.status, answer.read()))
        connection.close()
        return done
