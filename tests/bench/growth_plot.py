"""Plots what ``tests.bench.growth --out FILE`` wrote.

python -m tests.bench.growth_plot docs/explanation/growth.json docs/explanation/growth.svg
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

Line = Callable[[Mapping[str, Any]], float]


def _median(name: str) -> Line:
    return lambda each: 1000 * statistics.median(each[name])


PANELS: Mapping[str, Mapping[str, Line]] = {
    "signing one more tag, ms": {"elapsed": _median("signing"), "of a processor": _median("signing_cpu")},
    "both ways meanwhile, KiB": {"at most": lambda each: max(each["wire"]) / 1024},
    "verifying one tag, ms": {"elapsed": _median("verifying"), "of a processor": _median("verifying_cpu")},
}
STYLES = ("-", "--")


def draw(found: list[dict[str, Any]], to: Path) -> None:
    """One panel a measure, over the number of tags; hollow points are collections in one file."""
    plt.rcParams.update({"svg.hashsalt": "growth", "font.size": 9})
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9, 2.8), layout="constrained")
    tags = [each["tags"] for each in found]
    for axis, (title, lines) in zip(axes, PANELS.items(), strict=True):
        for style, (name, value) in zip(STYLES, lines.items(), strict=False):
            values = [value(each) for each in found]
            axis.plot(tags, values, style, color="tab:blue", linewidth=1, label=name)
            for each, x, y in zip(found, tags, values, strict=True):
                axis.plot(x, y, "o", color="tab:blue", markerfacecolor="tab:blue" if each["bins"] else "white")
        axis.set(xscale="log", yscale="log", xlabel="tags", title=title)
        axis.set_ylim(bottom=1)
        axis.grid(visible=True, linewidth=0.3)
        if len(lines) > 1:
            axis.legend()
    figure.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
