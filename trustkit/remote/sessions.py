"""One session a host, made when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from trustkit.core.names import Host
from trustkit.core.ports.tokens import TokenCache
from trustkit.remote.auth import Session
from trustkit.remote.dockerconfig import Credentials, DockerConfig
from trustkit.remote.http import HttpClient
from trustkit.remote.messages import Headers


class Sessions:
    """Sessions by host, as the adapters of trust services and registries want them.

    Args:
        connect: makes the client of a host.
        config: reads Docker's configuration; asked once, and only when a registry wants to know who is asking.
        tokens: where access tokens are kept between runs.
        token_hosts: hosts, other than the registry itself, that may be asked for tokens (TRUST 8.3).
        heard: is given the headers of each host's answers.
    """

    def __init__(
        self,
        connect: Callable[[Host], HttpClient],
        config: Callable[[], DockerConfig],
        tokens: TokenCache,
        *,
        token_hosts: frozenset[Host] = frozenset(),
        heard: Callable[[Host, Headers], None] = lambda _host, _headers: None,
    ) -> None:
        self._connect = connect
        self._config = config
        self._tokens = tokens
        self._token_hosts = token_hosts
        self._heard = heard
        self._lock = Lock()
        self._sessions: dict[Host, Session] = {}

    def __call__(self, host: Host) -> Session:
        """The session of a host."""
        with self._lock:
            if host not in self._sessions:
                self._sessions[host] = Session(
                    self._connect(host),
                    lambda: self._credentials(host),
                    tokens=self._tokens,
                    connect=self._connect,
                    token_hosts=self._token_hosts,
                    heard=lambda headers: self._heard(host, headers),
                )
            return self._sessions[host]

    def _credentials(self, host: Host) -> Credentials | None:
        return self._config().credentials(host)
