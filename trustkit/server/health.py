"""``/healthz`` and ``/readyz``: is the process alive, and can it do its job (TRUST 3.6)?"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from trustkit.authority.expiry import DUE, PEOPLE, SERVICE, Expiry
from trustkit.authority.renew import RenewalReport
from trustkit.errors import TrustkitError
from trustkit.gateway.exchange import Exchange
from trustkit.server.headers import JSON

OVERDUE = timedelta(minutes=10)
TIME = "%Y-%m-%d %H:%M:%S"


class Health:
    """Answers the two health paths; both are open to anybody and name no collection.

    Args:
        report: the last renewal round.
        expiry: what expires when, from the database.
        trouble: what keeps the service from signing, in one sentence; None for nothing.
    """

    def __init__(
        self,
        *,
        report: Callable[[], RenewalReport],
        expiry: Callable[[], Awaitable[Expiry]],
        clock: Callable[[], datetime],
        trouble: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._trouble = trouble
        self._report = report
        self._expiry = expiry
        self._clock = clock

    async def alive(self, exchange: Exchange) -> None:
        """200 while the process answers at all."""
        await exchange.reply(200, [JSON], b'{"status":"ok"}')

    async def ready(self, exchange: Exchange) -> None:
        """200 where the database answers and renewals get through; otherwise 503 with what is wrong.

        What only people can renew is a warning: another instance of the service couldn't mend it either.
        """
        problems, warnings = self._of_renewals(), []
        try:
            expiry = await self._expiry()
        except TrustkitError as error:
            problems.append(error.message)
        else:
            problems += [
                _expired(role, each.expired) for role in SERVICE for each in expiry.of([role]) if each.expired
            ]
            warnings = _warnings(expiry)
        if trouble := await self._trouble():
            problems.append(trouble)
        body = {"status": "not ready" if problems else "ok", "problems": problems, "warnings": warnings}
        await exchange.reply(503 if problems else 200, [JSON], json.dumps(body).encode())

    def _of_renewals(self) -> list[str]:
        report, problems = self._report(), []
        if report.failed:
            problems.append(f"{len(report.failed)} collections could not be renewed")
        if self._clock() - report.at > OVERDUE:
            problems.append(f"the last renewal round was at {report.at:{TIME}}")
        return problems


def _warnings(expiry: Expiry) -> list[str]:
    """What people have to renew, each kind of role in a sentence with the soonest moment."""
    found = []
    for role in PEOPLE:
        for each in expiry.of([role]):
            if each.due:
                more = f"{each.due - each.expired} within {DUE.days} days, the first of all at {each.soonest:{TIME}}"
                found.append(f"{role} metadata: {each.expired} expired, {more}")
    return found


def _expired(role: str, count: int) -> str:
    return f"{role} metadata of {count} collections is expired"
