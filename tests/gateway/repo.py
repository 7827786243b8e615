"""One repository of a registry, for tests that hold it against the OCI distribution specification 1.1."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.gateway.conftest import Client, Reply
from trustkit.core.manifests import OCI_MANIFEST
from trustkit.core.names import Digest, Repository

DATA = bytes(range(256)) * 40
NOWHERE = f"sha256:{'0' * 64}"
CODES = frozenset(
    {
        "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
        "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
    }
)  # fmt: skip
"""Every code that the specification knows; a 4xx reply has no other."""


def digest_of(data: bytes) -> str:
    return str(Digest.of(data))


@dataclass
class Repo:
    """One repository, of one test alone, on the registry that all of them share."""

    client: Client
    name: Repository
    folder: Path

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """A request; a path that begins with ``/`` is taken as it is, as those of Location headers are."""
        whole = path if path.startswith("/") else f"/v2/{self.name}/{path}"
        reply = self.client(method, whole, body, **headers)
        if 400 <= reply.status < 500 and method != "HEAD":
            for error in reply.json["errors"]:
                assert error["code"] in CODES, error
                assert error["message"]
        return reply

    def start(self) -> str:
        reply = self("POST", "blobs/uploads/")
        assert reply.status == 202
        return reply.headers["location"]

    def blob(self, data: bytes) -> str:
        return self.client.blob(data, self.name)

    def image(self, seed: str, tag: str = "", **more: object) -> bytes:
        return self.client.image(seed, tag, self.name, **more)

    def put(self, value: object, reference: str = "", media_type: str = OCI_MANIFEST) -> Reply:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self("PUT", f"manifests/{reference or digest_of(data)}", data, content_type=media_type)
