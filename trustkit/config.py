"""Settings from flags, environment and files; each value knows where it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Generic, TypeVar

from trustkit.core.growth import Growth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Host
from trustkit.core.records import dataclass
from trustkit.errors import InvalidName, InvalidSetting
from trustkit.home.files import user_path

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value with its origin, such as ``--home`` or ``TRUSTKIT_HOME``."""

    value: T
    origin: str


def home_folder(flag: str | None, environ: Mapping[str, str]) -> Setting[Path]:
    """TRUSTKIT_HOME: the flag, the environment variable, or the user's data folder.

    Raises:
        InvalidSetting: an empty or relative-to-nowhere value.
    """
    for value, origin in ((flag, "--home"), (environ.get("TRUSTKIT_HOME"), "TRUSTKIT_HOME")):
        if value is not None:
            if not value.strip():
                raise InvalidSetting(f"{origin} is empty.", hint="Name a folder, or leave it out.")
            return Setting(user_path(value, origin), origin)
    import platformdirs  # here, because a start with TRUSTKIT_HOME needn't load it

    return Setting(Path(platformdirs.user_data_dir("trustkit", appauthor=False)), "default")


FIRST_USE = "TRUSTKIT_UNSAFE_TRUST_ON_FIRST_USE"
_POLICY = "TRUSTKIT_POLICY"


def policy_file(flag: str | None, environ: Mapping[str, str], home: Path) -> Setting[Path | None]:
    """The policy file: the flag, TRUSTKIT_POLICY, or ``policy.toml`` of the home folder; None where none is named.

    Raises:
        InvalidSetting: an empty value, or demands in the home that an older version wrote.
    """
    for value, origin in ((flag, "--policy"), (environ.get(_POLICY), _POLICY)):
        if value is not None:
            if not value.strip():
                raise InvalidSetting(f"{origin} is empty.", hint="Name a file, or leave it out.")
            return Setting(user_path(value, origin), origin)
    own, older = home / "policy.toml", home / "policy.json"
    if own.exists() or own.is_symlink():
        return Setting(own, "TRUSTKIT_HOME")
    if older.exists():
        raise InvalidSetting(
            f"{older} isn't read any more.", hint=f"Write its demands as rules in {own}, then remove it."
        )
    return Setting(None, "default")


_VERIFIERD = "TRUSTKIT_VERIFIERD_SOCKET"


def verifierd_socket(flag: str | None, environ: Mapping[str, str], home: Path) -> Setting[Path]:
    """Where the verifiers' helper listens: the flag, the environment, or ``verifierd.sock`` of the home folder.

    Raises:
        InvalidSetting: no absolute path.
    """
    for value, origin in ((flag, "--socket"), (environ.get(_VERIFIERD), _VERIFIERD)):
        if value is not None:
            if not Path(value).is_absolute() or "\0" in value:
                raise InvalidSetting(f"{origin} is {value[:100]!r}.", hint="Write an absolute path.")
            return Setting(Path(value), origin)
    return Setting(home / "verifierd.sock", "default")


def token_hosts(environ: Mapping[str, str]) -> Setting[frozenset[Host]]:
    """TRUSTKIT_TOKEN_HOSTS: hosts, comma-separated, besides the registry that may be asked for tokens (TRUST 8.3).

    Raises:
        InvalidSetting: not a list of hosts.
    """
    name = "TRUSTKIT_TOKEN_HOSTS"
    text = environ.get(name, "")
    try:
        hosts = frozenset(Host.parse(part.strip()) for part in text.split(",") if part.strip())
    except InvalidName as error:
        raise InvalidSetting(f"{name}: {error.message}", hint=error.hint) from error
    return Setting(hosts, name if text else "default")


_TRUST_SERVERS = "TRUSTKIT_TRUST_SERVERS"
_DOCKER_TRUST_SERVER = "DOCKER_CONTENT_TRUST_SERVER"
_SERVER = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@]+)(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?\Z")


@dataclass(frozen=True, slots=True)
class TrustServers:
    """Where the Notary APIs of registry hosts are: URLs by host, and one for all others where there is one."""

    by_host: Mapping[Host, str]
    others: str | None = None

    def url(self, host: Host) -> str | None:
        """The URL for a host, with no slash at its end; None where the host itself has the API."""
        return self.by_host.get(host, self.others)


def trust_servers(environ: Mapping[str, str]) -> Setting[TrustServers]:
    """TRUSTKIT_TRUST_SERVERS: ``HOST=URL``, comma-separated; for all other hosts DOCKER_CONTENT_TRUST_SERVER.

    Of collections in format ``docker`` only.  Each URL is https, or http on loopback (TRUST 8.3).

    Raises:
        InvalidSetting: not a list of hosts with such URLs.
    """
    by_host: dict[Host, str] = {}
    text = environ.get(_TRUST_SERVERS, "")
    for part in (part.strip() for part in text.split(",") if part.strip()):
        name, _, url = part.partition("=")
        try:
            host = Host.parse(name)
        except InvalidName as error:
            raise InvalidSetting(f"{_TRUST_SERVERS}: {error.message}", hint="Write HOST=https://SERVER.") from error
        if host in by_host:
            raise InvalidSetting(f"{_TRUST_SERVERS} names {host} twice.")
        by_host[host] = trust_server_url(_TRUST_SERVERS, url)
    others = environ.get(_DOCKER_TRUST_SERVER, "").strip()
    found = TrustServers(by_host, trust_server_url(_DOCKER_TRUST_SERVER, others) if others else None)
    origin = ", ".join(name for name, value in ((_TRUST_SERVERS, text), (_DOCKER_TRUST_SERVER, others)) if value)
    return Setting(found, origin or "default")


def trust_server_url(name: str, text: str) -> str:
    """Raises InvalidSetting for what is no URL of a trust server."""
    found = _SERVER.match(text)
    try:
        host = Host.parse(found["host"]) if found else None
    except InvalidName:
        host = None
    if found is None or host is None or (found["scheme"] == "http" and not host.loopback):
        raise InvalidSetting(
            f"{name} names {text[:100]!r}, which is no trust server's URL.",
            hint="Write https://HOST[:PORT][/PATH]; http is for this machine only.",
        )
    return text.rstrip("/")


_LIFE_VARIABLES = {
    "root": "TRUSTKIT_ROOT_DAYS",
    "targets": "TRUSTKIT_TARGETS_DAYS",
    "snapshot": "TRUSTKIT_SNAPSHOT_DAYS",
    "timestamp": "TRUSTKIT_TIMESTAMP_DAYS",
}


def lifetimes(environ: Mapping[str, str]) -> Setting[Lifetimes]:
    """How many days each role's metadata lives: root and targets where they are signed, the others at the service.

    Raises:
        InvalidSetting: no whole number of days, or more than the role's bound.
    """
    standard = Lifetimes()
    days = {}
    for role, name in _LIFE_VARIABLES.items():
        text, most = environ.get(name, "").strip(), standard.longest[role].days
        if not text:
            continue
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
            raise InvalidSetting(f"{name} is {text[:20]!r}.", hint=f"Write a number of days from 1 to {most}.")
        days[role] = timedelta(days=int(text))
    origin = ", ".join(_LIFE_VARIABLES[role] for role in days) or "default"
    return Setting(replace(standard, default={**standard.default, **days}), origin)


_BINS_ABOVE = "TRUSTKIT_BINS_ABOVE"


def growth(environ: Mapping[str, str]) -> Setting[Growth]:
    """With how many tags in one file a collection turns into hash bins when the next one is signed; 0 for never.

    Raises:
        InvalidSetting: no whole number up to 20,000: more tags than that don't fit one file.
    """
    text = environ.get(_BINS_ABOVE, "").strip()
    if not text:
        return Setting(Growth(), "default")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= 20_000):
        raise InvalidSetting(
            f"{_BINS_ABOVE} is {text[:20]!r}.", hint="Write a number of tags up to 20000; 0 for never."
        )
    return Setting(Growth(above=int(text)), _BINS_ABOVE)


_ONLINE_KEY_DAYS = "TRUSTKIT_ONLINE_KEY_DAYS"


def online_key_age(environ: Mapping[str, str]) -> Setting[timedelta | None]:
    """After how many days in use the service makes new online keys for the next root to name; None: it never does.

    Raises:
        InvalidSetting: no whole number of days from 1 to 3,650.
    """
    text = environ.get(_ONLINE_KEY_DAYS, "").strip()
    if not text:
        return Setting(None, "default")
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= 3650):
        raise InvalidSetting(f"{_ONLINE_KEY_DAYS} is {text[:20]!r}.", hint="Write a number of days from 1 to 3650.")
    return Setting(timedelta(days=int(text)), _ONLINE_KEY_DAYS)


KEK_URI = "TRUSTKIT_KEK_URI"
_ONLINE_KEY_URI = "TRUSTKIT_ONLINE_KEY_URI"


def online_key_uri(flag: str | None, environ: Mapping[str, str]) -> Setting[str]:
    """The URI of the token on which online keys are made; empty where they lie sealed in the database.

    Raises:
        InvalidSetting: an empty option.
    """
    if flag is not None:
        if not flag.strip():
            raise InvalidSetting("--online-key-uri is empty.", hint="Name a token, or leave it out.")
        return Setting(flag, "--online-key-uri")
    text = environ.get(_ONLINE_KEY_URI, "").strip()
    return Setting(text, _ONLINE_KEY_URI if text else "default")


def kek_uri(flag: str | None, environ: Mapping[str, str], *, file: Path | None) -> Setting[str]:
    """The URI of what wraps the key-encryption key; empty where it lies in a plain file.

    Args:
        file: the plain file, where an option names one; it counts before the environment.

    Raises:
        InvalidSetting: an empty option, or both options.
    """
    if flag is not None:
        if file is not None:
            raise InvalidSetting("--kek-uri and --kek-file exclude each other.", hint="Give the one that is used.")
        if not flag.strip():
            raise InvalidSetting("--kek-uri is empty.", hint="Name a key, or leave it out.")
        return Setting(flag, "--kek-uri")
    text = environ.get(KEK_URI, "").strip()
    return Setting(text, KEK_URI) if text and file is None else Setting("", "default")


DATABASE, DATABASE_PASSWORD_FILE = "TRUSTKIT_DATABASE", "TRUSTKIT_DATABASE_PASSWORD_FILE"


def database(flag: str | None, environ: Mapping[str, str]) -> Setting[str]:
    """The URL of the service's database; empty where the data folder says which.

    Raises:
        InvalidSetting: an empty option.
    """
    if flag is not None:
        if not flag.strip():
            raise InvalidSetting("--database is empty.", hint="Name a database, or leave it out.")
        return Setting(flag, "--database")
    text = environ.get(DATABASE, "").strip()
    return Setting(text, DATABASE if text else "default")


_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "": False,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def switched_on(name: str, environ: Mapping[str, str]) -> Setting[bool]:
    """A switch in the environment, off where it isn't set; raises InvalidSetting for a word that is neither."""
    text = environ.get(name, "").strip().lower()
    if text not in _WORDS:
        raise InvalidSetting(f"{name} is {text[:20]!r}.", hint="Write 1 or 0.")
    return Setting(_WORDS[text], name if name in environ else "default")
