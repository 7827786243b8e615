"""A service with metrics for the tests of this folder, and who publishes there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.scrape import Monitored
from tests.service import PASSPHRASE, Person


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    made = Monitored(tmp_path_factory.mktemp("monitored"), "--metrics", "127.0.0.1:0")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def alice(service: Monitored) -> Person:
    person = service.principal("alice", "AcrPush", "AcrImageSigner")
    person.environ["TRUSTKIT_SIGNER_PASSPHRASE"] = PASSPHRASE
    return person
