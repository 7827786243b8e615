"""Making a collection: a root that names one's keys and the service's, and a first targets file (TRUST 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Signer
from tuf.api.metadata import TargetFile

from trustkit.client.holding import lacking, usable
from trustkit.core.build import first_targets, new_root
from trustkit.core.formats.tuf1 import sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.core.ports.remote import Pin, TrustService
from trustkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Founded:
    """What a new collection consists of: its first upload, and the publisher's own pin."""

    upload: dict[str, bytes]
    pin: Pin


class Founding:
    """Builds the first upload of a collection; nothing is published here.

    A root key that is here is unlocked, otherwise one is made; the repository key is made, or taken from an earlier
    try that didn't get through.  After a reset it goes on from the versions that the service tells: nothing here
    remembers any under a new root (TRUST 3.5).
    """

    def __init__(
        self, service: TrustService, keys: KeyStore, *, lifetimes: Lifetimes, say: Callable[[str], None]
    ) -> None:
        self._service = service
        self._keys = keys
        self._lifetimes = lifetimes
        self._say = say

    def __call__(
        self, gun: Gun, targets: Iterable[TargetFile], *, pin: Pin | None, root_key: str | None, now: datetime
    ) -> Founded:
        """Makes and signs root and targets.

        Args:
            pin: a pin that already covers the GUN; the root key has to be one of its keys.
            root_key: the id, or its beginning, of the root key to use; needed where there are several.

        Raises:
            UsageError: several root keys and none named.
            KeyProblem: keys, passphrases.
        """
        keys = self._service.service_keys(gun)
        root_info = self._root(gun, pin, root_key)
        root_signer = self._keys.unlock(root_info)
        repository_info = self._repository(gun)
        repository_signer = self._keys.unlock(repository_info)
        life = self._lifetimes.default
        root = new_root(
            gun,
            root=[root_info.public],
            targets=[repository_info.public],
            online=keys.current,
            now=now,
            life=life["root"],
            version=keys.last.get("root", 0) + 1,
        )
        first = first_targets(gun, now=now, life=life["targets"], version=keys.last.get("targets", 0) + 1)
        first.targets = {target.path: target for target in targets}
        upload = {
            "root": sign(root, _by_id(root_info, root_signer)),
            "targets": sign(first, _by_id(repository_info, repository_signer)),
        }
        return Founded(upload, pin or Pin(str(gun), root=upload["root"]))

    def _root(self, gun: Gun, pin: Pin | None, wanted: str | None) -> KeyInfo:
        here = self._named(gun, wanted) if wanted is not None else self._root_keys()
        pinned = pin.key_ids if pin is not None else ()
        if pin is not None and pinned:
            if not usable(self._keys, "root", pinned):
                raise lacking(
                    self._keys, "root", pinned, f"Founding {gun} takes one of the root keys that are pinned"
                )
            here = [info for info in here if info.id in pinned]
            if not here:
                raise UsageError(
                    f"The root key {wanted} isn't one that is pinned for {pin.pattern}.",
                    hint="See: trustkit pin list",
                )
        if len(here) > 1:
            raise UsageError(
                f"There are several root keys in {self._keys.place}.", hint="Say which with --root-key ID."
            )
        if here:
            return here[0]
        self._say("Making a root key: it founds collections, and is needed seldom. Keep a copy of it offline.")
        return self._keys.generate(KeyRole.ROOT)

    def _root_keys(self) -> list[KeyInfo]:
        return [info for info in self._keys.list() if info.role is KeyRole.ROOT]

    def _named(self, gun: Gun, wanted: str) -> list[KeyInfo]:
        """The root keys whose ids begin like this; raises KeyMissing, and WrongKeyRole where only others do."""
        roots = [info for info in self._root_keys() if info.id.startswith(wanted)]
        if not roots:
            ids = [info.id for info in self._keys.list() if info.id.startswith(wanted)] or [wanted]
            what = f"Founding {gun} takes the root key that is named"
            raise lacking(self._keys, "root", ids, what, hint="See: trustkit key list")
        return roots

    def _repository(self, gun: Gun) -> KeyInfo:
        left = [info for info in self._keys.list() if info.role is KeyRole.REPOSITORY and info.gun == gun]
        if left:
            return left[-1]
        self._say(f"Making the repository key of {gun}: it signs tags.")
        return self._keys.generate(KeyRole.REPOSITORY, gun=gun)


def _by_id(info: KeyInfo, signer: Signer) -> dict[str, Signer]:
    return {info.id: signer}
