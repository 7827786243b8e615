"""skopeo: copies to any of its destinations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from trustkit.core.names import Host, ImageRef, looks_like_host
from trustkit.engines.command import pinned, run
from trustkit.errors import InvalidName, InvalidReference

_ONE_IMAGE = ("docker-daemon", "docker-archive")


class SkopeoEngine:
    """Copies with ``skopeo copy --all docker://NAME@DIGEST DESTINATION``; the destination carries the tag.

    Args:
        destination: as skopeo has it, ``TRANSPORT:DETAILS``.
        environ: what the command sees.
        plain_http: whether a loopback host's port speaks no TLS; skopeo has to be told, for either end of the copy.

    Raises:
        InvalidReference: the destination names no transport.
    """

    def __init__(self, destination: str, environ: Mapping[str, str], *, plain_http: Callable[[Host], bool]) -> None:
        if destination.startswith("-") or not destination.partition(":")[2]:
            raise InvalidReference(
                f"{destination!r} is not a destination of skopeo.", hint="Write TRANSPORT:DETAILS, as dir:/tmp/app."
            )
        self._destination = destination
        self._environ = dict(environ)
        self._plain_http = plain_http

    def pull(self, ref: ImageRef) -> None:
        """Copies the digest with everything that it reaches.

        Raises:
            EngineFailed, InvalidReference.
        """
        source = f"docker://{ref.gun}@{pinned(ref)}"
        options = [*self._tls("src", ref.gun.host), *self._tls("dest", _registry(self._destination))]
        run(["skopeo", "copy", "--quiet", *self._all, *options, source, self._destination], self._environ)

    def copy_layout(self, folder: Path) -> None:
        """Copies the one image of an OCI layout with everything that it reaches.

        Raises:
            EngineFailed.
        """
        options = self._tls("dest", _registry(self._destination))
        run(["skopeo", "copy", "--quiet", *self._all, *options, f"oci:{folder}", self._destination], self._environ)

    @property
    def _all(self) -> list[str]:
        """All platforms of an index, but where the destination takes one image: then that of this machine."""
        return [] if self._destination.partition(":")[0] in _ONE_IMAGE else ["--all"]

    def _tls(self, end: str, host: Host | None) -> list[str]:
        """Off for a registry on loopback whose port speaks none, and never for another (TRUST 8.3)."""
        plain = host is not None and host.loopback and self._plain_http(host)
        return [f"--{end}-tls-verify=false"] if plain else []


def _registry(destination: str) -> Host | None:
    """The registry that a destination ``docker://HOST[:PORT]/...`` names; None for any other destination."""
    transport, _, rest = destination.partition("://")
    name = rest.partition("/")[0]
    if transport != "docker" or not looks_like_host(name):
        return None
    try:
        return Host.parse(name)
    except InvalidName:
        return None
