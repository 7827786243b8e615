"""Demands for named signers in one file, ``policy.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trustkit.core.names import Gun, SignerName
from trustkit.core.patterns import GunPattern
from trustkit.core.policy import Demand
from trustkit.errors import Conflict, NotFound
from trustkit.home.documents import Document


class FilePolicyStore:
    """The PolicyStore of one TRUSTKIT_HOME.  A damaged file is an error, never an absence of demands.

    Args:
        path: the file; it need not exist.  Its lock file lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._file = Document(
            path,
            "policies",
            read=_read,
            written=lambda demands: [as_json(demand) for _, demand in sorted(demands.items())],
            what="The policies in",
            hint="Mend the file; until then nothing that it could be about is trusted.",
        )

    def __repr__(self) -> str:
        return f"FilePolicyStore({str(self._file.path)!r})"

    def find(self, gun: Gun) -> Demand | None:
        """The demand of the most specific pattern that matches; raises StateError where the file is damaged."""
        matching = [demand for demand in self._load().values() if demand.pattern.matches(gun)]
        return max(matching, key=lambda demand: demand.pattern.specificity, default=None)

    def list(self) -> list[Demand]:
        """All demands, ordered by pattern."""
        return [demand for _, demand in sorted(self._load().items())]

    def add(self, demand: Demand, *, replace: bool = False) -> None:
        """Adds a demand; the same a second time changes nothing.  Raises Conflict, StateError."""
        with self._file.changing():
            demands = self._load()
            if demand.pattern in demands and demands[demand.pattern] != demand and not replace:
                raise Conflict(
                    f"{demand.pattern} has another policy.",
                    hint="Look at it with trustkit policy list, then repeat with --replace.",
                    pattern=str(demand.pattern),
                )
            self._file.save({**demands, demand.pattern: demand})

    def remove(self, pattern: GunPattern) -> None:
        """Removes the demand of exactly this pattern; raises NotFound, StateError."""
        with self._file.changing():
            demands = self._load()
            if pattern not in demands:
                raise NotFound(f"{pattern} has no policy.", hint="See: trustkit policy list")
            self._file.save({other: demand for other, demand in demands.items() if other != pattern})

    def _load(self) -> Mapping[GunPattern, Demand]:
        return self._file.load() or {}


def as_json(demand: Demand) -> dict[str, object]:
    """The form of a demand in the file, and in ``trustkit policy list --format json``."""
    return {
        "pattern": str(demand.pattern),
        "signers": [str(signer) for signer in demand.signers],
        "count": demand.count,
    }


def _read(value: Any) -> Mapping[GunPattern, Demand]:
    read = [_read_one(entry) for entry in list(value)]
    demands = {demand.pattern: demand for demand in read}
    if len(demands) != len(read):
        raise ValueError("a pattern stands twice")
    return demands


def _read_one(entry: Any) -> Demand:
    if not isinstance(entry, dict) or entry.keys() != {"pattern", "signers", "count"}:
        raise ValueError("a policy has other members than it should")
    signers, count = entry["signers"], entry["count"]
    if not isinstance(signers, list) or not all(isinstance(name, str) for name in signers) or type(count) is not int:
        raise ValueError("a policy has a member of the wrong type")
    if not isinstance(entry["pattern"], str):
        raise ValueError("a policy has a pattern that is no text")
    return Demand(GunPattern.parse(entry["pattern"]), tuple(SignerName.parse(name) for name in signers), count)
