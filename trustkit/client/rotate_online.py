"""Having the service change its snapshot and timestamp keys: it makes them, a root of ours names them (TRUST 3.7)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from securesystemslib.signer import Key
from tuf.api.metadata import Root

from trustkit.client.holding import lacking, usable
from trustkit.client.publish import Publisher
from trustkit.client.trust import Current
from trustkit.core.difference import Difference
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyStore
from trustkit.core.ports.remote import TrustService
from trustkit.core.rotation_online import adopt
from trustkit.core.view import SignedView
from trustkit.errors import Conflict, Garbage, NoCollection


@dataclass(frozen=True, slots=True)
class OnlineRotated:
    """The ids of the keys before and after, by role."""

    gun: Gun
    before: Mapping[str, str]
    after: Mapping[str, str]


class RotateOnline:
    """The use case of ``trustkit key rotate --role snapshot|timestamp|online``."""

    def __init__(self, publisher: Publisher, service: TrustService, keys: KeyStore) -> None:
        self._publisher = publisher
        self._service = service
        self._keys = keys

    def __call__(self, gun: Gun, roles: Collection[str], *, agree: Callable[[Difference], None]) -> OnlineRotated:
        """Has keys made for these roles, names them in a new root, publishes it and reads it back.

        What was interrupted goes on with the same new keys when it is run again.

        Raises:
            NoCollection: there is no root that could name them.
            KeyMissing: the root keys that it takes aren't here; nothing was asked for then.
            Garbage: the service names no new key for one of these roles.
            everything that ``Publisher.apply`` raises.
        """
        self._publisher.require(gun)
        current = self._publisher.current(gun)
        if current is None:
            raise NoCollection(f"Nothing is signed under {gun}, so its online keys don't matter yet.")
        self._require_root_keys(gun, current)
        pending = self._service.stage_online_keys(gun, roles).pending
        if missing := sorted(set(roles) - pending.keys()):
            raise Garbage(f"{gun.host} was asked for a new {missing[0]} key of {gun} and names none.")
        before: dict[str, str] = {}

        def edit(draft: Draft) -> None:
            if not before:
                before.update({role: draft.root.roles[role].keyids[0] for role in pending})
            adopt(draft, pending)

        self._publisher.apply(gun, edit, check=lambda _, view: _check(view, pending), agree=agree, base=current)
        return OnlineRotated(gun, before, {role: key.keyid for role, key in pending.items()})

    def _require_root_keys(self, gun: Gun, current: Current) -> None:
        role = read(current.files["root"], Root).signed.roles["root"]
        if len(usable(self._keys, "root", role.keyids)) < role.threshold:
            raise lacking(
                self._keys,
                "root",
                role.keyids,
                f"A new root of {gun} takes {role.threshold} of its root keys",
                hint="Where root keys are kept offline or by others, an operator makes the keys with trustkit admin "
                "online-keys rotate, and the next root that you publish names them.",
            )


def _check(view: SignedView, pending: Mapping[str, Key]) -> None:
    served = {role.name: role.key_ids for role in view.roles}
    for role, key in pending.items():
        if role in served and served[role] != (key.keyid,):
            raise Conflict(
                f"The new {role} key of {view.gun} was published, and is not what is served.",
                hint="Somebody else changed the root since; look before you rotate again.",
            )
