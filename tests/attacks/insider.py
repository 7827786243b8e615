"""An insider: somebody who may publish, and posts to the real service what no client of ours would make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import urllib3
from securesystemslib.signer import Key, Signer

from tests.attacks.collection import now
from tests.attacks.victims import Reply, ask
from tests.service import Person, RunningService
from tests.simulator import Publisher, manifest
from trustkit.core.judge import Accepted
from trustkit.core.names import Gun


class Insider(Publisher):
    """Somebody whose token may publish, with keys, who posts to a running service whatever is made here."""

    def __init__(self, service: RunningService, person: Person, path: str, **keys: Signer) -> None:
        super().__init__(Gun.parse(f"{service.host}/{path}"), **keys)
        self.service = service
        self._token = person.token(service.host, f"repository:{path}:pull,push,sign")

    @cached_property
    def online(self) -> dict[str, Key]:  # type: ignore[override]  # the service's keys, not a simulated one's
        answer = self._ask("GET", "online-keys")
        assert answer.status == 200, answer.body
        return {role: Key.from_dict(value.pop("keyid"), value) for role, value in answer.json.items()}

    def post(self, upload: Mapping[str, bytes]) -> Reply:
        """Uploads these files in one request; what is taken becomes what later uploads follow."""
        parts = [("files", (f"{role}.json", data, "application/json")) for role, data in upload.items()]
        body, kind = urllib3.encode_multipart_formdata(parts)
        reply = self._ask("POST", "metadata", body, content_type=kind)
        if reply.status == 200:
            for role, data in upload.items():
                self.files[role] = self.history[role, json.loads(data)["signed"]["version"]] = data
        return reply

    def served(self) -> dict[str, tuple[int, bytes]]:
        """What the service serves now: version and bytes of each role."""
        timestamp = self._ask("GET", "metadata/timestamp.json")
        if timestamp.slug == "no-collection":
            return {}
        files = {"timestamp": timestamp.body}
        version = _signed(files["timestamp"])["meta"]["snapshot.json"]["version"]
        files["snapshot"] = self._ask("GET", f"metadata/{version}.snapshot.json").body
        version = _signed(files["snapshot"])["meta"]["targets.json"]["version"]
        files["targets"] = self._ask("GET", f"metadata/{version}.targets.json").body
        version = 1
        while (root := self._ask("GET", f"metadata/{version}.root.json")).status == 200:
            files["root"], version = root.body, version + 1
        return {role: (_signed(data)["version"], data) for role, data in files.items()}

    def found(self, *tags: str) -> None:
        """The first version, taken by the service."""
        reply = self.post(self.first_upload(*tags, now=now()))
        assert reply.status == 200, reply.body

    def release(self, tag: str, text: str = "") -> dict[str, bytes]:
        """An upload that signs one more image; not yet posted."""
        return self.sign_upload(tag, manifest(text or tag), now())

    def refused(self, upload: Mapping[str, bytes], status: int, slug: str) -> Reply:
        """The service refuses an upload with this status and slug, and nothing that it serves has moved."""
        before = self.served()
        reply = self.post(upload)
        assert (reply.status, reply.slug) == (status, slug), reply.body
        assert self.served() == before
        return reply

    def taken(self, upload: Mapping[str, bytes]) -> None:
        """The service takes an upload: what it refused before, it refused for what was wrong with it."""
        reply = self.post(upload)
        assert reply.status == 200, reply.body

    def accept(self, upload: dict[str, bytes], now: datetime | None = None) -> Accepted:
        raise NotImplementedError("the service judges, not the simulator")

    def _ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        return ask(self.service.host, method, f"/v2/{self.gun}/_trust/{path}", body, token=self._token, **headers)


def _signed(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data)["signed"])
