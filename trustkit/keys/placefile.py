"""The file in the key folder that stands for a key which is not a file: what it is for, and where it is.

``<key id>.uri`` is strict JSON in one spelling, and holds no secret.  The public half in it is what every signature
from that place is held against.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from trustkit.core import strictjson
from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.errors import KeyFileInvalid, TrustkitError
from trustkit.keys import keypairs
from trustkit.keys.keyfile import check_purpose
from trustkit.keys.uris import KeyUri, parse_uri

TITLE = "trustkit key place, version 1"
MAX_BYTES = 16384
_MEMBERS = {"form", "id", "role", "gun", "name", "public", "uri"}


@dataclass(frozen=True, slots=True)
class PlaceFile:
    """A key that is elsewhere, in memory.  ``info.uri`` is ``str(uri)``, its id computed from its public half."""

    info: KeyInfo
    uri: KeyUri

    @classmethod
    def of(cls, info: KeyInfo, uri: KeyUri) -> Self:
        """The file of a key at this place; raises InvalidSetting for a role without its GUN or name."""
        check_purpose(info.role, info.gun, info.name)
        return cls(KeyInfo(info.id, info.role, info.public, info.gun, info.name, uri=str(uri)), uri)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads such a file.

        Raises:
            KeyFileInvalid: it isn't one, has another spelling, or is filed under an id that isn't its key's hash
                (TRUST 2.1).
        """
        try:
            said = strictjson.parse(data, max_bytes=MAX_BYTES, what="It")
            made = cls._from_members(said)
        except KeyFileInvalid:
            raise
        except TrustkitError as error:
            raise KeyFileInvalid(error.message, hint=error.hint) from error
        if made.render() != data:
            raise KeyFileInvalid(
                "It isn't spelt as trustkit spells it.", hint="Remove it, then: trustkit key add URI"
            )
        return made

    @classmethod
    def _from_members(cls, said: dict[str, Any]) -> Self:
        text = all(
            isinstance(value, str) or (name in ("gun", "name") and value is None) for name, value in said.items()
        )
        if set(said) != _MEMBERS or not text or said["form"] != TITLE or said["role"] not in set(KeyRole):
            raise KeyFileInvalid("It is damaged, or of a version that this trustkit can't read.")
        public = keypairs.read_public_pem(said["public"])
        if said["id"] != public.keyid:
            raise KeyFileInvalid(f"It is filed as {said['id'][:16]}, and its key's own id is {public.keyid[:16]}.")
        gun = None if said["gun"] is None else Gun.parse(said["gun"])
        name = None if said["name"] is None else SignerName.parse(said["name"])
        return cls.of(KeyInfo(public.keyid, KeyRole(said["role"]), public, gun, name), parse_uri(said["uri"]))

    def render(self) -> bytes:
        """The file's bytes; ``parse`` of them gives this again."""
        info = self.info
        members = {
            "form": TITLE,
            "id": info.id,
            "role": str(info.role),
            "gun": str(info.gun) if info.gun else None,
            "name": str(info.name) if info.name else None,
            "public": keypairs.public_pem(info.public),
            "uri": str(self.uri),
        }
        return json.dumps(members, indent=2).encode("ascii") + b"\n"
