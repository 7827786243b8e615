"""One encrypted key file: what it says, and how it opens.

A key file is ASCII text: a line that names the form, the key's id, role, GUN or name and algorithm, a checksum,
then the private key as PEM ``ENCRYPTED PRIVATE KEY`` and its public half as PEM ``PUBLIC KEY``.  Text before the
first BEGIN is explanatory by RFC 7468, section 2, so ``openssl pkey`` opens the file as it is.  There is one
spelling of each key file; anything else is refused.  The checksum keeps nobody out: it tells damage from a wrong
passphrase, which AES-CBC can't.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import textwrap
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.core.publickeys import algorithm
from trustkit.errors import InvalidSetting, KeyFileInvalid, TrustkitError, UsageError, WrongPassphrase
from trustkit.keys import dockerpem, keypairs, pbes2

TITLE = "trustkit key file, version "
MAX_BYTES = 65536
_FORM = re.compile(
    TITLE + r"1\n"
    r"id: (?P<id>[0-9a-f]{64})\n"
    r"role: (?P<role>[a-z]+)\n"
    r"(?:gun: (?P<gun>\S+)\n)?"
    r"(?:name: (?P<name>\S+)\n)?"
    r"algorithm: (?P<algorithm>\S+)\n"
    r"checksum: sha256:[0-9a-f]{64}\n"
    r"-----BEGIN ENCRYPTED PRIVATE KEY-----\n(?P<sealed>[A-Za-z0-9+/=\n]+)-----END ENCRYPTED PRIVATE KEY-----\n"
    r"(?P<public>-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n)\Z"
)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file in memory; the private key in it is still encrypted.

    Attributes:
        info: the public half, its id computed from it, and what the key is for.
        sealed: the DER of the EncryptedPrivateKeyInfo.
    """

    info: KeyInfo
    sealed: bytes = field(repr=False)

    @classmethod
    def seal(
        cls,
        private: PrivateKeyTypes,
        passphrase: bytes,
        *,
        role: KeyRole,
        gun: Gun | None = None,
        name: SignerName | None = None,
    ) -> Self:
        """Encrypts a private key under a passphrase.

        Raises:
            KeyUnsupported: a type or size that is not allowed (TRUST 2.2).
            InvalidSetting: a role without the GUN or name that belongs to it.
        """
        check_purpose(role, gun, name)
        public = keypairs.public_half(private.public_key())
        sealed = pbes2.encrypt(keypairs.private_der(private), passphrase)
        return cls(KeyInfo(public.keyid, role, public, gun, name), sealed)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads a key file without opening it.

        Raises:
            KeyFileInvalid: it isn't one, is damaged, or is filed under an id that isn't its key's hash (TRUST 2.1).
        """
        match = _FORM.match(_text(data))
        if not match:
            raise KeyFileInvalid("It is damaged, or no key file of trustkit.", hint="Restore it from a backup.")
        try:
            made = cls._from_fields(match)
        except KeyFileInvalid:
            raise
        except TrustkitError as error:
            raise KeyFileInvalid(error.message, hint=error.hint) from error
        if made.render() != data:
            raise KeyFileInvalid("It is damaged: its checksum or form is wrong.", hint="Restore it from a backup.")
        return made

    @classmethod
    def _from_fields(cls, match: re.Match[str]) -> Self:
        public = keypairs.read_public_pem(match["public"])
        if match["id"] != public.keyid:
            raise KeyFileInvalid(
                f"It is filed as {match['id'][:16]}, and its key's own id is {public.keyid[:16]}.",
                hint="Don't use it: restore it from a backup.",
            )
        if match["role"] not in set(KeyRole):
            raise KeyFileInvalid(f"It is for a role that doesn't exist, {match['role'][:40]!r}.")
        role = KeyRole(match["role"])
        gun = Gun.parse(match["gun"]) if match["gun"] else None
        name = SignerName.parse(match["name"]) if match["name"] else None
        check_purpose(role, gun, name)
        sealed = _decoded(match["sealed"])
        if not pbes2.is_ours(sealed):
            raise KeyFileInvalid("Its encryption isn't what trustkit writes.", hint="Use trustkit key import.")
        return cls(KeyInfo(public.keyid, role, public, gun, name), sealed)

    def render(self) -> bytes:
        """The file's bytes; ``parse`` of them gives this again."""
        info = self.info
        head = [f"{TITLE}1", f"id: {info.id}", f"role: {info.role}"]
        head += [f"gun: {info.gun}"] if info.gun else []
        head += [f"name: {info.name}"] if info.name else []
        head += [f"algorithm: {algorithm(info.public)}"]
        top = "\n".join(head) + "\n"
        body = _pem(self.sealed) + keypairs.public_pem(info.public)
        checksum = hashlib.sha256((top + body).encode("ascii")).hexdigest()
        return f"{top}checksum: sha256:{checksum}\n{body}".encode("ascii")

    def open(self, passphrase: bytes) -> PrivateKeyTypes:
        """Decrypts the private key and holds it against the public half.

        Raises:
            WrongPassphrase, KeyFileInvalid: what opens is another key's.
        """
        if not passphrase:
            raise WrongPassphrase("An empty passphrase opens no key.")
        private = keypairs.open_der(self.sealed, passphrase)
        if not isinstance(private, keypairs.SIGNING_KEYS):
            raise KeyFileInvalid("What it holds is no signing key.", hint="Don't use it: restore it from a backup.")
        if keypairs.public_half(private.public_key()).keyid != self.info.id:
            raise KeyFileInvalid(
                "The private key in it belongs to another public key.", hint="Don't use it: restore it from a backup."
            )
        return private


def check_purpose(role: KeyRole, gun: Gun | None, name: SignerName | None) -> None:
    """Holds what a key is for together: a repository or snapshot key has a GUN, a signer's a name, a root key none.

    Raises:
        InvalidSetting: anything else; a signer's key may name the GUN that it is meant for.
    """
    if role is KeyRole.ROOT and (gun or name):
        raise InvalidSetting("A root key has no GUN and no name: a publisher's collections share it.")
    if role in (KeyRole.REPOSITORY, KeyRole.SNAPSHOT) and (gun is None or name):
        raise InvalidSetting(f"A {role} key needs the GUN of its collection, and has no name.", hint="Give --gun.")
    if role is KeyRole.SIGNER and name is None:
        raise InvalidSetting("A signer's key needs the signer's name.", hint="Give --name.")


def is_key_file(data: bytes) -> bool:
    """Whether the text claims to be a key file of trustkit, of any version."""
    return data.startswith(TITLE.encode("ascii"))


def stated_purpose(data: bytes, origin: str) -> tuple[KeyRole, Gun | None, SignerName | None]:
    """What a file says that its key is for.

    Args:
        origin: the file's name, for errors.

    Raises:
        UsageError: it doesn't say; KeyFileInvalid, InvalidName.
    """
    if dockerpem.is_notarys(data):
        from trustkit.keys.dockerkeys import DockerKeyFile, Purpose  # X.509 takes 20 ms to load

        said = DockerKeyFile.parse(data)
        purpose = Purpose.read(said.role, said.gun)
        return purpose.role, purpose.gun, purpose.name
    if not is_key_file(data):
        raise UsageError(f"{origin} doesn't say what the key in it is for.", hint="Give --role.")
    try:
        info = KeyFile.parse(data).info
    except KeyFileInvalid as error:
        raise KeyFileInvalid(f"{origin} can't be imported. {error.message}", hint=error.hint) from error
    return info.role, info.gun, info.name


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise KeyFileInvalid(f"It is longer than the {MAX_BYTES} bytes that a key file can have.")
    if is_key_file(data) and not data.startswith(f"{TITLE}1\n".encode("ascii")):
        raise KeyFileInvalid("It is of a version that this trustkit can't read.", hint="Use a newer trustkit.")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise KeyFileInvalid("It is no text: damaged, or no key file.", hint="Restore it from a backup.") from error


def _pem(sealed: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(sealed).decode("ascii"), 64)
    return "\n".join(("-----BEGIN ENCRYPTED PRIVATE KEY-----", *lines, "-----END ENCRYPTED PRIVATE KEY-----", ""))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("\n", ""), validate=True)
    except binascii.Error as error:
        raise KeyFileInvalid("Its private key is no base64.", hint="Restore it from a backup.") from error
