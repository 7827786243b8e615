"""What a change of the key-encryption key needs of the store: everything that is sealed, to be sealed anew."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from trustkit.core.names import Gun
from trustkit.core.ports.service import AuditRow, SealedKey, Transaction


@dataclass(frozen=True, slots=True)
class SealedRow:
    """An online key, wherever it is kept: in use, waiting, of a former side, or coming.

    Attributes:
        place: which of these; the store's word.
    """

    place: str
    gun: Gun
    key: SealedKey


class SealedRows(Protocol):
    """Every sealed online key of a service."""

    async def all(self) -> Sequence[SealedRow]: ...

    async def replace(self, row: SealedRow, sealed: bytes) -> None:
        """Puts another sealed form of the same key into its place."""
        ...


class ResealingTransaction(Transaction, Protocol):
    """A transaction that reaches all of them."""

    @property
    def sealed(self) -> SealedRows: ...


class ResealingStore(Protocol):
    """A store whose write without a scope goes on while nobody else writes anything."""

    def read(self) -> AbstractAsyncContextManager[ResealingTransaction]: ...

    def write(self) -> AbstractAsyncContextManager[ResealingTransaction]: ...


class LedgerRows(Protocol):
    """Every sealed online key of a separate signer, within a transaction during which nobody else writes."""

    def all(self) -> Sequence[SealedRow]: ...

    def replace(self, row: SealedRow, sealed: bytes) -> None:
        """Puts another sealed form of the same key into its place."""
        ...

    def note(self, row: AuditRow) -> None:
        """Adds an event."""
        ...


class ResealingLedger(Protocol):
    """A separate signer's store; a block that raises changes nothing."""

    def sealed(self) -> AbstractContextManager[LedgerRows]: ...
