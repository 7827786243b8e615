"""The service's use cases over the real store: a database in the test's folder, and a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import argon2
import pytest

from trustkit.authority.passwords import Passwords
from trustkit.authority.principals import Operator, Principals
from trustkit.core.access import Assignment, Role
from trustkit.core.names import PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import AuditRow
from trustkit.store.database import SqlStore

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
OPERATOR = Operator("operator:root", "local")
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""Real argon2id at a cost that a test can pay."""


def assigned(role: Role | str, pattern: str = "*") -> Assignment:
    return Assignment(Role(role), RepositoryPattern.parse(pattern))


class Scene:
    """A store with the operator's use cases on it."""

    def __init__(self, store: SqlStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.now = NOW
        self.passwords = Passwords(CHEAP)
        self.principals = Principals(store, self.passwords, operator=OPERATOR, clock=self.clock)

    def clock(self) -> datetime:
        return self.now

    async def person(self, name: str, *roles: Role | str, pattern: str = "*", password: str = "") -> PrincipalName:
        """Somebody with these roles."""
        parsed = PrincipalName.parse(name)
        await self.principals.add(parsed, password or None)
        for role in roles:
            await self.principals.assign(parsed, assigned(role, pattern))
        return parsed

    async def audit(self) -> list[AuditRow]:
        """The rows, the oldest first."""
        async with self.store.read() as tx:
            return list(reversed(await tx.audit.list(limit=10_000)))

    async def actions(self) -> list[str]:
        return [row.action for row in await self.audit()]


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs one scene on a new database."""

    def run(scene: Callable[[Scene], Awaitable[None]]) -> None:
        async def opened() -> None:
            store = await SqlStore.open(tmp_path / "trustkit.db")
            try:
                await scene(Scene(store, tmp_path))
            finally:
                await store.close()

        asyncio.run(opened())

    return run
