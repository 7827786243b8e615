"""Verdicts of a server on this machine: seconds old at most, and by policy and pins as their files are now."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trustkit.client.enforce import Enforce, Verdict
from trustkit.config import policy_file
from trustkit.core.names import Digest, ImageRef
from trustkit.errors import TimedOut, TrustkitError
from trustkit.hooks.cache import MAX_AGE, REFUSAL_AGE, Enforcing, VerdictCache
from trustkit.hooks.gate import now, open_gate

_ROUNDS = 3
_Stamp = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Door:
    """The use case as it was opened, and the state of the files that it was opened by."""

    stamp: _Stamp
    opened: float
    enforce: Enforce


@dataclass(frozen=True, slots=True)
class _Kept:
    """A verdict, and the state of the files that it was given by."""

    verdict: Verdict
    stamp: _Stamp

    @property
    def allowed(self) -> bool:
        return self.verdict.allowed

    @property
    def error(self) -> TrustkitError | None:
        return self.verdict.error

    @property
    def expires(self) -> datetime | None:
        return self.verdict.expires


class Verdicts:
    """What a policy says, for servers that are asked again and again.  Safe to use from several threads.

    - A verdict counts for ``max_age`` seconds, never past an expiry, and not after a change of policy or pins.
    - Where a registry has sent something else than a kept verdict names, the tag may have been signed anew: nothing
      is refused by a verdict that is older than a second.

    Args:
        home: absolute.
        policy: as an option of the command line.
        seconds: how long a request to a trust service may take.
        warn: says one line.

    Raises:
        InvalidSetting: a policy that is none, or another setting.
        StateError: a home that can't be used.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        home: Path,
        policy: str | None = None,
        max_age: float = MAX_AGE,
        seconds: float,
        warn: Callable[[str], None],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ, self._home, self._policy, self._seconds = environ, home, policy, seconds
        self._max_age, self._warn, self._ticks = max_age, warn, ticks
        self._lock = threading.Lock()
        self._opened: _Door | None = None
        self._cache: VerdictCache[_Kept] = VerdictCache(
            self._ask, clock=now, max_age=max_age, ticks=ticks, together=self._together
        )
        self._door()  # refuses here and now; the first question opens it again, for what is frozen is never freed
        self._opened = None
        gc.collect()
        gc.freeze()  # the modules that are loaded by now stay, and no later look for garbage has to pass them

    @property
    def file(self) -> Path | None:
        """The policy's file; None where the pins of the home decide alone."""
        return policy_file(self._policy, self._environ, self._home).value

    def __call__(self, ref: ImageRef, *, ends: float) -> Verdict:
        """The verdict on a reference.

        Args:
            ends: when it is too late for an answer, in ``ticks``.

        Raises:
            TimedOut: it is.
            InvalidSetting, StateError: a policy or home that has become one that can't be used.
        """
        return self._current(ref, self._door().stamp, None, ends)

    def held(self, ref: ImageRef, *, length: int, found: Digest, ends: float) -> Verdict:
        """The verdict on what a registry has sent for a reference; arguments and errors as for a verdict."""
        door = self._door()
        kept = self._current(ref, door.stamp, None, ends)
        verdict = door.enforce.held_to(kept, found, length)
        if kept.error is None and verdict.error is not None:
            kept = self._current(ref, door.stamp, self._ticks() - min(REFUSAL_AGE, self._max_age), ends)
            verdict = door.enforce.held_to(kept, found, length)
        return verdict

    def _current(self, ref: ImageRef, stamp: _Stamp, since: float | None, ends: float) -> Verdict:
        """The verdict by the files as they are; raises TimedOut."""
        for _ in range(_ROUNDS):
            try:
                kept = self._cache.future(ref, since=since).result(max(0.0, ends - self._ticks()))
            except TimeoutError:
                break
            if kept.stamp == stamp:
                return kept.verdict
            since = self._ticks()
        raise TimedOut(
            f"There is no verdict on {ref} in time.", hint="See whether the trust service answers: trustkit doctor"
        )

    def _ask(self, ref: ImageRef, *, length: int | None = None) -> _Kept:
        door = self._door()
        return _Kept(door.enforce(ref, length=length), door.stamp)

    def _together(self) -> Enforcing[_Kept]:
        door = self._door()
        enforce = door.enforce.together()

        def ask(ref: ImageRef, *, length: int | None = None) -> _Kept:
            return _Kept(enforce(ref, length=length), door.stamp)

        return ask

    def _door(self) -> _Door:
        """The use case by the files as they are.  Opened again after a while in any case, for what has no stamp:
        root files that a policy names, credentials, certificates."""
        with self._lock:
            began, file = self._ticks(), self.file
            stamp = (file, _state(file), _state(self._home / "pins.json"))
            door = self._opened
            if door is None or door.stamp != stamp or began - door.opened >= self._max_age:
                enforce = open_gate(
                    self._environ,
                    home=str(self._home),
                    policy=self._policy,
                    warn=self._warn,
                    seconds=self._seconds,
                )
                self._opened = door = _Door(stamp, began, enforce)
                gc.collect()  # the one before has connections, and cycles that would keep them open for long
            return door


def _state(path: Path | None) -> tuple[int, ...] | None:
    """What changes where a file does; None for no file."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
