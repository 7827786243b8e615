"""Where a PostgreSQL database is: its URL, checked, with the password from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from trustkit.core.names import Host
from trustkit.errors import InvalidSetting, StateError

SCHEMES = ("postgresql://", "postgres://")
SOCKETS = "/var/run/postgresql"
"""The folder of the server's socket where the URL names no host; Debian's."""
VERIFIED = ("verify-ca", "verify-full")
CONNECT_SECONDS = 3
MAX_PASSWORD = 4096

_OURS: Mapping[str, str | int] = {
    "client_encoding": "UTF8",
    "application_name": "trustkit",
    "target_session_attrs": "read-write",
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""What a URL may say otherwise.  A peer that is gone is noticed within 11 seconds."""
_SECRET = ("password", "sslpassword")
_NEVER = ("service", "options", "replication")


@dataclass(frozen=True, slots=True)
class Address:
    """How to connect, without the password.

    Attributes:
        shown: who and where, for messages.
        password_file: read at each connection, so that it can be changed; None for what libpq finds itself, in
            PGPASSFILE or the URL's ``passfile``.
    """

    shown: str
    parameters: Mapping[str, str | int] = field(repr=False)
    password_file: Path | None = None

    def conninfo(self) -> str:
        """What libpq takes, with the password: never to be shown.

        Raises:
            StateError: the password file can't be read.
        """
        parameters = dict(self.parameters)
        if self.password_file is not None:
            parameters["password"] = _password(self.password_file)
        return make_conninfo("", **parameters)

    @classmethod
    def parse(cls, url: str, *, password_file: Path | None = None, unsafe_plain: bool = False) -> Address:
        """Reads ``postgresql://USER@HOST[:PORT]/DATABASE[?PARAMETERS]``, with libpq's parameters.

        Args:
            unsafe_plain: a server that isn't on this machine may be one that TLS doesn't vouch for.

        Raises:
            InvalidSetting: it can't be read, or names no database, or passwords twice, or nothing would keep others
                from reading along (TRUST 8.3).
        """
        given = _parsed(url)
        if "password" in given and password_file is not None:
            raise InvalidSetting("The database's URL has a password, and there is a file with one.")
        if not given.get("dbname"):
            raise InvalidSetting("The database's URL names no database.", hint="postgresql://USER@HOST/DATABASE")
        given.setdefault("host", SOCKETS)
        remote = [host for host in _hosts(given) if not _on_this_machine(host)]
        if remote:
            given.setdefault("sslmode", "verify-full")
        if remote and given["sslmode"] not in VERIFIED and not unsafe_plain:
            raise InvalidSetting(
                f"With sslmode={given['sslmode']} nothing vouches for the database server {remote[0]}: whoever is in "
                "between could give anybody any role.",
                hint="Leave sslmode out, or write verify-full, with sslrootcert=FILE for an authority of your own.",
            )
        shown = f"{given['dbname']} at {given['host']}"
        return cls(shown, {**_OURS, **given}, password_file)


def has_password(url: str) -> bool:
    """Whether a URL has a password in it; raises InvalidSetting where it can't be read."""
    return any(name in _parsed(url) for name in _SECRET)


def without_password(url: str) -> str:
    """The URL's parameters as a URL again, without passwords; raises InvalidSetting where it can't be read."""
    given = {name: str(value) for name, value in _parsed(url).items() if name not in _SECRET}
    return f"postgresql:///?{urlencode(given, quote_via=quote)}"


def _parsed(url: str) -> dict[str, str | int]:
    hint = "Write postgresql://USER@HOST[:PORT]/DATABASE."
    if not url.startswith(SCHEMES):
        raise InvalidSetting("The database's URL isn't one of PostgreSQL.", hint=hint)
    try:
        given = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    except ProgrammingError:  # whose message may have parts of the URL, the password among them
        raise InvalidSetting("The database's URL can't be read.", hint=hint) from None
    if refused := sorted(set(given) & set(_NEVER)):
        raise InvalidSetting(f"The database's URL can't have {refused[0]}.", hint="Say the rest in the URL itself.")
    return dict(given)


def _hosts(given: Mapping[str, str | int]) -> list[str]:
    """Whatever is connected to: addresses count where they are given, as libpq has it."""
    return [host for name in ("host", "hostaddr") for host in str(given.get(name, "")).split(",") if host]


def _on_this_machine(host: str) -> bool:
    return host.startswith(("/", "@")) or Host("[::1]" if host == "::1" else host).loopback


def _password(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise StateError(f"The database's password file {path} can't be read: {error.strerror}.") from error
    try:
        if os.fstat(descriptor).st_mode & 0o007:
            raise StateError(f"Anybody can read the database's password in {path}.", hint="chmod o= it.")
        text = os.read(descriptor, MAX_PASSWORD + 1).decode("utf-8", "replace").removesuffix("\n")
    except OSError as error:
        raise StateError(f"The database's password file {path} can't be read: {error.strerror}.") from error
    finally:
        os.close(descriptor)
    if not text or len(text) > MAX_PASSWORD or any(sign in text for sign in "\0\n\ufffd"):
        raise StateError(f"{path} has no password in its one line.")
    return text
