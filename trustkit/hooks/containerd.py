"""containerd's image verifier, as ``trustkit-containerd-verifier``.

The contract is containerd's ``docs/image-verification.md`` (bindir): flags ``-name``, ``-digest`` and
``-stdin-media-type``, an OCI descriptor on standard input, status 0 to let an image in and any other to keep it out,
and the reason on standard output.  Here the status is 0 or 1, whatever happens, and comes before containerd gives up.

A helper (``trustkit verifierd``) is asked first.  Until it has answered nothing is loaded that isn't needed to ask
it, ``typing`` and ``threading`` included.
"""

from __future__ import annotations

import _thread
import os
import sys
import time

from trustkit.hooks import asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

MAX_STDIN = 64 * 1024
MAX_REASON = 16 * 1024
SECONDS = 8.0
"""containerd gives a verifier ten seconds, then keeps the image out without a reason."""
HELPERS_PART = 0.625
"""Of these seconds, how many a helper may take; in the rest, the work can be done where it hangs."""
REFUSED = 1
_FLAGS = ("name", "digest", "stdin-media-type", "timeout")


def main() -> None:
    """Entry point of ``trustkit-containerd-verifier``."""
    status, reason = REFUSED, "refused: it could not be found out why."
    try:
        status, reason = answer(sys.argv[1:], sys.stdin.buffer, os.environ)
    except BaseException as error:  # noqa: BLE001 - whatever it is, an image that nobody judged stays out
        reason = f"refused: the verifier failed: {type(error).__name__}. Run it by hand to see more."
    _end(status, reason)


def answer(arguments: Sequence[str], stdin: BinaryIO, environ: Mapping[str, str]) -> tuple[int, str]:
    """The status and the reason; the process ends by itself where that takes too long."""
    flags: dict[str, str] = {}
    try:
        flags = read_flags(arguments)
        seconds = _seconds(flags.get("timeout", environ.get("TRUSTKIT_CONTAINERD_TIMEOUT", "")))
        _give_up_after(seconds, f"{flags['name'][:300]!a} is refused: {_LATE.format(seconds)}")
        given = stdin.read(MAX_STDIN + 1)
        said = asking.ask(arguments, given, environ, seconds * HELPERS_PART) if len(given) <= MAX_STDIN else None
        return said or _judge(flags, given, environ, seconds)
    except Exception as error:
        from trustkit.errors import TrustkitError
        from trustkit.hooks.judging import refusal

        if not isinstance(error, TrustkitError):
            raise
        return refusal(flags.get("name", ""), error)


_LATE = "there was no verdict in {:g} seconds. [timed-out] See whether the trust service answers: trustkit doctor"


def read_flags(arguments: Sequence[str]) -> dict[str, str]:
    """The flags, with one dash or two, the value after a space or ``=``, as Go's ``flag`` package has them.

    Raises:
        UsageError: an unknown flag, one without a value, one twice, or one that is needed and isn't there.
    """
    flags: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("-").removeprefix("-")
        if not flag.startswith("-") or name not in _FLAGS or name in flags:
            raise _usage(f"{ascii(word)[:100]} is no flag of this verifier, or stands twice.")
        if not equals:
            value = next(rest, "")
        if not value:
            raise _usage(f"-{name} has no value.")
        flags[name] = value
    missing = [f"-{name}" for name in _FLAGS[:3] if name not in flags]
    if missing:
        raise _usage(f"{', '.join(missing)} is missing.")
    return flags


def _usage(
    words: str, hint: str = "containerd gives -name, -digest and -stdin-media-type; -timeout is ours."
) -> Exception:
    from trustkit.errors import UsageError

    return UsageError(words, hint=hint)


def _judge(flags: Mapping[str, str], given: bytes, environ: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """The work done here.  No key is used, so what reaches devices and clouds is left out; and
    while modules are loaded, there is no garbage to look for."""
    from trustkit.later import put_off

    put_off()
    from trustkit.keys.sdks import leave_out

    leave_out()
    from trustkit.hooks.gate import open_gate
    from trustkit.hooks.judging import judge

    warnings: list[str] = []
    enforce = open_gate(environ, warn=warnings.append, seconds=seconds)
    status, reason = judge(flags, given, enforce)
    return status, " ".join([reason, *warnings])


def _seconds(text: str) -> float:
    try:
        seconds = float(text or SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 600:
        raise _usage(f"{ascii(text)[:40]} is no timeout.", "Write seconds, from 0.1 to 600.")
    return seconds


def _give_up_after(seconds: float, reason: str) -> None:
    def wait() -> None:
        time.sleep(seconds)
        _end(REFUSED, reason)

    _thread.start_new_thread(wait, ())


_ending = _thread.allocate_lock()


def _end(status: int, reason: str) -> None:
    """Says the reason in one line and ends the process; the first who calls it decides."""
    _ending.acquire()
    line = " ".join(reason.split()).encode("utf-8", "backslashreplace")[:MAX_REASON]
    try:
        os.write(1, line + b"\n")
    except OSError:
        status = REFUSED
    os._exit(status)
