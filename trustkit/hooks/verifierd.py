"""``trustkit verifierd``: answers for the verifiers of one node, from verdicts that are seconds old.

The verdicts are those that the verifier itself would have come to: by the same code, policy and pins, which count
anew as soon as their files change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from trustkit.config import policy_file
from trustkit.errors import TrustkitError
from trustkit.hooks.cache import MAX_AGE
from trustkit.hooks.containerd import SECONDS, read_flags
from trustkit.hooks.judging import MAX_DESCRIPTOR, judge, refusal
from trustkit.hooks.verdicts import Verdicts

LONGEST = 8 * MAX_DESCRIPTOR
"""Bytes of a request: a descriptor in which each byte is an escape, and some flags."""
REQUEST_SECONDS = SECONDS - 1
"""How long a request to a trust service may take."""
_NOT_MINE = 2


class _NotMineError(Exception):
    """No question for this helper: the verifier has another home or policy, or another version."""


class Helper:
    """The answers, for ``LocalServer``.  Safe to use from several threads.

    Args, Raises: as ``Verdicts``.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        home: Path,
        policy: str | None = None,
        max_age: float = MAX_AGE,
        warn: Callable[[str], None],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home, self._ticks = home, ticks
        self._verdicts = Verdicts(
            environ, home=home, policy=policy, max_age=max_age, seconds=REQUEST_SECONDS, warn=warn, ticks=ticks
        )

    def __call__(self, line: bytes) -> bytes:
        """The answer to a request, both as lines of JSON."""
        try:
            status, reason = self._answer(line)
        except _NotMineError as error:
            status, reason = _NOT_MINE, str(error)
        return f"{json.dumps({'status': status, 'reason': reason})}\n".encode("ascii")

    def _answer(self, line: bytes) -> tuple[int, str]:
        arguments, given, seconds = self._read(line)
        flags: dict[str, str] = {}
        try:
            flags = read_flags(arguments)
            return judge(flags, given, partial(self._verdicts.held, ends=self._ticks() + seconds))
        except TrustkitError as error:
            return refusal(flags.get("name", ""), error)

    def _read(self, line: bytes) -> tuple[list[str], bytes, float]:
        """Flags, standard input, and seconds for the answer; raises _NotMineError."""
        try:
            asked = json.loads(line)
            arguments = [str(word) for word in asked["arguments"]]
            given, seconds = str(asked["input"]).encode("latin-1"), float(asked["seconds"])
            home, policy = Path(asked["home"]), asked["policy"]
            named = {} if policy is None else {"TRUSTKIT_POLICY": str(policy)}
            same = (
                home.resolve() == self._home.resolve() and policy_file(None, named, home).value == self._verdicts.file
            )
        except (ValueError, TypeError, KeyError, RecursionError, OSError, TrustkitError) as error:
            raise _NotMineError("not read") from error
        if not same or not 0 < seconds <= 600:
            raise _NotMineError("another home or policy")
        return arguments, given, seconds - min(0.2, seconds / 10)
