"""The file of a wrapped key-encryption key: what it says, and how it is held against what it opens to.

Strict JSON in one spelling.  Nothing in it is secret, and nothing in it is believed until the device has opened it:
``mac`` is HMAC-SHA256 over the file without it, under a key that is derived from what was wrapped.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trustkit.authority.sealing import KEK_BYTES
from trustkit.core import strictjson
from trustkit.core.ports.wrapping import KeyWrapper
from trustkit.errors import StateError, TrustkitError

TITLE = "trustkit wrapped key-encryption key, version 1"
MAX_BYTES = 16384
_MEMBERS = ("form", "id", "uri", "how", "wrapped", "mac")
_FORMS = {
    "id": re.compile(r"[0-9a-f]{32}"),
    "uri": re.compile(r"[!-~]{1,2048}"),
    "how": re.compile(r"[a-z0-9-]{1,64}"),
    "mac": re.compile(r"[0-9a-f]{64}"),
}
"""What is shown from a file that nobody vouches for; a terminal's control characters are no part of it."""


@dataclass(frozen=True, slots=True)
class WrappedKek:
    """Such a file, in memory.

    Attributes:
        id: of the key-encryption key, see ``kek_id``.
        uri: what wrapped it.
        how: the wrapper's word for the way.
    """

    id: str
    uri: str
    how: str
    wrapped: bytes
    mac: str = ""

    @classmethod
    def make(cls, kek: bytes, wrapper: KeyWrapper) -> Self:
        """Wraps a key-encryption key; raises as ``KeyWrapper``."""
        key_id = kek_id(kek)
        how, wrapped = wrapper.wrap(kek, _context(key_id))
        unsigned = cls(key_id, wrapper.uri, how, wrapped)
        return cls(key_id, wrapper.uri, how, wrapped, unsigned._mac(kek))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads such a file; raises StateError for anything that isn't one in its one spelling."""
        try:
            said = strictjson.parse(data, max_bytes=MAX_BYTES, what="It")
            made = cls._from_members(said)
        except (TrustkitError, ValueError) as error:
            reason = error.message if isinstance(error, TrustkitError) else "It is damaged."
            raise StateError(f"The wrapped key-encryption key can't be read. {reason}", hint=_RESTORE) from error
        if made.render() != data:
            raise StateError("The wrapped key-encryption key isn't spelt as trustkit spells it.", hint=_RESTORE)
        return made

    @classmethod
    def _from_members(cls, said: dict[str, Any]) -> Self:
        if tuple(said) != _MEMBERS or not all(isinstance(value, str) for value in said.values()):
            raise ValueError("members")
        if said["form"] != TITLE:
            raise StateError("It is of a version that this trustkit can't read.")
        if not all(form.fullmatch(said[name]) for name, form in _FORMS.items()):
            raise ValueError("forms")
        wrapped = base64.b64decode(said["wrapped"], validate=True)
        if not wrapped:
            raise ValueError("nothing wrapped")
        return cls(said["id"], said["uri"], said["how"], wrapped, said["mac"])

    def render(self) -> bytes:
        """The file's bytes; ``parse`` of them gives this again."""
        return json.dumps({**self._members(), "mac": self.mac}, indent=2).encode("ascii") + b"\n"

    def open(self, wrapper: KeyWrapper) -> bytes:
        """The key-encryption key, unwrapped by what wrapped it.

        Raises:
            StateError: another URI than the one recorded; it doesn't open; or something in the file was changed.
            others: as ``KeyWrapper``.
        """
        if not wrapper.same_place(self.uri):
            raise StateError(
                f"The key-encryption key was wrapped by {self.uri}, not by {wrapper.uri}.",
                hint="Give that one with --kek-uri. To change it: trustkit admin kek unwrap, then wrap.",
                uri=self.uri,
            )
        kek = wrapper.unwrap(self.how, self.wrapped, _context(self.id))
        if len(kek) != KEK_BYTES or kek_id(kek) != self.id or not hmac.compare_digest(self._mac(kek), self.mac):
            raise StateError("The file of the wrapped key-encryption key was changed.", hint=_RESTORE, uri=self.uri)
        return kek

    def _members(self) -> dict[str, str]:
        wrapped = base64.b64encode(self.wrapped).decode("ascii")
        return {"form": TITLE, "id": self.id, "uri": self.uri, "how": self.how, "wrapped": wrapped}

    def _mac(self, kek: bytes) -> str:
        return hmac.digest(_derived(kek, "mac"), json.dumps(self._members()).encode("ascii"), "sha256").hex()


_RESTORE = "Put the file back from a backup; what it opens to can't be made again."


def kek_id(kek: bytes) -> str:
    """A name for a key-encryption key, 32 hex digits, which tells nothing about it."""
    return _derived(kek, "id")[:16].hex()


def _derived(kek: bytes, purpose: str) -> bytes:
    """A key of its own for this purpose (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"{TITLE}: {purpose}".encode()).derive(kek)


def _context(key_id: str) -> dict[str, str]:
    return {"trustkit": "key-encryption key", "id": key_id}
