"""An insider of a collection that takes two signatures: opens proposals, approves and drops them, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import urllib3
from securesystemslib.signer import Signer
from tuf.api.metadata import Root, Targets

from tests.attacks.insider import Insider
from tests.attacks.victims import Reply
from tests.simulator import edited, make_signer
from trustkit.core.formats.tuf1 import read, sign

SECOND, STRANGER = make_signer(), make_signer()


class Two(Insider):
    """An insider with the first of two repository keys, both of which ``targets`` takes."""

    def begin(self) -> Two:
        self.found("v1")
        self.taken(self.raised())
        return self

    def raised(self) -> dict[str, bytes]:
        def change(root: Root) -> None:
            root.add_key(SECOND.public_key, "targets")
            root.roles["targets"].threshold = 2

        return {
            **self.change_root(change),
            "targets": self.by(self.release("v1", "v1"), self.repository, SECOND),
        }

    def by(self, upload: Mapping[str, bytes], *signers: Signer) -> bytes:
        return edited(upload["targets"], lambda value: None, resign=self.signed(*signers))

    def half(self, tag: str, text: str = "", *, version: int = 0) -> dict[str, bytes]:
        """A release that only the first key has signed."""
        signed = read(self.release(tag, text)["targets"], Targets).signed
        signed.version = version or signed.version
        return {"targets": sign(signed, self.signed(self.repository))}

    def send(self, upload: Mapping[str, bytes], tail: str = "") -> Reply:
        parts = [("files", (f"{role}.json", data, "application/json")) for role, data in upload.items()]
        body, kind = urllib3.encode_multipart_formdata(parts)
        return self._ask("POST", f"proposals{tail}", body, content_type=kind)

    def opened(self, upload: Mapping[str, bytes]) -> str:
        reply = self.send(upload)
        assert reply.status == 200, reply.body
        return str(reply.json["proposal"]["id"])

    def approve(self, identifier: str, upload: Mapping[str, bytes]) -> Reply:
        return self.send(upload, f"/{identifier}")

    def drop(self, identifier: str) -> None:
        assert self._ask("DELETE", f"proposals/{identifier}").status == 200

    def listed(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "proposals").json["proposals"])


def refused(reply: Reply, status: int, slug: str) -> None:
    assert (reply.status, reply.slug) == (status, slug), reply.body


def second(who: Two, upload: Mapping[str, bytes], *signers: Signer) -> dict[str, bytes]:
    """The same payload, signed by the second key alone."""
    return {"targets": who.by(upload, *(signers or (SECOND,)))}
