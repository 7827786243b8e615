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

from trustkit.config import FIRST_USE, home_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from trustkit.client.enforce import Enforce
    from trustkit.client.formats import FormatLooking, FormatSource
    from trustkit.client.trust import Trust
    from trustkit.client.verify import Trusted
    from trustkit.core.difference import Difference
    from trustkit.core.names import Gun, Host, ImageRef
    from trustkit.core.policy import Demand, Policy
    from trustkit.core.ports.keys import KeyInfo
    from trustkit.core.readings import Readings
    from trustkit.home import Home
    from trustkit.home.policy import PolicyPins
    from trustkit.keys.passphrase import PassphraseSource
    from trustkit.keys.store import FileKeyStore
    from trustkit.remote.clocks import Clocks
    from trustkit.remote.dockerconfig import DockerConfig
    from trustkit.remote.http import HttpClient
    from trustkit.remote.notary_source import NotarySource
    from trustkit.remote.proposals import HttpProposals
    from trustkit.remote.registry import HttpImageRegistry
    from trustkit.remote.sessions import Sessions
    from trustkit.remote.trust import HttpTrustService
    from trustkit.remote.updater import Fetch


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

    def key_store(
        self,
        passphrase_file: Path | None = None,
        passphrase_fd: int | None = None,
        *,
        passphrases: PassphraseSource | None = None,
    ) -> FileKeyStore:
        """The keys under the home folder, with passphrases from the stated sources in their order, or this one."""
        from trustkit.keys.remote import RemoteKeys
        from trustkit.keys.store import FileKeyStore

        source = passphrases or self.passphrases(passphrase_file, passphrase_fd)
        remote = RemoteKeys(self.environ, source)
        return FileKeyStore(self.home.keys, source, on_use=self.remind_of_backup, remote=remote)

    def passphrases(self, file: Path | None = None, descriptor: int | None = None) -> PassphraseSource:
        """Passphrases from the stated sources in their order."""
        from trustkit.keys.passphrase import PassphraseSource

        return PassphraseSource(environ=self.environ, file=file, descriptor=descriptor, interactive=self.interactive)

    def remind_of_backup(self, info: KeyInfo) -> None:
        """Says of a root or repository key that no backup is known of, each time that it is made or signs."""
        from trustkit.cli.output import note
        from trustkit.core.ports.keys import KeyRole
        from trustkit.keys.subjects import KeySubject

        if info.role in (KeyRole.ROOT, KeyRole.REPOSITORY) and info.id not in self.home.backups.times():
            words = str(KeySubject.of(info))
            note(f"{words[0].upper()}{words[1:]} is in no backup yet: trustkit key backup --to FILE")

    def docker_config(self) -> DockerConfig:
        """Docker's configuration folder, where login keeps what it gets."""
        from trustkit.remote.dockerconfig import DockerConfig
        from trustkit.remote.tls import docker_folder

        return DockerConfig.load(docker_folder(self.environ))

    def http(self, host: Host) -> HttpClient:
        """A client for one registry host."""
        from trustkit.remote.http import HttpClient

        return HttpClient(host, environ=self.environ)

    @cached_property
    def sessions(self) -> Sessions:
        """One authenticated session a host."""
        from trustkit.config import token_hosts
        from trustkit.remote.sessions import Sessions

        return Sessions(
            self.http,
            self.docker_config,
            self.home.tokens,
            token_hosts=token_hosts(self.environ).value,
            heard=self.clocks.hear,
        )

    @cached_property
    def clocks(self) -> Clocks:
        """What the hosts that were asked say the time is."""
        from trustkit.remote.clocks import Clocks

        return Clocks(self.now)

    @cached_property
    def service(self) -> HttpTrustService:
        """The trust service of whatever host a GUN names."""
        from trustkit.remote.trust import HttpTrustService

        return HttpTrustService(self.sessions)

    @cached_property
    def proposals(self) -> HttpProposals:
        """The proposals of whatever host a GUN names."""
        from trustkit.remote.proposals import HttpProposals

        return HttpProposals(self.sessions)

    @cached_property
    def registry(self) -> HttpImageRegistry:
        """The registry of whatever host a GUN names."""
        from trustkit.remote.registry import HttpImageRegistry

        return HttpImageRegistry(self.sessions)

    @cached_property
    def readings(self) -> Readings:
        """The files that this command has read."""
        from trustkit.core.readings import Readings

        return Readings()

    @cached_property
    def source(self) -> FormatSource:
        """Collections, verified into the home folder."""
        from trustkit.client.formats import FormatSource
        from trustkit.remote.source import UpdaterSource

        metadata = self.home.metadata
        tuf = UpdaterSource(
            fetcher=self._fetcher,
            folder=metadata.locked,
            seen=metadata.seen,
            reader=self.readings,
            kept_roots=metadata.tuf_roots,
        )
        return FormatSource(tuf, lambda: self.notary_source)

    @cached_property
    def notary_source(self) -> NotarySource:
        """Collections in format ``docker``, verified into the home folder."""
        from trustkit.hooks.gate import notary_source

        return notary_source(self.sessions, self.home, self.environ, run=self.readings)

    @cached_property
    def looking(self) -> FormatLooking:
        """Collections as they stand, verified in all but expiry, and kept nowhere."""
        from trustkit.client.formats import FormatLooking
        from trustkit.remote.scratch import ScratchSource

        metadata = self.home.metadata
        tuf = ScratchSource(fetcher=self._fetcher, folder=metadata.locked, seen=metadata.seen, reader=self.readings)
        return FormatLooking(tuf, lambda: self.notary_source)

    def _fetcher(self, gun: Gun) -> Fetch:
        return self.service.fetcher(gun)

    def trust(
        self,
        own_root_keys: Callable[[], list[str]] = list,
        looking: FormatLooking | None = None,
        *,
        only: str | None = "tuf",
        follows: bool = True,
    ) -> Trust:
        """Pins and verified state, with a person to ask where there is one.

        Args:
            looking: for who renews or tells of what has expired (``self.looking``).
            only: the format of the collections that the caller can do; None for all.
            follows: whether a pin in format ``docker`` goes where a conversion leads.
        """
        from trustkit.cli.output import note
        from trustkit.client.leading import following
        from trustkit.client.trust import Trust
        from trustkit.config import switched_on

        return Trust(
            self.home.pins,
            self.source,
            ask=self.ask if self.interactive else None,
            warn=note,
            unsafe_trust_on_first_use=switched_on(FIRST_USE, self.environ).value,
            own_root_keys=own_root_keys,
            looking=looking,
            offset=lambda gun: self.clocks.offset(gun.host),
            reader=self.readings,
            only=only,
            follow=following(self.source) if follows else None,
        )

    @staticmethod
    def ask(question: str) -> bool:
        """A yes-or-no question on the terminal; no is the default."""
        import click

        return click.confirm(question, default=False, err=True)

    def agreeing(self, *, yes: bool) -> Callable[[Difference], None]:
        """Shows what a change changes, and asks before tags lose trust: yes has to be said or given (``--yes``).

        Raises:
            UsageError: tags would lose trust, and nobody is there to agree to it.
        """
        from trustkit.cli.agree import agree

        def ask(difference: Difference) -> None:
            agree(difference, yes=yes, ask=self.ask if self.interactive else None)

        return ask

    @cached_property
    def policy(self) -> Policy | None:
        """This machine's policy; None where it has none, so that the pins alone decide."""
        from trustkit.config import policy_file
        from trustkit.home.policy import read_policy

        path = policy_file(None, self.environ, self.home.path).value
        return None if path is None else read_policy(path)

    @property
    def pins(self) -> PolicyPins:
        """The pins of consumers: the policy's, then the home's."""
        from trustkit.home.policy import PolicyPins

        return PolicyPins(self.home.pins, self.policy)

    def demand(self, gun: Gun) -> Demand | None:
        """The signers whom the policy demands for a GUN."""
        return None if self.policy is None else self.policy.rule(gun).demand

    def verify(self) -> Callable[[ImageRef], Trusted]:
        """What is signed, under this machine's policy; what that takes unsigned, this refuses."""
        return self.enforce().trusted

    def enforce(self, policy: str | None = None) -> Enforce:
        """The enforce use case: under a policy file, or else this machine's, or else the home's pins alone."""
        from trustkit.cli.output import note
        from trustkit.hooks.gate import enforcing

        return enforcing(
            self.home,
            self.source,
            self.environ,
            policy=policy,
            warn=note,
            offset=lambda gun: self.clocks.offset(gun.host),
            ask=self.ask if self.interactive else None,
            clock=self.now,
            superseded=False,
            run=self.readings,
        )
