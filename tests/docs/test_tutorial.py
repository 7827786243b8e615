"""The tutorial, played as it stands: each command is run, and ends as the text says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial/index.md"
SETUP = ("python3 -m venv", ".venv/bin/pip", ". .venv/bin/activate", "mkdir ", "trustkit serve ")
START_SECONDS = 20.0


def _steps() -> list[str]:
    """Every command of the tutorial after its set-up, here-documents included."""
    blocks = re.findall(r"^```console\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    commands = [command.rstrip("\n") for block in blocks for command in re.split(r"^\$ ", block, flags=re.MULTILINE)]
    return [command for command in commands if command and not command.startswith(SETUP)]


@dataclass(slots=True)
class Reader:
    """Somebody who types what the tutorial says, on a machine where its folder and port are others."""

    folder: Path
    host: str
    environ: dict[str, str]
    passwords: dict[str, str] = field(default_factory=dict)
    root_key: str = "ID"

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Runs one command as typed; ``export`` lasts, passwords are those that were printed."""
        text = command.replace("/tmp/tutorial", str(self.folder)).replace("127.0.0.1:5080", self.host)
        text = re.sub(r"\bID$", self.root_key, text)
        if text.startswith("export "):
            self.environ.update(pair.split("=", 1) for pair in text.split()[1:])
        login = re.search(r"login .*-u (\w+)", text)
        done = subprocess.run(
            ["bash", "-c", text], env=self.environ, input=self.passwords[login[1]] if login else "",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if added := re.search(r"principal add (\w+)", text):
            self.passwords[added[1]] = done.stdout
        if text == "trustkit key list":
            keys = subprocess.run(
                ["bash", "-c", f"{text} --format json"], env=self.environ, capture_output=True, text=True, check=True
            )
            self.root_key = next(key["id"] for key in json.loads(keys.stdout) if key["role"] == "root")
        return done


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    environ = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "TRUSTKIT_ROOT_PASSPHRASE": "a passphrase for the root",
        "TRUSTKIT_REPOSITORY_PASSPHRASE": "a passphrase for the repository",
    }
    out = tmp_path / "serve.out"
    command = ["trustkit", "serve", "--data-dir", str(tmp_path / "service"), "--listen", "127.0.0.1:0"]
    with out.open("wb") as stdout, (tmp_path / "serve.err").open("wb") as stderr:
        service = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not out.read_text().endswith("\n"):
            assert service.poll() is None, (tmp_path / "serve.err").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Reader(tmp_path, out.read_text().strip().removeprefix("http://"), environ)
    finally:
        service.terminate()
        service.wait(20)


@pytest.mark.slow
def test_the_tutorial_ends_as_it_says(reader: Reader):
    steps = _steps()
    assert sum(step.startswith("trustkit ") for step in steps) >= 14
    revoked = False
    for step in steps:
        done = reader.run(step)
        verifies = step.startswith("trustkit verify")
        refused = verifies and (revoked or step.endswith(":dev"))
        assert done.returncode == (3 if refused else 0), (step, done.stdout, done.stderr)
        if refused:
            assert done.stdout == ""
            assert "[unsigned]" in done.stderr
        elif verifies:
            assert re.fullmatch(rf"{reader.host}/app:v1@sha256:[0-9a-f]{{64}}\n", done.stdout)
        revoked |= step.startswith("trustkit revoke")
    assert revoked
