"""Whatever signs online, wired: local keys, or a separate signer with what catches up with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from trustkit.authority.means import Means
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Publishing
from trustkit.authority.renew import Renewal
from trustkit.authority.sealing import Sealer
from trustkit.authority.settle import SettledPublishing, Settling
from trustkit.core.names import Gun
from trustkit.core.ports.service import SealedKey, Store
from trustkit.core.ports.signing import SeparateSigner
from trustkit.errors import TrustkitError
from trustkit.server.settings import ServeSettings
from trustkit.server.signer_client import RemoteSigner

log = logging.getLogger("trustkit.signer")

ASK_AGAIN_SECONDS = 5.0
DEVICES_TRIED = 20


@dataclass(frozen=True, slots=True)
class Online:
    """The use cases that sign, and a check of what they sign with.

    Attributes:
        means: what they change collections with.
        trouble: what keeps them from signing, in one sentence; None for nothing.
    """

    publishing: Publishing
    renewal: Renewal
    means: Means
    trouble: Callable[[], Awaitable[str | None]]


async def open_online(
    store: Store,
    sealer: Sealer,
    settings: ServeSettings,
    *,
    clock: Callable[[], datetime],
    changed: Callable[[Gun], None],
) -> Online:
    """Raises InvalidSetting where the files for mutual TLS can't be used."""
    lifetimes = settings.lifetimes
    if settings.signer is None:
        keys = OnlineKeys(sealer, forge=settings.forge, places=settings.places)
        return _local(Means(store, keys, lifetimes, clock, changed))
    separate = RemoteSigner(settings.signer)
    keys = OnlineKeys(sealer, separate, places=settings.places)
    means = Means(store, keys, lifetimes, clock, changed)
    settling = Settling(means, separate)
    await _tell_local(store, keys)
    return Online(
        SettledPublishing(means, settling),
        Renewal(means, settle=settling.settle),
        means,
        _Trouble(separate).now,
    )


def _local(means: Means) -> Online:
    async def none() -> str | None:
        return None

    return Online(
        Publishing(means),
        Renewal(means),
        means,
        none,
    )


async def _tell_local(store: Store, keys: OnlineKeys) -> None:
    async with store.read() as tx:
        here = await keys.here(tx)
    for gun in here:
        log.warning("the online keys of %s are in this service's database, not at the signer, and stay there", gun)


async def try_devices(store: Store, keys: OnlineKeys) -> None:
    """Has a few of the keys on devices sign, and logs what comes of it: the next renewal may be due in a day only.

    What is damaged is told, and the others are tried all the same.
    """
    for gun, sealed in await _on_devices(store, keys):
        try:
            signer = keys.on_device(gun, sealed)
        except TrustkitError as error:
            log.error("the %s key of %s, which is on a device, can't be used: %s", sealed.role, gun, error)
            continue
        try:
            await asyncio.to_thread(signer.sign, b"trustkit asks whether this online key signs")
        except TrustkitError:  # whose reason is in the log already
            log.error("until that device is back, nothing of %s is published or renewed", gun)
        else:
            log.info("an online key of %s is on a device, which signs", gun)


async def _on_devices(store: Store, keys: OnlineKeys) -> list[tuple[Gun, SealedKey]]:
    """The first keys that are on devices, as many as are tried; no collection is read beyond those."""
    found: list[tuple[Gun, SealedKey]] = []
    async with store.read() as tx:
        for record in await tx.collections.list():
            if record.closed is not None:
                continue
            try:
                found += [(record.gun, key) for key in await keys.on_devices(tx, record.gun)]
            except TrustkitError as error:
                log.error("whether the online keys of %s are on a device can't be told: %s", record.gun, error)
            if len(found) >= DEVICES_TRIED:
                break
    return found[:DEVICES_TRIED]


class _Trouble:
    """Asks the signer, at most every five seconds: anybody may look at /readyz."""

    def __init__(self, separate: SeparateSigner) -> None:
        self._separate = separate
        self._turn = asyncio.Lock()
        self._asked = float("-inf")
        self._said: str | None = None

    async def now(self) -> str | None:
        async with self._turn:
            if time.monotonic() - self._asked > ASK_AGAIN_SECONDS:
                self._said = await asyncio.to_thread(self._ask)
                self._asked = time.monotonic()
            return self._said

    def _ask(self) -> str | None:
        try:
            self._separate.ready()
        except TrustkitError as error:
            log.warning("%s", error.message)
            return "the separate signer can't be reached"
        return None
