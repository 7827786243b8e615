"""What was verified before, for as long as a policy says, while the service can't be reached (TRUST 6.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from trustkit.core.clocks import SLACK, words_of
from trustkit.core.names import Gun, Tag
from trustkit.core.offline import evaluate_aged
from trustkit.core.ports.remote import CollectionFiles, KeptMetadata, MetadataSource, Pin
from trustkit.core.rules import Formats
from trustkit.errors import ClockBehind, CouldNotCheck, NotTrusted, ServerFailed, TimedOut, TooOld, Unreachable


class StaleSource:
    """A MetadataSource that answers with what was verified last, where nobody answers and a policy allows it.

    Nobody answers: no connection, no answer in time, or a 5xx.  A refusal (401, 403), a 404 and an answer that can't
    be read are answers.  No expiry is waived, and the age counts from when the service signed the timestamp; in
    format ``docker``, whose timestamps don't say that, from when they were verified here last.

    Args:
        kept: what was verified here.
        allowed: how old it may be for a GUN; zero for not at all.
        warn: says one line to stderr.
    """

    def __init__(
        self,
        source: MetadataSource,
        kept: KeptMetadata,
        *,
        allowed: Callable[[Gun], timedelta],
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._kept = kept
        self._allowed = allowed
        self._warn = warn

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """As ``MetadataSource.first_root``."""
        return self._source.first_root(gun, wire=wire)

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        self._source.carry(gun, pin, files)

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``."""
        try:
            return self._source.refresh(gun, pin, now, tags=tags)
        except (Unreachable, TimedOut, ServerFailed) as error:
            if not self._allowed(gun) or not _nobody_answered(error):
                raise
            return self._as_kept(gun, pin, now, tags, error)

    def _as_kept(
        self, gun: Gun, pin: Pin, now: datetime, tags: Collection[Tag] | None, error: CouldNotCheck
    ) -> CollectionFiles:
        files = self._kept.kept(gun, pin)
        if files is None:
            raise error
        try:
            issued = self._judged(files, gun, pin, now, tags)
        except NotTrusted as stale:
            error.hint = f"What was verified before doesn't count any more: {stale.message}"
            raise error from stale
        age = words_of(now - issued) if issued is not None and now > issued else "0 seconds"
        since = "was signed {} ago and verified here" if pin.format == "tuf" else "was verified here {} ago"
        self._warn(f"WARNING: {error.message} The policy lets count what {since.format(age)}.")
        return CollectionFiles(files)

    def _judged(
        self, files: Mapping[str, bytes], gun: Gun, pin: Pin, now: datetime, tags: Collection[Tag] | None
    ) -> datetime | None:
        """From when the age counts; raises NotTrusted leaves where it is too much, or something has expired."""
        Formats()(pin.format).evaluate(files, gun, now, tags=tags)
        if pin.format == "tuf":
            return evaluate_aged(files, gun, now, max_age=self._allowed(gun), tags=tags).issued
        since = self._kept.verified_at(gun, pin)
        if since is None or since - now > SLACK:
            raise ClockBehind(f"{gun}: it was verified here at a time that this machine's clock has not reached.")
        if now - since > self._allowed(gun):
            age, allowed = words_of(now - since), words_of(self._allowed(gun))
            raise TooOld(f"{gun}: it was verified here {age} ago; {allowed} are allowed.")
        return since


def _nobody_answered(error: CouldNotCheck) -> bool:
    if not isinstance(error, ServerFailed):
        return True
    status = error.context.get("status")
    return isinstance(status, int) and status >= 500
