"""The routes of a conversion from format ``docker`` to ``tuf``: how far it is, the keys that it takes, and itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from trustkit.authority.convert import Conversions, ConversionState
from trustkit.authority.publish import Requester
from trustkit.core.names import Gun
from trustkit.core.ports.former import FormerRecord
from trustkit.errors import Malformed, UsageError
from trustkit.gateway.exchange import Exchange
from trustkit.server.headers import JSON, NO_CACHE
from trustkit.server.multipart import MAX_BINNED
from trustkit.server.upkeep_routes import public_key

MAX_FILES = MAX_BINNED + 320
"""Of both formats together."""

PART = re.compile(rb'form-data; ?name="files"; ?filename="((?:tuf|docker)/[a-z0-9][a-z0-9_/-]{0,254})\.json"\Z')
_TUF_ROLE = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}\Z")


class ConvertRoutes:
    """Handlers; the caller has admitted whoever asks as far as the token goes, and read what was uploaded."""

    def __init__(self, conversions: Conversions) -> None:
        self._conversions = conversions

    async def state(self, exchange: Exchange, gun: Gun, who: Requester, *, make: bool) -> None:
        """How far a collection is; with ``make`` there are keys that its new root has to name."""
        if make and exchange.method != "POST":
            raise UsageError(f"{exchange.method} is not a method of this path.")
        found = self._conversions.prepare if make else self._conversions.state
        await _reply(exchange, _state(await found(gun, who)))

    async def convert(self, exchange: Exchange, gun: Gun, upload: Mapping[str, bytes], who: Requester) -> None:
        """Converts it."""
        parts: dict[str, dict[str, bytes]] = {"tuf": {}, "docker": {}}
        for name, data in upload.items():
            side, _, role = name.partition("/")
            if side == "tuf" and not _TUF_ROLE.match(role):
                raise Malformed(f"No role in format tuf is named {role[:64]}.")
            parts[side][role] = data
        versions = await self._conversions.convert(gun, parts["tuf"], parts["docker"], who)
        await _reply(exchange, {"versions": dict(versions)})

    async def docker(self, exchange: Exchange, gun: Gun) -> None:
        """What docker reads of a collection that was converted, for whoever may read it."""
        await _reply(exchange, _former(await self._conversions.former(gun)))

    async def end_docker(self, exchange: Exchange, gun: Gun, who: Requester) -> None:
        """Ends that."""
        await _reply(exchange, _former(await self._conversions.end(gun, who)))


def _state(state: ConversionState) -> dict[str, object]:
    body: dict[str, object] = {"format": state.record.format}
    if state.keys:
        body["keys"] = {role: public_key(key) for role, key in state.keys.items()}
    if state.last:
        body["last"] = dict(state.last)
    return body | (_former(state.former) if state.former else {})


def _former(record: FormerRecord | None) -> dict[str, object]:
    if record is None:
        return {"converted": None, "docker": None}
    ended = None if record.ended is None else record.ended.isoformat()
    docker = {"until": record.until.isoformat(), "ended": ended, "reason": record.reason}
    return {"converted": record.converted.isoformat(), "docker": docker}


async def _reply(exchange: Exchange, body: Mapping[str, object]) -> None:
    await exchange.reply(200, [JSON, NO_CACHE], json.dumps(body).encode())
