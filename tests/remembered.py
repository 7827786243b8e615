"""What scrypt makes of a passphrase, computed once for all tests: a quarter of a second for each key file otherwise.

The files are what they always are, and whatever opens them elsewhere does all of the work.  Anything that is not
known, a wrong passphrase above all, goes the whole way here too.  The fork server has it for its
commands, and tests/keys for what it calls itself.

Passwords cost as much at a service.  Where the environment says so (``CHEAP``), commands and services take argon2
at its least: hashes, checks and files are real, and only their price is another one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from trustkit.keys import keypairs, pbes2
from trustkit.keys import sealed as backups

Put = Callable[[object, str, object], None]
CHEAP = "PASSWORDS_COST_NOTHING"
"""In the environment of a command or service from the fork server: what a password costs is not what is tested."""


LEAST = {"time_cost": 1, "memory_cost": 8, "parallelism": 1}
"""argon2's least terms."""


def everything(shelf: Path, put: Put = setattr) -> None:
    """Key files and backups, as they are written and as they are opened.

    Args:
        shelf: a folder of the tests, where it is kept.
        put: as ``setattr``; one that takes it back later, or the process is one that ends.
    """
    _opened(shelf, put)
    _sealed(shelf, put)
    _backed_up(shelf, put)


def cheaply(put: Put = setattr) -> None:
    """Passwords are hashed and checked at argon2's least cost."""
    import argon2

    put(argon2, "PasswordHasher", partial(argon2.PasswordHasher, **LEAST))


def _opened(shelf: Path, put: Put) -> None:
    """What opens key files keeps what it got, and looks there first."""
    real = keypairs.open_der

    def open_der(sealed: bytes, passphrase: bytes) -> PrivateKeyTypes:
        kept = _place(shelf, sealed, passphrase)
        if kept.exists():
            return load_der_private_key(kept.read_bytes(), None)
        private = real(sealed, passphrase)
        _keep(kept, private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        return private

    put(keypairs, "open_der", open_der)


def _sealed(shelf: Path, put: Put) -> None:
    """What writes key files takes one salt for all files under one passphrase; the IV is each file's own.

    What it wrote counts as opened: it comes back as it was.
    """
    real = pbes2.encrypt

    def encrypt(private_key_info: bytes, passphrase: bytes) -> bytes:
        put(pbes2, "os", _drawing(shelf, passphrase, pbes2.SALT_BYTES))
        written = real(private_key_info, passphrase)
        _keep(_place(shelf, written, passphrase), private_key_info)
        return written

    put(pbes2, "encrypt", encrypt)
    put(pbes2, "Scrypt", lambda **terms: _Derived(shelf, terms))


def _backed_up(shelf: Path, put: Put) -> None:
    """What seals backups takes one salt for all of them; what opens them does so without the cost of a known one."""
    put(
        backups,
        "os",
        SimpleNamespace(urandom=lambda size: b"one salt for all" if size == backups.SALT_BYTES else os.urandom(size)),
    )
    put(backups, "Scrypt", lambda **terms: _Derived(shelf, terms))


def _drawing(shelf: Path, passphrase: bytes, size: int) -> SimpleNamespace:
    """In the place of ``os``: the passphrase's own salt first, chance then."""
    drawn = iter([_place(shelf, b"salt", passphrase).name.encode("ascii")[:size]])
    return SimpleNamespace(urandom=lambda size: next(drawn, None) or os.urandom(size))


@dataclass(frozen=True)
class _Derived:
    """In the place of ``Scrypt``: the same key for the same terms."""

    shelf: Path
    terms: dict[str, object]

    def derive(self, passphrase: bytes) -> bytes:
        kept = _place(self.shelf, repr(sorted(self.terms.items())).encode("ascii"), passphrase)
        if not kept.exists():
            _keep(kept, Scrypt(**self.terms).derive(passphrase))
        return kept.read_bytes()


def _place(shelf: Path, what: bytes, passphrase: bytes) -> Path:
    return shelf / hashlib.sha256(hashlib.sha256(what).digest() + passphrase).hexdigest()


def _keep(place: Path, content: bytes) -> None:
    written = place.with_suffix(f".{os.getpid()}")
    written.write_bytes(content)
    written.replace(place)
