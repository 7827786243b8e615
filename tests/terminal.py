"""A terminal that a command writes to, and what came on it."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence


def told(
    command: Sequence[str], environ: Mapping[str, str], *, terminal: bool = True, seconds: float = 60
) -> tuple[int, str, str]:
    """Runs a command with a terminal, or a pipe, as its stderr.

    Returns:
        Its status, its stdout, and all that came on its stderr.
    """
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env={**environ}, text=True
    )
    os.close(theirs)
    said = b""
    try:
        while data := os.read(ours, 4096):
            said += data
    except OSError:
        pass  # how a pseudoterminal ends
    finally:
        os.close(ours)
    out, _ = process.communicate(timeout=seconds)
    return process.returncode, out, said.decode()
