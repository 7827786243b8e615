"""The routes of Notary's API (server/server.go): what ``docker`` and ``notary`` ask for, as they can read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import assert_never

from trustkit.authority.former import require_unconverted
from trustkit.authority.notary import Notary
from trustkit.authority.notary_publish import NotaryPublishing
from trustkit.core.access import Action, Operation
from trustkit.core.formats.docker.history import MOST as FORMER_ROOTS
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.names import Gun, Host, Repository
from trustkit.core.notarypaths import NotaryChanges, NotaryCollection, NotaryFile, NotaryKey, NotaryRoute
from trustkit.core.ports.changefeed import Change
from trustkit.core.ports.service import Store
from trustkit.errors import InvalidName, LoginRequired, Malformed, NotFound, RoleMissing, TooLarge, TrustkitError
from trustkit.gateway.caller import Caller
from trustkit.gateway.exchange import Exchange
from trustkit.gateway.problems import API_VERSION
from trustkit.server.admitting import InsufficientScope, admit, requester
from trustkit.server.fileanswers import is_same_for_all, is_told_to_signers, to_send
from trustkit.server.headers import NO_CACHE
from trustkit.server.multipart import MAX_PARTS, NOTARY_PART
from trustkit.server.notary_problems import JSON, MALFORMED_UPLOAD, refuse
from trustkit.server.quickreads import QuickReads
from trustkit.server.uploads import Uploads

MOST_PARTS = MAX_PARTS + FORMER_ROOTS + 2
"""A collection that comes from another server brings its roots, and the last snapshot and timestamp of that."""

_NUMBER = re.compile(r"-?[0-9]{1,9}\Z")
_METHODS: Mapping[type[NotaryRoute], frozenset[str]] = {
    NotaryCollection: frozenset({"POST", "DELETE"}),
    NotaryFile: frozenset({"GET", "HEAD"}),
    NotaryKey: frozenset({"GET", "POST"}),
    NotaryChanges: frozenset({"GET", "HEAD"}),
}

Challenge = Callable[[Repository | None, frozenset[Action], str | None], str]


class NotaryRoutes:
    """Handlers of ``_trust/tuf/`` and of the changefeeds.  Success is 200 and nothing else, as stock clients have it.

    Args:
        challenge: makes a WWW-Authenticate value for the current request.
        hosts: the service's public names; a GUN with another host does not exist here (TRUST 1.1).
        uploads: reads uploads, those of the other API too.
        quick: sends files.
    """

    def __init__(
        self,
        store: Store,
        publishing: NotaryPublishing,
        notary: Notary,
        *,
        uploads: Uploads,
        quick: QuickReads,
        challenge: Challenge,
        hosts: frozenset[Host],
    ) -> None:
        self._store = store
        self._publishing = publishing
        self._notary = notary
        self._uploads = uploads
        self._quick = quick
        self._challenge = challenge
        self._hosts = hosts

    async def handle(self, exchange: Exchange, route: NotaryRoute, caller: Caller) -> None:
        """Answers one request, refusals included."""
        try:
            await self._answer(exchange, route, caller)
        except TrustkitError as error:
            if exchange.replied:
                raise
            await refuse(exchange, error, self._headers(route, error))

    def _headers(self, route: NotaryRoute, error: TrustkitError) -> list[tuple[str, str]]:
        """A 401 has a challenge (RFC 9110, 15.5.2), although it helps nobody who lacks a role."""
        if not isinstance(error, LoginRequired | RoleMissing):
            return []
        actions = error.actions if isinstance(error, InsufficientScope) else frozenset({Action.PULL})
        repository = route.gun.repository if route.gun else None
        return [("www-authenticate", self._challenge(repository, actions, "insufficient_scope")), API_VERSION]

    async def _answer(self, exchange: Exchange, route: NotaryRoute, caller: Caller) -> None:
        if exchange.method not in _METHODS[type(route)]:
            raise NotFound(f"{exchange.method} is not a method of this path.")
        if route.gun is not None and route.gun.host not in self._hosts:
            raise NotFound(f"{route.gun.host} is not a name of this service.")
        match route:
            case NotaryFile():
                await self._file(exchange, route, caller)
            case NotaryKey():
                await self._key(exchange, route, caller)
            case NotaryCollection() if exchange.method == "POST":
                await self._publish(exchange, route.gun, caller)
            case NotaryCollection():
                await self._admit(caller, route.gun, Operation.RESET_COLLECTION)
                await self._notary.delete(route.gun, requester(exchange, caller))
                await exchange.reply(200)
            case NotaryChanges():
                await self._changes(exchange, route, caller)
            case _:
                assert_never(route)

    async def _file(self, exchange: Exchange, route: NotaryFile, caller: Caller) -> None:
        await self._admit(caller, route.gun, Operation.READ_TRUST)
        served = await self._notary.file(route.gun, route.role, route.version, route.digest)
        if is_told_to_signers(route, served) and Action.PUSH in caller.trusted(route.gun):
            await self._refuse_signers(route.gun)
        same = is_same_for_all(route, served)
        await self._quick.reply(exchange, caller, to_send(route, served), keep=same)

    async def _refuse_signers(self, gun: Gun) -> None:
        """Clients that are about to publish read root and timestamp first, with a token for it: they are told so.

        Otherwise they would sign the root of a frozen side anew where it ends within six months, or try to.
        """
        async with self._store.read() as tx:
            await require_unconverted(tx, gun, datetime.now(UTC))

    async def _key(self, exchange: Exchange, route: NotaryKey, caller: Caller) -> None:
        await self._admit(caller, route.gun, Operation.PUBLISH)
        who = requester(exchange, caller)
        made = self._notary.next_key if exchange.method == "POST" else self._notary.key
        await exchange.reply(200, [JSON, NO_CACHE], _key_body(await made(route.gun, route.role, who)))

    async def _publish(self, exchange: Exchange, gun: Gun, caller: Caller) -> None:
        await self._admit(caller, gun, Operation.PUBLISH)
        read = False
        try:
            async with self._uploads.read(exchange, caller, part=NOTARY_PART, most=MOST_PARTS) as upload:
                read = True
                await self._publishing.publish(gun, upload, requester(exchange, caller))
        except (Malformed, TooLarge) as error:
            await refuse(exchange, error, code="" if read else MALFORMED_UPLOAD)
            return
        await exchange.reply(200)

    async def _changes(self, exchange: Exchange, route: NotaryChanges, caller: Caller) -> None:
        if route.gun is not None:
            await self._admit(caller, route.gun, Operation.READ_TRUST)
        elif not caller.catalog:
            raise LoginRequired("The changes of all collections take a role that pulls everything.")
        parameters = exchange.parameters()
        records = _number(parameters, "records")
        if records is None:
            raise InvalidName("The changefeed takes the parameter records, a whole number.")
        changes = await self._notary.changes(route.gun, _number(parameters, "change_id"), records)
        await exchange.reply(200, [JSON, NO_CACHE], _changes_body(changes))

    async def _admit(self, caller: Caller, gun: Gun, operation: Operation) -> None:
        """As in the other API, where a token that names the whole GUN for pushing is for signing, too."""
        await admit(self._store, caller, gun, operation, caller.trusted(gun))


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "")
    if not text:
        return None
    if not _NUMBER.match(text):
        raise InvalidName(f"The parameter {name} is not a whole number.")
    return int(text)


def _key_body(key: DockerKey) -> bytes:
    return json.dumps(key.to_dict()).encode("ascii")


def _changes_body(changes: Sequence[Change]) -> bytes:
    records = [
        {
            "ID": str(change.id),
            "CreatedAt": change.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "GUN": str(change.gun),
            "Version": change.version,
            "SHA256": change.sha256,
            "Category": change.category,
        }
        for change in changes
    ]
    return json.dumps({"count": len(records), "records": records}).encode("ascii")
