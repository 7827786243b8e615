"""The operator's switches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Set

from sqlalchemy import bindparam, delete, insert, select, update

from trustkit.core.patterns import RepositoryPattern
from trustkit.store.models import founders, settings
from trustkit.store.models import trust_only as patterns
from trustkit.store.statements import Statements

VALUE = select(settings.c.value).where(settings.c.name == bindparam("name"))
_SEVERAL = select(settings.c.name, settings.c.value).where(settings.c.name.in_(bindparam("names", expanding=True)))
_PATTERNS = select(patterns.c.pattern, patterns.c.trust_only).order_by(patterns.c.pattern)
_FOUNDERS = select(founders.c.pattern, founders.c.root_key).order_by(founders.c.pattern)


class SqlSettings:
    """Satisfies ``core.ports.service.ServiceSettings``."""

    def __init__(self, statements: Statements) -> None:
        self._run = statements.run

    async def get(self, name: str) -> str | None:
        row = (await self._run(VALUE, {"name": name})).first
        return str(row.value) if row else None

    async def several(self, names: Collection[str]) -> Mapping[str, str]:
        rows = (await self._run(_SEVERAL, {"names": sorted(names)})).rows
        return {row.name: str(row.value) for row in rows}

    async def put(self, name: str, value: str) -> None:
        changed = await self._run(update(settings).where(settings.c.name == name).values(value=value))
        if changed.changed == 0:
            await self._run(insert(settings), {"name": name, "value": value})

    async def trust_only_patterns(self) -> Mapping[RepositoryPattern, bool]:
        rows = (await self._run(_PATTERNS)).rows
        return {RepositoryPattern.parse(row.pattern): bool(row.trust_only) for row in rows}

    async def set_trust_only(self, pattern: RepositoryPattern, *, trust_only: bool) -> None:
        where = patterns.c.pattern == str(pattern)
        changed = await self._run(update(patterns).where(where).values(trust_only=trust_only))
        if changed.changed == 0:
            await self._run(insert(patterns), {"pattern": str(pattern), "trust_only": trust_only})

    async def founders(self) -> Mapping[RepositoryPattern, frozenset[str]]:
        listed: dict[str, set[str]] = defaultdict(set)
        for row in (await self._run(_FOUNDERS)).rows:
            listed[row.pattern].add(row.root_key)
        return {RepositoryPattern.parse(pattern): frozenset(keys) for pattern, keys in listed.items()}

    async def set_founders(self, pattern: RepositoryPattern, key_ids: Set[str]) -> None:
        await self._run(delete(founders).where(founders.c.pattern == str(pattern)))
        if key_ids:
            rows = [{"pattern": str(pattern), "root_key": key_id} for key_id in sorted(key_ids)]
            await self._run(insert(founders), rows)
