"""What was verified before, for as long as a policy says, while the service can't be reached (TRUST 6.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from trustkit.core.clocks import words_of
from trustkit.core.evaluate import evaluate
from trustkit.core.names import Gun, Tag
from trustkit.core.offline import evaluate_aged
from trustkit.core.ports.remote import CollectionFiles, KeptMetadata, MetadataSource, Pin
from trustkit.errors import CouldNotCheck, NotTrusted, ServerFailed, TimedOut, Unreachable


class StaleSource:
    """A MetadataSource that answers with what was verified last, where nobody answers and a policy allows it.

    Nobody answers: no connection, no answer in time, or a 5xx.  A refusal (401, 403), a 404 and an answer that can't
    be read are answers.  No expiry is waived, and the age counts from when the service signed the timestamp.

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
        files, allowed = self._kept.kept(gun, pin), self._allowed(gun)
        if files is None:
            raise error
        try:
            evaluate(files, gun, now, tags=tags)
            issued = evaluate_aged(files, gun, now, max_age=allowed, tags=tags).issued
        except NotTrusted as stale:
            error.hint = f"What was verified before doesn't count any more: {stale.message}"
            raise error from stale
        age = words_of(now - issued) if issued is not None and now > issued else "0 seconds"
        self._warn(f"WARNING: {error.message} The policy lets count what was signed {age} ago and verified here.")
        return CollectionFiles(files)


def _nobody_answered(error: CouldNotCheck) -> bool:
    if not isinstance(error, ServerFailed):
        return True
    status = error.context.get("status")
    return isinstance(status, int) and status >= 500
