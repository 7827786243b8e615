"""Real PKCS#11 tokens in software: SoftHSM, with tokens in a folder of the test's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from trustkit.keys.tokens import USUAL_PLACES

MODULE = next((place for place in USUAL_PLACES if "softhsm" in place and Path(place).exists()), "")
"""Where the system has SoftHSM; empty for nowhere."""
PIN, SO_PIN = "a pin of 17 signs", "12345678"


class SoftHsm:
    """Tokens in a folder; ``environ`` shows them to a process.

    Args:
        folder: empty, and stays with the object.
        tool: softhsm2-util.
    """

    def __init__(self, folder: Path, tool: Path) -> None:
        self._tool = tool
        self._tokens = folder / "tokens"
        self._tokens.mkdir(parents=True)
        config = folder / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {self._tokens}\nlog.level = ERROR\n", encoding="ascii")
        self.environ = {"SOFTHSM2_CONF": str(config)}

    def insert(self, label: str, pin: str = PIN) -> Path:
        """A new, empty token; the folder that is it."""
        before = set(self._tokens.iterdir())
        subprocess.run(
            [self._tool, "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", SO_PIN],
            env=self.environ,
            check=True,
            capture_output=True,
            timeout=60,
        )
        (made,) = set(self._tokens.iterdir()) - before
        return made

    def insert_copy(self, token: Path) -> Path:
        """A copy of another's token, with all that is on it."""
        return Path(shutil.copytree(token, self._tokens / token.name))

    @staticmethod
    def pull_out(token: Path) -> None:
        """The token is gone, as if pulled out."""
        shutil.rmtree(token)
