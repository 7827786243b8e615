"""The routes of a collection's upkeep: its online keys, new ones, and an Owner's reset."""

from __future__ import annotations

import json

from securesystemslib.signer import Key

from trustkit.authority.publish import Publishing, Requester
from trustkit.authority.reset import Resetting
from trustkit.authority.rotation import Rotation
from trustkit.core.names import Gun
from trustkit.core.roots import ONLINE
from trustkit.core.strictjson import parse
from trustkit.errors import Malformed
from trustkit.gateway.exchange import Exchange
from trustkit.server.headers import JSON, NO_CACHE

MAX_REQUEST = 4096


class UpkeepRoutes:
    """Handlers; the caller has admitted whoever asks as far as the token goes."""

    def __init__(self, publishing: Publishing, rotation: Rotation, resetting: Resetting) -> None:
        self._publishing = publishing
        self._rotation = rotation
        self._resetting = resetting

    async def online_keys(self, exchange: Exchange, gun: Gun, who: Requester) -> None:
        """The keys in use, and what else the next root has to know; a POST stages new keys first."""
        if exchange.method == "POST":
            asked = parse(await exchange.body(MAX_REQUEST), max_bytes=MAX_REQUEST, what="The request")
            await self._rotation.stage(gun, _roles(asked.get("roles")), who)
        keys = await self._publishing.online_keys(gun, who)
        outlook = await self._rotation.outlook(gun)
        body: dict[str, object] = {role: public_key(key) for role, key in keys.items()}
        if outlook.pending:
            body["pending"] = {role: public_key(key) for role, key in outlook.pending.items()}
        if outlook.last:
            body["last"] = dict(outlook.last)
        if outlook.ceilings:
            body["ceilings"] = dict(outlook.ceilings)
        await exchange.reply(200, [JSON, NO_CACHE], json.dumps(body).encode())

    async def reset(self, exchange: Exchange, gun: Gun, who: Requester) -> None:
        """Ends the collection; the body names it once more."""
        asked = parse(await exchange.body(MAX_REQUEST), max_bytes=MAX_REQUEST, what="The request")
        versions = await self._resetting.reset(gun, who, confirmed=str(asked.get("gun", "")))
        await exchange.reply(200, [JSON, NO_CACHE], json.dumps({"versions": dict(versions)}).encode())


def public_key(key: Key) -> dict[str, object]:
    """A public key as answers have it: its object, and its id beside."""
    return {"keyid": key.keyid, **key.to_dict()}


def _roles(asked: object) -> list[str]:
    if not isinstance(asked, list) or not asked or not all(role in ONLINE for role in asked):
        raise Malformed("roles has to list snapshot, timestamp or both.")
    return [role for role in ONLINE if role in asked]
