"""Engines that pull by digest, then tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from trustkit.core.names import Host
from trustkit.core.ports.engines import Engine
from trustkit.core.ports.remote import ImageRegistry
from trustkit.errors import InvalidReference

__all__ = ["PLACES", "engine"]

PLACES = "Write docker, podman, skopeo:DESTINATION or oci:DIR."
"""What ``--to`` takes, for errors."""


def engine(
    to: str,
    *,
    registry: ImageRegistry,
    environ: Mapping[str, str],
    plain_http: Callable[[Host], bool],
    logins: Path | None = None,
) -> Engine:
    """The engine that ``--to`` names.

    Args:
        to: ``docker``, ``podman``, ``skopeo:DESTINATION`` or ``oci:DIR``.
        registry: where ``oci`` fetches from.
        environ: what commands see.
        plain_http: whether the port of a loopback host speaks no TLS.
        logins: as ``PodmanEngine`` has it.

    Raises:
        InvalidReference: anything else.
    """
    kind, _, rest = to.partition(":")
    if to == "docker":
        from trustkit.engines.docker import DockerEngine

        return DockerEngine(environ)
    if to == "podman":
        from trustkit.engines.podman import PodmanEngine

        return PodmanEngine(environ, plain_http=plain_http, logins=logins)
    if kind == "skopeo" and rest:
        from trustkit.engines.skopeo import SkopeoEngine

        return SkopeoEngine(rest, environ, plain_http=plain_http)
    if kind == "oci" and rest:
        from trustkit.engines.layout import Layout
        from trustkit.engines.oci import OciEngine

        return OciEngine(Layout.named(rest), registry)
    raise InvalidReference(f"{to!r} is nowhere to pull to.", hint=PLACES)
