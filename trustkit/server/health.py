"""``/healthz`` and ``/readyz``: is the process alive, and can it do its job (TRUST 3.6)?"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from trustkit.authority.renew import RenewalReport
from trustkit.core.ports.service import Store
from trustkit.errors import TrustkitError
from trustkit.gateway.exchange import Exchange

OVERDUE = timedelta(minutes=10)
JSON = ("content-type", "application/json")


class Health:
    """Answers the two health paths; both are open to anybody and name no collection.

    Args:
        trouble: what keeps the service from signing, in one sentence; None for nothing.
    """

    def __init__(
        self,
        store: Store,
        *,
        report: Callable[[], RenewalReport],
        clock: Callable[[], datetime],
        trouble: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._store = store
        self._trouble = trouble
        self._report = report
        self._clock = clock

    async def alive(self, exchange: Exchange) -> None:
        """200 while the process answers at all."""
        await exchange.reply(200, [JSON], b'{"status":"ok"}')

    async def ready(self, exchange: Exchange) -> None:
        """200 where the database answers and renewals get through; otherwise 503 with what is wrong."""
        problems = []
        try:
            async with self._store.read() as tx:
                await tx.settings.get("content-trust")
        except TrustkitError as error:
            problems.append(error.message)
        report = self._report()
        if report.failed:
            problems.append(f"{len(report.failed)} collections could not be renewed")
        if self._clock() - report.at > OVERDUE:
            problems.append(f"the last renewal round was at {report.at:%Y-%m-%d %H:%M:%S}")
        if trouble := await self._trouble():
            problems.append(trouble)
        body = {"status": "not ready" if problems else "ok", "problems": problems}
        await exchange.reply(503 if problems else 200, [JSON], json.dumps(body).encode())
