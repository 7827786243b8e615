"""What every client of a registry asks first, and is answered at once: ``/v2/`` without a token."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from trustkit.asgi.quick import Answer, Nobody
from trustkit.core.names import Host
from trustkit.core.paths import Base
from trustkit.gateway.access import Challenge, log_in_first
from trustkit.gateway.exchange import header_lines
from trustkit.gateway.problems import body_of, headers_of
from trustkit.server.callers import Challenges
from trustkit.server.kinds import KINDS

TARGET = b"/v2/"


def entrance(challenges: Challenges, hosts: Sequence[Host]) -> Nobody:
    """Sends whoever shows nothing to the token endpoint, as ``gateway.access.check`` does.

    Nothing but the name that a client came by decides what is answered: no role, no switch and no collection.

    Args:
        hosts: the service's public names, the first of which counts for a stranger's.
    """
    known = {str(host).encode("latin-1"): _answer(challenges.for_host(str(host))) for host in hosts}
    otherwise = _answer(challenges.for_host(""))

    def find(target: bytes, host: bytes) -> Answer | None:
        return known.get(host, otherwise) if target == TARGET else None

    return find


def _answer(challenge: Challenge) -> Answer:
    refused = log_in_first(challenge)
    body = body_of(refused)
    lines = header_lines([*headers_of(refused), ("content-length", str(len(body)))])
    return Answer(lines, body, KINDS[Base], HTTPStatus(refused.status), refused.slug)
