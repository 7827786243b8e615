"""Which requests to Docker's engine are judged, let through, or refused: what isn't in a table is refused.

The routes are those of the engine's API (moby ``api/server/router``), up to 1.52.  What only reads is let through
before any table is looked at, and so is what only removes.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Door(StrEnum):
    """What brings images onto a host or starts them by itself, without saying which."""

    BUILD = "build"
    """The classic builder and BuildKit pull bases and run them; BuildKit's sessions aren't shown to plugins."""
    LOAD = "load"
    IMPORT = "import"
    COMMIT = "commit"
    PLUGINS = "plugins"
    """Plugins are images as well, and run with more rights than containers."""
    SWARM = "swarm"
    """Managers have nodes pull and start images, which no request at the node shows."""


class Route(StrEnum):
    """What else a request may be."""

    FREE = "free"
    CREATE_IMAGE = "images/create"
    TAG_IMAGE = "images/*/tag"
    CREATE_CONTAINER = "containers/create"
    START_CONTAINER = "containers/*/start"
    RESTART_CONTAINER = "containers/*/restart"
    RENAME_CONTAINER = "containers/*/rename"
    """A container must not get another's name between the judgement on that name and its start."""
    UPDATE_CONTAINER = "containers/*/update"
    """A restart policy has the engine start a container by itself."""


_DOORS = {
    Door.BUILD: "build session grpc moby.*",
    Door.LOAD: "images/load",
    Door.COMMIT: "commit",
    Door.PLUGINS: "plugins/pull plugins/create plugins/*/enable plugins/*/upgrade",
    Door.SWARM: "swarm/init swarm/join swarm/unlock swarm/update services/create services/*/update nodes/*/update",
}
_POST = """
    auth build/cancel build/prune configs/create configs/*/update
    containers/prune containers/*/attach containers/*/checkpoints containers/*/exec containers/*/kill
    containers/*/logs/clear containers/*/pause containers/*/resize containers/*/stop
    containers/*/unpause containers/*/wait
    exec/*/resize exec/*/start images/prune images/*/push
    networks/create networks/prune networks/*/connect networks/*/disconnect
    plugins/*/disable plugins/*/push plugins/*/set
    secrets/create secrets/*/update swarm/leave volumes/create volumes/prune
"""
_PUT = "containers/*/archive volumes/*"


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(word).replace(r"\*", ".*") for word in words.split()))


_JUDGED = {route: _pattern(route.value) for route in Route if route is not Route.FREE}
_DOOR_PATTERNS = {door: _pattern(words) for door, words in _DOORS.items()}
_FREE = {"POST": _pattern(_POST), "PUT": _pattern(_PUT), "DELETE": _pattern("*")}


def route(method: str, path: str) -> Route | Door | None:
    """What a request that changes something is; None for what nobody here knows.

    Args:
        path: as ``EngineRequest.path`` gives it.
    """
    if method == "POST":
        for door, pattern in _DOOR_PATTERNS.items():
            if pattern.fullmatch(path):
                return door
        for judged, pattern in _JUDGED.items():
            if pattern.fullmatch(path):
                return judged
    free = _FREE.get(method)
    return Route.FREE if free is not None and free.fullmatch(path) else None
