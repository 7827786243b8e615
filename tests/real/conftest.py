"""Real parts for a module of tests: registries, gateways before them, an engine, and the three usual people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real.parts import Docker, Skopeo, Stand, Tool
from tests.service import CHEAPLY, RunningService

Serve = Callable[..., RunningService]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """``serve(*flags)``: a real service as a process of its own, stopped with the module."""
    with ExitStack() as stack:

        def start(*flags: str, folder: Path | None = None) -> RunningService:
            service = RunningService(folder or tmp_path_factory.mktemp("service"), *flags, environ=CHEAPLY)
            stack.callback(service.stop)
            return service.start()

        yield start


@pytest.fixture(scope="session")
def docker(dockerd: Path, docker_cli: Path) -> Docker:
    return Docker(Tool(docker_cli, {"DOCKER_HOST": f"unix://{dockerd}"}))


@pytest.fixture(scope="session")
def skopeo_tool(skopeo: Path) -> Skopeo:
    return Skopeo(Tool(skopeo, {}))


@pytest.fixture(scope="module")
def upstream(serve: Serve, start_docker_registry: Callable[..., str]) -> Stand:
    """A gateway before a real docker-registry."""
    behind = start_docker_registry()
    return Stand.of(serve("--upstream", f"http://{behind}"), behind)


@pytest.fixture(scope="module")
def embedded(serve: Serve) -> Stand:
    """A service that keeps images itself."""
    return Stand.of(serve())
