"""What the service needs from a separate signer, and what that signer needs from its own disk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from securesystemslib.signer import Key

from trustkit.core.names import Gun
from trustkit.core.onlinejudge import Record
from trustkit.core.ports.service import AuditRow, SealedKey
from trustkit.errors import Conflict, StateError


class SignerAhead(Conflict):
    """A separate signer has signed another file under this version: an answer of its was lost, or is under way."""


class BehindService(StateError):
    """A separate signer has signed less than is stored here, or has no key of the collection: an older copy."""


@dataclass(frozen=True, slots=True)
class Held:
    """How far a signer has come with one collection.

    Attributes:
        versions: of snapshot and timestamp that it has signed; 0 for none.
        files: the state that its newest timestamp makes current, whole and signed, by role; empty for none.
    """

    versions: Mapping[str, int]
    files: Mapping[str, bytes]


class SeparateSigner(Protocol):
    """A signer in a process of its own.  Each method may wait for a network: call it in a thread.

    Raises, each of them:
        ServerFailed: it can't be reached, or doesn't answer as it should; asking again is safe.
        StateError: it refuses, with its own words.
    """

    def make(self, gun: Gun) -> Mapping[str, Key]:
        """The public keys of ``snapshot`` and ``timestamp``, made where there are none."""
        ...

    def stage(self, gun: Gun, roles: Iterable[str]) -> Mapping[str, Key]:
        """The public keys that wait for a root to name them, made for those of these roles that none waits for."""
        ...

    def replace(self, gun: Gun) -> Mapping[str, Key]:
        """New public keys of a collection that begins anew; those before sign nothing any more.

        Once done, asking again is safe.

        Raises:
            ConsentMissing: the signer's operator hasn't allowed it for this collection.
        """
        ...

    def sign(self, gun: Gun, role: str, payload: bytes, files: Mapping[str, bytes]) -> str:
        """The signature over a payload, as hex, by the key that the newest root names.

        The same payload again gives a signature again.

        Args:
            files: with a timestamp, the files that its state changes, by role; with a snapshot, the root of its state
                where that names another key.

        Raises:
            SignerAhead: it has signed another payload under this version.
            BehindService: what it signed last is older than what this follows.
        """
        ...

    def held(self, gun: Gun) -> Held:
        """How far it has come."""
        ...

    def catch_up(self, gun: Gun, files: Mapping[str, bytes]) -> None:
        """Has a signer that is behind go on from this state, whole and signed.

        Raises:
            ConsentMissing: the signer's operator hasn't allowed it for this collection.
        """
        ...

    def ready(self) -> None:
        """Returns where it answers."""
        ...


class Entry(Protocol):
    """One collection's keys and record, held exclusively.  What is put is on disk when the block has ended."""

    def keys(self) -> Mapping[str, SealedKey]: ...
    def add_keys(self, keys: Mapping[str, SealedKey]) -> None: ...
    def pending(self) -> Mapping[str, SealedKey]: ...
    def add_pending(self, keys: Mapping[str, SealedKey]) -> None: ...
    def adopt(self, roles: Iterable[str]) -> None: ...
    def replace_keys(self, keys: Mapping[str, SealedKey]) -> None: ...
    def allow(self, act: str, until: datetime, root_keys: Collection[str] = ()) -> None: ...
    def take(self, act: str, now: datetime) -> frozenset[str] | None: ...
    def note(self, row: AuditRow) -> None: ...
    def record(self) -> Record: ...
    def put_record(self, record: Record) -> None: ...


class Ledger(Protocol):
    """A separate signer's own store.

    Invariants: entries exclude each other, between threads and between processes; a record that was put survives a
    killed process; a block that raises changes nothing.
    """

    def entry(self, gun: Gun) -> AbstractContextManager[Entry]:
        """Raises StateError where the disk doesn't let us."""
        ...
