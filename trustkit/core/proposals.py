"""Proposals: changes that wait for the signatures of others (TRUST 3.10).  What both sides hold one to.

An id is made of what is proposed, so a person who was told one approves exactly that and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata

from trustkit.core.bins import prefix_of
from trustkit.core.formats.tuf1 import payload
from trustkit.core.needs import Lack, Need, signers_of
from trustkit.core.places import Places
from trustkit.core.saidbins import attributing
from trustkit.core.strictjson import serialise
from trustkit.errors import BadSignature, InvalidName, Rejected

_ID = re.compile(r"[0-9a-f]{16}\Z")


def check_proposal_id(text: str) -> str:
    """The id itself; raises InvalidName where it is none."""
    if not _ID.match(text):
        raise InvalidName(f"{ascii(text)[:80]} is no proposal's id: those have 16 hex digits.")
    return text


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the service says of an open proposal.

    Attributes:
        opened, by: when, and by which principal; the service's word, signed by nobody.
        versions: by role the version that it would make.
        lacks: the signatures that are missing.
        stale: why it can't become current any more; empty where it can.
    """

    id: str
    opened: datetime
    by: str
    versions: Mapping[str, int]
    lacks: tuple[Lack, ...]
    stale: str = ""

    @property
    def missing(self) -> int:
        """How many signatures are missing, of all roles together."""
        return sum(lack.count for lack in self.lacks)

    @property
    def role(self) -> str:
        """The role that it is about: the first that lacks signatures and is no hash bin, if there is one."""
        lacking = [lack.role for lack in self.lacks] or list(self.versions)
        return next((role for role in lacking if prefix_of(role) is None), lacking[0])

    @property
    def told(self) -> Sequence[tuple[str, Lack]]:
        """What is missing, and of what in words: of many hash bins it is told once.

        A role may lack signatures twice: a root those of the old root's keys, and of its own.
        """
        bins = [lack for lack in self.lacks if prefix_of(lack.role) is not None]
        if len(bins) < 2:
            return [(lack.role, lack) for lack in self.lacks]
        alike: dict[tuple[object, ...], list[Lack]] = {}
        for lack in bins:
            alike.setdefault((lack.delegator, lack.count, lack.key_ids), []).append(lack)
        each = [(lack.role, lack) for lack in self.lacks if lack not in bins]
        return each + [
            (f"each of {len(lacks)} hash bins from {lacks[0].role} on", lacks[0]) for lacks in alike.values()
        ]


def proposal_id(files: Mapping[str, Metadata[Any]], after: Places | None) -> str:
    """The id of what these files propose.

    Roles that only attribute grant no trust and leave it as it is, so an approver can add what it signed.

    Args:
        after: who may sign which tags in the state that the files make, and where they lie.
    """
    whole = hashlib.sha256()
    for role in sorted(set(files) - attributing(after, files)):
        whole.update(f"{role}\n{hashlib.sha256(payload(files[role].signed)).hexdigest()}\n".encode("ascii"))
    return whole.hexdigest()[:16]


def stripped(file: Metadata[Any], needs: Collection[Need]) -> bytes:
    """The file with those signatures that count, and no other."""
    counting = frozenset().union(*(signers_of(need, file) for need in needs))
    kept = {key_id: signature for key_id, signature in file.signatures.items() if key_id in counting}
    return serialise(Metadata(file.signed, kept).to_dict())


def merged(role: str, there: Metadata[Any], given: Metadata[Any], needs: Collection[Need]) -> Metadata[Any]:
    """A proposal's file with an approver's signatures added.

    Args:
        given: the same file, with the approver's signatures alone.

    Raises:
        Rejected: it is another file.
        BadSignature: no signature, one of a key that may not sign this role, or one that isn't valid.
    """
    if payload(there.signed) != payload(given.signed):
        raise Rejected(f"What was signed as {role} is not what is proposed.", hint="Look at the proposal again.")
    counting = frozenset().union(*(signers_of(need, given) for need in needs))
    if not given.signatures or set(given.signatures) - counting:
        strange = min(set(given.signatures) - counting, default="")
        raise BadSignature(
            f"{role} came with a signature of {strange[:16] or 'nobody'} that doesn't count: the key may not sign "
            "it, or the signature is not valid.",
            role=role,
        )
    return Metadata(there.signed, {**there.signatures, **given.signatures})


def proposal_to_json(proposal: Proposal) -> dict[str, object]:
    """The wire form."""
    return {
        "id": proposal.id,
        "opened": proposal.opened.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": proposal.by,
        "role": proposal.role,
        "roles": dict(proposal.versions),
        "missing": proposal.missing,
        "lacks": [
            {"role": lack.role, "delegator": lack.delegator, "count": lack.count, "keys": list(lack.key_ids)}
            for lack in proposal.lacks
        ],
        "stale": bool(proposal.stale),
        "reason": proposal.stale,
    }
