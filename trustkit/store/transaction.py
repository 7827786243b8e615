"""One transaction's view of the database."""

from __future__ import annotations

from trustkit.store.audit import SqlAudit
from trustkit.store.changefeed import SqlChangefeed
from trustkit.store.collections import SqlCollections
from trustkit.store.former import SqlFormer
from trustkit.store.identities import SqlIdentities
from trustkit.store.past import SqlPast
from trustkit.store.proposals import SqlProposals
from trustkit.store.sealed import SqlSealed
from trustkit.store.settings import SqlSettings
from trustkit.store.statements import Statements
from trustkit.store.upkeep import SqlUpkeep


class SqlTransaction:
    """Satisfies ``core.ports.service.Transaction`` and ``core.ports.resealing.ResealingTransaction``."""

    def __init__(self, statements: Statements) -> None:
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
