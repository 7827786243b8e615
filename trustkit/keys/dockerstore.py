"""Docker's own folder of keys as a key store, and a home's keys under the ids of format ``docker``.

Both are ``trustkit.core.ports.keys.KeyStore``: what publishes in format ``docker`` asks either for the ids of bare
keys (``DockerKey.canonical_id``) and gets signers of securesystemslib.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature, Signer

from trustkit.core.formats.docker.keys import DockerKey, from_public
from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.errors import KeyMissing, KeyUnsupported, TrustkitError
from trustkit.keys import dockerfolder, dockerkeys, keypairs, private
from trustkit.keys.dockerfolder import Place, Unusable
from trustkit.keys.dockerkeys import Purpose, docker_key
from trustkit.keys.keyfile import check_purpose
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import Passphrase, PassphraseSource
from trustkit.keys.store import FileKeyStore, rank, signer
from trustkit.keys.subjects import DockerSubject, KeySubject


class ClosedKey(Key):
    """The public half of a key whose file hasn't been opened: an id that its file's name gives, and nothing more."""

    def __init__(self, keyid: str) -> None:
        super().__init__(keyid, "closed", "closed", {"public": ""})

    @classmethod
    def from_dict(cls, keyid: str, key_dict: dict[str, Any]) -> Self:
        """Raises KeyUnsupported: a closed key is in no file."""
        del key_dict
        raise _closed(keyid)

    def to_dict(self) -> dict[str, Any]:
        """Raises KeyUnsupported: a closed key goes into no file."""
        raise _closed(self.keyid)

    def verify_signature(self, signature: Signature, data: bytes) -> None:
        """Raises UnverifiedSignatureError: nothing can be held against a key that isn't known."""
        del signature, data  # there is nothing to hold them against
        raise UnverifiedSignatureError(f"The key {self.keyid[:16]} isn't open.")


def _closed(key_id: str) -> KeyUnsupported:
    return KeyUnsupported(f"The key {key_id[:16]} isn't open, so its public half isn't known.")


class DockerKeyStore:
    """Implements ``trustkit.core.ports.keys.KeyStore`` on a trust folder of Docker's or Notary's.

    ``KeyInfo.id`` is the id in the file's name; ``KeyInfo.public`` a ``ClosedKey`` until this store has opened or
    made the key, a ``DockerKey`` then.  Files that are there are never changed.

    Args:
        folder: the trust folder; ``private/`` in it is made 0700 with the first key.
        passphrases: where passphrases come from; Docker's and Notary's variables count, too.
        on_use: called once for each key that is made or opened to sign.
    """

    def __init__(
        self, folder: Path, passphrases: PassphraseSource, *, on_use: Callable[[KeyInfo], None] | None = None
    ) -> None:
        self._trust = folder
        self._passphrases = passphrases
        self._on_use = on_use or (lambda _: None)
        self._open: dict[str, tuple[DockerKey, Signer]] = {}
        self._known: list[Passphrase] = []

    def __repr__(self) -> str:
        return f"DockerKeyStore({str(self._trust)!r})"

    @property
    def folder(self) -> Path:
        """The folder of private keys, there or not."""
        return dockerfolder.target_folder(self._trust)

    @property
    def place(self) -> str:
        """The folder, for errors that say where a key was looked for."""
        return str(self.folder)

    def list(self) -> list[KeyInfo]:
        """All keys that can be used, ordered by role, GUN or name, and id; needs no passphrase.

        Raises:
            StateError: the folder can't be read.
        """
        infos = {info.id: info for found in self._look() if isinstance(info := self._info(found), KeyInfo)}
        return sorted(infos.values(), key=rank)

    def unusable(self) -> Sequence[Unusable]:
        """The files of keys that can't be used, with the reasons; raises StateError."""
        return [info for found in self._look() if isinstance(info := self._info(found), Unusable)]

    def find(self, key_ids: frozenset[str]) -> Sequence[KeyInfo]:
        """Those of these keys that are here.

        Raises:
            KeyFileInvalid, InvalidName: one of them is here and can't be used; StateError.
        """
        found = []
        for file in self._look(key_ids):
            if file.path.name[:64] in key_ids:
                info = self._info(file)
                if isinstance(info, Unusable):
                    raise info.named
                found.append(info)
        return sorted({info.id: info for info in found}.values(), key=rank)

    def generate(self, role: KeyRole, *, gun: Gun | None = None, name: SignerName | None = None) -> KeyInfo:
        """Makes a new key, ECDSA on P-256, asking for its passphrase first; it is on disk when this returns.

        Raises:
            KeyProblem: no passphrase to be had, a weak one.
            InvalidSetting: a role without the GUN or name that belongs to it; StateError.
        """
        check_purpose(role, gun, name)
        passphrase = self._passphrases.new(KeySubject(role, gun, name))
        made = keypairs.generate(Algorithm.P256)
        public = docker_key(made)
        path = dockerfolder.free_path(self.folder, public.canonical_id)
        private.ensure_folder(path.parent)
        private.write_new(path, dockerkeys.render(made, passphrase.value, Purpose(role, gun, name)))
        info = KeyInfo(public.canonical_id, role, public, gun, name)
        self._opened(info, made)
        return info

    def unlock(self, info: KeyInfo) -> Signer:
        """The signer for a key that is here, asking for its passphrase where it isn't open yet.

        Its public half is the key in format ``tuf``.

        Raises:
            KeyMissing, WrongPassphrase, NoPassphrase, KeyFileInvalid, KeyUnsupported.
        """
        if info.id not in self._open:
            file = dockerfolder.load(self.folder, info.id) if self.folder.exists() else None
            if file is None:
                raise KeyMissing(f"There is no key {info.id[:16]} in {self.place}.", key_id=info.id, place=self.place)
            if isinstance(file, Unusable):
                raise file.named
            opened, passphrase = unlocked(file, file.purpose(), self._passphrases, self._known)
            self._known = remembered(self._known, passphrase)
            self._opened(info, opened)
        return self._open[info.id][1]

    def _opened(self, info: KeyInfo, opened: PrivateKeyTypes) -> None:
        public = dataclasses.replace(info, public=keypairs.public_half(opened.public_key()))
        self._open[info.id] = (docker_key(opened), signer(opened, public))
        self._on_use(info)

    def _look(self, ids: frozenset[str] | None = None) -> Sequence[Place | Unusable]:
        return tuple(dockerfolder.look(self.folder, ids)) if self.folder.exists() else ()

    def _info(self, found: Place | Unusable) -> KeyInfo | Unusable:
        if isinstance(found, Unusable):
            return found
        try:
            purpose = found.purpose()
        except TrustkitError as error:
            return Unusable(found.path, error)
        public = self._open[found.id][0] if found.id in self._open else ClosedKey(found.id)
        return KeyInfo(found.id, purpose.role, public, purpose.gun, purpose.name)


class DockerIds:
    """Implements ``trustkit.core.ports.keys.KeyStore``: the keys of a home, by the ids of format ``docker``.

    ``KeyInfo.id`` is the id of the bare key there and ``KeyInfo.public`` a ``DockerKey``.
    """

    def __init__(self, store: FileKeyStore) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"DockerIds({self._store!r})"

    @property
    def place(self) -> str:
        """Where the keys are, for errors that say where one was looked for."""
        return self._store.place

    def list(self) -> list[KeyInfo]:
        """All keys, ordered by role, GUN or name, and id; raises KeyFileInvalid."""
        return sorted(map(in_docker, self._store.list()), key=rank)

    def find(self, key_ids: frozenset[str]) -> Sequence[KeyInfo]:
        """Those of these keys that are here; raises KeyFileInvalid."""
        return [info for info in self.list() if info.id in key_ids]

    def generate(self, role: KeyRole, *, gun: Gun | None = None, name: SignerName | None = None) -> KeyInfo:
        """Makes a new key, ECDSA on P-256, that Docker can read; raises as ``FileKeyStore.generate``."""
        return in_docker(self._store.generate(role, gun=gun, name=name, algorithm=Algorithm.P256))

    def unlock(self, info: KeyInfo) -> Signer:
        """The signer for a key that is here; raises as ``FileKeyStore.unlock``."""
        own = keypairs.public_half(info.public.loaded) if isinstance(info.public, DockerKey) else info.public
        return self._store.unlock(dataclasses.replace(info, id=own.keyid, public=own))


def in_docker(info: KeyInfo) -> KeyInfo:
    """A key of a home as format ``docker`` has it."""
    public = from_public(keypairs.loaded_public(info.public))
    return dataclasses.replace(info, id=public.canonical_id, public=public)


def unlocked(
    place: Place, purpose: Purpose, passphrases: PassphraseSource, known: Sequence[Passphrase] = ()
) -> tuple[PrivateKeyTypes, Passphrase | None]:
    """The key of a file and the passphrase that opened it, None for one that has none.

    Raises:
        WrongPassphrase, NoPassphrase; KeyFileInvalid: damaged, or the key's own id is another than the name's.
    """
    file, key_id = place.file, place.id
    if not file.is_encrypted:
        return file.open(None, stated=key_id), None
    subject = docker_subject(place, purpose)
    return passphrases.open_any(subject, lambda passphrase: file.open(passphrase, stated=key_id), known)


def docker_subject(place: Place, purpose: Purpose) -> DockerSubject:
    """What a passphrase is asked for."""
    words = str(KeySubject(purpose.role, purpose.gun, purpose.name))
    return DockerSubject(words, purpose.role, place.id, place.path.name, str(place.path.parent))


def remembered(known: Sequence[Passphrase], passphrase: Passphrase | None) -> list[Passphrase]:
    """What was typed once is tried on the next key, too; the latest four of them."""
    asked = [passphrase] if passphrase is not None and passphrase.prompted else []
    return [*asked, *(old for old in known if old not in asked)][:4]
