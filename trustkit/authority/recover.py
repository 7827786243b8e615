"""Going on after the database came from a backup: past every version that may have been served (TRUST 3.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from securesystemslib.signer import Signer
from tuf.api.metadata import Snapshot, Timestamp

from trustkit.authority.former import renew_former
from trustkit.authority.notary_resign import change_of, renewed
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.resign import stored
from trustkit.core.build import next_snapshot, next_timestamp
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.service import DOCKER, AuditRow, Store, StoredFile, Transaction
from trustkit.core.roots import ONLINE
from trustkit.core.versions import LARGEST
from trustkit.errors import InvalidSetting, NotFound, StateError, TrustkitError

DEFAULT_JUMP = 1000
LARGEST_JUMP = 1_000_000
"""Bounded, so that some two thousand of them fit under 2^31."""


@dataclass(slots=True)
class Recovered:
    """What came of it: the versions of each role by collection, and why a collection could not be done."""

    versions: dict[Gun, Mapping[str, int]] = field(default_factory=dict)
    failed: dict[Gun, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recovery:
    """The use case of ``trustkit admin recover``.

    Attributes:
        jump: how many versions snapshot and timestamp go ahead, and how many a publisher's role may go ahead once.
    """

    store: Store
    keys: OnlineKeys
    lifetimes: Lifetimes
    jump: int
    actor: str
    now: datetime

    async def run(self, guns: Sequence[Gun] | None) -> Recovered:
        """Signs each collection's snapshot and timestamp that far ahead, each in a transaction of its own.

        Args:
            guns: the collections; None for all that are open.

        Raises:
            InvalidSetting: a jump of less than one, or of more than a million.
            NotFound: no collection of this name.
        """
        if not 1 <= self.jump <= LARGEST_JUMP:
            raise InvalidSetting(f"A jump goes 1 to {LARGEST_JUMP} versions ahead, not {self.jump}.")
        done = Recovered()
        async with self.store.read() as tx:
            there = {record.gun: record for record in await tx.collections.list()}
        if strange := [gun for gun in guns or () if gun not in there]:
            raise NotFound(f"There is no collection {strange[0]}.")
        for gun in guns if guns is not None else [gun for gun, record in there.items() if record.closed is None]:
            try:
                async with self.store.write(gun) as tx:
                    done.versions[gun] = await self._one(tx, gun)
            except TrustkitError as error:
                done.versions.pop(gun, None)
                done.failed[gun] = error.message
        return done

    async def _one(self, tx: Transaction, gun: Gun) -> Mapping[str, int]:
        record = await tx.collections.get(gun)
        if record is None or record.closed is not None:
            raise StateError(f"{gun} is closed and serves nothing.")
        current = await tx.collections.current(gun)
        if await self.keys.are_elsewhere(tx, gun):
            raise StateError(
                f"The separate signer of {gun} has the whole state that it signed last: "
                "the service takes it from there when it starts."
            )
        signers = await self.keys.signers(tx, gun)
        if record.format == DOCKER:
            return await self._docker(tx, gun, current, signers)
        files = self._ahead(gun, current, signers)
        await tx.collections.add_files(gun, files, self.now)
        await renew_former(tx, self.keys, gun, lifetimes=self.lifetimes, now=self.now, ahead=self.jump)
        ceilings = {
            role: file.version + 1 + self.jump for role, file in current.items() if role not in ("root", *ONLINE)
        }
        if any(ceiling >= LARGEST for ceiling in ceilings.values()):
            raise StateError(f"{gun} can't jump that far: its versions would reach 2^31.")
        await tx.upkeep.set_jumps(gun, ceilings)
        versions = {file.role: file.version for file in files}
        detail = {"versions": versions, "jump": self.jump, "ceilings": ceilings}
        await tx.audit.append(AuditRow(self.now, self.actor, "local", "recovered", str(gun), detail))
        return versions

    async def _docker(
        self, tx: Transaction, gun: Gun, current: Mapping[str, StoredFile], signers: Mapping[str, Signer]
    ) -> Mapping[str, int]:
        """In format ``docker`` no publisher's version can jump: stock clients sign the next after what is served."""
        life = self.lifetimes.default["timestamp"]
        files = renewed(current, signers, now=self.now, life=life, ahead=self.jump)
        await tx.collections.add_files(gun, files, self.now)
        await tx.changefeed.append(change_of(gun, files[-1], self.now))
        versions = {file.role: file.version for file in files}
        detail = {"versions": versions, "jump": self.jump}
        await tx.audit.append(AuditRow(self.now, self.actor, "local", "recovered", str(gun), detail))
        return versions

    def _ahead(self, gun: Gun, current: Mapping[str, StoredFile], signers: Mapping[str, Signer]) -> list[StoredFile]:
        if missing := set(ONLINE) - current.keys():
            raise StateError(f"The database has no current {', '.join(sorted(missing))} of {gun}.")
        life = self.lifetimes.default
        old = read(current["snapshot"].data, Snapshot).signed
        snapshot = next_snapshot(gun, old, {}, now=self.now, life=life["snapshot"])
        snapshot.version += self.jump
        before = read(current["timestamp"].data, Timestamp).signed
        timestamp = next_timestamp(gun, before, snapshot.version, now=self.now, life=life["timestamp"])
        timestamp.version += self.jump
        if max(snapshot.version, timestamp.version) >= LARGEST:
            raise StateError(f"{gun} can't jump that far: its versions would reach 2^31.")
        by = {role: {signer.public_key.keyid: signer} for role, signer in signers.items()}
        return [
            stored(snapshot, sign(snapshot, by["snapshot"])),
            stored(timestamp, sign(timestamp, by["timestamp"])),
        ]
