"""Taking in the keys of a folder of Docker's or Notary's: each by itself, and what can't be read with the reason.

The folder is only read.  A key that is here stays as it is, so the same import again does nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from trustkit.core.names import SignerName
from trustkit.core.ports.keys import KeyInfo
from trustkit.errors import StateError, TrustkitError
from trustkit.keys import dockerfolder
from trustkit.keys.dockerfolder import Place, Unusable
from trustkit.keys.dockerkeys import Purpose
from trustkit.keys.dockerstore import docker_subject, in_docker, remembered, unlocked
from trustkit.keys.keyfile import KeyFile
from trustkit.keys.passphrase import Passphrase, PassphraseSource, check_strength
from trustkit.keys.store import FileKeyStore
from trustkit.keys.subjects import KeySubject


class Outcome(enum.StrEnum):
    """What became of a file."""

    IMPORTED = "imported"
    HERE = "here"
    """The key was here before."""
    WOULD = "would-import"
    """It was only looked at."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Taken:
    """One file of the folder.

    Attributes:
        docker_id: the id in its name; empty where that is none.
        purpose: what its key is for, as far as it could be read.
        info: the key here, once it is.
        warning: what else is wrong with the file.
    """

    path: Path
    outcome: Outcome
    docker_id: str = ""
    purpose: Purpose | None = None
    info: KeyInfo | None = None
    error: TrustkitError | None = None
    warning: str = ""


class DockerImport:
    """Takes keys into a home.

    Args:
        store: where they go.
        passphrases: what opens them; every source that gives a passphrase is tried.
        new: where the passphrases here come from; unless given, a key keeps its own.
        name: what signers are called whose files don't say it.
    """

    def __init__(
        self,
        store: FileKeyStore,
        passphrases: PassphraseSource,
        *,
        new: PassphraseSource | None = None,
        name: SignerName | None = None,
    ) -> None:
        self._store, self._passphrases, self._new, self._name = store, passphrases, new, name
        self._known: list[Passphrase] = []

    def __call__(self, folder: Path, *, dry_run: bool = False, ids: Collection[str] | None = None) -> Iterator[Taken]:
        """One after the other, so that what was taken in is known even where the next one asks.

        Args:
            folder: a trust folder, or its folder of private keys.
            dry_run: only look, and ask for no passphrase.
            ids: take the keys with these ids of Docker's alone; unless given, all.

        Raises:
            StateError: no such folder, it can't be read, or there is no key in it.
        """
        private = dockerfolder.private_folder(folder)
        if private is None:
            raise StateError(
                f"There are no keys of Docker's in {folder}: neither a folder {dockerfolder.PRIVATE} nor files "
                f"*{dockerfolder.SUFFIX}.",
                hint="Docker's keys are in ~/.docker/trust, Notary's in ~/.notary.",
            )
        here = {in_docker(info).id: info for info in self._store.list()}
        for found in dockerfolder.look(private, ids):
            taken = self._take(found, here, dry_run=dry_run)
            if taken.info is not None:
                here[taken.docker_id] = taken.info
            yield taken

    def _take(self, found: Place | Unusable, here: dict[str, KeyInfo], *, dry_run: bool) -> Taken:
        if isinstance(found, Unusable):
            return Taken(found.path, Outcome.FAILED, error=found.error)
        purpose = None
        try:
            purpose = found.purpose(self._name)
            if found.id in here:
                return self._here(found, purpose, here[found.id])
            info = None if dry_run else self._imported(found, purpose)
        except TrustkitError as error:
            return Taken(found.path, Outcome.FAILED, found.id, purpose, error=error, warning=found.warning)
        outcome = Outcome.IMPORTED if info else Outcome.WOULD
        return Taken(found.path, outcome, found.id, purpose, info, warning=found.warning)

    def _imported(self, found: Place, purpose: Purpose) -> KeyInfo:
        opened, passphrase = unlocked(found, purpose, self._passphrases, self._known)
        self._known = remembered(self._known, passphrase)
        subject = KeySubject(purpose.role, purpose.gun, purpose.name)
        if self._new is not None or passphrase is None:
            passphrase = (self._new or self._passphrases).new(subject)
        check_strength(passphrase, docker_subject(found, purpose))
        made = KeyFile.seal(opened, passphrase.value, role=purpose.role, gun=purpose.gun, name=purpose.name)
        return self._store.add(made, opened)

    @staticmethod
    def _here(found: Place, purpose: Purpose, info: KeyInfo) -> Taken:
        same = (info.role, info.name) == (purpose.role, purpose.name)
        kept = "" if same else f"It is kept here as {KeySubject.of(info)}."
        warning = " ".join(filter(None, (kept, found.warning)))
        return Taken(found.path, Outcome.HERE, found.id, purpose, info, warning=warning)
