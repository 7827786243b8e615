"""Fixtures: a running service with the people of the demonstration; a folder's conftest takes those it needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service import CHEAPLY, Person, RunningService


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    made = RunningService(tmp_path_factory.mktemp("service"), environ=CHEAPLY).start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def alice(service: RunningService) -> Person:
    return service.principal("alice", "AcrPush", "AcrImageSigner")


@pytest.fixture(scope="module")
def bob(service: RunningService) -> Person:
    return service.principal("bob", "AcrPush")


@pytest.fixture(scope="module")
def carol(service: RunningService) -> Person:
    return service.principal("carol", "AcrPull")
