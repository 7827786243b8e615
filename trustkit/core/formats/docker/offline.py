"""What a collection in format ``docker`` is worth where nobody can be asked: nothing is waived (TRUST 6.3).

No file of this format says when it was signed.  So no age can take the place of an expiry, as it does in format
``tuf``: the timestamp has to be unexpired, too.  An age that a person sets is counted from the earliest moment that
its signature can be of, if a server gives timestamps no longer a life than Notary's does; ours gives half of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from trustkit.core.clocks import SLACK, words_of
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.names import Gun, Tag
from trustkit.core.view import SignedView
from trustkit.errors import ClockBehind, TooOld

LIFE = timedelta(days=14)
"""The longest life of a timestamp: what notary-server gives it unless it is told otherwise."""

NEWER = "Get a newer bundle from a machine that has the network: trustkit bundle create REF... -o FILE"


def evaluate_aged(
    files: Mapping[str, bytes], gun: Gun, now: datetime, *, max_age: timedelta, tags: Collection[Tag] | None = None
) -> SignedView:
    """As ``core.offline.evaluate_aged``; timestamp and snapshot have to be unexpired, too.

    Raises:
        TooOld: the timestamp may have been signed longer ago than ``max_age``.
        ClockBehind: it is good for longer than any may be, or this machine's clock is behind.
        Expired and as ``evaluate``.
    """
    view = evaluate(files, gun, now, tags=tags)
    ends = next(role.expires for role in view.roles if role.name == "timestamp" and role.expires)
    earliest = ends - LIFE
    if earliest - now > SLACK:
        raise ClockBehind(
            f"{gun}: its timestamp is good for {words_of(ends - now)} more, and timestamps in format docker are for "
            f"{LIFE.days} days at most: this machine's clock is behind, or the age of this one can't be told.",
            hint="Set this machine's clock right; if it is right, have the server's operator shorten that time.",
        )
    if now - earliest > max_age:
        raise TooOld(
            f"{gun}: its timestamp ends at {ends:%Y-%m-%d %H:%M} UTC and doesn't say when it was signed: that may be "
            f"{words_of(now - earliest)} ago, and {words_of(max_age)} are allowed.",
            hint=f"In format docker, allow {LIFE.days}d: it ends with the timestamp in any case. Or: {NEWER}",
        )
    return replace(view, expires=min(view.expires, earliest + max_age))
