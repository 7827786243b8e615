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
from trustkit.hooks.authz import Held, Made

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

    def container(self, name: str) -> Made | None:
        """As ``EngineView.container``."""
        found = self._get(f"/containers/{quote(name, safe='')}/json")
        if found is None:
            return None
        made, image = found.get("Id"), found.get("Image")
        if not isinstance(image, str) or not image or not isinstance(made, str):
            raise EngineFailed(f"Docker's engine doesn't say what the container {name!a} was made of.")
        return Made(made, image)

    def beginning(self, text: str) -> list[Made]:
        """As ``EngineView.beginning``."""
        found = self._get("/containers/json?all=1", list) or []
        try:
            all_of_them = [Made(each["Id"], each["ImageID"]) for each in found]
            return [made for made in all_of_them if made.id.startswith(text)]
        except (TypeError, KeyError, AttributeError) as error:
            raise EngineFailed("Docker's engine doesn't say which containers it has.") from error

    def _get(self, path: str, kind: type = dict) -> Any:  # of that kind; None for nothing there
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
        if answer.status != http.client.OK or not isinstance(found, kind):
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
