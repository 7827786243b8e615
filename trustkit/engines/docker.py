"""The Docker engine, through its command: it logs in, reports and stores as its user is used to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trustkit.core.names import ImageRef
from trustkit.engines.command import pinned, run
from trustkit.errors import EngineFailed


class DockerEngine:
    """Pulls with ``docker pull NAME@DIGEST``, then ``docker tag``.

    Docker's own content trust is switched off for these two calls: the digest was verified here, and the trust
    server that it would ask is another one.

    Args:
        environ: what the command sees: PATH, DOCKER_HOST, DOCKER_CONFIG.
        program: the command, for engines with the same command line (``podman``, ``nerdctl``).
        options: what comes before its subcommands: ``--context``, ``--host``.
        pull_options: what ``pull`` gets beside the digest: ``--platform``.
        missing_only: nothing is pulled where the engine has the digest.
        seen: what ``pull`` says goes to stderr while it says it.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        program: str = "docker",
        options: Sequence[str] = (),
        pull_options: Sequence[str] = (),
        missing_only: bool = False,
        seen: bool = False,
    ) -> None:
        self._environ = {**environ, "DOCKER_CONTENT_TRUST": "0"}
        self._command = (program, *options)
        self._pull = (*self._command, "pull", *([] if seen else ["--quiet"]), *pull_options)
        self._missing_only = missing_only
        self._seen = seen

    def pull(self, ref: ImageRef) -> None:
        """Pulls the digest and tags it.

        Raises:
            EngineFailed, InvalidReference.
        """
        name = f"{ref.gun}@{pinned(ref)}"
        if not (self._missing_only and self._has(name)):
            run([*self._pull, name], self._environ, seen=self._seen)
        if ref.tag is not None:
            run([*self._command, "tag", name, f"{ref.gun}:{ref.tag}"], self._environ)

    def _has(self, name: str) -> bool:
        try:
            run([*self._command, "image", "inspect", "--format", "{{.Id}}", name], self._environ)
        except EngineFailed:
            return False
        return True
