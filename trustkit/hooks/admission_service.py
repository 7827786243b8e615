"""The admission webhook, wired: the gate, its cache, and TLS."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from trustkit.asgi.listen import Tls, bind, serve
from trustkit.client.enforce import Verdict
from trustkit.config import FIRST_USE, home_folder, policy_file, switched_on
from trustkit.core.names import Host
from trustkit.core.policy import Mode, Policy
from trustkit.core.ports.remote import PinStore
from trustkit.errors import InvalidSetting, TrustkitError
from trustkit.home import Home
from trustkit.home.policy import read_policy
from trustkit.hooks.admission_app import SECONDS, AdmissionApplication
from trustkit.hooks.admission_metrics import AdmissionMetrics
from trustkit.hooks.cache import MAX_AGE, SIZE, VerdictCache
from trustkit.hooks.gate import open_gate

log = logging.getLogger("trustkit.admission")

REQUEST_SECONDS = SECONDS - 1
"""How long a request to a trust service may take, so that its failure is told and not just that time is up."""
KEEP_ALIVE = 120
"""Seconds.  Longer than the 90 for which an API server keeps a connection: a review isn't sent twice, so one that
meets a connection which is just being closed would be lost, and what it is about denied."""

SWITCH = 0.00005
"""Seconds for which a thread that verifies may keep Python to itself while reviews wait; 0.005 otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSettings:
    """The options of ``trustkit admission serve``.

    Attributes:
        home: TRUSTKIT_HOME, before the environment's.
        policy: the policy file, before the environment's and the home's.
    """

    listen: Host
    tls: Tls
    home: str | None = None
    policy: str | None = None
    exempt: frozenset[str] = frozenset()
    detect: bool = False

    def check(self) -> None:
        """Raises InvalidSetting: files that can't serve TLS, or an empty namespace."""
        self.tls.check()
        if "" in self.exempt:
            raise InvalidSetting("An exempt namespace is empty.", hint="Name it, or leave the option out.")


class AdmissionService:
    """One running webhook.

    Args:
        ready: called with its URL once it accepts connections.
    """

    def __init__(
        self, settings: AdmissionSettings, environ: Mapping[str, str], *, ready: Callable[[str], None]
    ) -> None:
        self._settings, self._environ, self._ready = settings, environ, ready

    async def run(self) -> None:
        """Serves until told to stop.

        Raises:
            InvalidSetting: a policy that is none, or another setting.
            StateError: it can't start.
        """
        settings = self._settings
        sys.setswitchinterval(SWITCH)
        enforce = open_gate(
            self._environ,
            home=settings.home,
            policy=settings.policy,
            warn=lambda words: log.warning("%s", words),
            seconds=REQUEST_SECONDS,
        )
        cache: VerdictCache[Verdict] = VerdictCache(
            enforce, clock=_clock, max_age=MAX_AGE, size=SIZE, together=enforce.together
        )
        app = AdmissionApplication(
            cache.future,
            AdmissionMetrics(lambda: (cache.hits, cache.misses)),
            exempt=settings.exempt,
            detect=settings.detect,
            troubles=self._troubles(),
        )
        sock = bind(settings.listen)
        try:
            url = f"https://{Host(settings.listen.name, int(sock.getsockname()[1]))}"
            await serve(
                app, sock, tls=settings.tls, ready=lambda: self._ready(url), keep_alive=KEEP_ALIVE, follow=True
            )
        finally:
            sock.close()

    def _troubles(self) -> Callable[[], Iterator[str]]:
        home = Home(home_folder(self._settings.home, self._environ).value)
        path = policy_file(self._settings.policy, self._environ, home.path).value
        policy = None if path is None else read_policy(path)
        first_use = switched_on(FIRST_USE, self._environ).value
        return lambda: iter(()) if first_use else troubles(policy, home.pins)


def troubles(policy: Policy | None, pins: PinStore) -> Iterator[str]:
    """Why nothing could be allowed, in a sentence each: no rule, or a rule for whose roots nobody vouches.

    Args:
        policy: None where the pins alone decide.
    """
    try:
        pinned = bool(pins.list())
    except TrustkitError as error:
        yield error.message
        return
    if policy is None and not pinned:
        yield "There is no policy and no pin, so every image is refused."
    if policy is None:
        return
    if not policy.rules:
        yield f"{policy.origin} has no rule, so every image is refused."
    for rule in policy.rules:
        if rule.mode is Mode.TRUST_ONLY and not pinned and not rule.root_keys and rule.root is None:
            yield f"The rule {rule.name} of {policy.origin} has no root_keys and no root, and there is no pin."


def _clock() -> datetime:
    return datetime.now(UTC)
