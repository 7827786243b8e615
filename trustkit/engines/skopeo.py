"""skopeo: copies to any of its destinations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trustkit.core.names import Host, ImageRef
from trustkit.engines.command import pinned, run
from trustkit.errors import InvalidReference


class SkopeoEngine:
    """Copies with ``skopeo copy --all docker://NAME@DIGEST DESTINATION``; the destination carries the tag.

    Args:
        destination: as skopeo has it, ``TRANSPORT:DETAILS``.
        environ: what the command sees.
        plain_http: whether a loopback host's port speaks no TLS; skopeo has to be told.

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
        host = ref.gun.host
        tls = ["--src-tls-verify=false"] if host.loopback and self._plain_http(host) else []
        run(["skopeo", "copy", "--quiet", "--all", *tls, source, self._destination], self._environ)
