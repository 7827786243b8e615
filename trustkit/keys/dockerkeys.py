"""One private key file of Docker's or Notary's: what it says, and how it opens.

Such a file holds no public half.  The id that it goes under, in its name, is that of the bare key, whatever
certificate it stands in; it can be held against the key only once the passphrase has opened it (TRUST 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from trustkit.core.formats.docker.keys import ED25519, DockerKey, from_public
from trustkit.core.names import Gun, SignerName, shown
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.errors import InvalidName, KeyFileInvalid, KeyUnsupported, WrongPassphrase
from trustkit.keys import dockercrypt, dockerpem
from trustkit.keys.dockercrypt import Sealed
from trustkit.keys.dockerpem import Pem
from trustkit.keys.keypairs import SIGNING_KEYS

_ROLES = {"root": KeyRole.ROOT, "targets": KeyRole.REPOSITORY, "snapshot": KeyRole.SNAPSHOT}
_WORDS = {role: word for word, role in _ROLES.items()}
_DELEGATION = "targets/"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a key is for."""

    role: KeyRole
    gun: Gun | None = None
    name: SignerName | None = None

    @classmethod
    def read(cls, role: str, gun: str | None, *, name: SignerName | None = None) -> Self:
        """What Notary's words mean: ``targets`` is the repository key, what is no role of TUF's a signer.

        Args:
            role: the header; empty where neither it nor the file's name says it.
            name: what a signer is called whatever the file says.

        Raises:
            KeyFileInvalid: no role, one of which people hold no key, no collection where it needs one.
            InvalidName: a GUN that is none, a signer who can't be called this.
        """
        if not role or role == "timestamp":
            raise KeyFileInvalid(
                "It doesn't say what its key is for." if not role else "A timestamp key is the service's.",
                hint="For one key with no role: trustkit key import FILE --role ROLE" if not role else "",
            )
        parsed = _gun(gun) if gun else None
        if role in _ROLES:
            if role == "root":
                return cls(KeyRole.ROOT)
            if parsed is None:
                raise KeyFileInvalid(f"It is a {role} key, and doesn't say of which collection.")
            return cls(_ROLES[role], parsed)
        try:
            return cls(KeyRole.SIGNER, parsed, name or SignerName.parse(role.removeprefix(_DELEGATION)))
        except InvalidName as error:
            raise InvalidName(
                f"Its role is {shown(role)}, which can't be the name of a signer.",
                hint="Say how it is called: --name",
            ) from error


@dataclass(frozen=True, slots=True)
class DockerKeyFile:
    """A key file in memory.

    ``role`` and ``gun`` are the headers, as they stand there and checked by nobody; empty where they are missing.
    """

    pem: Pem
    sealed: Sealed | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads a key file without opening it; nothing is derived.

        Raises:
            KeyFileInvalid: as ``dockerpem.parse``, and an encryption that Notary doesn't write.
        """
        pem = dockerpem.parse(data)
        return cls(pem, Sealed.read(pem.body) if pem.label == dockerpem.ENCRYPTED else None)

    @property
    def role(self) -> str:
        return self.pem.headers.get("role", "")

    @property
    def gun(self) -> str:
        return self.pem.headers.get("gun", "")

    @property
    def is_encrypted(self) -> bool:
        """Whether it takes a passphrase."""
        return self.pem.is_encrypted

    def open(self, passphrase: bytes | None, *, stated: str = "") -> PrivateKeyTypes:
        """Decrypts the key.

        Args:
            passphrase: None for a file that isn't encrypted.
            stated: the id that the file goes under, unless it has none.

        Raises:
            WrongPassphrase: also for damage, which nothing tells from it.
            KeyFileInvalid: damaged, or the key's own id is another one.
            KeyUnsupported: a type or size that is not allowed.
        """
        try:
            private = self._opened(passphrase or b"")
        except WrongPassphrase as error:
            if self.is_encrypted:
                raise
            raise KeyFileInvalid("It is damaged, or holds no private key.") from error
        own = docker_key(private).canonical_id
        if stated and own != stated:
            raise KeyFileInvalid(
                f"It is filed as {stated}, and its key's own id is {own}.",
                hint="Don't use it: restore it from a backup.",
            )
        return private

    def _opened(self, passphrase: bytes) -> PrivateKeyTypes:
        if self.sealed is not None:
            return self.sealed.open(passphrase)
        if self.pem.label == "PRIVATE KEY":
            return dockercrypt.inside(self.pem.body)
        label = self.pem.label.removesuffix(" PRIVATE KEY")
        return dockercrypt.open_traditional(label, self.pem.iv, self.pem.body, passphrase)


def docker_key(private: PrivateKeyTypes) -> DockerKey:
    """The public half as format docker has it; raises KeyUnsupported."""
    if not isinstance(private, SIGNING_KEYS):
        raise KeyUnsupported("A key of this type is not allowed.", hint="Use Ed25519, ECDSA or RSA.")
    return from_public(private.public_key())


def render(
    private: PrivateKeyTypes, passphrase: bytes, purpose: Purpose, *, rounds: int = dockercrypt.ROUNDS
) -> bytes:
    """The file that Docker and Notary read: PKCS#8, encrypted, with the headers that they look for.

    Raises:
        KeyUnsupported: a root key that no certificate of theirs may hold.
    """
    _check_usable(docker_key(private).keytype, purpose.role)
    headers = {"role": _WORDS.get(purpose.role) or str(purpose.name)}
    if purpose.role in (KeyRole.REPOSITORY, KeyRole.SNAPSHOT):
        headers["gun"] = str(purpose.gun)
    return dockerpem.render(headers, dockercrypt.seal(private, passphrase, rounds=rounds))


def check_usable(info: KeyInfo) -> None:
    """Raises KeyUnsupported for a key that Docker has no use for."""
    _check_usable(info.public.keytype, info.role)


def _check_usable(keytype: str, role: KeyRole) -> None:
    if role is KeyRole.ROOT and keytype == ED25519:
        raise KeyUnsupported(
            "Docker has no use for a root key that is Ed25519: its root keys are ECDSA or RSA.",
            hint="Make one that it can read: trustkit key generate --role root --algorithm ecdsa-p256",
        )


def purpose_of(info: KeyInfo) -> Purpose:
    """What a key that is here is for."""
    return Purpose(info.role, info.gun, info.name)


def _gun(text: str) -> Gun:
    try:
        return Gun.parse(text)
    except InvalidName as error:
        raise InvalidName(f"The collection that it names is none. {error.message}", hint=error.hint) from error
