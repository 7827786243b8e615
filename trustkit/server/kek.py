"""The key-encryption key of a data folder, wired: its files, what wraps it, and whether it is the right one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from trustkit.authority.keks import Keks
from trustkit.authority.sealedkeys import SealedKeys
from trustkit.authority.sealedplaces import InService, InSigner, SealedPlace
from trustkit.authority.sealing import Sealer
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.core.names import Gun
from trustkit.core.ports.resealing import ResealingStore
from trustkit.core.ports.service import SealedKey
from trustkit.core.ports.wrapping import KeyWrapper
from trustkit.errors import StateError
from trustkit.server.database import Database, DatabaseSource
from trustkit.store.kek import KekFolder
from trustkit.store.ledger import SqliteLedger

SIGNER = "signer.db"


@dataclass(frozen=True, slots=True)
class KekSource:
    """Where the key-encryption key comes from.

    Attributes:
        file: the plain file; None for ``kek`` in the data folder.
        wrapper: what wraps it; None where it lies in the plain file.
    """

    file: Path | None = None
    wrapper: KeyWrapper | None = None

    def of(self, data_dir: Path) -> Keks:
        """That of this data folder."""
        return Keks(KekFolder(data_dir, self.file), self.wrapper)


def require_data_dir(data_dir: Path, database: Database) -> None:
    """Returns for a data folder of a service or a signer; raises StateError, and makes nothing."""
    if not database.exists and not (data_dir / SIGNER).exists():
        raise StateError(f"{data_dir} is no data folder of a service or a signer.", hint="Correct --data-dir.")


@asynccontextmanager
async def sealed_places(data_dir: Path, database: Database) -> AsyncIterator[tuple[SealedPlace, ...]]:
    """Everything in a data folder that its key-encryption key seals, opened; raises StateError."""
    async with AsyncExitStack() as stack:
        places = list[SealedPlace]()
        if database.exists:
            store = await database.open()
            stack.push_async_callback(store.close)
            places.append(InService(cast("ResealingStore", store)))
        if (data_dir / SIGNER).exists():
            ledger = SqliteLedger.open(data_dir / SIGNER)
            stack.callback(ledger.close)
            places.append(InSigner(ledger))
        yield tuple(places)


async def require_ours(data_dir: Path, kek: bytes, database: Database | None = None) -> None:
    """Returns where what is sealed in this data folder opens under this key-encryption key.

    Raises:
        StateError: it doesn't; or it is no data folder of a service or a signer.
    """
    database = database or DatabaseSource().of(data_dir)
    require_data_dir(data_dir, database)
    signer = data_dir / SIGNER
    if database.exists:
        store = await database.open()
        try:
            await TokenKeys.require(store, Sealer(kek))
        finally:
            await store.close()
    if signer.exists():
        ledger = SqliteLedger.open(signer)
        try:
            require_signers(ledger, SealedKeys(Sealer(kek)).require)
        finally:
            ledger.close()


def require_signers(ledger: SqliteLedger, opens: Callable[[Gun, SealedKey], object]) -> None:
    """Returns where this opens the keys of a signer, or there are none; raises StateError."""
    gun = ledger.first()
    if gun is None:
        return
    with ledger.entry(gun) as entry:
        for key in entry.keys().values():
            opens(gun, key)
