"""The stores that the contract is held against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from trustkit.core.ports.service import Store

Opened = Callable[[], AbstractAsyncContextManager[Store]]
Run = Callable[[Callable[[Store], Awaitable[None]]], None]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """``async with opened() as store``: a new store, the same one at each call."""
    url = request.getfixturevalue("database") if request.param == "postgresql" else None

    @asynccontextmanager
    async def open_it() -> AsyncIterator[Store]:
        from trustkit.store.opening import open_store

        store = await open_store(url or tmp_path / "d" / "trustkit.db")
        try:
            yield store
        finally:
            await store.close()

    return open_it


@pytest.fixture
def run(opened: Opened) -> Run:
    """Runs a coroutine function on a new store."""

    def runner(body: Callable[[Store], Awaitable[None]]) -> None:
        async def main() -> None:
            async with opened() as store:
                await body(store)

        asyncio.run(main())

    return runner
