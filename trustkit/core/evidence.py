"""What stands behind a signed tag, for reports: the role that answers for it, its keys, versions and expiry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from trustkit.core.records import dataclass
from trustkit.core.view import SignedTarget, SignedView


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a tag is trusted.

    Attributes:
        role: the role that answers for the tag; ``threshold`` of its keys ``key_ids`` have signed it.
        versions: of every file that was looked at, by role.
        expires: the earliest expiry of any of them.
    """

    role: str
    key_ids: tuple[str, ...]
    threshold: int
    versions: Mapping[str, int]
    expires: datetime


def evidence(view: SignedView, target: SignedTarget) -> Evidence:
    """What a verified view has behind one of its tags."""
    role = next(role for role in view.roles if role.name == target.role)
    return Evidence(target.role, role.key_ids, role.threshold, dict(view.versions), view.expires)
