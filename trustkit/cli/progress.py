"""How far it is: a bar on a terminal, which goes away again, and a few plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from trustkit.cli.output import note

MANY = 50
"""From so many on, plain lines tell each tenth of the way."""


@contextmanager
def resolving(total: int) -> Iterator[Callable[[], None]]:
    """A Watch of ``trustkit.client.sign``, on stderr."""
    if total > 1 and sys.stderr.isatty():
        with _bar(total) as tick:
            yield tick
    else:
        yield _lines(total)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:  # TERM=dumb, as in an editor's shell: no line goes away
        yield _lines(total)
        return
    columns = TextColumn("Resolving"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _lines(total: int) -> Callable[[], None]:
    return _Lines(total).tick if total >= MANY else lambda: None


class _Lines:
    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._lock = Lock()

    def tick(self) -> None:
        with self._lock:
            self._done += 1
            if self._done * 10 // self._total > (self._done - 1) * 10 // self._total:
                note(f"Resolved {self._done} of {self._total}.")
