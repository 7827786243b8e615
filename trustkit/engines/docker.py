"""The Docker engine, through its command: it logs in, reports and stores as its user is used to."""

from __future__ import annotations

from collections.abc import Mapping

from trustkit.core.names import ImageRef
from trustkit.engines.command import pinned, run


class DockerEngine:
    """Pulls with ``docker pull NAME@DIGEST``, then ``docker tag``.

    Docker's own content trust is switched off for these two calls: the digest was verified here, and the trust
    server that it would ask is another one.

    Args:
        environ: what the command sees: PATH, DOCKER_HOST, DOCKER_CONFIG.
        program: the command, for engines with the same command line (``podman``, ``nerdctl``).
    """

    def __init__(self, environ: Mapping[str, str], *, program: str = "docker") -> None:
        self._environ = {**environ, "DOCKER_CONTENT_TRUST": "0"}
        self._program = program

    def pull(self, ref: ImageRef) -> None:
        """Pulls the digest and tags it.

        Raises:
            EngineFailed, InvalidReference.
        """
        name = f"{ref.gun}@{pinned(ref)}"
        run([self._program, "pull", "--quiet", name], self._environ)
        if ref.tag is not None:
            run([self._program, "tag", name, f"{ref.gun}:{ref.tag}"], self._environ)
