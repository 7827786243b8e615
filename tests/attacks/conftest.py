"""The stage of an attack on a consumer, and the running service that an insider posts to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from securesystemslib.signer import Signer

from tests.attacks.dockers import DockerStage
from tests.attacks.evil import Stage
from tests.attacks.insider import Insider
from tests.attacks.two import Two
from tests.attacks.victims import serving
from tests.service import Person, RunningService

MakeInsider = Callable[..., Insider]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A lying server with an honest collection, and a victim that pinned it and has never seen it."""
    made = Stage.build(tmp_path)
    yield made
    made.server.close()


@pytest.fixture(params=["cold", "warm"])
def cache(request: pytest.FixtureRequest) -> str:
    """Whether the victim has verified the honest state before."""
    return str(request.param)


@pytest.fixture(scope="session")
def _judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, Person]]:
    with serving(tmp_path_factory.mktemp("judge")) as service:
        yield service, service.principal("insider", "AcrPush", "AcrImageSigner")


_numbers = count()


@pytest.fixture
def insider(_judged: tuple[RunningService, Person]) -> MakeInsider:
    """``insider(**keys)``: somebody who may publish to a repository of the running service that nobody has used."""

    def make(**keys: Signer) -> Insider:
        service, person = _judged
        return Insider(service, person, f"judged/app{next(_numbers)}", **keys)

    return make


@pytest.fixture
def who(_judged: tuple[RunningService, Person]) -> Two:
    """An insider with one of the two keys that each tag takes."""
    service, person = _judged
    return Two(service, person, f"judged/app{next(_numbers)}").begin()


@pytest.fixture
def docker_stage(tmp_path: Path) -> Iterator[DockerStage]:
    """As ``stage``, with a collection in format docker."""
    made = DockerStage.build(tmp_path)
    yield made
    made.server.close()
