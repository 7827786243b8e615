"""The audit row of a publish (TRUST 8.4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from securesystemslib.signer import Signer

from trustkit.authority.admission import Requester
from trustkit.core.judge import Accepted
from trustkit.core.names import Gun
from trustkit.core.ports.service import AuditRow


def publish_row(
    gun: Gun,
    who: Requester,
    accepted: Accepted,
    versions: Mapping[str, int],
    now: datetime,
    adopted: Mapping[str, Signer],
) -> AuditRow:
    """Who published what: versions, tags, and keys that changed."""
    detail: dict[str, object] = {
        "versions": dict(versions),
        "tags": {tag: str(target.digest) if target else None for tag, target in accepted.changed.items()},
        "roles": sorted(accepted.uploaded),
    }
    if "root" in accepted.uploaded:
        detail["root_keys"] = accepted.root.signed.roles["root"].keyids
    if adopted:
        detail["online_keys"] = {role: signer.public_key.keyid for role, signer in adopted.items()}
    if accepted.jumped:
        detail["jumped"] = sorted(accepted.jumped)
    action = "collection-founded" if accepted.founding else "published"
    return AuditRow(now, str(who.principal), who.source, action, str(gun), detail)
