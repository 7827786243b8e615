"""The way every statement goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from trustkit.store.foreign import mapped


class Statements:
    """Runs statements on one connection, and maps what the database raises."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Executes a Core statement with its values.

        Raises:
            Conflict: a row of this key exists.
            StateError: whatever else the database refuses.
        """
        with mapped():
            return await self._connection.execute(statement, values)
