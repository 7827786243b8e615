"""``--report FILE``: what a command did to each reference, as JSON, also where it failed or was cut short."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from trustkit import __version__
from trustkit.cli.app import report as tell
from trustkit.cli.status import DONE, FAILED, exit_status
from trustkit.core.evidence import Evidence
from trustkit.core.names import Digest
from trustkit.core.records import dataclass
from trustkit.errors import TrustkitError, UsageError

FORM = "trustkit report, version 1"
MODE = 0o644
"""It holds no secret, and whoever collects it is often somebody else."""
Command = TypeVar("Command", bound=Callable[..., Any])


def report_option(command: Command) -> Command:
    """Adds ``--report``, passed as ``report_file``."""
    return click.option(
        "--report",
        "report_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write what became of each REF to FILE, as JSON, also on failure.",
    )(command)


@dataclass(slots=True)
class Line:
    """One reference: ``not-tried``, ``failed``, ``signed``, ``proposed``, ``trusted`` or ``allowed``."""

    reference: str
    outcome: str = "not-tried"
    digest: Digest | None = None
    error: TrustkitError | None = None
    evidence: Evidence | None = None

    def fail(self, error: TrustkitError) -> None:
        """It failed, by this error."""
        self.outcome, self.error = "failed", error


@dataclass(slots=True)
class Report:
    """What one command did.

    Attributes:
        errors: those that are about no single reference, such as a list that can't be read.
        status: the command's exit status.
    """

    command: str
    began: datetime
    ended: datetime | None = None
    status: int = FAILED
    lines: list[Line] = field(default_factory=list)
    errors: list[TrustkitError] = field(default_factory=list)

    def add(self, reference: str) -> Line:
        """One more reference, not tried yet."""
        line = Line(reference)
        self.lines.append(line)
        return line

    def as_json(self) -> dict[str, object]:
        """The form that the reference describes."""
        return {
            "form": FORM,
            "trustkit": __version__,
            "command": self.command,
            "began": _moment(self.began),
            "ended": _moment(self.ended),
            "status": self.status,
            "references": [_line(line) for line in self.lines],
            "errors": [_error(error) for error in self.errors],
        }


@contextmanager
def reporting(command: str, path: Path | None, clock: Callable[[], datetime]) -> Iterator[Report]:
    """A report that is written when the block ends, however it ends; kept nowhere where there is no path.

    One that says ``ended: null`` and status 1 is written first: a command that is killed leaves that, never an older
    command's success, and a place that can't be written is found out before anything is done.

    Raises:
        UsageError: the path is no place for a file.
        StateError: it can't be written.
    """
    made = Report(command, clock())
    if path is not None:
        _check(path)
        _write(path, made)
    try:
        yield made
    except BaseException as error:
        made.status = exit_status(error) if isinstance(error, TrustkitError) else FAILED
        if isinstance(error, TrustkitError) and all(line.error is not error for line in made.lines):
            made.errors.append(error)
        made.ended = clock()
        _write_beside(path, made)
        raise
    made.ended = clock()
    if path is not None and not (_write_beside(path, made) or made.status):
        made.status = FAILED


def _check(path: Path) -> None:
    if str(path) == "-" or (path.exists() and not path.resolve().is_file()):
        raise UsageError(f"The report goes into a file, which {path} is not.", hint="Name a file in a folder.")


def _write(path: Path, made: Report) -> None:
    from trustkit.home.files import write_atomically

    write_atomically(path.resolve(), json.dumps(made.as_json(), indent=2).encode() + b"\n", mode=MODE)


def _write_beside(path: Path | None, made: Report) -> bool:
    """Writes it where what the command did, and how it failed, must not be hidden by this; whether it worked."""
    try:
        if path is not None:
            _write(path, made)
    except TrustkitError as error:
        tell(error)
        return False
    return True


def _moment(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _line(line: Line) -> dict[str, object]:
    behind = line.evidence
    return {
        "reference": line.reference,
        "digest": None if line.digest is None else str(line.digest),
        "outcome": line.outcome,
        **(_error(line.error) if line.error else {"status": None, "slug": None, "message": None, "hint": None}),
        **({} if line.error or line.outcome == "not-tried" else {"status": DONE}),
        "role": behind.role if behind else None,
        "keys": list(behind.key_ids) if behind else [],
        "threshold": behind.threshold if behind else None,
        "versions": dict(behind.versions) if behind else {},
        "expires": _moment(behind.expires) if behind else None,
    }


def _error(error: TrustkitError) -> dict[str, object]:
    return {
        "status": exit_status(error),
        "slug": error.slug,
        "message": error.message,
        "hint": error.hint or None,
    }
