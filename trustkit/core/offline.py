"""What a collection's files are worth where nobody can be asked: an explicit age in the place of the online roles'
expiry, and nothing else waived (TRUST 6.3)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from trustkit.core.clocks import SLACK, words_of
from trustkit.core.evaluate import BEFORE_ALL, evaluate, has_expired
from trustkit.core.names import Gun, Tag, shown
from trustkit.core.roots import ONLINE
from trustkit.core.rules import DOCKER, TUF
from trustkit.core.view import SignedView
from trustkit.errors import ClockBehind, Garbage, InvalidSetting, TooOld

_AGE = re.compile(r"([1-9][0-9]{0,4})([mhd])\Z")
_UNITS: Mapping[str, timedelta] = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
MAX_AGE = timedelta(days=3650)


def parse_age(text: str) -> timedelta:
    """Reads an age: ``90m``, ``36h``, ``30d``, at most 3,650 days.

    Raises:
        InvalidSetting: anything else.
    """
    found = _AGE.match(text)
    age = int(found[1]) * _UNITS[found[2]] if found else timedelta(0)
    if not timedelta(0) < age <= MAX_AGE:
        raise InvalidSetting(
            f"{shown(text)} is no age.", hint="Write a number with m, h or d, such as 36h or 30d; at most 3650d."
        )
    return age


def evaluate_aged(
    files: Mapping[str, bytes],
    gun: Gun,
    now: datetime,
    *,
    max_age: timedelta,
    tags: Collection[Tag] | None = None,
    wire: str = TUF,
) -> SignedView:
    """As ``evaluate``, with an age of the timestamp in the place of the expiry of timestamp and snapshot.

    The age counts from the moment that the timestamp itself says it was signed at.  Root, targets and signers have to
    be unexpired at ``now``, as ever.

    Args:
        wire: the collection's format; in ``docker`` nothing is waived.

    Returns:
        A view whose ``expires`` is the end of that age, or the first expiry that counts.

    Raises:
        TooOld: the timestamp was signed longer ago.
        ClockBehind: it was signed later than ``now``, by more than the usual ten minutes.
        Garbage: it doesn't say when; and as ``evaluate``.
    """
    if wire == DOCKER:
        from trustkit.core.formats.docker import offline as docker  # here, as core.rules has it

        return docker.evaluate_aged(files, gun, now, max_age=max_age, tags=tags)
    view = evaluate(files, gun, BEFORE_ALL, tags=tags)
    offline = [role for role in view.roles if role.name not in ONLINE and role.expires is not None]
    for role in offline:
        if role.expires is not None and role.expires <= now:
            raise has_expired(role.name, role.expires, gun)
    if view.issued is None:
        raise Garbage(f"{gun}: its timestamp doesn't say when it was signed, so its age can't be told.")
    if view.issued - now > SLACK:
        raise ClockBehind(
            f"{gun}: its timestamp was signed at {view.issued:%Y-%m-%d %H:%M} UTC, "
            f"{words_of(view.issued - now)} ahead of this machine's clock.",
            hint="Set this machine's clock right; if it is right, don't use what says so.",
        )
    if now - view.issued > max_age:
        raise TooOld(
            f"{gun}: its timestamp was signed at {view.issued:%Y-%m-%d %H:%M} UTC, {words_of(now - view.issued)} "
            f"ago; {words_of(max_age)} are allowed.",
            hint="Get a newer bundle from a machine that has the network: trustkit bundle create REF... -o FILE",
            issued=view.issued.isoformat(),
        )
    ends = [role.expires for role in offline if role.expires is not None]
    return replace(view, expires=min([view.issued + max_age, *ends]))
