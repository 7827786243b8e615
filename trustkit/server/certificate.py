"""The token service's certificate, where a registry reads it."""

from __future__ import annotations

from pathlib import Path


def write_certificate(path: Path, pem: bytes) -> None:
    """The CA certificate for a registry's rootcertbundle; public, and replaced whole."""
    if path.exists() and path.read_bytes() == pem:
        return
    temporary = path.with_suffix(".new")
    temporary.write_bytes(pem)
    temporary.chmod(0o644)
    temporary.replace(path)
