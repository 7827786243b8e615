"""What ``trustkit migrate`` says: the same report for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from trustkit.cli.app import report
from trustkit.cli.output import data, note
from trustkit.cli.status import DONE, FAILED, exit_status
from trustkit.client.migrate import Migration
from trustkit.client.migrate_former import AGREED, NAMED, OWN, PINNED, FormerState
from trustkit.core.evaluate import BEFORE_ALL
from trustkit.core.formats.docker.evaluate import attributions
from trustkit.core.migration import MigrationPlan
from trustkit.core.records import dataclass
from trustkit.errors import TrustkitError

_TRUSTED = {
    NAMED: "which were named",
    PINNED: "which are pinned here",
    OWN: "of which one is here",
    AGREED: "which you agreed to",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One collection: ``planned``, ``migrated``, ``done`` before, ``failed``, or ``left`` as somebody stopped."""

    gun: str
    state: str
    migration: Migration | None = None
    error: TrustkitError | None = None

    @classmethod
    def of(cls, migration: Migration) -> Self:
        """The one of a migration."""
        return cls(str(migration.gun), migration.state, migration)


def failed(rows: Iterable[Row]) -> int:
    """The exit status: that of the first failure."""
    for row in rows:
        if row.error is not None:
            return exit_status(row.error)
        if row.state == "left":
            return FAILED
    return DONE


def show(row: Row) -> None:
    """To people: what became of it, to stdout; errors and what to do next, to stderr."""
    if row.error is not None:
        report(row.error, row.gun if row.gun not in row.error.message else "")
        data(f"{row.gun}: failed")
    elif row.migration is None:
        data(f"{row.gun}: left")
    elif row.state == "planned":
        show_plan(row.migration.plan, row.migration.former, say=data)
        data("Nothing was changed.")
    else:
        _show_done(row.migration)


def _show_done(migration: Migration) -> None:
    gun, plan, current = migration.gun, migration.plan, migration.current
    assert current is not None  # noqa: S101 - it is there
    if migration.state == "done":
        data(f"{gun}: migrated before, root {plan.root} as version {plan.root + 1}")
        return
    data(f"{gun}: {plan.tags} tags migrated, root {plan.root + 1}")
    note(f"What {migration.former.server} signs for it counts no more wherever root {plan.root + 1} was seen.")
    for key_id in current.view.root_keys:
        note(f"New consumers: trustkit pin add {gun} --format docker --root-key {key_id}")


def show_plan(plan: MigrationPlan, former: FormerState, *, say: Callable[[str], None]) -> None:
    """What comes along, what doesn't, and who signs what from then on."""
    say(f"{plan.gun}: from {former.server}")
    for problem in plan.problems:
        say(f"  MEND FIRST: {problem}")
    say(f"  believed for its root keys, {_TRUSTED[former.trusted]}: {', '.join(former.root_keys)}")
    say(f"  tags: {plan.tags}, in {', '.join((*plan.kept, *(each.role for each in plan.signed)))}")
    there = f"{plan.first} to {plan.root}" if plan.first < plan.root else str(plan.root)
    say(f"  roots: {there} as they are, and {plan.root + 1}, signed here")
    if plan.lacking:
        say(f"  roots not to be had: 1 to {plan.lacking}; clients that hold one of them can't follow")
    if plan.stale:
        say(f"  expired there: {', '.join(plan.stale)}; it may be an old state")
    if plan.certificate:
        say("  the root key gets a new certificate, as the one that it has ends")
    for each in plan.signed:
        say(f"  signed anew here: {each.role}, which {each.why}")
    for left in plan.left:
        say(f"  stays behind: {left.role}: {left.why}" + (f"; {left.mend}" if left.mend else ""))
    for role, keys in (("snapshot", plan.snapshot), ("timestamp", plan.timestamp)):
        say(f"  {role}: the service's new key, and no more {', '.join(key[:16] for key in keys)}")
    say(
        f"  the server there: counts no more wherever root {plan.root + 1} was seen; make it read-only first, as what"
    )
    say("    is signed there from now on doesn't come along")
    say(f"  the service's operator allows it: trustkit admin allow-migration {plan.gun}")


def as_json(server: str, rows: Iterable[Row]) -> dict[str, Any]:
    """The same to programs."""
    return {"server": server, "collections": [_one(row) for row in rows]}


def _one(row: Row) -> dict[str, Any]:
    told: dict[str, Any] = {"gun": row.gun, "state": row.state, "error": _error(row.error)}
    if row.migration is None:
        return told
    plan, former = row.migration.plan, row.migration.former
    told["trusted"] = {"by": former.trusted, "root_keys": list(former.root_keys)}
    told["root"] = {"there": plan.root, "first": plan.first, "lacking": plan.lacking, "new": plan.root + 1}
    told["new_certificate"] = plan.certificate
    told["kept"] = list(plan.kept)
    told["signed"] = [{"role": each.role, "why": each.why} for each in plan.signed]
    told["left"] = [{"role": each.role, "why": each.why, "mend": each.mend or None} for each in plan.left]
    told["problems"] = list(plan.problems)
    told["expired"] = list(plan.stale)
    told["ended_keys"] = {"snapshot": list(plan.snapshot), "timestamp": list(plan.timestamp)}
    told["tags"] = _tags(former)
    return told


def _tags(former: FormerState) -> list[Mapping[str, Any]]:
    view = former.view
    signers = attributions(former.files, view, BEFORE_ALL)
    return [
        {
            "tag": str(tag),
            "digest": str(target.digest),
            "length": target.length,
            "role": target.role,
            "signers": sorted(signers.get(tag, ())),
        }
        for tag, target in sorted(view.targets.items())
    ]


def _error(error: TrustkitError | None) -> dict[str, Any] | None:
    return None if error is None else {"slug": error.slug, "message": error.message, "hint": error.hint}
