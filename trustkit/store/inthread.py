"""Calls that may wait for a lock or a disk, in a thread, and how the event loop waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(threads: Executor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Awaits ``call`` in one of the threads; when cancelled, only after it has ended.

    As ``run_in_executor`` and ``asyncio.shield`` would, with one future where those make four: it is 90 us less at a
    commit that comes alone.
    """
    done = _Call(call, args, kwargs)
    threads.submit(done.run)
    try:
        await done.waiter
    except asyncio.CancelledError:
        await done.over()
        raise
    return done.result()


class _Call(Generic[T]):
    """A call in a thread, of which the event loop that made it is told when it has ended."""

    def __init__(self, call: Callable[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._call, self._args, self._kwargs = call, args, kwargs
        self._loop = asyncio.get_running_loop()
        self.waiter = self._loop.create_future()
        self._given: list[T] = []
        self._error: BaseException | None = None
        self._ended = False

    def run(self) -> None:
        """In the thread."""
        try:
            self._given.append(self._call(*self._args, **self._kwargs))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told of it
            self._error = error
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._ended = True
        if not self.waiter.done():
            self.waiter.set_result(None)

    async def over(self) -> None:
        """Waits for the end, however often it is cancelled meanwhile."""
        while not self._ended:
            self.waiter = self._loop.create_future()
            with suppress(asyncio.CancelledError):
                await self.waiter

    def result(self) -> T:
        """What the call gave; raises what it raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # it would hold the frame that holds this
        return self._given[0]
