"""What is wrong with a machine's set-up: checks that don't stop at the first trouble, each with its next step."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from trustkit.client.status import Grade, Standing
from trustkit.core.names import Gun
from trustkit.core.ports.remote import Pin, TrustService
from trustkit.errors import CouldNotCheck, NoPin, TrustkitError


class Level(enum.Enum):
    """As it should be; worth knowing; something will fail."""

    FINE = "fine"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        about: what was looked at: ``home``, ``service HOST``, ``GUN``.
        words: what is so, in a sentence.
        step: what to do next; empty where there is nothing to do.
        error: what a command would end with.
    """

    about: str
    level: Level
    words: str
    step: str = ""
    error: TrustkitError | None = None


_MEND = "Mend it, or move it away; nothing that depends on it works until then."

_LOOK = "See that the name is right, that the service runs, and that this machine reaches it."

Check = Callable[[], Iterable[Finding]]


def examine(checks: Sequence[tuple[str, Check]]) -> Iterator[Finding]:
    """Runs every check; an error that one ends with is its finding, and the next one runs.

    Args:
        checks: each with what it is about.
    """
    for about, check in checks:
        try:
            yield from check()
        except TrustkitError as error:
            yield bad(about, error)


def fine(about: str, words: str) -> Finding:
    """It is as it should be."""
    return Finding(about, Level.FINE, words)


def bad(about: str, error: TrustkitError) -> Finding:
    """A command would end with this."""
    step = _LOOK if isinstance(error, CouldNotCheck) else _MEND
    return Finding(about, Level.BAD, error.message, error.hint or step, error)


class Collections:
    """The checks of collections.

    Args:
        pin: the pin for a GUN; raises where a policy denies it.
        status: the status use case.
        service: says whether we may publish.
    """

    def __init__(
        self, pin: Callable[[Gun], Pin | None], status: Callable[[Gun], Standing], service: TrustService
    ) -> None:
        self._pin = pin
        self._status = status
        self._service = service

    def check(self, gun: Gun) -> Iterator[Finding]:
        """Pin, trust, expiry, and for whose keys are here the roles; raises what a command would end with."""
        about, pin = str(gun), self._pin(gun)
        if pin is None:
            raise NoPin(
                f"Nothing says which root keys to accept for {gun}.",
                hint=f"Get its root key ids over another channel, then: trustkit pin add {gun} --root-key ID",
            )
        kind = "a root file" if pin.root is not None else f"{pin.threshold} of {len(pin.key_ids)} root keys"
        kind = "authorities" if pin.authorities is not None else kind
        yield fine(about, f"It is pinned by {kind}.")
        standing = self._status(gun)
        if standing.grade is Grade.EXPIRED:
            due = ", ".join(role.name for role in standing.health.roles if role.expired and role.blocks)
            yield Finding(about, Level.BAD, f"It has expired: {due}.", f"See who can renew it: trustkit status {gun}")
        else:
            yield fine(about, f"What it signs verifies: {_until(standing)}.")
        for warning in standing.warnings:
            words, _, step = warning.partition(": trustkit ")
            yield Finding(about, Level.NOTE, words.rstrip(".") + ".", f"trustkit {step}" if step else "")
        if any(key.here for key in standing.keys):
            self._service.require_publish(gun)
            yield fine(about, "Keys of it are here, and this login may publish to it.")


def _until(standing: Standing) -> str:
    soonest = standing.health.soonest
    if soonest is None or soonest.expires is None:
        return "nothing of it expires"
    return f"{soonest.name} is the first to expire, on {soonest.expires:%Y-%m-%d}"
