"""Which client has connected, where TLS asks it for a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trustkit.asgi.strict import StrictProtocol

CLIENT = "trustkit.client"
"""The extension of an ASGI scope that holds, as ``names``, those in the client's certificate."""


class CertifiedProtocol(StrictProtocol):
    """Adds the names of the verified client certificate to each request's scope; TLS has let in no other client."""

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        certificate = self.transport.get_extra_info("peercert") or {}
        self.scope["extensions"] = {CLIENT: {"names": client_names(certificate)}}


def client_names(certificate: Mapping[str, Any]) -> frozenset[str]:
    """The common name and the DNS names of a certificate, as ``ssl`` tells it; two common names count as none."""
    subject = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    names = {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    return frozenset(names | set(subject if len(subject) == 1 else ()))
