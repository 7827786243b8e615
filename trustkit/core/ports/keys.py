"""Private keys of people and machines, as use cases see them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from securesystemslib.signer import Key, Signer

from trustkit.core.names import Gun, SignerName


class KeyRole(enum.StrEnum):
    """What a key is for; the word decides which passphrase opens it.

    ``SNAPSHOT`` is in format ``docker`` only: there a publisher may hold the snapshot key of a collection.
    """

    ROOT = "root"
    REPOSITORY = "repository"
    SNAPSHOT = "snapshot"
    SIGNER = "signer"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key that is here, without its private value.

    ``id`` is the id in root metadata; in a folder of Docker's the one of the bare key there, whatever certificate it
    stands in.  ``gun`` is set for a repository or snapshot key, ``name`` for a signer's, ``uri`` for one that is no
    file: it says on which token or in which key service the key is, and holds no secret.
    """

    id: str
    role: KeyRole
    public: Key
    gun: Gun | None = None
    name: SignerName | None = None
    uri: str | None = None


class KeyStore(Protocol):
    """The keys of one TRUSTKIT_HOME.

    Invariants: a key is on disk, encrypted and fsynced, before ``generate`` returns; ``list`` asks for no passphrase;
    a passphrase is asked for at most once per key and process.  What a key signs that is no file is held against its
    public half before anybody sees it.
    """

    @property
    def place(self) -> str:
        """Where the keys are, for errors that say where one was looked for: a folder."""
        ...

    def list(self) -> list[KeyInfo]:
        """All keys, ordered by role, GUN or name, and id."""
        ...

    def find(self, key_ids: frozenset[str]) -> Sequence[KeyInfo]:
        """Those of these keys that are here."""
        ...

    def generate(self, role: KeyRole, *, gun: Gun | None = None, name: SignerName | None = None) -> KeyInfo:
        """Makes a new key, asking for its new passphrase first.

        Raises:
            KeyProblem: no passphrase to be had, a weak one.
        """
        ...

    def unlock(self, info: KeyInfo) -> Signer:
        """The signer for a key that is here, asking for its passphrase where it isn't open yet.

        Raises:
            KeyMissing, WrongPassphrase, NoPassphrase, KeyFileInvalid, KeyUnavailable.
        """
        ...
