"""Headers that several routes answer with."""

from __future__ import annotations

JSON = ("content-type", "application/json")
NO_CACHE = ("cache-control", "no-cache")
"""Of what may be another one later."""
IMMUTABLE = ("cache-control", "private, max-age=31536000, immutable")
