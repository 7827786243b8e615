"""What the commands of ``trustkit admin`` share: the database, who administers it, and how rows are shown."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trustkit.cli import output
from trustkit.errors import StateError

if TYPE_CHECKING:
    from trustkit.authority.principals import Principals
    from trustkit.core.ports.service import Store
    from trustkit.server.database import Database

T = TypeVar("T")
SIGNER = "signer.db"


@dataclass(frozen=True, slots=True)
class Service:
    """A service's folder and database, and who administers it."""

    data_dir: Path
    actor: str
    database: Database

    @asynccontextmanager
    async def store(self, *, begins: bool = False) -> AsyncIterator[Store]:
        """The database, opened for one command.

        Args:
            begins: the command may be a service's first, and the database is made where there is none.  With any
                other one, the folder's name is mistyped.

        Raises:
            StateError: there is none, the folder is a separate signer's, or the database can't be used.
        """
        if not self.database.exists:
            if (self.data_dir / SIGNER).exists():
                raise StateError(
                    f"{self.data_dir} is the data folder of a separate signer, which has none of this.",
                    hint="Give that of trustkit serve.",
                )
            if not begins:
                raise StateError(
                    f"There is no service in {self.data_dir}.",
                    hint="Give the data folder of trustkit serve. A new one begins with trustkit serve, or here with "
                    "principal add, repository set, policy set, founders add or allow-migration.",
                )
            output.note(f"There is no service in {self.data_dir} yet; its database is made now.")
        store = await self.database.open()
        try:
            yield store
        finally:
            await store.close()

    def run(self, call: Callable[[Store], Awaitable[T]], *, begins: bool = False) -> T:
        """Runs one use case on the database; as ``store``."""

        async def opened() -> T:
            async with self.store(begins=begins) as store:
                return await call(store)

        return asyncio.run(opened())

    def principals(self, store: Store) -> Principals:
        """The use cases of principals, for this operator."""
        from trustkit.authority.passwords import Passwords
        from trustkit.authority.principals import Operator, Principals

        return Principals(store, Passwords(), operator=Operator(self.actor, "local"), clock=now)


def pass_service(act: Callable[..., T]) -> Callable[..., T]:
    """Passes the service that ``trustkit admin --data-dir`` names; a usage error where it names none."""

    @functools.wraps(act)
    def passing(*args: Any, **kwargs: Any) -> T:
        ctx = click.get_current_context()
        service = ctx.find_object(Service)
        if service is None:
            raise click.UsageError(
                "Missing option '--data-dir': trustkit admin --data-dir DIR COMMAND, in this order.", ctx
            )
        return ctx.invoke(act, service, *args, **kwargs)

    return passing


format_option = click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print.",
)


def show(layout: str, columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    """Rows as a table under these columns, or as JSON objects, to stdout."""
    if layout == "json":
        output.data_json(rows)
        return
    output.table(tuple(c.upper() for c in columns), [tuple(_cell(row[c]) for c in columns) for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def now() -> datetime:
    """The moment of a change."""
    return datetime.now(UTC)
