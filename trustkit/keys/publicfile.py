"""The public half of a key as a file for somebody else: PEM, readable by all, never over another file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from securesystemslib.signer import Key

from trustkit.errors import KeyExists, StateError
from trustkit.keys.keypairs import public_pem


def check_free(path: Path) -> None:
    """Raises KeyExists where something has this name, before a key is made for it."""
    if os.path.lexists(path):
        raise KeyExists(f"{path} exists already, and is never overwritten.")


def write(path: Path, public: Key) -> None:
    """Writes it, 0644; raises KeyExists, and StateError, which leaves no part of it."""
    made = False
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        made = True
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(public_pem(public))
    except FileExistsError as error:
        raise KeyExists(f"{path} exists already, and is never overwritten.") from error
    except OSError as error:
        if made:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise StateError(
            f"{path} can't be written: {error.strerror}.",
            hint=f"The key was made; its public half: trustkit key export --public {public.keyid[:8]}",
        ) from error
