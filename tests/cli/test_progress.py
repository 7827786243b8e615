"""How far resolving is: a bar on a terminal, plain lines elsewhere, and rich only for the bar."""

from __future__ import annotations

import os
import sys

import pytest

from tests.terminal import told

RUN = """
import sys
from trustkit.cli.progress import resolving
with resolving({total}) as tick:
    for _ in range({total}):
        tick()
print("rich" in sys.modules)
"""


def shown(total: int, *, terminal: bool, term: str = "xterm") -> tuple[str, bool]:
    """What stands on stderr, and whether rich was loaded."""
    command = [sys.executable, "-c", RUN.format(total=total)]
    status, out, said = told(command, {**os.environ, "TERM": term}, terminal=terminal)
    assert status == 0
    return said, out.strip() == "True"


@pytest.mark.parametrize("total", [1, 49])
def test_a_few_are_not_worth_a_line(total: int) -> None:
    assert shown(total, terminal=False) == ("", False)


@pytest.mark.parametrize(("total", "lines"), [(50, 10), (1000, 10), (57, 10)])
def test_many_are_told_in_ten_plain_lines(total: int, lines: int) -> None:
    said, rich = shown(total, terminal=False)
    assert not rich
    assert said.count("\n") == lines
    assert said.endswith(f"Resolved {total} of {total}.\n")
    assert "\x1b" not in said


def test_a_terminal_gets_a_bar() -> None:
    said, rich = shown(30, terminal=True)
    assert rich
    assert "Resolving" in said
    assert "30/30" in said


def test_a_single_one_gets_none() -> None:
    assert shown(1, terminal=True) == ("", False)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
@pytest.mark.parametrize(("total", "lines"), [(49, 0), (50, 10)])
def test_a_terminal_that_can_t_take_a_line_away_gets_plain_ones(term: str, total: int, lines: int) -> None:
    said, _ = shown(total, terminal=True, term=term)
    assert said.count("Resolved") == said.count("\n") == lines
    assert "\x1b" not in said
