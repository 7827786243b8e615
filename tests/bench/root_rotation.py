"""How long a rotation of root takes with 1,000 tags, and with 10, on a service of its own.

    python -m tests.bench.root_rotation [--many 1000] [--few 10] [--runs 7]

Two collections of one publisher; all tags of each name one image.  Each run types ``trustkit root rotate`` for one
and for the other: new key, publish, reading back and verifying included, as a process of its own.  Of each the median
counts.  The last line is ``ratio N``: with many tags over with few.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.service import Person, RunningService


def collection(alice: Person, gun: str, tags: int) -> None:
    """Pushes one image and signs it under so many tags."""
    digest = alice.push(f"{gun}:base")
    listed = "".join(f"{gun}:v{number}@{digest}\n" for number in range(tags))
    done = alice("sign", "--file", "-", feed=listed)
    if done.status != 0 or done.out.count("\n") != tags:
        raise SystemExit(f"sign ended with {done.status}: {done.err[-500:]}")


def rotation(alice: Person, gun: str) -> float:
    """Seconds of one rotation."""
    began = time.perf_counter()
    done = alice("root", "rotate", gun)
    took = time.perf_counter() - began
    if done.status != 0:
        raise SystemExit(f"root rotate ended with {done.status}: {done.err[-500:]}")
    return took


def measure(service: RunningService, sizes: tuple[int, int], runs: int) -> dict[int, list[float]]:
    """Seconds of each rotation, by number of tags."""
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    guns = {tags: f"{service.host}/bench/root{tags}" for tags in sizes}
    for tags, gun in guns.items():
        collection(alice, gun, tags)
    took: dict[int, list[float]] = {tags: [] for tags in sizes}
    for _ in range(runs):
        for tags, gun in guns.items():
            took[tags].append(rotation(alice, gun))
    return took


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = RunningService(Path(folder)).start()
        try:
            took = measure(service, (arguments.many, arguments.few), arguments.runs)
        finally:
            service.stop()
    medians = {tags: statistics.median(seconds) for tags, seconds in took.items()}
    for tags, seconds in took.items():
        print(f"{tags} tags: median {medians[tags]:.2f} s of {', '.join(f'{each:.2f}' for each in seconds)}")
    print(f"ratio {medians[arguments.many] / medians[arguments.few]:.2f}")


if __name__ == "__main__":
    main()
