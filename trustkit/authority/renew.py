"""Renewal: timestamps daily, snapshots at half their life, long before anything expires (TRUST 3.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from securesystemslib.signer import Signer

from trustkit.authority.former import renew_former
from trustkit.authority.means import Means
from trustkit.authority.notary_resign import change_of, renewed
from trustkit.authority.onlinekeys import slow
from trustkit.authority.resign import resign_snapshot, resign_timestamp
from trustkit.core.names import Gun
from trustkit.core.ports.service import DOCKER, AuditRow, StoredFile, Transaction
from trustkit.core.ports.signing import BehindService, SignerAhead
from trustkit.errors import StateError, TrustkitError

DAILY = timedelta(days=1)


@dataclass(slots=True)
class RenewalReport:
    """What the last round did: collections renewed, and those that could not be, with the reason.

    Attributes:
        at: when the round began; before the first one has ended, when this process started.
    """

    at: datetime
    renewed: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class Renewal:
    """The renewal use case; ``round`` is called every minute by the service and may be called at any time.

    Args:
        settle: catches up with a separate signer that has signed more than is stored here, or less.  Done also once
            for each collection in the first round, because this database may have come from a backup.
    """

    def __init__(self, means: Means, *, settle: Callable[[Gun], Awaitable[None]] | None = None) -> None:
        self._means = means
        self._settle = settle
        self._unsettled: set[Gun] | None = None
        self.report = RenewalReport(means.clock())

    async def round(self) -> RenewalReport:
        """Renews what is due; one collection that fails keeps no other from being renewed.

        Due is also what lives over a day longer than anything that is signed now: a clock that was ahead signed it,
        and until that moment comes round nothing would be renewed, and an old state could be shown as the newest.
        """
        now = self._means.clock()
        async with self._means.store.read() as tx:
            found = []
            for role in ("timestamp", "snapshot"):
                before, beyond = self._due(role, now)
                found.append(await tx.collections.expiring(role=role, before=before, beyond=beyond))
        timestamps, snapshots = found
        report = RenewalReport(now)
        await self._catch_up(report)
        stale, due = set(snapshots), set(timestamps)
        for gun in sorted(due | stale):
            try:
                await self._settled(gun, now, snapshot=gun in stale, timestamp=gun in due)
                report.renewed += 1
            except TrustkitError as error:
                report.failed[str(gun)] = error.message
            except Exception as error:  # noqa: BLE001 - whatever befell one, the others must not expire for it
                report.failed[str(gun)] = f"{type(error).__name__}: {error}"
        await self._renew_former(now, report)
        self.report = report
        return report

    async def _renew_former(self, now: datetime, report: RenewalReport) -> None:
        """The timestamps of frozen sides, up to their final expiry."""
        before, _ = self._due("timestamp", now)
        async with self._means.store.read() as tx:
            due = await tx.former.due(before=before, now=now)
        for record in due:
            try:
                async with self._means.store.write(record.gun) as tx:
                    if record not in await tx.former.due(before=before, now=now):
                        continue  # another replica was there before
                    await renew_former(tx, self._means.keys, record.gun, lifetimes=self._means.lifetimes, now=now)
                self._means.changed(record.gun)
                report.renewed += 1
            except TrustkitError as error:
                report.failed[f"{record.gun} (docker)"] = error.message
            except Exception as error:  # noqa: BLE001 - whatever befell one, the others must not expire for it
                report.failed[f"{record.gun} (docker)"] = f"{type(error).__name__}: {error}"

    def _due(self, role: str, now: datetime) -> tuple[datetime, datetime]:
        """A file of this role is due that expires before the first of these moments, or after the second one."""
        life = self._means.lifetimes.default[role]
        least = max(life - DAILY, life / 2) if role == "timestamp" else life / 2
        return now + least, now + life + DAILY

    async def _catch_up(self, report: RenewalReport) -> None:
        """Settles what was not yet since this process started; what fails is tried again in the next round."""
        if self._settle is None:
            return
        if self._unsettled is None:
            async with self._means.store.read() as tx:
                records, keys = await tx.collections.list(), self._means.keys
                self._unsettled = {record.gun for record in records if await keys.are_elsewhere(tx, record.gun)}
        for gun in sorted(self._unsettled):
            try:
                await self._settle(gun)
                self._unsettled.discard(gun)
            except TrustkitError as error:
                report.failed[str(gun)] = error.message
            except Exception as error:  # noqa: BLE001 - whatever befell one, the others must not expire for it
                report.failed[str(gun)] = f"{type(error).__name__}: {error}"

    async def _settled(self, gun: Gun, now: datetime, *, snapshot: bool, timestamp: bool = True) -> None:
        roles = {role for role, due in (("snapshot", snapshot), ("timestamp", timestamp)) if due}
        try:
            await self._renew(gun, now, roles)
        except (SignerAhead, BehindService):
            if self._settle is None:
                raise
            await self._settle(gun)
            await self._renew(gun, now, roles)
        self._means.changed(gun)

    async def _renew(self, gun: Gun, now: datetime, roles: Set[str]) -> None:
        async with self._means.store.write(gun) as tx:
            current = await tx.collections.current(gun, bins=())
            record = await tx.collections.get(gun)
            roles = {role for role in roles if await self._still_due(tx, gun, role, now)}
            if not roles:
                return  # another replica was first
            if record is not None and record.format == DOCKER:
                await self._renew_docker(tx, gun, current, now, roles)
                return
            if missing := {"snapshot", "timestamp"} - current.keys():
                raise StateError(f"The database has no current {', '.join(sorted(missing))} of {gun}.")
            signers = await self._means.keys.signers(tx, gun)
            if slow(signers):
                files = await asyncio.to_thread(self._sign, gun, current, signers, now, snapshot="snapshot" in roles)
            else:
                files = self._sign(gun, current, signers, now, snapshot="snapshot" in roles)
            await tx.collections.add_files(gun, files, now)
            versions = {file.role: file.version for file in files}
            await tx.audit.append(AuditRow(now, "service", "renewal", "renewed", str(gun), {"versions": versions}))

    async def _still_due(self, tx: Transaction, gun: Gun, role: str, now: datetime) -> bool:
        before, beyond = self._due(role, now)
        return bool(await tx.collections.expiring(role=role, before=before, beyond=beyond, gun=gun))

    async def _renew_docker(
        self, tx: Transaction, gun: Gun, current: Mapping[str, StoredFile], now: datetime, roles: Set[str]
    ) -> None:
        """The same for a collection in format ``docker``, whose snapshot may be its publishers' own to renew."""
        signers, life = await self._means.keys.signers(tx, gun), self._means.lifetimes.default["timestamp"]
        files = renewed(current, signers, now=now, life=life)
        if not roles & {file.role for file in files}:
            return
        await tx.collections.add_files(gun, files, now)
        await tx.changefeed.append(change_of(gun, files[-1], now))
        versions = {file.role: file.version for file in files}
        await tx.audit.append(AuditRow(now, "service", "renewal", "renewed", str(gun), {"versions": versions}))

    def _sign(
        self,
        gun: Gun,
        current: Mapping[str, StoredFile],
        signers: Mapping[str, Signer],
        now: datetime,
        *,
        snapshot: bool,
    ) -> Sequence[StoredFile]:
        files = []
        version = current["snapshot"].version
        if snapshot:
            renewed = resign_snapshot(gun, current, {}, signers["snapshot"], now=now, lifetimes=self._means.lifetimes)
            files.append(renewed)
            version = renewed.version
        timestamp = resign_timestamp(
            gun, current, version, signers["timestamp"], now=now, lifetimes=self._means.lifetimes, changed=files
        )
        return [*files, timestamp]
