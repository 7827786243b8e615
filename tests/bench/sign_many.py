"""1,000 tags of one GUN, signed in one publish, on a service of its own with images in a layout.

    python -m tests.bench.sign_many [--tags 1000] [--runs 3]

Each tag has a manifest of its own; pushing them takes a minute.  Each run signs all of them: the first, by tag,
founds the collection, the others sign every tag for another digest.  Resolving, 16 requests at a time, is told apart
from the rest, which is to read the current state, unlock the key, sign, publish and read back what is served.  The
whole command ``trustkit sign --file`` is timed once, too.  The last line is ``ratio N``: the slowest run's rest over
3 seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.registry_view import Own
from tests.service import Person, RunningService
from trustkit.cli.context import Context
from trustkit.cli.publishing import signing_with
from trustkit.client.resolve import Resolved
from trustkit.core.names import ImageRef

TARGET = 3.0


@dataclass(frozen=True)
class Run:
    """Seconds."""

    resolving: float
    rest: float

    def __str__(self) -> str:
        return f"resolving {self.resolving:.2f} s, the rest {self.rest:.2f} s"


def one(alice: Person, refs: list[ImageRef]) -> Run:
    """Signs all of them with nothing but a token known from before."""
    context = Context(home_flag=None, environ={**os.environ, **alice.environment()})
    began = time.perf_counter()
    signing = signing_with(context)
    resolved = [outcome for outcome in signing.resolve(refs) if isinstance(outcome, Resolved)]
    between = time.perf_counter()
    signed = [tag for published in signing.publish(resolved) for tag in published]
    if len(signed) != len(refs):
        raise SystemExit(f"{len(signed)} of {len(refs)} were signed.")
    return Run(between - began, time.perf_counter() - between)


def command(alice: Person, refs: list[ImageRef]) -> float:
    """Seconds of the whole command, which signs all of them again."""
    listed = "".join(f"{ref}\n" for ref in refs)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "trustkit", "sign", "--file", "-"],
        env={**os.environ, **alice.environment()},
        input=listed,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or done.stdout.count("\n") != len(refs):
        raise SystemExit(f"sign ended with {done.returncode}: {done.stderr[-500:]}")
    return time.perf_counter() - began


def measure(service: RunningService, tags: int, runs: int) -> tuple[list[Run], float]:
    """Each run, and the whole command."""
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    own = Own(service, alice, "bench/many")
    alice.push(f"{own.gun}:base")
    digests = list(own.images("base", tags).values())
    found = []
    for run in range(runs + 1):
        moved = digests[run:] + digests[:run]
        refs = [ImageRef.parse(f"{own.gun}:v{n}" + f"@{moved[n]}" * (run > 0)) for n in range(tags)]
        if run < runs:
            found.append(one(alice, refs))
    return found, command(alice, refs)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tags", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        service = RunningService(Path(folder)).start()
        said, sys.stderr = sys.stderr, nowhere
        try:
            runs, whole = measure(service, arguments.tags, arguments.runs)
        finally:
            sys.stderr = said
            service.stop()
    for number, run in enumerate(runs, 1):
        print(f"run {number}: {run}")
    print(f"the whole command: {whole:.2f} s")
    print(f"ratio {max(run.rest for run in runs) / TARGET:.2f}")


if __name__ == "__main__":
    main()
