"""Running a tool of somebody else's."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from trustkit.core.names import Digest, ImageRef
from trustkit.errors import EngineFailed, InvalidReference

_TAIL = 600
_STDERR = 2
_SECRET = re.compile(r"(?:TRUSTKIT|NOTARY|DOCKER_CONTENT_TRUST)_(?:.+_)?(?:PASSPHRASE|PIN)(?:_|\Z)")


def run(arguments: Sequence[str], environ: Mapping[str, str], *, seen: bool = False) -> str:
    """Runs a tool, with no shell and no terminal, and returns what it wrote to stdout.

    Args:
        environ: what it sees, but for passphrases and PINs.
        seen: what it says goes to stderr at once, and none of it is returned.

    Raises:
        EngineFailed: it isn't installed or ends with another status than 0; with the end of what it said.
    """
    tool = arguments[0].rpartition("/")[2]
    program = shutil.which(arguments[0], path=environ.get("PATH"))
    if program is None:
        raise EngineFailed(
            f"{tool} is not installed.", hint="Install it, or use --to oci:DIR, which needs no engine."
        )
    try:
        done = subprocess.run(
            [program, *arguments[1:]],
            env={name: value for name, value in environ.items() if not _SECRET.match(name)},
            stdin=subprocess.DEVNULL,
            stdout=_STDERR if seen else subprocess.PIPE,
            stderr=None if seen else subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise EngineFailed(f"{tool} can't be run: {(error.strerror or '').lower()}.") from error
    if done.returncode != 0:
        said = "what it said stands above." if seen else _said(done.stderr or done.stdout)
        raise EngineFailed(f"{tool} failed: {said}", hint=_next_step(tool, said), status=done.returncode)
    return done.stdout or ""


def _next_step(tool: str, said: str) -> str:
    if "Cannot connect to the Docker daemon" in said:
        return "Start docker, set DOCKER_HOST, or use --to oci:DIR, which needs no engine."
    if "permission denied" in said.lower() and "docker" in tool:
        return "This user may not use docker; or use --to oci:DIR, which needs no engine."
    return ""


def pinned(ref: ImageRef) -> Digest:
    """The digest of a reference; an engine is never told a tag alone.

    Raises:
        InvalidReference: there is none.
    """
    if ref.digest is None:
        raise InvalidReference(f"{ref} has no digest, and engines pull by digest only.")
    return ref.digest


def _said(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[-_TAIL:] or "it says nothing about why"
