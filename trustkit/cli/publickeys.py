"""Public keys that a command is given as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securesystemslib.signer import Key


def public_key(path: Path) -> Key:
    """The public key in a PEM file, as ``trustkit key export --public`` writes it; raises KeyFileInvalid."""
    from trustkit.errors import KeyFileInvalid
    from trustkit.keys.keypairs import read_public_pem

    try:
        return read_public_pem(path.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileInvalid(f"{path} can't be read as a public key in PEM.") from error
    except KeyFileInvalid as error:
        raise KeyFileInvalid(f"{path}: {error.message}", hint="It takes the public half, PEM.") from error
