"""Calls in threads: what they give and raise, and that whoever is cancelled leaves none of them running."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trustkit.store.inthread import in_thread


def test_what_a_call_gives_and_raises(threads: ThreadPoolExecutor) -> None:
    def fail(error: BaseException) -> None:
        raise error

    async def main() -> None:
        assert await in_thread(threads, int, "12", base=3) == 5
        assert await in_thread(threads, threading.get_ident) != threading.get_ident()
        for error in (ValueError("no"), KeyboardInterrupt(), GeneratorExit()):
            with pytest.raises(type(error)) as raised:
                await in_thread(threads, fail, error)
            assert raised.value is error

    asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_is_cancelled_waits_for_the_end(threads: ThreadPoolExecutor, *, fails: bool) -> None:
    """A connection that a statement is using isn't given to anybody else meanwhile, however often it is tried."""
    may_end, ended = threading.Event(), threading.Event()

    def slow() -> None:
        may_end.wait(10)
        ended.set()
        if fails:
            raise ValueError

    async def main() -> None:
        task = asyncio.create_task(in_thread(threads, slow))
        for _ in range(3):
            await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(main())


def test_a_pool_that_is_closed_says_so(threads: ThreadPoolExecutor) -> None:
    threads.shutdown()

    async def main() -> None:
        with pytest.raises(RuntimeError):
            await in_thread(threads, int)

    asyncio.run(main())


@pytest.fixture
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)
