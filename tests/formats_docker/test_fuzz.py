"""The reader of format docker, fuzzed for a moment in each run; for hours by hand with ``fuzz.py``."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python; see pyproject.toml")
def test_nothing_but_our_errors_and_what_was_signed(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "tests.formats_docker.fuzz",
        str(tmp_path),
        "-runs=2500",
        "-seed=1",
        "-max_len=5000",
    ]
    ran = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "Done 2500 runs" in ran.stderr
