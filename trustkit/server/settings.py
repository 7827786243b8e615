"""What a service is started with, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from trustkit.asgi.activation import BLOBS, Inherited
from trustkit.asgi.forwarded import Proxies
from trustkit.asgi.listen import Tls
from trustkit.asgi.supervisor import Supervisor
from trustkit.authority import reads, views
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Host
from trustkit.core.ports.forging import KeyForge
from trustkit.core.ports.places import KeyPlaces
from trustkit.errors import InvalidName, InvalidSetting
from trustkit.server.database import DatabaseSource
from trustkit.server.kek import KekSource
from trustkit.server.signer_client import SignerAddress

LOOPBACK_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Upstream:
    """The registry behind the service.

    Attributes:
        url: http or https, without path.
        username, password: Basic credentials of the service towards it; None for none.
        service: the audience of tokens that the service issues to itself; None where it takes none of ours.
    """

    url: str
    username: str | None = None
    password: str | None = None
    service: str | None = None

    def __repr__(self) -> str:
        return f"Upstream({self.url!r})"

    @property
    def host(self) -> Host:
        """Name and port."""
        return Host.parse(urlsplit(self.url).netloc)

    @classmethod
    def of(
        cls, url: str | None, username: str | None, password_file: Path | None, service: str | None
    ) -> Self | None:
        """Reads the flags; None without a URL.

        Raises:
            InvalidSetting: no http or https URL, a path in it, credentials in it, half a login.
        """
        if url is None:
            if username or password_file or service:
                raise InvalidSetting("--upstream-... options need --upstream.")
            return None
        parts = urlsplit(url)
        try:
            Host.parse(parts.netloc)
        except InvalidName as error:
            raise InvalidSetting(f"--upstream: {error.message}", hint="Write http(s)://HOST[:PORT].") from error
        if parts.scheme not in ("http", "https") or parts.path not in ("", "/") or parts.query:
            raise InvalidSetting(f"--upstream {url[:100]!r} is not http(s)://HOST[:PORT].")
        if (username is None) != (password_file is None):
            raise InvalidSetting("--upstream-username and --upstream-password-file go together.")
        password = password_file.read_text().removesuffix("\n") if password_file else None
        return cls(f"{parts.scheme}://{parts.netloc}", username, password, service)


def tls_of(certificate: Path | None, key: Path | None) -> Tls | None:
    """Reads --tls-cert and --tls-key; raises InvalidSetting for one alone, or two that don't fit."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidSetting("--tls-cert and --tls-key go together.")
    tls = Tls(certificate, key)
    tls.check()
    return tls


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """The flags of ``trustkit serve``, and what a supervisor has passed."""

    data_dir: Path
    listen: Host
    public_names: tuple[Host, ...] = ()
    upstream: Upstream | None = None
    token_services: tuple[str, ...] = ()
    tls: Tls | None = None
    trust_only: bool = False
    database: DatabaseSource = field(default_factory=DatabaseSource)
    kek: KekSource = field(default_factory=KekSource)
    signer: SignerAddress | None = None
    forge: KeyForge | None = None
    places: KeyPlaces | None = None
    behind_tls_proxy: bool = False
    access_log: bool = False
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    online_key_age: timedelta | None = None
    metrics: Host | None = None
    read_cache: int = reads.LIMIT
    view_cache: int = views.LIMIT
    blob_socket: Path | None = None
    proxies: Proxies = field(default_factory=Proxies)
    inherited: Inherited = field(default_factory=Inherited)
    supervisor: Supervisor = field(default_factory=Supervisor)
    unsafe_plain_http: bool = False
    unsafe_open_metrics: bool = False

    def check(self) -> None:
        """Raises InvalidSetting for what must not be served (TRUST 7.5, 8.3)."""
        self._check_proxy()
        if not self.listen.loopback and self.tls is None and not self.unsafe_plain_http:
            raise InvalidSetting(
                f"{self.listen} is not loopback, and there is no TLS: passwords and tokens would go in the clear.",
                hint="Give --tls-cert and --tls-key, or listen on loopback behind a proxy with TLS.",
            )
        if self.metrics and not self.metrics.loopback and not self.unsafe_open_metrics:
            raise InvalidSetting(
                f"{self.metrics} is not loopback: whoever reaches it could read the metrics, and on the way, too.",
                hint="Give --metrics an address on loopback, and let a proxy or an agent there ask for them.",
            )
        if self.signer and self.forge:
            raise InvalidSetting(
                "--signer and --online-key-uri exclude each other: new online keys are made at one place.",
                hint="Give --online-key-uri to trustkit serve-signer.",
            )
        upstream = self.upstream
        if upstream and upstream.service and upstream.service in self.token_services:
            raise InvalidSetting(
                f"Clients would get tokens for {upstream.service}, which the upstream takes: they could walk round.",
                hint="Give the upstream a service name of its own.",
            )

    def _check_proxy(self) -> None:
        if self.inherited.unix and not self.public_names:
            raise InvalidSetting(
                "The socket that was passed has no address that clients could know.", hint="Give --public-name."
            )
        if (self.blob_socket or BLOBS in self.inherited.others) and self.upstream is None:
            raise InvalidSetting(
                "--blob-socket is for what is behind a proxy beside this service: an upstream.",
                hint="Give --upstream, or leave it: blobs that are kept here are served from here.",
            )

    def names(self, port: int) -> tuple[Host, ...]:
        """The public names with the port that was bound; the first is canonical (TRUST 1.1)."""
        if self.public_names:
            return self.public_names
        listen = Host(self.listen.name, port)
        if not self.listen.loopback:
            return (listen,)
        return tuple(dict.fromkeys([listen, *(Host(name, port) for name in LOOPBACK_NAMES)]))

    @property
    def scheme(self) -> str:
        """The scheme that clients see."""
        return "https" if self.tls or self.behind_tls_proxy else "http"
