"""A running signer for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.signer.running import RunningSigner
from tests.signer.stage import Intruder


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSigner]:
    running = RunningSigner(tmp_path_factory.mktemp("signer"), "--client-name", "service")
    try:
        yield running.start()
    finally:
        running.end()


@pytest.fixture
def intruder(signer: RunningSigner) -> Intruder:
    return Intruder(signer.as_seen_by())
