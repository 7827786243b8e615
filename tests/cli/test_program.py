"""The program's end: quick, with the status of what was done, and nothing left out that is due at an end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRUSTKIT = (sys.executable, "-m", "trustkit")
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def _status(*arguments: str, stdout: Path | None = None) -> int:
    with (stdout or Path(os.devnull)).open("w") as out:
        command = [*TRUSTKIT, *arguments]
        return subprocess.run(command, env=ENVIRON, stdout=out, stderr=subprocess.DEVNULL, timeout=60).returncode


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("--version",), 0), (("pin", "list"), 0), (("--no-such-flag",), 2), (("verify", "r.example.com/app:v1"), 3)],
)
def test_the_status_is_that_of_what_was_done(arguments: tuple[str, ...], status: int, tmp_path: Path):
    assert _status("--home", str(tmp_path), *arguments) == status


def test_output_that_is_not_written_is_no_success(tmp_path: Path):
    assert _status("--home", str(tmp_path), "policy", "check", "--help", stdout=Path("/dev/full")) not in (0, None)


def test_what_is_due_at_the_end_is_done_before_it(tmp_path: Path):
    """What others have registered, and threads that a process waits for."""
    code = (
        "import atexit, pathlib, sys, threading, time\n"
        "from trustkit.cli import app\n"
        "def main():\n"
        "    atexit.register(pathlib.Path(sys.argv[1]).write_text, 'done')\n"
        "    threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
        "    sys.exit(5)\n"
        "app.main = main\n"
        "app.program()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "told")]
    done = subprocess.run(command, env=ENVIRON, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, "thread\n", "")
    assert (tmp_path / "told").read_text() == "done"
