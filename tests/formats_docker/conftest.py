"""The real parts of Docker Content Trust, for a module of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Need
from tests.formats_docker.stand import Attacker, NotaryServer


@pytest.fixture(scope="session")
def notary_binary(need: Need) -> Path:
    return need("notary", "notary")


@pytest.fixture(scope="module")
def notary_server(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotaryServer]:
    with NotaryServer(need("notary-server", "notary"), tmp_path_factory.mktemp("notary-server")) as server:
        yield server


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    with Attacker(tmp_path_factory.mktemp("attacker")) as server:
        yield server
