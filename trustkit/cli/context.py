"""What a command gets: the home folder, the environment, and adapters made when first asked for.

One of the three places where adapters are wired to use cases; nothing is created before a command needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trustkit.config import home_folder

if TYPE_CHECKING:
    from trustkit.core.names import Host
    from trustkit.home import Home
    from trustkit.keys.store import FileKeyStore
    from trustkit.remote.dockerconfig import DockerConfig
    from trustkit.remote.http import HttpClient


class Context:
    """The wiring of one run of the command line."""

    def __init__(self, *, home_flag: str | None, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self._home_flag = home_flag

    def __repr__(self) -> str:
        return f"Context(home={self._home_flag!r})"

    @staticmethod
    def now() -> datetime:
        """The moment of a decision; a command asks once and passes it on."""
        return datetime.now(UTC)

    @property
    def interactive(self) -> bool:
        """Whether there is somebody to ask."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    @cached_property
    def home(self) -> Home:
        """TRUSTKIT_HOME, its folders made 0700."""
        from trustkit.home import Home

        return Home(home_folder(self._home_flag, self.environ).value)

    def key_store(self, passphrase_file: Path | None = None, passphrase_fd: int | None = None) -> FileKeyStore:
        """The keys under the home folder, with passphrases from the stated sources in their order."""
        from trustkit.keys.passphrase import PassphraseSource
        from trustkit.keys.store import FileKeyStore

        source = PassphraseSource(
            environ=self.environ, file=passphrase_file, descriptor=passphrase_fd, interactive=self.interactive
        )
        return FileKeyStore(self.home.keys, source)

    def docker_config(self) -> DockerConfig:
        """Docker's configuration folder, where login keeps what it gets."""
        from trustkit.remote.dockerconfig import DockerConfig

        folder = self.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
        return DockerConfig.load(Path(folder))

    def http(self, host: Host) -> HttpClient:
        """A client for one registry host."""
        from trustkit.remote.http import HttpClient

        return HttpClient(host, environ=self.environ)
