"""What another trust server has of a collection: believed from a pin or one's own key, as far as it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Metadata, Root

from trustkit.client.docker_signing import DockerSigning
from trustkit.core.formats.docker.evaluate import evaluate_but_expiry
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.history import MOST, check_line
from trustkit.core.formats.docker.keys import canonical_ids, key_of
from trustkit.core.formats.docker.pins import meets
from trustkit.core.formats.docker.rollback import check_not_older
from trustkit.core.formats.docker.roots import check_root, check_successor, check_threshold
from trustkit.core.names import Gun
from trustkit.core.ports.migrating import FormerServer
from trustkit.core.ports.remote import Pin, PinStore
from trustkit.core.rules import DOCKER
from trustkit.core.view import SignedView
from trustkit.errors import (
    Expired,
    Garbage,
    KeyUnsupported,
    NoCollection,
    NoPin,
    Rejected,
    WrongFormat,
    WrongRoot,
)

MOST_BYTES = 8_000_000
"""Of all roots of a collection together; one has 2 to 4 KB."""

NAMED, PINNED, OWN, AGREED = "named", "pinned", "own key", "agreed to"

Seen = Callable[[Gun, Pin], Iterable[Mapping[str, bytes]]]


@dataclass(frozen=True, slots=True)
class FormerState:
    """A collection as the server there has it, verified in all but expiry.

    Attributes:
        server: what that is called.
        roots: by version the current root and those before it that are to be had, in one line.
        pin: what its root keys were believed by.
        trusted: whose word its root keys are: ``named``, ``pinned``, ``own key`` or ``agreed to``.
        root_keys: the ids of the certificates in its current root.
    """

    gun: Gun
    server: str
    files: Mapping[str, bytes]
    roots: Mapping[int, bytes]
    view: SignedView
    pin: Pin
    trusted: str
    root_keys: tuple[str, ...]


class Former:
    """Reads collections from a former server.

    Args:
        seen: what else was verified before on this machine, each to be no newer than what is served.
        ask: asks a person who is there; None where nobody is.
    """

    def __init__(
        self,
        server: FormerServer,
        sign: DockerSigning,
        pins: PinStore,
        *,
        seen: Seen,
        clock: Callable[[], datetime],
        ask: Callable[[str], bool] | None,
    ) -> None:
        self._server = server
        self._sign = sign
        self._pins = pins
        self._seen = seen
        self._clock = clock
        self._ask = ask

    def state(self, gun: Gun, root_keys: Sequence[str] = ()) -> FormerState:
        """Its verified state.

        Args:
            root_keys: ids of root keys that somebody names; all of them have to have signed.

        Raises:
            NoCollection: there is none; NoPin: nothing says which root keys to accept.
            NotTrusted and its leaves, NotAllowed.
        """
        pin, trusted = self._pin(gun, root_keys)
        now = self._clock()
        files = self._files(gun, pin, now)
        roots = self._line(gun, files["root"])
        view = evaluate_but_expiry(files, gun, now, fresh=())
        return FormerState(gun, self._server.name, files, roots, view, pin, trusted, view.root_keys)

    def _files(self, gun: Gun, pin: Pin, now: datetime) -> Mapping[str, bytes]:
        """By the walk from the oldest root that meets the pin or, where roots are missing, from the current one."""
        try:
            return self._read(gun, pin, now)
        except Garbage:
            root = self._server.root(gun)
            if root is None or not meets(pin, gun, root, now=now):
                raise
            files = self._read(gun, Pin(str(gun), root=root, format=DOCKER), now)
            check_not_older(files, self._server.kept(gun, pin), gun)
            return files

    def _read(self, gun: Gun, pin: Pin, now: datetime) -> Mapping[str, bytes]:
        try:
            return self._server.refresh(gun, pin, now).files
        except Expired:
            return self._server.look(gun, pin).files

    def check_new(self, state: FormerState) -> None:
        """Holds a collection that hasn't come to the service against what this home knows: later, that is newer.

        Raises:
            WrongRoot: none of its roots meets this home's pin.
            RolledBack: something newer was verified on this machine, by trustkit or docker.
        """
        pin, now = self._pins.find(state.gun), self._clock()
        if pin is not None and not any(_meets(pin, state.gun, root, now) for root in state.roots.values()):
            raise WrongRoot(
                f"None of the roots of {state.gun} at {state.server} meets the pin {pin.pattern} here.",
                hint=f"Mend the pin first: trustkit pin add {state.gun} --format docker --root-key ID --replace",
            )
        for before in self._seen(state.gun, state.pin):
            check_not_older(state.files, before, state.gun)

    def _pin(self, gun: Gun, root_keys: Sequence[str]) -> tuple[Pin, str]:
        """Never silently what is served (TRUST 5.3)."""
        if root_keys:
            return Pin(str(gun), key_ids=tuple(root_keys), threshold=len(root_keys), format=DOCKER), NAMED
        stored = self._pins.find(gun)
        if stored is not None and stored.format != DOCKER:
            raise WrongFormat(f"{gun} is pinned in format {stored.format} here.", format=stored.format)
        root = self._served(gun)
        keys = [key_of(root.keys[key_id]) for key_id in root.roles["root"].keyids]
        if own := canonical_ids(keys) & {info.id for info in self._sign.here("root", keys)}:
            return Pin(str(gun), key_ids=tuple(sorted(own)), threshold=1, format=DOCKER), OWN
        if stored is not None:
            return stored, PINNED
        return self._agreed(gun, tuple(key.keyid for key in keys), root.roles["root"].threshold), AGREED

    def _served(self, gun: Gun) -> Root:
        data = self._server.root(gun)
        if data is None:
            raise NoCollection(f"{self._server.name} has no collection {gun}.", gun=str(gun))
        try:
            root = read(data, Root)
            check_root(root.signed, gun)
            check_threshold(root.signed, "root", root, data)
        except (Rejected, KeyUnsupported) as error:
            raise WrongRoot(f"The root of {gun} at {self._server.name} can't be used: {error.message}") from error
        return root.signed

    def _agreed(self, gun: Gun, key_ids: tuple[str, ...], threshold: int) -> Pin:
        shown = "\n".join(f"    {key_id}" for key_id in key_ids)
        question = (
            f"{gun} is not pinned, and none of its root keys is here. At {self._server.name} its root is signed by "
            f"{threshold} of these keys:\n{shown}\nTake them for its publisher's"
        )
        if self._ask is None or not self._ask(question):
            raise NoPin(
                f"Nothing says which root keys to accept for {gun}; none of those at {self._server.name} is here.",
                hint="Bring its root key here (trustkit key import --docker DIR, or --trust-dir), or name its id, as "
                "docker trust inspect shows it on a machine that you trust: --root-key ID.",
                gun=str(gun),
                root_keys=list(key_ids),
            )
        return Pin(str(gun), key_ids=key_ids, threshold=threshold, format=DOCKER)

    def _line(self, gun: Gun, current: bytes) -> dict[int, bytes]:
        """The roots before the current one, newest first, each held against the one after it."""
        newer = read(current, Root)
        roots = {newer.signed.version: current}
        size = len(current)
        while newer.signed.version > 1 and len(roots) < MOST:
            version = newer.signed.version - 1
            data = self._server.root(gun, version)
            if data is None:
                break
            size += len(data)
            if size > MOST_BYTES:
                raise Garbage(f"The roots of {gun} at {self._server.name} have more than {MOST_BYTES:,} bytes.")
            newer = self._before(gun, version, data, newer, roots[version + 1])
            roots[version] = data
        try:
            check_line(roots, gun)
        except Rejected as error:
            raise WrongRoot(f"The roots of {gun} at {self._server.name} do not hold: {error.message}") from error
        return dict(sorted(roots.items()))

    def _before(
        self, gun: Gun, version: int, data: bytes, newer: Metadata[Root], newer_data: bytes
    ) -> Metadata[Root]:
        try:
            older = read(data, Root)
            check_root(older.signed, gun)
            check_successor(older, newer, newer_data, gun)
        except (Rejected, KeyUnsupported) as error:
            raise WrongRoot(
                f"{version}.root.json of {gun} at {self._server.name} is not the root before version {version + 1}: "
                f"{error.message}",
                hint="Somebody has put another one in its place, or that server's data is damaged; ask its operator.",
            ) from error
        return older


def _meets(pin: Pin, gun: Gun, root: bytes, now: datetime) -> bool:
    return pin.root == root if pin.root is not None else meets(pin, gun, root, now=now)
