"""A publish costs the database the same after a hundred others: counted in steps of SQLite's virtual machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable

from tests.authority import test_publishing as tuf
from tests.authority.conftest import Play, Scene
from tests.authority.test_notary_publishing import ALICE, Office
from tests.authority.test_notary_publishing import GUN as DOCKER_GUN
from tests.simulator import GUN, manifest
from trustkit.store.statements import Answer, SqliteStatements

OTHERS = 100
Counted = dict[str, int]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Steps of all statements since it was cleared, by statement."""
    counted: Counted = {}
    execute = SqliteStatements._execute

    def counting(
        self: SqliteStatements, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
    ) -> Answer:
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        raw = self._connection
        raw.set_progress_handler(step, 1)
        try:
            return execute(self, statement, values)
        finally:
            raw.set_progress_handler(None, 1)
            counted[str(statement)] = counted.get(str(statement), 0) + taken

    monkeypatch.setattr(SqliteStatements, "_execute", counting)
    return counted


def test_in_format_tuf(tmp_path: Path, steps: Counted) -> None:
    async def scene(world: tuf.World) -> None:
        publisher = await world.publisher()

        async def publish(upload: Mapping[str, bytes]) -> Counted:
            steps.clear()
            await world.publishing.publish(GUN, upload, tuf.ALICE)
            publisher.files |= upload
            return dict(steps)

        await publish(publisher.first_upload("v1"))
        young = [await publish(publisher.sign_upload("v1", manifest(f"image {number}"))) for number in range(2)][-1]
        for number in range(OTHERS):
            old = await publish(publisher.sign_upload("v1", manifest(f"another {number}")))
        assert old == young
        assert 0 < sum(old.values()) < 5_000

    tuf.play(tmp_path, scene)


def test_in_format_docker(play: Play, steps: Counted) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()

        async def publish() -> Counted:
            office.forge.roles["targets"].version += 1
            upload = office.upload("targets")
            steps.clear()
            await office.publishing.publish(DOCKER_GUN, upload, ALICE)
            return dict(steps)

        young = [await publish() for _ in range(2)][-1]
        for _ in range(OTHERS):
            old = await publish()
        assert old == young
        assert 0 < sum(old.values()) < 5_000

    play(scene)
