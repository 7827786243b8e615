"""What every Store holds of collections that may come from another server (core.ports.service.Upkeep)."""

from __future__ import annotations

from datetime import timedelta

from tests.store.test_store_contract import APP, NOW, OTHER
from trustkit.core.ports.service import Store


def test_arrivals_are_by_name_and_need_no_collection(run) -> None:
    async def body(store: Store) -> None:
        async with store.write(APP) as tx:
            assert await tx.upkeep.arrival(APP) is None
            await tx.upkeep.set_arrival(APP, NOW)
            await tx.upkeep.set_arrival(APP, NOW + timedelta(days=1))
        async with store.write(OTHER) as tx:
            await tx.upkeep.set_arrival(OTHER, NOW)
        async with store.read() as tx:
            assert await tx.upkeep.arrival(APP) == NOW + timedelta(days=1)
            assert await tx.upkeep.arrivals() == {APP: NOW + timedelta(days=1), OTHER: NOW}
        async with store.write(APP) as tx:
            await tx.upkeep.set_arrival(APP, None)
            await tx.upkeep.set_arrival(APP, None)
        async with store.read() as tx:
            assert await tx.upkeep.arrivals() == {OTHER: NOW}

    run(body)
