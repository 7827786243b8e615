"""A fleet with nothing in it, and one with two replicas and people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartRegistry
from tests.postgres import Postgres
from tests.replicas.fleet import Fleet


@pytest.fixture
def fleet(postgres: Postgres, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, postgres)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory, start_docker_registry: StartRegistry
) -> Iterator[Fleet]:
    """Two replicas that the tests of one file share, before one docker-registry."""
    made = Fleet(tmp_path_factory.mktemp("shared"), postgres)
    upstream = f"http://{start_docker_registry()}"
    for _ in range(2):
        made.start("--upstream", upstream)
    yield made
    made.close()
