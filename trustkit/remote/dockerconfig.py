"""Docker's ``config.json``: where credentials lie, and where login keeps what it gets.

Order as Docker's: ``credHelpers`` for the host, ``credsStore``, then ``auths``.  docker-py talks to helpers and is
imported only when the file names one.
"""

from __future__ import annotations

import base64
import binascii
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from trustkit.core.names import Host
from trustkit.core.records import dataclass
from trustkit.errors import Failed, StateError

MAX_FILE = 4 * 1024 * 1024
_TOKEN_USER = "<token>"  # noqa: S105 - the user name by which helpers mark an identity token


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in: a user name with a password, or with the identity token (refresh token) that login got."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """The configuration file as it was read; every change goes to disk at once and leaves the other members alone."""

    folder: Path
    members: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, folder: Path) -> DockerConfig:
        """Reads ``folder/config.json``; without the file nothing is configured.

        Raises:
            StateError: the file can't be read or is no JSON object.
        """
        path = folder / "config.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls(folder)
        except OSError as error:
            raise StateError(f"{path} can't be read: {(error.strerror or '').lower()}.") from error
        try:
            members = json.loads(data) if len(data) <= MAX_FILE else None
        except (ValueError, RecursionError):
            members = None
        if not isinstance(members, dict):
            raise StateError(
                f"{path} is not the JSON object that Docker keeps there.",
                hint="Correct it, or name another folder in DOCKER_CONFIG.",
            )
        return cls(folder, members)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "config.json"

    def credentials(self, host: Host) -> Credentials | None:
        """What is stored for a host; None where nothing is.

        Raises:
            StateError: an entry that can't be read.
            Failed: a helper that fails.
        """
        if helper := self._helper(host):
            return _from_helper(helper, host)
        entry = self._entry(host)
        return None if entry is None else self._decoded(entry, host)

    def store(self, host: Host, credentials: Credentials, write: Callable[[Path, bytes], None]) -> DockerConfig:
        """Keeps an identity token for a host, with the helper where one is configured.

        Args:
            write: replaces a file atomically, 0600.

        Returns:
            The configuration as it is now.
        """
        entry: dict[str, str] = {}
        if helper := self._helper(host):
            _store(helper, host, credentials)
        else:
            pair = f"{credentials.username}:".encode()
            entry = {"auth": base64.b64encode(pair).decode("ascii"), "identitytoken": credentials.identity_token}
        auths = {name: value for name, value in self._auths().items() if _host_of(name) != str(host)}
        return self._saved({**auths, str(host): entry}, write)

    def forget(self, host: Host, write: Callable[[Path, bytes], None]) -> tuple[DockerConfig, bool]:
        """Removes what is stored for a host; the second value says whether there was anything."""
        erased = _erase(helper, host) if (helper := self._helper(host)) else False
        auths = self._auths()
        kept = {name: value for name, value in auths.items() if _host_of(name) != str(host)}
        if len(kept) == len(auths):
            return self, erased
        return self._saved(kept, write), True

    def _saved(self, auths: Mapping[str, Any], write: Callable[[Path, bytes], None]) -> DockerConfig:
        changed = replace(self, members={**self.members, "auths": auths})
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"The folder {self.folder} can't be made.") from error
        write(self.path.resolve(), json.dumps(changed.members, indent="\t").encode("ascii") + b"\n")
        return changed

    def _helper(self, host: Host) -> str:
        helpers = self.members.get("credHelpers")
        name = helpers.get(str(host)) if isinstance(helpers, dict) else None
        name = name or self.members.get("credsStore") or ""
        if not isinstance(name, str) or "/" in name:
            raise StateError(f"{self.path} names a credential helper that is no name.")
        return name

    def _auths(self) -> Mapping[str, Any]:
        auths = self.members.get("auths") or {}
        if not isinstance(auths, dict):
            raise StateError(f"The member 'auths' of {self.path} is no object.")
        return auths

    def _entry(self, host: Host) -> Mapping[str, Any] | None:
        auths = self._auths()
        names = [str(host), *(name for name in auths if _host_of(name) == str(host))]
        found = next((auths[name] for name in names if name in auths), None)
        if found is not None and not isinstance(found, dict):
            raise self._unreadable(host)
        return found

    def _decoded(self, entry: Mapping[str, Any], host: Host) -> Credentials | None:
        user, password = entry.get("username", ""), entry.get("password", "")
        token, auth = entry.get("identitytoken", ""), entry.get("auth", "")
        if not all(isinstance(text, str) for text in (user, password, token, auth)):
            raise self._unreadable(host)
        if auth:
            try:
                user, colon, password = base64.b64decode(auth, validate=True).decode("utf-8").partition(":")
            except (binascii.Error, ValueError) as error:
                raise self._unreadable(host) from error
            if not colon:
                raise self._unreadable(host)
        if not token and not password:
            return None
        return Credentials(user, "" if token else password.rstrip("\0"), token)

    def _unreadable(self, host: Host) -> StateError:
        return StateError(
            f"The entry for {host} in {self.path} can't be read.", hint=f"Run: trustkit logout {host}, then log in."
        )


def _host_of(name: str) -> str:
    """The host of a name in ``auths``, which may be a URL of Docker's old days."""
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _docker(helper: str) -> ModuleType:
    if shutil.which(f"docker-credential-{helper}") is None:
        raise Failed(
            f"The credential helper docker-credential-{helper}, which Docker's configuration names, is missing."
        )
    try:
        import docker.credentials
    except ImportError as error:
        raise Failed(
            "Docker's configuration names a credential helper, and the package that talks to it is missing.",
            hint="Run: pip install 'trustkit[docker]'",
        ) from error
    module: ModuleType = docker.credentials
    return module


def _from_helper(helper: str, host: Host) -> Credentials | None:
    library = _docker(helper)
    try:
        found = library.Store(helper).get(str(host))
        user, secret = found["Username"], found["Secret"]
    except library.CredentialsNotFound:
        return None
    except (library.StoreError, ValueError, KeyError, TypeError, OSError) as error:
        raise _helper_failed(helper) from error
    if not isinstance(user, str) or not isinstance(secret, str):
        raise _helper_failed(helper)
    return Credentials(user, identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)


def _store(helper: str, host: Host, credentials: Credentials) -> None:
    library = _docker(helper)
    try:
        library.Store(helper).store(str(host), _TOKEN_USER, credentials.identity_token)
    except (library.StoreError, OSError) as error:
        raise _helper_failed(helper) from error


def _erase(helper: str, host: Host) -> bool:
    library = _docker(helper)
    try:
        library.Store(helper).erase(str(host))
    except library.CredentialsNotFound:
        return False
    except (library.StoreError, OSError) as error:
        raise _helper_failed(helper) from error
    return True


def _helper_failed(helper: str) -> Failed:
    return Failed(f"The credential helper docker-credential-{helper} failed.", hint="Try it by itself.")
