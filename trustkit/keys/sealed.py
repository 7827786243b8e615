"""The envelope of a backup: bytes under a passphrase, as a text file that says how it is made.

scrypt (RFC 7914) makes the key, AES-256-GCM (NIST SP 800-38D) encrypts and authenticates, with the lines of the head
as associated data.  Version 1 has one cost and one cipher: a file that states others is refused before anything is
spent on it.  There is one spelling of each file.  The checksum keeps nobody out: it tells damage from a wrong
passphrase, which authenticated encryption can't.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InternalError, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from trustkit.errors import KeyFileInvalid, WrongPassphrase

TITLE = "trustkit backup, version "
MAX_BYTES = 64 * 1024 * 1024
N, R, P = 2**17, 8, 1
"""128 MiB and about half a second: what OWASP recommends where this much memory can be had."""
SALT_BYTES, NONCE_BYTES, KEY_BYTES, TAG_BYTES = 16, 12, 32, 16
ANOTHER_COPY = "Take another copy of the backup."

_KDF = f"kdf: scrypt, N={N}, r={R}, p={P}"
_CIPHER = "cipher: AES-256-GCM"
_BEGIN, _END = "-----BEGIN TRUSTKIT BACKUP-----\n", "-----END TRUSTKIT BACKUP-----\n"
_FORM = re.compile(
    TITLE + r"1\n"
    r"(?P<kdf>kdf: [ -~]{1,80})\n"
    r"salt: (?P<salt>[0-9a-f]{32})\n"
    r"(?P<cipher>cipher: [ -~]{1,80})\n"
    r"nonce: (?P<nonce>[0-9a-f]{24})\n"
    r"checksum: sha256:[0-9a-f]{64}\n" + _BEGIN + r"(?P<sealed>[A-Za-z0-9+/=\n]+)" + _END + r"\Z"
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted file in memory.

    Attributes:
        salt: 16 bytes, of this file alone.
        nonce: 12 bytes, likewise.
        body: the ciphertext, then the tag of 16 bytes.
    """

    salt: bytes
    nonce: bytes
    body: bytes

    @classmethod
    def seal(cls, plain: bytes, passphrase: bytes) -> Self:
        """Encrypts under a fresh salt and nonce; spends 128 MiB for a moment."""
        salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
        empty = cls(salt, nonce, b"")
        return cls(salt, nonce, AESGCM(_derive(salt, passphrase)).encrypt(nonce, plain, empty.head))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads the file without opening it; costs no more than its length.

        Raises:
            KeyFileInvalid: no backup, damaged, of another version, or with another cost or cipher than version 1 has.
        """
        match = _FORM.match(_text(data))
        if not match:
            raise KeyFileInvalid("It is damaged, or no backup of trustkit.", hint=ANOTHER_COPY)
        if match["kdf"] != _KDF or match["cipher"] != _CIPHER:
            raise KeyFileInvalid(
                "It asks for another key derivation or cipher than version 1 has; none of the cost was paid."
            )
        try:
            body = base64.b64decode(match["sealed"])
        except binascii.Error as error:
            raise KeyFileInvalid("It is damaged: its content is no base64.", hint=ANOTHER_COPY) from error
        made = cls(bytes.fromhex(match["salt"]), bytes.fromhex(match["nonce"]), body)
        if len(body) < TAG_BYTES or made.render() != data:
            raise KeyFileInvalid("It is damaged: its checksum or form is wrong.", hint=ANOTHER_COPY)
        return made

    @property
    def head(self) -> bytes:
        """The lines that are authenticated with the content."""
        lines = (f"{TITLE}1", _KDF, f"salt: {self.salt.hex()}", _CIPHER, f"nonce: {self.nonce.hex()}", "")
        return "\n".join(lines).encode("ascii")

    def render(self) -> bytes:
        """The file's bytes; ``parse`` of them gives this again."""
        armour = _BEGIN.encode("ascii") + base64.encodebytes(self.body) + _END.encode("ascii")
        checksum = hashlib.sha256(self.head + armour).hexdigest()
        return self.head + f"checksum: sha256:{checksum}\n".encode("ascii") + armour

    def open(self, passphrase: bytes) -> bytes:
        """The content, exactly as it was sealed under this passphrase.

        Raises:
            WrongPassphrase: also where the file was changed by somebody who mended its checksum.
            KeyFileInvalid: this machine can't spend the 128 MiB that opening takes.
        """
        try:
            return AESGCM(_derive(self.salt, passphrase)).decrypt(self.nonce, self.body, self.head)
        except InvalidTag as error:
            raise WrongPassphrase("The passphrase doesn't open the backup.") from error
        except (InternalError, MemoryError) as error:
            raise KeyFileInvalid("It can't be opened on this machine: too little memory is free.") from error


def _derive(salt: bytes, passphrase: bytes) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, n=N, r=R, p=P).derive(passphrase)


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise KeyFileInvalid(f"It is longer than the {MAX_BYTES} bytes that a backup can have.")
    if data.startswith(TITLE.encode("ascii")) and not data.startswith(f"{TITLE}1\n".encode("ascii")):
        raise KeyFileInvalid("It is of a version that this trustkit can't read.", hint="Use a newer trustkit.")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise KeyFileInvalid("It is no text: damaged, or no backup.", hint=ANOTHER_COPY) from error
