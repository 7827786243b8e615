"""What a whole ``trustkit verify`` does besides verifying, counted: a wall clock would tell of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.service import Person, RunningService

WATCH = """\
import json, os, re._compiler, sys

counts = {"connections": 0, "requests": 0, "written": 0, "sources": 0, "patterns": 0}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def watch(event, args):
    if event == "socket.connect":
        counts["connections"] += 1
    elif event == "http.client.send":
        counts["requests"] += 1
    elif event == "compile" and args[0] is not None and str(args[1]).startswith("<"):  # no module without bytecode
        counts["sources"] += 1
    elif event in ("os.rename", "os.remove", "os.symlink", "os.link", "os.truncate"):
        counts["written"] += 1
    elif event == "open" and isinstance(args[2], int) and args[2] & WRITING and not str(args[0]).endswith(".lock"):
        counts["written"] += 1

compiled = re._compiler.compile
def count(*args):
    counts["patterns"] += 1
    return compiled(*args)
re._compiler.compile = count
before = set(sys.modules)
sys.addaudithook(watch)
from trustkit.later import put_off; put_off()  # as the program does
from trustkit.cli import main
try:
    main()
except SystemExit as leaving:
    counts["status"] = leaving.code
counts["modules"] = sorted(n for n, m in sys.modules.items() if getattr(m, "__spec__", None) and n not in before)
sys.stderr.write(json.dumps(counts))
"""


def watched(environ: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Runs a command line in a process of its own; what it did."""
    command = [sys.executable, "-c", WATCH, *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environ}, check=False, capture_output=True, text=True, timeout=120
    )
    found: dict[str, Any] = json.loads(done.stderr.rpartition("\n")[2])
    return found


@pytest.fixture(scope="module")
def second_verify(service: RunningService, alice: Person) -> dict[str, Any]:
    """What a verification does that finds nothing new."""
    reference = f"{service.host}/cold/start:v1"
    alice.push(reference)
    assert alice("sign", reference).status == 0
    assert alice("verify", reference).status == 0
    return watched(alice.environment(), "verify", reference)


def test_it_asks_two_things_over_one_connection(second_verify: dict[str, Any]) -> None:
    """Whether there is a newer root, and the timestamp; on loopback the port is asked first whether it speaks TLS."""
    assert second_verify["status"] == 0
    assert (second_verify["requests"], second_verify["connections"]) == (2, 2)


def test_it_writes_nothing(second_verify: dict[str, Any]) -> None:
    assert second_verify["written"] == 0


def test_it_loads_so_many_modules_at_most(second_verify: dict[str, Any]) -> None:
    """Each costs a third of a millisecond.  Whoever has to raise a number says in the log why; it was 380 before."""
    loaded = second_verify["modules"]
    assert len([name for name in loaded if name.partition(".")[0] == "trustkit"]) <= 84
    assert len([name for name in loaded if name.partition(".")[0] == "cryptography"]) <= 30
    assert len(loaded) <= 250, loaded
    assert {name.partition(".")[0] for name in loaded}.isdisjoint({"urllib3", "inspect", "traceback", "zipfile"})


def test_it_compiles_little(second_verify: dict[str, Any]) -> None:
    """Patterns, of which the standard library has most; and sources: 40 records would have one each."""
    assert second_verify["patterns"] <= 65
    assert second_verify["sources"] <= 65
