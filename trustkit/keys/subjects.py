"""What a passphrase is wanted for: a key, or a backup of keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole

PER_KEY = "TRUSTKIT_PASSPHRASE_"
BACKUP = "TRUSTKIT_BACKUP_PASSPHRASE"
VARIABLES: Mapping[KeyRole, tuple[str, ...]] = {
    KeyRole.ROOT: ("TRUSTKIT_ROOT_PASSPHRASE", "DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE"),
    KeyRole.REPOSITORY: ("TRUSTKIT_REPOSITORY_PASSPHRASE", "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"),
    KeyRole.SNAPSHOT: ("TRUSTKIT_REPOSITORY_PASSPHRASE", "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"),
    KeyRole.SIGNER: ("TRUSTKIT_SIGNER_PASSPHRASE", "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"),
}
"""Environment variables by kind of key, the first that is set counts; Docker's have one for all that isn't root."""

NOTARYS: Mapping[KeyRole, str] = {
    KeyRole.ROOT: "NOTARY_ROOT_PASSPHRASE",
    KeyRole.REPOSITORY: "NOTARY_TARGETS_PASSPHRASE",
    KeyRole.SNAPSHOT: "NOTARY_SNAPSHOT_PASSPHRASE",
    KeyRole.SIGNER: "NOTARY_DELEGATION_PASSPHRASE",
}
"""Notary's, which count for files of Docker's and Notary's only."""


class Subject(Protocol):
    """What a passphrase is wanted for; as text, the words for it in prompts and errors.

    ``key_id`` is the entry in the system keyring, empty for none; ``variables`` the environment variables that may
    hold its passphrase, the first that is set counts, never none; ``place`` where it lies, if that is worth saying;
    ``facts`` the context of an error.
    """

    @property
    def key_id(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def variables(self) -> tuple[str, ...]: ...
    @property
    def facts(self) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class KeySubject:
    """A key.  ``key_id`` is empty for one that is yet to be made, ``file`` set for one that is still in a file
    outside the store, ``place`` the folder of one that is in it."""

    role: KeyRole
    gun: Gun | None = None
    name: SignerName | None = None
    key_id: str = ""
    file: str = ""
    place: str = ""

    @classmethod
    def of(cls, info: KeyInfo, place: str = "") -> KeySubject:
        """The subject of a key that is here."""
        return cls(info.role, info.gun, info.name, info.id, place=place)

    @property
    def variables(self) -> tuple[str, ...]:
        short = self.key_id[:8]
        per_key = (PER_KEY + short, PER_KEY + short.upper()) if short else ()
        return (*dict.fromkeys(per_key), *VARIABLES[self.role])

    @property
    def facts(self) -> dict[str, str]:
        return {"role": str(self.role), "gun": str(self.gun or ""), "key_id": self.key_id, "place": self.place}

    def __str__(self) -> str:
        if self.file:
            return f"the key in {self.file}"
        kind = {
            KeyRole.ROOT: "the root key",
            KeyRole.REPOSITORY: f"the repository key of {self.gun}",
            KeyRole.SNAPSHOT: f"the snapshot key of {self.gun}",
            KeyRole.SIGNER: f"the signer key of {self.name}",
        }[self.role]
        return f"{kind} (id {self.key_id[:8]})" if self.key_id else kind


@dataclass(frozen=True, slots=True)
class BackupSubject:
    """A backup file, whose passphrase is its own; the keyring isn't asked for it."""

    file: str
    key_id: str = field(default="", init=False)
    place: str = field(default="", init=False)
    variables: tuple[str, ...] = field(default=(BACKUP,), init=False)

    @property
    def facts(self) -> dict[str, str]:
        return {"file": self.file}

    def __str__(self) -> str:
        return f"the backup {self.file}"


@dataclass(frozen=True, slots=True)
class DockerSubject:
    """A key in a file of Docker's or Notary's, whose names of variables count too; the keyring isn't asked for it.

    ``id`` is the one in the file's name.  ``export`` is for a file that is yet to be written, to which Docker's and
    Notary's own variables alone apply: they are what will open it.
    """

    purpose: str
    role: KeyRole
    id: str
    file: str = ""
    place: str = ""
    export: bool = False
    key_id: str = field(default="", init=False)

    @property
    def variables(self) -> tuple[str, ...]:
        ours = () if self.export else (PER_KEY + self.id[:8], PER_KEY + self.id[:8].upper(), VARIABLES[self.role][0])
        return (*dict.fromkeys(ours), VARIABLES[self.role][-1], NOTARYS[self.role])

    @property
    def facts(self) -> dict[str, str]:
        return {"role": str(self.role), "key_id": self.id, "place": self.place, "file": self.file}

    def __str__(self) -> str:
        return f"the export of {self.purpose}" if self.export else f"{self.purpose} (Docker's id {self.id[:8]})"
