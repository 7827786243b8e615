"""The real service's use cases on the real store, and the real client's on top of them, without a network between.

What travels as HTTP otherwise is a call here; so thousands of steps of both sides can be tried in any order.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TypeVar

from securesystemslib.signer import CryptoSigner, Key

from tests.simulator import GUN, LIFE, NOW
from trustkit.authority.means import Means
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.proposals import Proposing
from trustkit.authority.publish import Publishing, Requester
from trustkit.authority.sealing import Sealer
from trustkit.client.proposals import Proposals
from trustkit.client.publish import Publisher
from trustkit.client.trust import Trust
from trustkit.core.access import Assignment, Role
from trustkit.core.names import Gun, PrincipalName, SignerName
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.core.ports.proposing import Step
from trustkit.core.ports.remote import Pin, ServiceKeys
from trustkit.core.proposals import Proposal
from trustkit.errors import NotFound
from trustkit.remote.source import UpdaterSource
from trustkit.store.database import SqlStore

T = TypeVar("T")


class LocalService:
    """The service's use cases, and what it serves of ``GUN``.

    Args:
        template: a database to begin with, so that its tables needn't be made; made where there is none.

    Attributes:
        files, history: the current files by role, and every one by role and version, as of the last ``look``.
    """

    def __init__(self, folder: Path, template: Path, *people: str) -> None:
        self._loop = asyncio.new_event_loop()
        if not template.exists():
            self.run(self.run(SqlStore.open(template)).close())
        database = folder / "trustkit.db"
        shutil.copyfile(template, database)
        self.store = self.run(SqlStore.open(database))
        keys = OnlineKeys(Sealer(b"k" * 32))
        self.moments = count()
        self.publishing = Publishing(Means(self.store, keys, LIFE, lambda: NOW))
        self.proposing = Proposing(self.store, keys, self.publishing, lifetimes=LIFE, clock=lambda: NOW)
        self.files: dict[str, bytes] = {}
        self.history: dict[tuple[str, int], bytes] = {}
        self.run(self._admit(people))

    def run(self, awaitable: Awaitable[T]) -> T:
        """Waits for one step of the service."""
        return self._loop.run_until_complete(_waited(awaitable))

    def close(self) -> None:
        """Closes the store."""
        self.run(self.store.close())
        self._loop.close()

    def look(self) -> Mapping[str, bytes]:
        """The current files, which ``files`` and ``history`` then have."""
        self.files = self.run(self._current())
        self.history |= {(role, json.loads(data)["signed"]["version"]): data for role, data in self.files.items()}
        return self.files

    def fetch(self, name: str, max_length: int) -> bytes:
        """A metadata file by its name, as it is served now."""
        version, _, role = name.removesuffix(".json").partition(".")
        files = self.look()
        data = self.history.get((role, int(version))) if role else files.get(version)
        if data is None or len(data) > max_length:
            raise NotFound(f"There is no {name}.")
        return data

    async def _current(self) -> dict[str, bytes]:
        async with self.store.read() as tx:
            return {role: file.data for role, file in (await tx.collections.current(GUN)).items()}

    async def _admit(self, people: tuple[str, ...]) -> None:
        async with self.store.write() as tx:
            for name in map(PrincipalName, people):
                await tx.identities.add(name, "x", NOW)
                for role in (Role.ACR_PUSH, Role.ACR_IMAGE_SIGNER):
                    await tx.identities.assign(name, Assignment(role, RepositoryPattern("*")))


async def _waited(awaitable: Awaitable[T]) -> T:
    return await awaitable


class _Calls:
    """``TrustService`` and ``ProposalService`` as calls of the use cases, for one person."""

    def __init__(self, service: LocalService, who: Requester) -> None:
        self._service = service
        self._who = who

    def require_publish(self, gun: Gun) -> None:
        self.online_keys(gun)

    def online_keys(self, gun: Gun) -> Mapping[str, Key]:
        return self._service.run(self._service.publishing.online_keys(gun, self._who))

    def service_keys(self, gun: Gun) -> ServiceKeys:
        return ServiceKeys(self.online_keys(gun))

    def publish(self, gun: Gun, files: Mapping[str, bytes]) -> Mapping[str, int]:
        return self._service.run(self._service.publishing.publish(gun, files, self._who))

    def proposals(self, gun: Gun) -> list[Proposal]:
        return self._service.run(self._service.proposing.list(gun, self._who))

    def proposal(self, gun: Gun, identifier: str) -> tuple[Proposal, Mapping[str, bytes]]:
        return self._service.run(self._service.proposing.get(gun, identifier, self._who))

    def propose(self, gun: Gun, files: Mapping[str, bytes]) -> Step:
        step = self._service.run(self._service.proposing.open(gun, files, self._who))
        return Step(step.proposal, step.versions or {})

    def approve(self, gun: Gun, identifier: str, files: Mapping[str, bytes]) -> Step:
        step = self._service.run(self._service.proposing.approve(gun, identifier, files, self._who))
        return Step(step.proposal, step.versions or {})

    def drop(self, gun: Gun, identifier: str) -> None:
        self._service.run(self._service.proposing.drop(gun, identifier, self._who))


class _Keys:
    """``KeyStore`` in memory; nobody is asked for a passphrase."""

    place = "memory"

    def __init__(self) -> None:
        self._keys: dict[str, tuple[KeyInfo, CryptoSigner]] = {}

    def put(self, role: KeyRole, signer: CryptoSigner) -> None:
        self._keys[signer.public_key.keyid] = (KeyInfo(signer.public_key.keyid, role, signer.public_key), signer)

    def list(self) -> list[KeyInfo]:
        return [info for info, _ in self._keys.values()]

    def find(self, key_ids: frozenset[str]) -> list[KeyInfo]:
        return [info for info in self.list() if info.id in key_ids]

    def generate(self, role: KeyRole, *, gun: Gun | None = None, name: SignerName | None = None) -> KeyInfo:
        raise AssertionError(f"a key of {gun} was made: {role} {name}")

    def unlock(self, info: KeyInfo) -> CryptoSigner:
        return self._keys[info.id][1]


class _Pins:
    """``PinStore`` with one pin."""

    def __init__(self, pin: Pin) -> None:
        self._pin = pin

    def find(self, gun: Gun) -> Pin:
        assert gun == GUN
        return self._pin

    def list(self) -> list[Pin]:
        return [self._pin]

    def add(self, pin: Pin, *, replace: bool = False) -> None:
        raise AssertionError(f"{pin} was added, replace={replace}")

    def remove(self, pattern: str) -> None:
        raise AssertionError(f"{pattern} was removed")


class Desk:
    """One person's client: keys, what was verified here, and the use cases.

    Attributes:
        said: what would have been told on stderr.
    """

    def __init__(self, service: LocalService, name: str, folder: Path, pin: Pin) -> None:
        self.name = name
        self.keys = _Keys()
        self.said: list[str] = []
        self._folder = folder
        self._moments = service.moments
        folder.mkdir()
        pins = _Pins(pin)
        source = UpdaterSource(fetcher=lambda _: service.fetch, folder=self._locked, seen=lambda _: True)
        self.trust = Trust(pins, source)
        self.calls = _Calls(service, Requester(PrincipalName(name), "192.0.2.1"))
        self.publisher = Publisher(
            self.calls,  # type: ignore[arg-type]  # it has no reset and stages no keys; nothing here asks for those
            self.keys,
            pins,
            self.trust,
            proposals=self.calls,
            lifetimes=LIFE,
            clock=self._later,
            sleep=lambda _: None,
            say=self.said.append,
        )
        self.proposals = Proposals(
            self.calls,
            self.keys,
            self.trust,
            self.publisher,
            lifetimes=LIFE,
            clock=lambda: NOW,
            say=self.said.append,
        )

    def _later(self) -> datetime:
        """A second later each time: what two roles say alike at one moment would be one file to the judge."""
        return NOW + timedelta(seconds=next(self._moments))

    @contextmanager
    def _locked(self, _gun: Gun, _pin: Pin) -> Iterator[Path]:
        yield self._folder
