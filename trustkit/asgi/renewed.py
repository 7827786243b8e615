"""A server's certificate that is renewed while it runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

log = logging.getLogger("trustkit.tls")

EVERY = 2.0
"""Seconds between two looks at the files."""


async def renewed(context: ssl.SSLContext, certificate: Path, key: Path, *, every: float = EVERY) -> None:
    """Takes up certificate and key for new connections whenever their files change; doesn't return.

    Files that can't serve together, as in the middle of a renewal, leave the old ones in use and are tried again.
    """
    used = _state(certificate, key)
    while True:
        await asyncio.sleep(every)
        found = _state(certificate, key)
        if found == used:
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            log.error("the certificate %s and its key have changed and can't be used: %s", certificate, error)
        else:
            used = found
            log.info("the certificate %s has changed, and is used from now on", certificate)


def _state(*files: Path) -> list[tuple[int, int, int]] | None:
    """What changes with a file; None where one isn't there."""
    try:
        found = [file.stat() for file in files]
    except OSError:
        return None
    return [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found]
