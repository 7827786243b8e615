"""podman, through its command: what it says that it has stored is compared with what was verified."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from trustkit.core.names import Digest, Host, ImageRef
from trustkit.engines.command import pinned, run
from trustkit.errors import DigestMismatch, EngineFailed, InvalidName

_ID = re.compile(r"[0-9a-f]{64}\Z")
_REMOTE = ("CONTAINER_HOST", "CONTAINER_CONNECTION")


class PodmanEngine:
    """Pulls with ``podman pull NAME@DIGEST``, then ``podman tag``.

    A name says nothing about what podman has under it: everything after the pull goes by the id that the pull gives,
    and that image has to have the digest, before it gets the tag.

    Args:
        environ: what the command sees: PATH, CONTAINERS_CONF, CONTAINERS_REGISTRIES_CONF, REGISTRY_AUTH_FILE.
        plain_http: whether the port of a loopback host speaks no TLS; podman has to be told (TRUST 8.3).
        logins: Docker's ``config.json`` where it is in another folder than podman would look into; None for podman's
            own choice.
    """

    def __init__(
        self, environ: Mapping[str, str], *, plain_http: Callable[[Host], bool], logins: Path | None = None
    ) -> None:
        self._environ = dict(environ)
        self._plain_http = plain_http
        self._logins = [] if logins is None or "REGISTRY_AUTH_FILE" in environ else [f"--authfile={logins}"]

    def pull(self, ref: ImageRef) -> None:
        """Pulls the digest and tags it.

        Raises:
            EngineFailed, InvalidReference.
            DigestMismatch: podman has stored something else.
        """
        name = f"{ref.gun}@{pinned(ref)}"
        remote = any(variable in self._environ for variable in _REMOTE)
        plain = not remote and ref.gun.host.loopback and self._plain_http(ref.gun.host)
        self._take([*self._logins, *(["--tls-verify=false"] if plain else []), name], ref)

    def take_archive(self, file: Path, ref: ImageRef) -> None:
        """Takes the one image of an archive of an OCI layout and tags it.

        Args:
            file: names the image nowhere, or podman gives it that name before it is compared.

        Raises:
            As ``pull``.
        """
        self._take([f"oci-archive:{file}"], ref)

    def _take(self, source: list[str], ref: ImageRef) -> None:
        said = self._podman("pull", "--quiet", *source).split()
        image = said[-1] if said else ""
        if not _ID.match(image):
            raise EngineFailed("podman pull says no image's id.", hint="podman 3.4 and newer says one.")
        digest, (_, digests) = pinned(ref), self._stored(image)
        if digest not in digests:
            raise DigestMismatch(
                f"podman has stored {', '.join(map(str, sorted(digests))) or 'no digest'} for {ref.gun}@{digest}.",
                hint="See whether its storage converts images, or what stands in its registries.conf.",
            )
        if ref.tag is not None:
            name = f"{ref.gun}:{ref.tag}"
            self._podman("tag", image, name)
            if self._stored(name)[0] != image:
                raise DigestMismatch(f"podman's {name} is another image than the one that was verified.")

    def _stored(self, name: str) -> tuple[str, set[Digest]]:
        """The id and the manifests' digests of what podman has under a name or an id."""
        try:
            (found,) = json.loads(self._podman("image", "inspect", name))
            named = [str(found["Digest"]), *(str(each).rpartition("@")[2] for each in found["RepoDigests"] or [])]
            return str(found["Id"]), {Digest.parse(each) for each in named if each}
        except (ValueError, TypeError, KeyError, RecursionError, InvalidName) as error:
            raise EngineFailed(f"podman says nothing that can be read about {name}.") from error

    def _podman(self, *arguments: str) -> str:
        return run(["podman", *arguments], self._environ)
