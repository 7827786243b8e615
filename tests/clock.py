"""A clock that processes are started with and that is set while they run, by libfaketime."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.conftest import Need


@dataclass(frozen=True)
class Clock:
    """The clock of every process that is started with ``environ``, set while they run."""

    file: Path
    library: str

    @property
    def environ(self) -> dict[str, str]:
        return {"LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1"}

    def ahead(self, **days: float) -> datetime:
        """Sets it this far ahead; returns what it shows."""
        delta = timedelta(**days)
        new = self.file.with_suffix(".new")
        new.write_text(f"{delta.total_seconds():+.0f}\n")
        new.replace(self.file)
        return datetime.now(UTC) + delta


def sweep() -> None:
    """Removes what faketime's killed processes left in shared memory: one of the same number would not start."""
    for path in Path("/dev/shm").glob("*faketime_*"):
        number = path.name.rpartition("_")[2]
        if number.isdigit() and not Path("/proc", number).exists():
            path.unlink(missing_ok=True)


def make_clock(need: Need, file: Path) -> Clock:
    """A clock that shows the time."""
    faketime = need("faketime", "faketime")
    sweep()
    shown = subprocess.run([faketime, "-f", "+0", "env"], capture_output=True, text=True, check=True, timeout=30)
    (library,) = [line for line in shown.stdout.splitlines() if line.startswith("LD_PRELOAD=")]
    made = Clock(file, library.partition("=")[2])
    made.ahead(days=0)
    return made
