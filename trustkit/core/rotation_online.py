"""Naming new online keys in a root: an edit of a draft (TRUST 3.3, 3.7)."""

from __future__ import annotations

from collections.abc import Mapping

from securesystemslib.signer import Key

from trustkit.core.draft import Draft
from trustkit.core.publickeys import check_key


def adopt(draft: Draft, pending: Mapping[str, Key]) -> bool:
    """Has the draft's root name these keys, which the service keeps ready, in the place of those that it names.

    Args:
        pending: by role, ``snapshot`` or ``timestamp``; a role that isn't there keeps its key.

    Returns:
        Whether anything changed; nothing does where the root names them already.

    Raises:
        KeyUnsupported: a key of a type that isn't allowed.
    """
    changed = False
    for role, key in pending.items():
        check_key(key)
        if draft.root.roles[role].keyids == [key.keyid]:
            continue
        root = draft.edit_root()
        for old in list(root.roles[role].keyids):
            root.revoke_key(old, role)
        root.add_key(key, role)
        root.roles[role].threshold = 1
        changed = True
    return changed
