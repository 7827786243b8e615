"""Plots what ``tests.bench.memory --out FILE`` wrote, of one run or several.

python -m tests.bench.memory_plot FILE [FILE...] docs/explanation/memory.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

LIMIT = 300
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def draw(runs: list[dict[str, Any]], to: Path) -> None:
    """All that is resident over the minutes, and below it what is the process's own; one colour a run."""
    plt.rcParams.update({"svg.hashsalt": "memory", "font.size": 9})
    figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
    for number, run in enumerate(runs):
        minutes = [each["seconds"] / 60 for each in run["samples"]]
        label = f"{NAMES[run['database']]}, {run['requests']:,} requests"
        for measure, style, name in (("rss", "-", label), ("uss", ":", None)):
            values = [each[measure] for each in run["samples"]]
            axis.plot(minutes, values, style, color=f"C{number}", linewidth=1, label=name)
    axis.axhline(LIMIT, color="0.6", linewidth=1, linestyle="--")
    axis.set(xlim=(0, None), ylim=(0, LIMIT * 1.1), xlabel="minutes", title="memory of one service, MiB")
    axis.legend(loc="lower right")
    figure.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    *files, target = map(Path, sys.argv[1:])
    draw([json.loads(file.read_text()) for file in files], target)
