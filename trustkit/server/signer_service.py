"""The separate signer, wired: its ledger, its keys, its judge, and mutual TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from trustkit.asgi.listen import Tls, bind, serve
from trustkit.authority.sealedkeys import SealedKeys
from trustkit.authority.signing import Signing
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Host
from trustkit.core.ports.forging import KeyForge
from trustkit.core.ports.places import KeyPlaces
from trustkit.errors import InvalidSetting, StateError
from trustkit.server.kek import KekSource, require_signers
from trustkit.server.signer_app import SignerApplication
from trustkit.store.ledger import SqliteLedger

DATABASE = "signer.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerSettings:
    """The options of ``trustkit serve-signer``.

    Attributes:
        clients: names that a client's certificate may have; empty for each one that the authority has signed.
        forge: the device on which new keys are made; in the signer's own database where None.
        places: reaches the devices that keys are on; there are none where None.
    """

    data_dir: Path
    listen: Host
    tls: Tls
    clients: frozenset[str] = frozenset()
    kek: KekSource = field(default_factory=KekSource)
    forge: KeyForge | None = None
    places: KeyPlaces | None = None
    lifetimes: Lifetimes = field(default_factory=Lifetimes)

    def check(self) -> None:
        """Raises InvalidSetting: files that can't serve mutual TLS."""
        if self.tls.client_ca is None:
            raise InvalidSetting("A signer needs --client-ca: it works for clients with a certificate only.")
        self.tls.check()


class SignerService:
    """One running signer.

    Args:
        ready: called with the signer's URL once it accepts connections.
    """

    def __init__(self, settings: SignerSettings, *, ready: Callable[[str], None]) -> None:
        self._settings = settings
        self._ready = ready

    async def run(self) -> None:
        """Serves until told to stop.

        Raises:
            StateError, KeyProblem: it can't start.
        """
        settings = self._settings
        sock = bind(settings.listen)
        try:
            ledger = SqliteLedger.open(settings.data_dir / DATABASE)
            try:
                sealer = settings.kek.of(settings.data_dir).sealer(create=ledger.empty())
                keys = SealedKeys(sealer, settings.forge, settings.places)
                require_signers(ledger, keys.signer)
                if settings.forge:
                    settings.forge.check()
                signing = Signing(ledger, keys, lifetimes=settings.lifetimes, clock=_clock)
                url = f"https://{Host(settings.listen.name, int(sock.getsockname()[1]))}"
                app = SignerApplication(signing, clients=settings.clients)
                await serve(app, sock, tls=settings.tls, ready=lambda: self._ready(url))
            finally:
                ledger.close()
        finally:
            sock.close()


@contextmanager
def ledger_of(data_dir: Path) -> Iterator[SqliteLedger]:
    """The database of a signer, which may be running; raises StateError where there is none."""
    database = data_dir / DATABASE
    if not database.exists():
        raise StateError(f"{data_dir} is no data folder of a signer.", hint="Give that of trustkit serve-signer.")
    ledger = SqliteLedger.open(database)
    try:
        yield ledger
    finally:
        ledger.close()


def _clock() -> datetime:
    return datetime.now(UTC)
