"""A key as ``--format json`` tells it, in every command that lists keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trustkit.core.ports.keys import KeyInfo


def key_row(info: KeyInfo) -> dict[str, str | None]:
    """What it is and what it is for; nothing of its private half."""
    from trustkit.core.publickeys import algorithm

    return {
        "id": info.id,
        "role": str(info.role),
        "gun": str(info.gun) if info.gun else None,
        "name": str(info.name) if info.name else None,
        "algorithm": algorithm(info.public),
    }
