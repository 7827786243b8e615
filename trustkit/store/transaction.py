"""One transaction's view of the database."""

from __future__ import annotations

from collections.abc import Collection

from trustkit.core.names import Gun, PrincipalName
from trustkit.store.audit import SqlAudit
from trustkit.store.changefeed import SqlChangefeed
from trustkit.store.collections import BY_REPOSITORY, KEYS, SqlCollections
from trustkit.store.former import SqlFormer
from trustkit.store.identities import HELD, SqlIdentities
from trustkit.store.past import SqlPast
from trustkit.store.proposals import STANDING, SqlProposals
from trustkit.store.sealed import SqlSealed
from trustkit.store.settings import VALUE, SqlSettings
from trustkit.store.statements import Statements
from trustkit.store.upkeep import SqlUpkeep


class SqlTransaction:
    """Satisfies ``core.ports.service.Transaction`` and ``core.ports.resealing.ResealingTransaction``."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self.collections = SqlCollections(statements)
        self.upkeep = SqlUpkeep(statements)
        self.identities = SqlIdentities(statements)
        self.settings = SqlSettings(statements)
        self.audit = SqlAudit(statements)
        self.proposals = SqlProposals(statements)
        self.changefeed = SqlChangefeed(statements)
        self.former = SqlFormer(statements)
        self.past = SqlPast(statements)
        self.sealed = SqlSealed(statements)

    async def expect(self, gun: Gun, principal: PrincipalName, setting: str, bins: Collection[str] | None) -> None:
        """As ``Transaction``."""
        await self._statements.ahead(
            [
                (VALUE, {"name": setting}),
                (HELD, {"name": str(principal)}),
                (BY_REPOSITORY, {"repository": str(gun.repository)}),
                self.collections.asks_current(gun, bins),
                (STANDING, {"gun": str(gun)}),
                (KEYS, {"gun": str(gun)}),
            ]
        )
