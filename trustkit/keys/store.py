"""The keys of one TRUSTKIT_HOME: one file a key, ``<key id>.pem``, or ``<key id>.uri`` for one elsewhere."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.errors import (
    KeyExists,
    KeyMissing,
    TrustkitError,
    UsageError,
)
from trustkit.keys import keypairs, private
from trustkit.keys.folder import ELSEWHERE, HERE, files, load
from trustkit.keys.foreign import opened_foreign, purpose_of
from trustkit.keys.keyfile import KeyFile, check_purpose
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import KeySubject, Passphrase, PassphraseSource, check_strength
from trustkit.keys.placefile import PlaceFile
from trustkit.keys.remote import RemoteKeys
from trustkit.keys.uris import KeyUri, Pkcs11Uri

_SHORT_ID = re.compile(r"[0-9a-f]{8,64}\Z")
_ORDER = list(KeyRole)


class FileKeyStore:
    """Implements ``trustkit.core.ports.keys.KeyStore`` on a folder.

    A key file is never overwritten by another key's, and not read while others may read it.  Opened keys stay open
    for the life of the store, so a passphrase is asked for once.

    Args:
        folder: made 0700 with the first key.
        passphrases: where passphrases come from.
        on_use: called once for each key of a file that is made or opened to sign.
        remote: reaches the keys that are elsewhere; unless given, with no settings.
    """

    def __init__(
        self,
        folder: Path,
        passphrases: PassphraseSource,
        *,
        on_use: Callable[[KeyInfo], None] | None = None,
        remote: RemoteKeys | None = None,
    ) -> None:
        self._folder = folder
        self._on_use = on_use or (lambda _: None)
        self._passphrases = passphrases
        self._remote = remote or RemoteKeys({}, passphrases)
        self._open: dict[str, Signer] = {}

    def __repr__(self) -> str:
        return f"FileKeyStore({str(self._folder)!r})"

    @property
    def place(self) -> str:
        """The folder, for errors that say where a key was looked for."""
        return str(self._folder)

    def path(self, key_id: str) -> Path:
        """Where the file of this key is, or would be."""
        elsewhere = self._folder / f"{key_id}{ELSEWHERE}"
        return elsewhere if elsewhere.exists() else self._folder / f"{key_id}{HERE}"

    def list(self) -> list[KeyInfo]:
        """All keys, ordered by role, GUN or name, and id; needs no passphrase.

        Raises:
            KeyFileInvalid: a ``*.pem`` or ``*.uri`` in the folder isn't a key's file under its own id (TRUST 2.1).
        """
        found = []
        for path in files(self._folder):
            with contextlib.suppress(KeyMissing):  # removed by another process since
                found.append(load(path).info)
        return sorted(found, key=rank)

    def find(self, key_ids: frozenset[str]) -> Sequence[KeyInfo]:
        """Those of these keys that are here; other keys' files aren't looked at."""
        here = [path for path in files(self._folder) if path.stem in key_ids]
        return sorted((load(path).info for path in here), key=rank)

    def resolve(self, short_id: str) -> KeyInfo:
        """The one key whose id starts like this.

        Args:
            short_id: at least 8 hex digits.

        Raises:
            UsageError: too short, not hex, or the start of several ids; KeyMissing.
        """
        if not _SHORT_ID.match(short_id):
            raise UsageError(f"{short_id[:70]!r} is no key id.", hint="Give at least its first 8 hex digits.")
        matching = [path for path in files(self._folder) if path.stem.startswith(short_id)]
        if not matching:
            raise KeyMissing(
                f"There is no key {short_id[:16]} in {self.place}.",
                hint="See trustkit key list.",
                key_id=short_id,
                place=self.place,
            )
        if matching[0].stem != matching[-1].stem:
            raise UsageError(f"{len(matching)} keys start with {short_id}.", hint="Give more of the id.")
        return load(matching[-1]).info  # the last: of a key that is here twice, the file that is then refused

    def generate(
        self,
        role: KeyRole,
        *,
        gun: Gun | None = None,
        name: SignerName | None = None,
        algorithm: Algorithm = Algorithm.ED25519,
        rsa_bits: int = keypairs.DEFAULT_RSA_BITS,
    ) -> KeyInfo:
        """Makes a new key, asking for its new passphrase first; it is on disk when this returns.

        Raises:
            KeyProblem: no passphrase to be had, a weak one, an RSA size that isn't allowed.
            InvalidSetting: a role without the GUN or name that belongs to it.
        """
        check_purpose(role, gun, name)
        passphrase = self._passphrases.new(KeySubject(role, gun, name))
        made = keypairs.generate(algorithm, rsa_bits=rsa_bits)
        info = self.add(KeyFile.seal(made, passphrase.value, role=role, gun=gun, name=name))
        self._open[info.id] = signer(made, info)
        self._on_use(info)
        return info

    def unlock(self, info: KeyInfo) -> Signer:
        """The signer for a key that is here, asking for its passphrase where it isn't open yet.

        Raises:
            KeyMissing, WrongPassphrase, NoPassphrase, KeyFileInvalid; as ``RemoteKeys.open`` for a key elsewhere.
        """
        if info.id not in self._open:
            file = load(self.path(info.id))
            if isinstance(file, PlaceFile):
                return self._open.setdefault(info.id, self._remote.open(file))
            opened, _ = self._opened(file)
            self._open[info.id] = signer(opened, file.info)
            self._on_use(file.info)
        return self._open[info.id]

    def proved_passphrase(self, info: KeyInfo) -> bytes:
        """The key's passphrase, or its token's PIN, after it has opened it; raises as ``unlock``."""
        file = load(self.path(info.id))
        if isinstance(file, PlaceFile):
            return self._remote.pin(file)
        _, passphrase = self._opened(file)
        return passphrase.value

    def export(self, info: KeyInfo, new: PassphraseSource | None = None) -> bytes:
        """The key as a key file of its own, encrypted PKCS#8 that ``openssl pkey`` opens; proves that it opens.

        Args:
            new: where the passphrase of the copy comes from; the key's own unless given.
        """
        opened, passphrase = self._opened(self.check_here(info))
        if new is not None:
            passphrase = new.new(KeySubject.of(info, self.place))
        return KeyFile.seal(opened, passphrase.value, role=info.role, gun=info.gun, name=info.name).render()

    def import_key(
        self,
        data: bytes,
        *,
        role: KeyRole | None,
        gun: Gun | None = None,
        name: SignerName | None = None,
        origin: str = "the file",
        new: PassphraseSource | None = None,
    ) -> KeyInfo:
        """Takes in a private key: a key file of trustkit, or PKCS#8, SEC1 or PKCS#1 in PEM, encrypted or not.

        Args:
            data: what the file holds.
            role: what the key is for, with ``gun`` or ``name``; None takes it from a key file of trustkit.
            origin: the file's name, for prompts and errors.
            new: where the passphrase here comes from; unless given, an encrypted key keeps its own.

        Raises:
            KeyProblem: it can't be read or opened, isn't allowed, or is here already; UsageError.
            WrongKeyRole: a key file of trustkit says that the key is for another role.
        """
        role, gun, name = purpose_of(data, role, gun, name, origin)
        subject = KeySubject(role, gun, name, file=origin)
        opened, passphrase = opened_foreign(data, subject, self._passphrases)
        if new is not None or passphrase is None:
            passphrase = (new or self._passphrases).new(KeySubject(role, gun, name))
        check_strength(passphrase, subject)
        return self.add(KeyFile.seal(opened, passphrase.value, role=role, gun=gun, name=name))

    def change_passphrase(self, info: KeyInfo, new: PassphraseSource) -> None:
        """Encrypts the key anew under a new passphrase, in one step: the file has the old one or the new one."""
        opened, _ = self._opened(self.check_here(info))
        passphrase = new.new(KeySubject.of(info, self.place))
        sealed = KeyFile.seal(opened, passphrase.value, role=info.role, gun=info.gun, name=info.name)
        private.replace(self.path(info.id), sealed.render())

    def remove(self, info: KeyInfo) -> None:
        """Removes the key's file; raises KeyMissing, StateError."""
        private.remove(self.path(info.id))
        self._open.pop(info.id, None)

    def register(self, uri: KeyUri, role: KeyRole, *, gun: Gun | None, name: SignerName | None) -> KeyInfo:
        """Takes in a key that is elsewhere, after it has signed; raises as ``RemoteKeys.take_in``, and KeyExists."""
        return self.add(self._remote.take_in(uri, role, gun, name))

    def generate_at(
        self, uri: Pkcs11Uri, role: KeyRole, *, gun: Gun | None, name: SignerName | None, algorithm: Algorithm
    ) -> KeyInfo:
        """Makes a key on a token and registers it; raises as ``RemoteKeys.generate``, and StateError."""
        private.ensure_folder(self._folder)
        made = self._remote.generate(uri, algorithm, role, gun, name)
        try:
            return self.add(made)
        except TrustkitError:
            self._remote.discard(made.uri)
            raise

    def add(self, made: KeyFile | PlaceFile, opened: PrivateKeyTypes | None = None) -> KeyInfo:
        """Puts a key's file in place, never over another, and keeps ``opened``; raises KeyExists, StateError."""
        private.ensure_folder(self._folder)
        path = self._folder / f"{made.info.id}{HERE if isinstance(made, KeyFile) else ELSEWHERE}"
        try:
            if (there := self.path(made.info.id)).exists():
                raise KeyExists(f"{there} exists already, and is never overwritten.")
            private.write_new(path, made.render())
        except KeyExists as error:
            raise KeyExists(
                f"The key {made.info.id[:16]} is here already.", hint=error.hint, key_id=made.info.id
            ) from error
        if opened is not None:
            self._open[made.info.id] = signer(opened, made.info)
        return made.info

    def check_here(self, info: KeyInfo) -> KeyFile:
        """The key's file; raises UsageError for one that is elsewhere and stays there, and KeyMissing."""
        file = load(self.path(info.id))
        if isinstance(file, PlaceFile):
            raise UsageError(
                f"The private half of {KeySubject.of(info)} is at {file.uri}, and stays there.",
                hint="There is nothing of it here to write or encrypt but its public half: key export --public.",
            )
        return file

    def opened(self, info: KeyInfo) -> PrivateKeyTypes:
        """The private key itself, to be written elsewhere; raises as ``unlock``, and UsageError for one elsewhere."""
        return self._opened(self.check_here(info))[0]

    def _opened(self, file: KeyFile) -> tuple[PrivateKeyTypes, Passphrase]:
        return self._passphrases.open(KeySubject.of(file.info, self.place), file.open)


def signer(private_key: PrivateKeyTypes, info: KeyInfo) -> Signer:
    """What signs with a key that is open."""
    public = info.public
    return CryptoSigner(private_key, SSlibKey(public.keyid, public.keytype, public.scheme, public.keyval))


def rank(info: KeyInfo) -> tuple[int, str, str]:
    """The order of a store's list."""
    return (_ORDER.index(info.role), str(info.gun or info.name or ""), info.id)
