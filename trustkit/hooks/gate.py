"""What the doors ask: the policy, the pins and the client, wired for who has no terminal.

One of the three places where adapters are wired to use cases; nothing heavy is loaded before something is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trustkit.client.enforce import Enforce
    from trustkit.client.formats import FormatSource, KeepingSource
    from trustkit.client.once import OnceSource
    from trustkit.client.staleness import StaleSource
    from trustkit.core.names import Gun
    from trustkit.core.policy import Demand, Policy
    from trustkit.core.ports.remote import MetadataSource
    from trustkit.core.readings import Reader, Readings
    from trustkit.home import Home
    from trustkit.remote.notary_source import NotarySource
    from trustkit.remote.sessions import Sessions


def open_gate(
    environ: Mapping[str, str],
    *,
    home: str | None = None,
    policy: str | None = None,
    warn: Callable[[str], None] | None = None,
    seconds: float | None = None,
) -> Enforce:
    """The enforce use case for a hook, ready to be asked, also from several threads; it asks nobody.

    Args:
        environ: where TRUSTKIT_HOME, TRUSTKIT_POLICY, Docker's configuration and certificates are looked for.
        home: TRUSTKIT_HOME, before the environment.
        policy: the policy file, before the environment and the home's own.
        warn: says one line; to stderr where None.
        seconds: how long a request to a service may take; the client's usual limits where None.

    Raises:
        InvalidSetting: a policy that can't be read or is none, or another setting.
        StateError: a home that can't be used.
    """
    from trustkit.client.formats import FormatSource
    from trustkit.config import home_folder, token_hosts
    from trustkit.core.names import Host
    from trustkit.home import Home
    from trustkit.remote.clocks import Clocks
    from trustkit.remote.dockerconfig import DockerConfig
    from trustkit.remote.http import HttpClient, Limits
    from trustkit.remote.sessions import Sessions
    from trustkit.remote.source import UpdaterSource
    from trustkit.remote.tls import docker_folder
    from trustkit.remote.trust import HttpTrustService

    folder = Home(home_folder(home, environ).value)
    limits = None if seconds is None else Limits(total=seconds, connect=min(seconds, 10.0))

    def client(host: Host) -> HttpClient:
        return HttpClient(host, environ=environ, limits=limits)

    clocks = Clocks(now)
    sessions = Sessions(
        client,
        lambda: DockerConfig.load(docker_folder(environ)),
        folder.tokens,
        token_hosts=token_hosts(environ).value,
        heard=clocks.hear,
    )
    metadata = folder.metadata
    source = UpdaterSource(
        fetcher=HttpTrustService(sessions).fetcher,
        folder=metadata.locked,
        seen=metadata.seen,
        kept_roots=metadata.tuf_roots,
    )
    return enforcing(
        folder,
        FormatSource(source, lambda: notary_source(sessions, folder, environ)),
        environ,
        policy=policy,
        warn=warn or _to_stderr,
        offset=lambda gun: clocks.offset(gun.host),
    )


def notary_source(
    sessions: Sessions, home: Home, environ: Mapping[str, str], *, run: Readings | None = None
) -> NotarySource:
    """Collections in format ``docker``, verified into the home folder; raises InvalidSetting.

    Args:
        run: what one run of a command reads files with.
    """
    from trustkit.config import trust_servers
    from trustkit.core.formats.docker.files import read
    from trustkit.core.readings import Readings
    from trustkit.remote.notary import HttpNotary, TrustServer
    from trustkit.remote.notary_source import NotarySource

    servers, metadata = trust_servers(environ).value, home.metadata
    return NotarySource(
        fetcher=HttpNotary(sessions, lambda host: TrustServer.of(host, servers.url(host))).fetcher,
        folder=metadata.locked,
        seen=metadata.seen,
        seen_as_tuf=metadata.seen_as_tuf,
        now=now,
        reader=lambda: Readings(read) if run is None else run.docker,
    )


def enforcing(
    home: Home,
    source: FormatSource,
    environ: Mapping[str, str],
    *,
    policy: str | None,
    warn: Callable[[str], None],
    offset: Callable[[Gun], timedelta | None],
    ask: Callable[[str], bool] | None = None,
    clock: Callable[[], datetime] | None = None,
    superseded: bool = True,
    run: Reader | None = None,
) -> Enforce:
    """The enforce use case over a client that is there.

    Args:
        ask: asks a person who is there; None where nobody is.
        clock: gives the moment of a decision; this machine's clock where None.
        offset: how far the clock of a GUN's host is ahead of this machine's, where that is known.
        superseded: whether what a tag was before counts by digest, until its publisher's date.
        run: what one run of a command reads files with; each collection is refreshed once in it.  None for what goes
            on, and asks anew for each decision.

    Raises:
        As ``open_gate``.
    """
    from trustkit.client.enforce import Enforce
    from trustkit.client.leading import following
    from trustkit.client.trust import Trust
    from trustkit.client.verify import Verify
    from trustkit.config import FIRST_USE, policy_file, switched_on
    from trustkit.core.formats.tuf1 import read
    from trustkit.core.readings import Readings
    from trustkit.home.policy import PolicyPins, read_policy

    path = policy_file(policy, environ, home.path).value
    rules = None if path is None else read_policy(path)
    asked: MetadataSource = source if rules is None else _tolerant(source, rules, warn)

    def demand(gun: Gun) -> Demand | None:
        return None if rules is None else rules.rule(gun).demand

    def wired(run: Reader | None) -> Enforce:
        trust = Trust(
            PolicyPins(home.pins, rules),
            asked if run is None else _once(asked, run),
            ask=ask,
            warn=warn,
            unsafe_trust_on_first_use=switched_on(FIRST_USE, environ).value,
            offset=offset,
            reader=read if run is None else run,
            follow=following(source),
        )
        verify = Verify(trust, clock=clock or now, demand=demand)
        return Enforce(verify, rules, superseded=superseded, together=lambda: wired(Readings()))

    return wired(run)


def _tolerant(source: KeepingSource, policy: Policy, warn: Callable[[str], None]) -> StaleSource:
    from trustkit.client.staleness import StaleSource

    return StaleSource(source, source, allowed=lambda gun: policy.rule(gun).max_staleness, warn=warn)


def _once(source: MetadataSource, reader: Reader) -> OnceSource:
    from trustkit.client.once import OnceSource

    return OnceSource(source, reader=reader)


def now() -> datetime:
    """The moment of a decision."""
    return datetime.now(UTC)


def _to_stderr(words: str) -> None:
    print(words, file=sys.stderr)  # noqa: T201 - who has no other place for it
