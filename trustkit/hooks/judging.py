"""What containerd asks about an image, and the answer: the same whether the verifier or its helper gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trustkit.client.enforce import Verdict
from trustkit.core import strictjson
from trustkit.core.familiar import familiar
from trustkit.core.names import Digest, ImageRef
from trustkit.errors import CouldNotCheck, Rejected, TrustkitError, UsageError

DESCRIPTOR = "application/vnd.oci.descriptor.v1+json"
MAX_DESCRIPTOR = 64 * 1024
ALLOWED, REFUSED = 0, 1


class Judge(Protocol):
    """Whoever gives a verdict on what a registry has sent for a reference."""

    def __call__(self, ref: ImageRef, *, length: int, found: Digest) -> Verdict: ...


def judge(flags: Mapping[str, str], given: bytes, ask: Judge) -> tuple[int, str]:
    """The status and the reason for one image.

    Args:
        flags: the verifier's, by their names without dash.
        given: what stood on standard input, cut after one byte more than ``MAX_DESCRIPTOR``.

    Raises:
        TrustkitError: flags or a descriptor that say nothing, or a policy that can't be read.
    """
    digest, ref = Digest.parse(flags["digest"]), familiar(flags["name"])
    length = read_descriptor(flags["stdin-media-type"], given, digest)
    verdict = ask(ref, length=length, found=digest)
    reason = verdict.reason
    if verdict.error is not None and not verdict.error.hint:
        unknown = isinstance(verdict.error, CouldNotCheck)
        reason += f" To see more: trustkit {'doctor' if unknown else 'inspect'} {ref.gun}"
    return (ALLOWED if verdict.allowed else REFUSED), reason


def refusal(name: str, error: TrustkitError) -> tuple[int, str]:
    """The status and the reason where something is wrong before there is a verdict.

    Args:
        name: as containerd gave it; empty where it gave none.
    """
    image = ascii(name[:300]) if name else "The image"
    return REFUSED, f"{image} is refused: {error.message} [{error.slug}] {error.hint}".rstrip()


def read_descriptor(media_type: str, given: bytes, digest: Digest) -> int:
    """The length, in bytes, of the manifest that a descriptor is of.

    Raises:
        UsageError: another media type on standard input, no descriptor, or one of another digest.
    """
    if media_type != DESCRIPTOR:
        raise UsageError(
            f"{ascii(media_type)[:100]} on standard input is no OCI descriptor.",
            hint=f"containerd gives -stdin-media-type {DESCRIPTOR}.",
        )
    try:
        value = strictjson.parse(_escaped(given), max_bytes=6 * MAX_DESCRIPTOR, what="The descriptor")
    except Rejected as error:
        raise UsageError(error.message, hint=_HINT) from error
    if not isinstance(value.get("mediaType"), str) or not value["mediaType"]:
        raise UsageError("The descriptor on standard input has no mediaType.", hint=_HINT)
    size = value.get("size")
    if type(size) is not int or size < 0:
        raise UsageError("The descriptor on standard input has no size in bytes.", hint=_HINT)
    if value.get("digest") != str(digest):
        raise UsageError(
            f"The descriptor on standard input is of {ascii(value.get('digest'))[:100]}, not of {digest}.",
            hint="Whoever runs the verifier has to give the same digest twice.",
        )
    return size


_HINT = "Give an OCI descriptor: an object with mediaType, digest and size."


def _escaped(given: bytes) -> bytes:
    """The same JSON in ASCII: Go writes annotations as they are, and none of them says anything here."""
    if len(given) > MAX_DESCRIPTOR:
        raise UsageError(f"The descriptor on standard input is longer than {MAX_DESCRIPTOR} bytes.", hint=_HINT)
    try:
        text = given.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("The descriptor on standard input is not UTF-8.", hint=_HINT) from error
    return "".join(c if c.isascii() else f"\\u{min(ord(c), 0xFFFF):04x}" for c in text).encode("ascii")
