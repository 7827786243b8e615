"""How a collection stands: which role expires when, what that breaks, and who can renew it.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trustkit.core.roots import ONLINE
from trustkit.core.view import RoleState, SignedView

SERVICE = "the service"
CERTIFICATE = "root certificate"
"""What stands among the roles for the end of the root keys' certificates, in format ``docker``."""
_EVERY = frozenset({"root", "timestamp", "snapshot", "targets"})
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RoleHealth:
    """One role's file.

    Attributes:
        expires: None where no such file is there, or none that verifies.
        expired, soon: whether its expiry has come, or comes within the time that one wants to be warned.
        breaks: what stops when it expires, in words.
        blocks: whether a tag stops being trusted then.
        here: those of its keys whose private halves are here.
        names: by key id whose key it is.
        online: whether the service renews it, by itself.
    """

    name: str
    version: int
    expires: datetime | None
    expired: bool
    soon: bool
    breaks: str
    blocks: bool
    key_ids: tuple[str, ...]
    threshold: int
    here: tuple[str, ...]
    names: Mapping[str, str]
    online: bool

    @property
    def renewable(self) -> bool:
        """Whether the keys here are enough to renew it."""
        return not self.online and len(self.here) >= self.threshold

    @property
    def renewer(self) -> str:
        """Who can renew it, in words."""
        if self.online:
            return f"{SERVICE}, by itself"
        if self.renewable:
            return "you: " + _count(self.threshold, self._named(self.here))
        others = self._named(key_id for key_id in self.key_ids if key_id not in self.here)
        if self.here:
            return f"{_count(self.threshold - len(self.here), others)}, with you: {', '.join(self._named(self.here))}"
        return _count(self.threshold, others)

    def _named(self, key_ids: Iterable[str]) -> list[str]:
        return [f"{self.names[key_id]} {key_id[:16]}".strip() for key_id in key_ids]


@dataclass(frozen=True, slots=True)
class Health:
    """All roles of a collection at one moment; those of delegations in their order."""

    roles: tuple[RoleHealth, ...]

    @property
    def trusted(self) -> bool:
        """Whether nothing that pulls depend on has expired."""
        return not any(role.expired and role.blocks for role in self.roles)

    @property
    def due(self) -> tuple[RoleHealth, ...]:
        """What has expired or expires soon."""
        return tuple(role for role in self.roles if role.expired or role.soon)

    @property
    def soonest(self) -> RoleHealth | None:
        """The role that expires first of those that pulls depend on and that the service doesn't renew by itself.

        The service's own count where they are overdue.
        """
        counted = [role for role in self.roles if role.blocks and (not role.online or role in self.due)]
        dated = [(role.expires, role) for role in counted if role.expires is not None]
        return min(dated, key=lambda item: item[0])[1] if dated else None


def health(
    view: SignedView,
    *,
    now: datetime,
    within: timedelta,
    here: Collection[str],
    attributed: Mapping[str, datetime] | None = None,
    certified: datetime | None = None,
    own: Collection[str] = (),
) -> Health:
    """What a verified view comes to at ``now``.

    Args:
        within: publishers' files that expire in less than this count as soon.
        here: the ids of the keys whose private halves are here.
        attributed: when the files expire that only say who signed what; the view doesn't have that.
        certified: until when the certificates of the root keys are valid, where they have any.
        own: the roles of the service that are the publisher's in this collection.
    """
    names = _names(view)
    roles = []
    for role in view.roles:
        expires = role.expires or (attributed or {}).get(role.name)
        expired = expires is not None and expires <= now
        online = role.name in ONLINE and role.name not in own
        holder = SERVICE if online else f"{role.name} key" if role.name in own else ""
        warned = _overdue(view, role.name, expires, now) if online else _less(expires, now, within)
        roles.append(
            RoleHealth(
                role.name,
                role.version,
                expires,
                expired,
                warned and not expired,
                _breaks(view, role),
                role.grants,
                role.key_ids,
                role.threshold,
                tuple(key_id for key_id in role.key_ids if key_id in here),
                {key_id: holder or names.get(key_id, "") for key_id in role.key_ids},
                online,
            )
        )
    if certified is not None:
        root = next(role for role in roles if role.name == "root")
        ended, soon = certified <= now, _less(certified, now, within)
        roles.insert(1, replace(root, name=CERTIFICATE, expires=certified, expired=ended, soon=soon and not ended))
    return Health(tuple(roles))


def _less(expires: datetime | None, now: datetime, within: timedelta) -> bool:
    return expires is not None and expires - now < within


def _overdue(view: SignedView, role: str, expires: datetime | None, now: datetime) -> bool:
    """Whether the service's own renewal is late: the timestamp's is due after a day, or at half of a shorter life.

    The snapshot's life stands nowhere; it is late when less is left than a quarter of the timestamp's life.
    """
    stamp = next((state.expires for state in view.roles if state.name == "timestamp"), None)
    if expires is None or stamp is None or view.issued is None:
        return False
    life = stamp - view.issued
    if role == "timestamp":
        return expires - now < max(life - _DAY, life / 2) - min(_DAY, life / 4)
    return expires - now < life / 4


def _breaks(view: SignedView, role: RoleState) -> str:
    if role.name in _EVERY:
        return "every pull"
    if not role.grants:
        return f"no pull, only what says which tags {role.name} signed"
    limited = [other for other in view.roles if other.paths and other.grants and other.name != view.releases]
    if role.name != view.releases:
        return f"tags {', '.join(role.paths)} of {role.name}; behind a trust-only gateway every pull"
    if not limited:
        return "every pull"
    return "every tag but those of " + ", ".join(f"{other.name} ({', '.join(other.paths)})" for other in limited)


def _names(view: SignedView) -> dict[str, str]:
    """By key id whose key it is: a signer's name, or what it is for."""
    names = dict.fromkeys(view.root_keys, "root key") | dict.fromkeys(view.target_keys, "repository key")
    for role in view.signers:
        names |= {key_id: role.name for key_id in role.key_ids if key_id not in names}
    return names


def _count(count: int, names: list[str]) -> str:
    if len(names) == count:
        return " and ".join(names)
    return f"{count} of {', '.join(names)}"
