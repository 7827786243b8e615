"""What is said of docker's side of a converted collection: by ``convert --end-docker`` and ``status``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from trustkit.cli.output import data, note

if TYPE_CHECKING:
    from trustkit.client.convert_end import Agree, EndReport
    from trustkit.core.names import Gun
    from trustkit.core.ports.converting import DockerSide


def words_of(side: DockerSide, now: datetime) -> str:
    """A sentence, in which docker is whoever reads format ``docker``."""
    since = f"converted from format docker on {side.converted:%Y-%m-%d}"
    if side.ended is not None:
        return f"{since}; what docker read ended on {side.ended:%Y-%m-%d %H:%M} UTC: {side.reason}"
    if side.until <= now:
        return f"{since}; what docker read ended on {side.until:%Y-%m-%d %H:%M} UTC, its final expiry"
    return f"{since}; docker reads what was signed then, until {side.until:%Y-%m-%d %H:%M} UTC"


def side_json(side: DockerSide | None) -> dict[str, Any] | None:
    """The same to programs."""
    if side is None:
        return None
    return {
        "converted": side.converted.isoformat(),
        "until": side.until.isoformat(),
        "ended": side.ended.isoformat() if side.ended else None,
        "reason": side.reason or None,
    }


def agreeing(gun: Gun, ask: Callable[[str], bool] | None) -> Agree:
    """Asks on a terminal, as it can't be undone."""

    def agree(side: DockerSide) -> None:
        if ask is None:
            return
        note(f"Docker and notary read {gun} until {side.until:%Y-%m-%d %H:%M} UTC.")
        if not ask("From now on they will pull and list nothing of it, for good. End it"):
            raise click.Abort

    return agree


def show(report: EndReport) -> None:
    """To people."""
    gun, side = report.gun, report.docker
    if report.state == "planned":
        data(f"{gun}: docker and notary read what was signed before, until {side.until:%Y-%m-%d %H:%M} UTC;")
        data("  they would read nothing of it any more, those that have read it before included.")
        data("Nothing was changed.")
    elif report.state == "ended":
        data(f"{gun}: docker and notary read nothing of it any more.")
    else:
        when = side.ended or side.until
        data(
            f"{gun}: what docker read of it ended on {when:%Y-%m-%d %H:%M} UTC"
            + (f": {side.reason}." if side.reason else ".")
        )


def as_json(report: EndReport) -> dict[str, Any]:
    """To programs."""
    return {"gun": str(report.gun), "state": report.state, "docker": side_json(report.docker)}
