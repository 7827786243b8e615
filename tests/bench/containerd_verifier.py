"""containerd's verifier, a process for each pull: with ``trustkit verifierd`` and without, beside its peer.

    python -m tests.bench.containerd_verifier [--runs N] [--peer-runs N]

Without a helper it is held against ``docker trust inspect`` at notary-server 0.7, as in ``verify_speed``: the two
take turns.  With the helper it is run N times, one after the other, for the p99; every tenth digest is another
one and has to be refused.  What is run is what ``trustkit install containerd`` writes.  The last lines are
``processor ratio N``, ``ratio N`` and ``p99 N ms``.  Needs notary-server, notary and docker (Debian: notary,
docker.io).
"""

from __future__ import annotations

import argparse
import compileall
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import trustkit
from tests.bench.verify_speed import (
    DIGEST,
    WARM_UP,
    Spent,
    milliseconds,
    notary_server,
    signed_at_peer,
    tell,
    tell_ratios,
    timed,
)
from tests.hooks.node import OTHER, Image, flags, signed
from tests.service import Person, RunningService


@dataclass(frozen=True)
class Verifier:
    """What is installed, and what it is asked."""

    program: Path
    image: Image

    def milliseconds(self, digest: str, status: int) -> Spent:
        """What one run took, which has to end with this status."""
        command = [str(self.program), *flags(f"{self.image.name}:v1", digest)]
        done, took = timed(command, {}, self.image.descriptor(digest=digest))
        if done.returncode != status:
            raise SystemExit(f"the verifier ended with {done.returncode}: {done.stdout}{done.stderr}")
        return took


def install(folder: Path, service: RunningService) -> tuple[Verifier, Person]:
    """Signs a tag, pins it for a node, and installs the verifier there."""
    alice, node = service.principal("alice", "AcrPush", "AcrImageSigner"), service.principal("node", "AcrPull")
    image = signed(service, alice, node, "app")
    done = node("install", "containerd", "--bin-dir", str(folder / "bin"))
    if done.status:
        raise SystemExit(f"it can't be installed: {done.err}")
    return Verifier(folder / "bin" / "trustkit", image), node


def beside_the_peer(folder: Path, verifier: Verifier, runs: int) -> tuple[list[Spent], list[Spent]]:
    """What the verifier alone took, and the peer."""
    ours, theirs = [], []
    with notary_server(folder) as (server, cert):
        peer = signed_at_peer(folder, server, cert)
        for _ in range(WARM_UP + runs):
            ours.append(verifier.milliseconds(verifier.image.digest, 0))
            theirs.append(milliseconds(*peer, DIGEST))
    return ours[WARM_UP:], theirs[WARM_UP:]


def with_helper(verifier: Verifier, node: Person, runs: int) -> list[Spent]:
    """What the verifier took with a helper beside it."""
    command = [sys.executable, "-m", "trustkit", "verifierd"]
    environ = {**os.environ, **node.environment()}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as helper:
        try:
            if helper.stdout is None or not helper.stdout.readline():
                raise SystemExit("the helper doesn't listen")
            kinds = [(OTHER, 1), *[(verifier.image.digest, 0)] * 9]
            times = [verifier.milliseconds(*kinds[run % len(kinds)]) for run in range(-WARM_UP, runs)]
        finally:
            helper.terminate()
    return times[WARM_UP:]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--peer-runs", type=int, default=20)
    arguments = parser.parse_args()
    compileall.compile_dir(Path(trustkit.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        service = RunningService(folder).start()
        try:
            verifier, node = install(folder, service)
            alone, peer = beside_the_peer(folder, verifier, arguments.peer_runs)
            helped = sorted(with_helper(verifier, node, arguments.runs))
        finally:
            service.stop()
    tell({"verifier alone": alone, "docker trust inspect": peer, "with the helper": helped})
    tell_ratios(alone, peer)
    print(f"p99 {helped[int(len(helped) * 0.99)].time:.1f} ms")


if __name__ == "__main__":
    main()
