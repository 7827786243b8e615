"""The routes of proposals: list, open, show, approve and drop (TRUST 3.10)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from trustkit.authority.proposals import Proposing, Step
from trustkit.authority.publish import Requester
from trustkit.core.names import Gun
from trustkit.core.proposals import proposal_to_json
from trustkit.gateway.exchange import Exchange
from trustkit.server.headers import JSON, NO_CACHE


class ProposalRoutes:
    """Handlers; the caller has admitted whoever asks as far as the token goes, and read what was uploaded."""

    def __init__(self, proposing: Proposing) -> None:
        self._proposing = proposing

    async def list(self, exchange: Exchange, gun: Gun, who: Requester) -> None:
        """Every open proposal."""
        found = [proposal_to_json(each) for each in await self._proposing.list(gun, who)]
        await _reply(exchange, {"proposals": found})

    async def show(self, exchange: Exchange, gun: Gun, identifier: str, who: Requester) -> None:
        """One proposal and its files; a file is a text, so that its bytes stay what they are."""
        proposal, files = await self._proposing.get(gun, identifier, who)
        texts = {role: data.decode("utf-8") for role, data in files.items()}
        await _reply(exchange, {"proposal": proposal_to_json(proposal), "files": texts})

    async def open(self, exchange: Exchange, gun: Gun, upload: Mapping[str, bytes], who: Requester) -> None:
        """Opens one."""
        await _reply(exchange, _step(await self._proposing.open(gun, upload, who)))

    async def approve(
        self, exchange: Exchange, gun: Gun, identifier: str, upload: Mapping[str, bytes], who: Requester
    ) -> None:
        """Adds signatures, and publishes with the last one."""
        await _reply(exchange, _step(await self._proposing.approve(gun, identifier, upload, who)))

    async def drop(self, exchange: Exchange, gun: Gun, identifier: str, who: Requester) -> None:
        """Ends one."""
        await self._proposing.drop(gun, identifier, who)
        await _reply(exchange, {})


def _step(step: Step) -> dict[str, object]:
    if step.proposal is not None:
        return {"proposal": proposal_to_json(step.proposal)}
    return {"versions": dict(step.versions or {})}


async def _reply(exchange: Exchange, body: Mapping[str, object]) -> None:
    await exchange.reply(200, [JSON, NO_CACHE], json.dumps(body).encode())
