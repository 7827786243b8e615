"""containerd's image verifier, as ``trustkit-containerd-verifier``.

The contract is containerd's ``docs/image-verification.md`` (bindir): flags ``-name``, ``-digest`` and
``-stdin-media-type``, an OCI descriptor on standard input, status 0 to let an image in and any other to keep it out,
and the reason on standard output.  Here the status is 0 or 1, whatever happens, and comes before containerd gives up.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from trustkit.core.names import Digest

DESCRIPTOR = "application/vnd.oci.descriptor.v1+json"
MAX_STDIN = 64 * 1024
MAX_REASON = 16 * 1024
SECONDS = 8.0
"""containerd gives a verifier ten seconds, then keeps the image out without a reason."""
ALLOWED, REFUSED = 0, 1
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
    from trustkit.errors import TrustkitError

    try:
        flags = read_flags(arguments)
        seconds = _seconds(flags.get("timeout", environ.get("TRUSTKIT_CONTAINERD_TIMEOUT", "")))
        name = flags["name"]
        _give_up_after(
            seconds, f"{name[:300]!r} is refused: there was no verdict in {seconds:g} seconds. [timed-out]"
        )
        return _judge(flags, stdin.read(MAX_STDIN + 1), environ, seconds)
    except TrustkitError as error:
        return REFUSED, f"refused: {error.message} [{error.slug}] {error.hint}"


def read_flags(arguments: Sequence[str]) -> dict[str, str]:
    """The flags, with one dash or two, the value after a space or ``=``, as Go's ``flag`` package has them.

    Raises:
        UsageError: an unknown flag, one without a value, one twice, or one that is needed and isn't there.
    """
    from trustkit.errors import UsageError

    flags: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("-").removeprefix("-")
        if not flag.startswith("-") or name not in _FLAGS or name in flags:
            raise UsageError(f"{ascii(word)[:100]} is no flag of this verifier, or stands twice.")
        if not equals:
            value = next(rest, "")
        if not value:
            raise UsageError(f"-{name} has no value.")
        flags[name] = value
    missing = [f"-{name}" for name in _FLAGS[:3] if name not in flags]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} is missing.", hint="containerd gives -name, -digest, -stdin-media-type."
        )
    return flags


def _judge(flags: Mapping[str, str], given: bytes, environ: Mapping[str, str], seconds: float) -> tuple[int, str]:
    from trustkit.core.familiar import familiar
    from trustkit.core.names import Digest
    from trustkit.hooks.gate import open_gate

    digest, ref = Digest.parse(flags["digest"]), familiar(flags["name"])
    length = read_descriptor(flags["stdin-media-type"], given, digest)
    warnings: list[str] = []
    verdict = open_gate(environ, warn=warnings.append, seconds=seconds)(ref, length=length, found=digest)
    return (ALLOWED if verdict.allowed else REFUSED), " ".join([verdict.reason, *warnings])


def read_descriptor(media_type: str, given: bytes, digest: Digest) -> int:
    """The length, in bytes, of the manifest that a descriptor is of.

    Raises:
        UsageError: another media type on standard input, no descriptor, or one of another digest.
    """
    from trustkit.core import strictjson
    from trustkit.errors import Rejected, UsageError

    if media_type != DESCRIPTOR:
        raise UsageError(f"{ascii(media_type)[:100]} on standard input is no OCI descriptor.")
    try:
        value = strictjson.parse(given, max_bytes=MAX_STDIN, what="The descriptor on standard input")
    except Rejected as error:
        raise UsageError(error.message) from error
    size = value.get("size") if isinstance(value, dict) else None
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("mediaType"), str)
        or type(size) is not int
        or size < 0
    ):
        raise UsageError("What stands on standard input is no OCI descriptor.")
    if value.get("digest") != str(digest):
        raise UsageError(
            f"The descriptor on standard input is of {ascii(value.get('digest'))[:100]}, not of {digest}."
        )
    return size


def _seconds(text: str) -> float:
    from trustkit.errors import UsageError

    try:
        seconds = float(text or SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 600:
        raise UsageError(f"{ascii(text)[:40]} is no timeout.", hint="Write seconds, from 0.1 to 600.")
    return seconds


def _give_up_after(seconds: float, reason: str) -> None:
    timer = threading.Timer(seconds, _end, (REFUSED, reason))
    timer.daemon = True
    timer.start()


_ending = threading.Lock()


def _end(status: int, reason: str) -> None:
    """Says the reason in one line and ends the process; the first who calls it decides."""
    _ending.acquire()
    line = " ".join(reason.split()).encode("utf-8", "backslashreplace")[:MAX_REASON]
    try:
        os.write(1, line + b"\n")
    except OSError:
        status = REFUSED
    os._exit(status)
