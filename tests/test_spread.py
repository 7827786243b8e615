"""How the tests themselves are spread: nothing in the lists is stale, and what is timed never waits for others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import spread

TESTS = Path(__file__).parent
FILES = [path.as_posix() for path in sorted(TESTS.rglob("test_*.py"))]
HELD_TO_A_TIME = re.compile(
    r"\b(?:monotonic|perf_counter|time)\(\) - (?:began|started|before|start)\b|mark\.timeout\(\d{1,2}\)|\.join\(\d"
)


@pytest.mark.parametrize("part", [*spread.LONGEST, *spread.CALM, *spread.TIMED])
def test_each_part_is_of_a_file(part: str) -> None:
    assert [path for path in FILES if f"tests/{part}" in path]


@pytest.mark.parametrize("path", [path[len(str(TESTS)) + 1 :] for path in FILES if spread.is_calm(path)])
def test_nothing_calm_is_held_to_a_time_on_the_clock(path: str) -> None:
    """A process's own time (``process_time``) is another matter."""
    assert HELD_TO_A_TIME.findall((TESTS / path).read_text(encoding="utf-8")) == []


def test_the_longest_come_first_and_the_calm_ones_last() -> None:
    ranks = [
        spread.rank(path) for path in ("/x/tests/load/test_a.py", "/x/tests/asgi/test_b.py", "/x/tests/cli/c.py")
    ]
    assert ranks == sorted(set(ranks))
    assert spread.rank("/x/tests/keys/test_onlineplaces.py") == spread.rank("/x/tests/asgi/test_b.py")


def test_the_spare_process_takes_the_first_calm_one_or_none() -> None:
    waiting = ["tests/load/test_a.py", "tests/core/test_b.py", "tests/cli/test_c.py"]
    assert spread.pick(waiting, spare=True) == "tests/core/test_b.py"
    assert spread.pick(waiting, spare=False) == "tests/load/test_a.py"
    assert spread.pick(waiting[:1], spare=True) is None
    assert spread.pick([], spare=False) is None


@pytest.mark.parametrize(
    ("worker", "count", "spare"),
    [("gw2", 3, True), ("gw1", 3, False), ("gw1", 2, False), ("gw3", 3, False), ("gw0", 1, False)],
)
def test_which_one_is_spare(worker: str, count: int, *, spare: bool) -> None:
    assert spread.is_spare(worker, count) is spare


SAYS = """
import os
import pytest

@pytest.mark.parametrize("number", range(6))
def test_says(number):
    with open({told!r}, "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], os.getpriority(os.PRIO_PROCESS, 0), __file__, file=file)
"""


@pytest.mark.parametrize(
    "files", [["core/a", "load/b"], ["core/a", "core/b", "load/c", "load/d", "load/e", "load/f"]]
)
def test_three_processes_run_all_and_the_spare_one_yields(tmp_path: Path, files: list[str]) -> None:
    told = tmp_path / "told"
    for name in files:
        folder, _, short = name.partition("/")
        place = tmp_path / "tests" / folder / f"test_{short}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(SAYS.format(told=str(told)))
    command = [sys.executable, "-m", "pytest", "-p", "tests.spread", "-p", "no:cacheprovider", "-n", "3"]
    command += ["--dist", "loadfile", "--no-loadscope-reorder", "--import-mode=importlib", str(tmp_path)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS.parent, env=environ)
    assert f"{6 * len(files)} passed" in ran.stdout, ran.stdout + ran.stderr
    lines = [line.split() for line in told.read_text().splitlines()]
    assert len(lines) == 6 * len(files)
    if len(files) > spread.FEWEST:
        assert {worker for worker, nice, _ in lines if int(nice) > os.getpriority(os.PRIO_PROCESS, 0)} == {"gw2"}
        assert {spread.is_calm(path) for worker, _, path in lines if worker == "gw2"} == {True}
