"""Access tokens kept for a few minutes, each in a file of its own, 0600."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from trustkit.core.ports.tokens import AccessToken
from trustkit.errors import StateError
from trustkit.home.files import private_folder, read_bounded, write_atomically

_MAX_FILE = 128 * 1024


class FileTokenCache:
    """The TokenCache of one TRUSTKIT_HOME.  What can't be read counts as lost, what can't be kept is let go."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"FileTokenCache({str(self._path)!r})"

    def get(self, key: str) -> AccessToken | None:
        """The token under this key, expired or not."""
        try:
            data = read_bounded(self._file(key), _MAX_FILE)
            entry = json.loads(data or b"null")
        except (StateError, ValueError, RecursionError):
            return None
        if not isinstance(entry, dict) or entry.get("key") != key:
            return None
        value, expires = entry.get("token"), entry.get("expires")
        if not isinstance(value, str) or not isinstance(expires, int | float):
            return None
        return AccessToken(value, float(expires))

    def put(self, key: str, token: AccessToken) -> None:
        """Keeps a token under a key."""
        entry = {"key": key, "token": token.value, "expires": token.expires}
        try:
            private_folder(self._path)
            write_atomically(self._file(key), json.dumps(entry).encode("ascii"))
        except StateError:
            return

    def drop(self, key: str) -> None:
        """Forgets what is under a key."""
        try:
            self._file(key).unlink(missing_ok=True)
        except OSError:
            return

    def clear(self) -> None:
        """Forgets every token, as logout does, those too that a crash left half-way."""
        try:
            for path in (*self._path.glob("*.json"), *self._path.glob(".*.json.*")):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"Tokens in {self._path} can't be removed.") from error

    def _file(self, key: str) -> Path:
        return self._path / f"{hashlib.sha256(key.encode('utf-8')).hexdigest()}.json"
