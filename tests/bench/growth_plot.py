"""Plots what ``tests.bench.growth --out FILE`` wrote.

python -m tests.bench.growth_plot FILE docs/explanation/growth.svg
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

PANELS = (
    ("signing one more tag, ms", lambda each: 1000 * statistics.median(each["signing"])),
    ("both ways meanwhile, KiB", lambda each: max(each["wire"]) / 1024),
    ("verifying one tag, ms", lambda each: 1000 * statistics.median(each["verifying"])),
)


def draw(found: list[dict[str, Any]], to: Path) -> None:
    """One panel a measure, over the number of tags; hollow points are collections in one file."""
    plt.rcParams.update({"svg.hashsalt": "growth", "font.size": 9})
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9, 2.8), layout="constrained")
    tags = [each["tags"] for each in found]
    for axis, (name, value) in zip(axes, PANELS, strict=True):
        values = [value(each) for each in found]
        axis.plot(tags, values, color="0.6", linewidth=1)
        for binned, face in ((False, "white"), (True, "tab:blue")):
            picked = [(x, y) for x, y, each in zip(tags, values, found, strict=True) if bool(each["bins"]) is binned]
            label = "hash bins" if binned else "one file"
            axis.plot(*zip(*picked, strict=True), "o", color="tab:blue", markerfacecolor=face, label=label)
        axis.set(xscale="log", ylim=(0, None), xlabel="tags", title=name)
    axes[0].legend()
    figure.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
