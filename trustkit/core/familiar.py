"""Docker's familiar names: ``alpine`` is docker.io/library/alpine:latest.

The rules are those of distribution/reference 0.6 (``ParseNormalizedNamed`` and ``TagNameOnly`` in normalize.go),
which docker, containerd and Kubernetes share.  Only what comes from a file or a program that means Docker's
defaults is read here; a reference that a person gives to us names its host (``ImageRef.parse``).
"""

from __future__ import annotations

import re
from dataclasses import replace

from trustkit.core.names import ImageRef, Tag, looks_like_host, shown
from trustkit.errors import InvalidName, InvalidReference

DEFAULT_HOST = "docker.io"
LEGACY_HOST = "index.docker.io"
OFFICIAL = "library"
DEFAULT_TAG = Tag("latest")

_IDENTIFIER = re.compile(r"[0-9a-f]{64}\Z")


def familiar(text: str) -> ImageRef:
    """The full reference that Docker reads in this text.

    The first part is a host where it has a '.' or a ':', is ``localhost``, or has an upper-case letter (which no
    host of ours may have, so that is refused rather than looked for on docker.io).  Without a host it is
    docker.io's, there under ``library/`` where it has one part.  ``index.docker.io`` is docker.io.  A name with
    neither tag nor digest gets the tag ``latest``; one with a digest gets none.

    Raises:
        InvalidReference: where Docker or ``ImageRef.parse`` refuses it: also 64 hex digits, which would be an image's
            id, and a digest of another algorithm than sha256.
    """
    if _IDENTIFIER.match(text):
        raise InvalidReference(
            f"{shown(text)} is an image's id, not its name.", hint="Write NAME[:TAG][@sha256:...]."
        )
    try:
        found = ImageRef.parse(_with_host(text))
    except (InvalidName, InvalidReference) as error:
        raise InvalidReference(
            f"{shown(text)} is not an image reference.",
            hint=error.hint or "Write [HOST[:PORT]/]NAME[:TAG][@sha256:...], in lower case up to the tag.",
        ) from error
    return replace(found, tag=DEFAULT_TAG) if found.tag is None and found.digest is None else found


def _with_host(text: str) -> str:
    """The text with Docker's default host and ``library/`` written out; it may still be no reference."""
    first, slash, rest = text.partition("/")
    if not slash or not (looks_like_host(first) or first != first.lower()):
        first, rest = DEFAULT_HOST, text
    elif first == LEGACY_HOST:
        first = DEFAULT_HOST
    if first == DEFAULT_HOST and "/" not in rest:
        rest = f"{OFFICIAL}/{rest}"
    return f"{first}/{rest}"
