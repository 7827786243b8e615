"""The service's proposals, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from trustkit.core.formats.tuf1 import MAX_BYTES, read_time
from trustkit.core.names import Gun, Host
from trustkit.core.needs import Lack
from trustkit.core.ports.proposing import Step
from trustkit.core.proposals import Proposal, check_proposal_id
from trustkit.errors import Garbage, InvalidName, Malformed
from trustkit.remote.auth import Session, json_object, scope
from trustkit.remote.messages import Response
from trustkit.remote.refusals import printable, refusal
from trustkit.remote.trust import PUBLISH_SECONDS, is_version, multipart

_MAX_LIST = 4 * 1024 * 1024
_MAX_ONE = 2 * sum(MAX_BYTES.values())
"""Files as JSON strings: every quote of theirs is two characters."""
_ROLE = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}\Z")
_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")


class HttpProposals:
    """The ProposalService of whatever host a GUN names.

    Args:
        sessions: the authenticated session of a host.
    """

    def __init__(self, sessions: Callable[[Host], Session]) -> None:
        self._sessions = sessions

    def proposals(self, gun: Gun) -> list[Proposal]:
        """Every open one, the oldest first."""
        answer = json_object(self._ask(gun, "GET", "", max_body=_MAX_LIST), gun.host)
        listed = answer.get("proposals")
        if not isinstance(listed, list):
            raise Garbage(f"{gun.host} answers without a list of proposals.")
        return [_proposal(each, gun.host) for each in listed]

    def proposal(self, gun: Gun, identifier: str) -> tuple[Proposal, Mapping[str, bytes]]:
        """A proposal and its files by role, nothing of it examined; raises NotFound."""
        answer = json_object(self._ask(gun, "GET", f"/{check_proposal_id(identifier)}", max_body=_MAX_ONE), gun.host)
        files = answer.get("files")
        if not isinstance(files, dict) or not all(
            _ROLE.match(role) and isinstance(text, str) for role, text in files.items()
        ):
            raise Garbage(f"{gun.host} answers with a proposal that has no files.")
        proposal = _proposal(answer.get("proposal"), gun.host)
        return proposal, {role: text.encode("utf-8", "surrogatepass") for role, text in files.items()}

    def propose(self, gun: Gun, files: Mapping[str, bytes]) -> Step:
        """Opens a proposal; raises ProposalOpen, and as ``HttpTrustService.publish``."""
        return self._send(gun, "", files)

    def approve(self, gun: Gun, identifier: str, files: Mapping[str, bytes]) -> Step:
        """Sends signatures; raises NotFound, ProposalStale, and as ``HttpTrustService.publish``."""
        return self._send(gun, f"/{check_proposal_id(identifier)}", files)

    def drop(self, gun: Gun, identifier: str) -> None:
        """Ends a proposal; raises NotFound."""
        self._ask(gun, "DELETE", f"/{check_proposal_id(identifier)}")

    def _send(self, gun: Gun, tail: str, files: Mapping[str, bytes]) -> Step:
        body, kind = multipart(files)
        answer = json_object(self._ask(gun, "POST", tail, headers={"Content-Type": kind}, body=body), gun.host)
        if "proposal" in answer:
            return Step(_proposal(answer["proposal"], gun.host), {})
        versions = answer.get("versions")
        if not isinstance(versions, dict) or not all(is_version(number) for number in versions.values()):
            raise Garbage(f"{gun.host} answers without a proposal and without the versions that are current now.")
        return Step(None, versions)

    def _ask(
        self,
        gun: Gun,
        method: str,
        tail: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_body: int = _MAX_LIST,
    ) -> Response:
        answer = self._sessions(gun.host).request(
            method,
            f"/v2/{gun}/_trust/proposals{tail}",
            scope=scope(gun, "pull", "push", "sign"),
            headers=headers,
            body=body,
            max_body=max_body,
            total=PUBLISH_SECONDS,
        )
        if answer.status != 200:
            raise refusal(answer, gun.host)
        return answer


def _proposal(told: Any, host: Host) -> Proposal:
    try:
        versions = {_role(role): number for role, number in told["roles"].items()}
        if not versions or not all(is_version(number) for number in versions.values()):
            raise ValueError("roles")
        return Proposal(
            check_proposal_id(told["id"]),
            read_time(told["opened"], "The proposal's time"),
            printable(told["by"], 128),
            versions,
            tuple(_lack(lack) for lack in told["lacks"]),
            printable(told.get("reason", "")) or ("stale" if told["stale"] else ""),
        )
    except (KeyError, ValueError, TypeError, AttributeError, InvalidName, Malformed) as error:
        raise Garbage(f"{host} answers with a proposal that can't be read.") from error


def _lack(told: Any) -> Lack:
    count, keys = told["count"], tuple(told["keys"])
    if not is_version(count) or not all(isinstance(key, str) and _KEY_ID.match(key) for key in keys):
        raise ValueError("lacks")
    return Lack(_role(told["role"]), printable(told["delegator"], 40), count, keys)


def _role(name: Any) -> str:
    if not isinstance(name, str) or not _ROLE.match(name):
        raise ValueError("role")
    return name
