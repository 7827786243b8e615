"""What Docker's engine says of its images and containers, asked over its socket."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trustkit.core.familiar import familiar
from trustkit.core.names import ImageRef
from trustkit.errors import EngineFailed, TrustkitError
from trustkit.hooks.authz import Held

MAX_ANSWER = 8 * 1024 * 1024


class DockerView:
    """An ``EngineView`` of the engine at a socket; it asks this plugin about each question, which reads only.

    Args:
        path: of the socket.
        ends: when an answer is too late, in ``ticks``.
    """

    def __init__(self, path: Path, *, ends: float, ticks: Callable[[], float] = time.monotonic) -> None:
        self._path, self._ends, self._ticks = path, ends, ticks

    def image(self, name: str) -> Held | None:
        """As ``EngineView.image``."""
        found = self._get(f"/images/{quote(name, safe='')}/json")
        if found is None:
            return None
        digests, tags = _named(found.get("RepoDigests")), _named(found.get("RepoTags"))
        return Held(str(found.get("Id")), tuple(ref for ref in digests if ref.digest), tuple(tags))

    def container(self, name: str) -> str | None:
        """As ``EngineView.container``."""
        found = self._get(f"/containers/{quote(name, safe='')}/json")
        if found is None:
            return None
        image = found.get("Image")
        if not isinstance(image, str) or not image:
            raise EngineFailed(f"Docker's engine doesn't say what the container {name!a} was made of.")
        return image

    def _get(self, path: str) -> dict[str, Any] | None:
        connection = _Connection(self._path, max(0.01, self._ends - self._ticks()))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            data = answer.read(MAX_ANSWER + 1)
            if answer.status == http.client.NOT_FOUND:
                return None
            found = json.loads(data) if len(data) <= MAX_ANSWER else None
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise EngineFailed(
                f"Docker's engine doesn't answer at {self._path}: {error}.",
                hint="Start trustkit docker-authz with --engine SOCKET.",
            ) from error
        finally:
            connection.close()
        if answer.status != http.client.OK or not isinstance(found, dict):
            raise EngineFailed(f"Docker's engine answers {answer.status} at {self._path}, which was no answer.")
        return found


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("docker", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _named(names: object) -> Iterable[ImageRef]:
    """What can be read of the engine's names; ``<none>`` and the like name nothing."""
    for name in names if isinstance(names, list) else ():
        try:
            yield familiar(str(name))
        except TrustkitError:
            continue
