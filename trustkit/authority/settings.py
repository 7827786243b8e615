"""The operator's switches: content trust as a whole, and trust-only repositories (TRUST 7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from trustkit.core.history import DEFAULT, History
from trustkit.core.names import Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import DOCKER, TUF, AuditRow, Transaction
from trustkit.errors import Conflict, InvalidSetting, TrustDisabled

CONTENT_TRUST = "content-trust"
NOTARY_API = "notary-api"
DEFAULT_FORMAT = "default-format"
HISTORY = "history"
ENABLED, DISABLED = "enabled", "disabled"

POLICIES: Mapping[str, tuple[str, ...]] = {NOTARY_API: (ENABLED, DISABLED), DEFAULT_FORMAT: (TUF, DOCKER)}
"""What each of them may be, the default first."""


async def content_trust(tx: Transaction) -> bool:
    """Whether content trust is on; it is until an operator switches it off."""
    return (await tx.settings.get(CONTENT_TRUST)) in (None, ENABLED)


async def require_content_trust(tx: Transaction) -> None:
    """Raises TrustDisabled while content trust is off (TRUST 7.6)."""
    if not await content_trust(tx):
        raise _switched_off()


def _switched_off() -> TrustDisabled:
    return TrustDisabled(
        "Content trust is switched off on this service.",
        hint="An operator switches it on: trustkit admin policy set content-trust enabled.",
    )


async def set_content_trust(
    tx: Transaction, value: str, *, unsafe_force: bool = False, actor: str, source: str, now: datetime
) -> None:
    """Switches content trust on or off, with an audit row.

    Args:
        value: ``enabled`` or ``disabled``.
        unsafe_force: switch it off although trust-only patterns apply; their repositories then refuse all pulls.

    Raises:
        InvalidSetting: another value.
        Conflict: trust-only applies somewhere; ``context["patterns"]`` lists where (TRUST 7.6).
    """
    if value not in (ENABLED, DISABLED):
        raise InvalidSetting(f"Content trust can't be {value!r}.", hint=f"Say {ENABLED} or {DISABLED}.")
    patterns = sorted(str(pattern) for pattern, on in (await tx.settings.trust_only_patterns()).items() if on)
    if value == DISABLED and patterns and not unsafe_force:
        raise Conflict(
            f"Content trust can't be switched off while these are trust-only: {', '.join(patterns)}.",
            hint="Set them --no-trust-only first; with --force they refuse all pulls until it is on again.",
            patterns=patterns,
        )
    await tx.settings.put(CONTENT_TRUST, value)
    detail = {"value": value, "forced": bool(unsafe_force and value == DISABLED), "trust_only": patterns}
    await tx.audit.append(AuditRow(now, actor, source, "policy-set", CONTENT_TRUST, detail))


async def require_notary_api(tx: Transaction) -> None:
    """Raises TrustDisabled while content trust is off, or Notary's API is."""
    found = await tx.settings.several((CONTENT_TRUST, NOTARY_API))
    if found.get(CONTENT_TRUST, ENABLED) != ENABLED:
        raise _switched_off()
    if found.get(NOTARY_API, ENABLED) != ENABLED:
        raise TrustDisabled(
            "The API of Notary is switched off on this service.",
            hint="An operator switches it on: trustkit admin policy set notary-api enabled.",
        )


async def default_format(tx: Transaction) -> str:
    """The format of the collections that trustkit makes on this service."""
    return await tx.settings.get(DEFAULT_FORMAT) or TUF


async def history(tx: Transaction) -> History:
    """How much of what collections were is kept."""
    found = await tx.settings.get(HISTORY)
    return DEFAULT if found is None else History.parse(found)


async def set_policy(tx: Transaction, name: str, value: str, *, actor: str, source: str, now: datetime) -> None:
    """Sets one of the policies that have no more to them than a value, with an audit row.

    Raises:
        InvalidSetting: no such policy, or another value than it can have.
    """
    if name == HISTORY:
        value = str(History.parse(value))
    elif name not in POLICIES or value not in POLICIES[name]:
        words = ", ".join(f"{each} {'|'.join(values)}" for each, values in POLICIES.items()) + f", {HISTORY} 90d"
        raise InvalidSetting(f"The policy {name!r} can't be {value!r}.", hint=f"Say {words}.")
    await tx.settings.put(name, value)
    await tx.audit.append(AuditRow(now, actor, source, "policy-set", name, {"value": value}))


async def trust_only(tx: Transaction, repository: Repository) -> bool:
    """Whether signed tags are all that the repository serves: the most specific matching pattern decides."""
    matching = [
        (pattern.specificity, on)
        for pattern, on in (await tx.settings.trust_only_patterns()).items()
        if pattern.matches(repository)
    ]
    return max(matching)[1] if matching else False


async def set_trust_only(
    tx: Transaction, pattern: RepositoryPattern, *, trust_only: bool, actor: str, source: str, now: datetime
) -> None:
    """Makes the repositories of a pattern trust-only, or not, with an audit row; ``*`` is the registry's default."""
    await tx.settings.set_trust_only(pattern, trust_only=trust_only)
    detail = {"trust_only": trust_only}
    await tx.audit.append(AuditRow(now, actor, source, "repository-set", str(pattern), detail))
