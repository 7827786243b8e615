"""How long each role's metadata lives: defaults, and the bounds that the judge holds an upload to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from types import MappingProxyType

from trustkit.core.records import dataclass


def _days(**days: int) -> Mapping[str, timedelta]:
    return MappingProxyType({role: timedelta(days=count) for role, count in days.items()})


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Lifetimes by role.  ``longest`` and ``shortest`` bound what publishers may ask for."""

    default: Mapping[str, timedelta] = field(
        default_factory=lambda: _days(root=3650, targets=1095, snapshot=14, timestamp=7)
    )
    longest: Mapping[str, timedelta] = field(
        default_factory=lambda: _days(root=7305, targets=1830, snapshot=365, timestamp=90)
    )
    shortest: timedelta = timedelta(hours=1)
