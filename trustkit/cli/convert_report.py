"""What ``trustkit convert`` says: the same report for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from securesystemslib.signer import Key

from trustkit.cli.output import data, note
from trustkit.client.convert import ConversionReport
from trustkit.core.convertplan import ConversionPlan
from trustkit.core.publickeys import algorithm

MOST_TAGS = 20
"""As many are named to people; the JSON has all."""


Where = Callable[[Key], str]
"""The folder in which a key is; empty for elsewhere."""


def show(report: ConversionReport, where: Where) -> None:
    """To people: what it came to, to stdout; all about it, to stderr."""
    gun, until = report.gun, report.until
    if report.state == "planned":
        assert report.plan is not None and until is not None  # noqa: S101, PT018 - it is of a plan
        show_plan(report.plan, until, say=data)
        _show_keys(report.plan, where)
        for name in _silent(report, where):
            data(f"  {_unattributed(name)}")
        data("Nothing was changed.")
        return
    if report.state == "done":
        data(f"{gun} was converted to format tuf before.")
    else:
        assert report.plan is not None  # noqa: S101 - it was carried out
        data(f"{gun}: {len(report.plan.tags)} tags are signed in format tuf now.")
        if report.unknown:
            note(f"The registry has no manifests of {report.unknown} tags, so their media types stay unknown.")
    for name in report.unattributed:
        note(_unattributed(name))
    _show_former(report)
    if report.current is not None:
        for line in _consumers(report):
            note(line)


def _unattributed(name: str) -> str:
    return (
        f"The key of {name} isn't here, so nothing says any more which tags {name} signed; a policy that demands it "
        f"refuses them until {name} signs them again."
    )


def _silent(report: ConversionReport, where: Where) -> list[str]:
    """As ``ConversionReport.unattributed``, before anything is signed."""
    if report.plan is None or report.state != "planned":
        return list(report.unattributed)
    said = {name for tag in report.plan.tags.values() for name in tag.signers}
    return [one.name for one in report.plan.signers if not one.paths and one.name in said and not where(one.key)]


def show_plan(plan: ConversionPlan, until: datetime, *, say: Callable[[str], None]) -> None:
    """What is kept, what isn't, and who does what from then on."""
    say(f"{plan.gun}: from format docker to tuf")
    for problem in plan.problems:
        say(f"  MEND FIRST: {problem}")
    names = list(plan.tags)
    more = f", and {len(names) - MOST_TAGS} more" if len(names) > MOST_TAGS else ""
    say(f"  tags kept: {len(names)}" + (f" ({', '.join(names[:MOST_TAGS])}{more})" if names else ""))
    for signer in plan.signers:
        what = f"tags {', '.join(signer.paths)}, alone" if signer.paths else "every tag"
        say(f"  signer kept: {signer.name} ({algorithm(signer.key)} {signer.key.keyid[:16]}) signs {what}")
    for left in plan.left:
        say(f"  not kept{', is lost' if left.consent else ''}: {left.what} {left.name}: {left.why}")
    say(f"  docker and notary: read what is signed now until {until:%Y-%m-%d %H:%M} UTC, and sign nothing any more;")
    say("    sooner, that ends as soon as a tag is revoked or signed anew, or a key is taken away")
    say("  signers: sign with trustkit and the keys that they have (trustkit key import --docker DIR)")
    say("  consumers: those with trustkit go over to format tuf; those with docker have to until then")


def _show_keys(plan: ConversionPlan, where: Where) -> None:
    for row in _keys(plan, where):
        place = f"in {row['place']}" if row["place"] else "elsewhere"
        data(f"  {row['role']} key {row['id'][:16]} ({row['algorithm']}): {place}")


def _show_former(report: ConversionReport) -> None:
    if report.ended is not None:
        note(f"What docker read of {report.gun} ended on {report.ended:%Y-%m-%d}.")
    elif report.until is not None:
        note(f"Docker reads what was signed before, until {report.until:%Y-%m-%d %H:%M} UTC.")


def _consumers(report: ConversionReport) -> Iterator[str]:
    assert report.current is not None  # noqa: S101 - the caller looked
    options = " ".join(f"--root-key {key_id}" for key_id in report.current.view.root_keys)
    yield f"New consumers: trustkit pin add {report.gun} {options}"


def as_json(report: ConversionReport, where: Where) -> dict[str, Any]:
    """The same to programs."""
    plan, current = report.plan, report.current
    return {
        "gun": str(report.gun),
        "state": report.state,
        "docker": {"until": _iso(report.until), "ended": _iso(report.ended)},
        "root_keys": list(current.view.root_keys) if current else sorted(plan.root_keys) if plan else [],
        "tags": [
            {
                "tag": name,
                "digest": str(tag.target.digest),
                "length": tag.target.length,
                "signers": sorted(tag.signers),
                "custom": bool(tag.custom),
            }
            for name, tag in (plan.tags.items() if plan else ())
        ],
        "keys": list(_keys(plan, where)) if plan else [],
        "signers": [
            {"name": one.name, "from": one.role or None, "key": one.key.keyid, "paths": list(one.paths)}
            for one in (plan.signers if plan else ())
        ],
        "left": [
            {"what": left.what, "name": left.name, "why": left.why, "lost": left.consent}
            for left in (plan.left if plan else ())
        ],
        "problems": list(plan.problems) if plan else [],
        "unattributed": _silent(report, where),
        "unknown_media_types": report.unknown,
    }


def _keys(plan: ConversionPlan, where: Where) -> Iterator[dict[str, Any]]:
    every = [("root", plan.root_keys), ("repository", plan.target_keys)]
    every += [(f"signer {signer.name}", {signer.key.keyid: signer.key}) for signer in plan.signers]
    for role, held in every:
        for key_id, key in held.items():
            yield {"role": role, "id": key_id, "algorithm": algorithm(key), "place": where(key) or None}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
