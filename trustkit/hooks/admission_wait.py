"""Waiting for the admission webhook, as the API server will see it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from trustkit.errors import InvalidSetting, TimedOut

EVERY = 0.5
"""Seconds between two attempts."""
MAX_ANSWER = 64 * 1024


def wait_until_ready(url: str, ca: Path | None, *, seconds: float, tell: Callable[[str], None]) -> None:
    """Returns when ``/readyz`` has answered 200, over TLS that was checked.

    Args:
        url: https://HOST[:PORT].
        ca: the authorities, PEM; the system's where None.
        tell: gets each new reason for waiting.

    Raises:
        InvalidSetting: another URL, or authorities that can't be used.
        TimedOut: it wasn't ready in time; says why.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise InvalidSetting("The webhook's address is not https://HOST[:PORT].")
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting(f"The authorities {ca} can't be used: {error}.") from error
    end, why = time.monotonic() + seconds, ""
    with urllib3.PoolManager(ssl_context=context, timeout=5.0, retries=False) as pool:
        while True:
            found = _trouble(pool, f"https://{parts.netloc}/readyz")
            if not found:
                return
            if found != why:
                why = found
                tell(f"Not ready: {why}")
            if time.monotonic() + EVERY > end:
                raise TimedOut(f"The webhook was not ready within {seconds:g} s: {why}")
            time.sleep(EVERY)


def _trouble(pool: urllib3.PoolManager, url: str) -> str:
    """Why it isn't ready; empty where it is."""
    try:
        answer = pool.request("GET", url, redirect=False, preload_content=False)
        body = answer.read(MAX_ANSWER, decode_content=False)
        answer.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return f"{error}"[:300]
    if answer.status == 200:
        return ""
    return f"{answer.status} {ascii(body.decode('utf-8', 'replace'))[1:300]}"
