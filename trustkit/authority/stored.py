"""What is stored of a collection, as the judge wants it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from securesystemslib.signer import Key

from trustkit.core.bins import prefix_of
from trustkit.core.delegations import RELEASES, TARGETS
from trustkit.core.judge import Accepted, State
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.proposals import Standing
from trustkit.core.ports.service import CollectionRecord, StoredFile
from trustkit.core.roots import ONLINE
from trustkit.errors import Conflict


class Judge(Protocol):
    """``core.judge.judge``, or ``judge_start``."""

    def __call__(
        self, state: State, upload: Mapping[str, bytes], *, now: datetime, lifetimes: Lifetimes
    ) -> Accepted: ...


def state_of(
    gun: Gun,
    record: CollectionRecord | None,
    current: Mapping[str, StoredFile],
    standing: Standing,
    *,
    online: Mapping[str, Key],
    pending: Mapping[str, Key],
    whole: bool = True,
) -> State:
    """What the judge holds an upload against; of a closed collection only its last versions count (TRUST 3.5).

    Args:
        online: the service's keys by role.
        pending: those that wait for a root to name them.
        whole: whether ``current`` has all hash bins; see ``looks_at``.
    """
    consumed, dropped = standing.consumed, standing.dropped
    if record is not None and record.closed is not None:
        last = {role: file.version for role, file in current.items()}
        return State(gun, {}, online, consumed=consumed, dropped=dropped, last=last)
    files = {role: file.data for role, file in current.items() if role not in ONLINE}
    return State(
        gun,
        files,
        online,
        pending=pending,
        consumed=consumed,
        dropped=dropped,
        ceilings=standing.ceilings if files else {},
        whole=whole,
        snapshot=current["snapshot"].data if "snapshot" in current else None,
    )


def looks_at(upload: Iterable[str]) -> frozenset[str] | None:
    """The hash bins that judging an upload takes: its own, where it leaves alone who signs bins; None for all."""
    roles = frozenset(upload)
    if roles & {"root", TARGETS, RELEASES}:
        return None
    return frozenset(role for role in roles if prefix_of(role))


def judged(
    judge: Judge,
    state: State,
    upload: Mapping[str, bytes],
    current: Mapping[str, StoredFile],
    *,
    now: datetime,
    lifetimes: Lifetimes,
) -> Accepted:
    """What a judge says; a Conflict tells the versions that are current, or used up."""
    try:
        return judge(state, upload, now=now, lifetimes=lifetimes)
    except Conflict as error:
        used = error.context.get("versions")
        stored = {role: file.version for role, file in current.items()}
        error.context["versions"] = {**stored, **used} if isinstance(used, dict) else stored
        raise
