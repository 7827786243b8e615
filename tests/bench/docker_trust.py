"""Stock ``docker trust inspect`` and ``docker trust sign`` against the service, and against notary-server 0.7.

    python -m tests.bench.docker_trust [--runs N]

The service runs on SQLite and asks for a login; notary-server has its memory store and lets everybody in, so the
stock client makes two more requests here.  Both are on loopback over TLS, hold one collection of a hundred tags that
the real notary made, and take turns.  What is signed again is a tag that is there, which takes no engine.  Prints
milliseconds; the last lines are ``inspect ratio N`` and ``sign ratio N``, of the medians, ours over notary's.  Needs
notary-server, notary and docker before 29 (Debian: notary, docker.io).
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.verify_speed import DIGEST, PASSPHRASE, WARM_UP, Spent, milliseconds, notary_server, tell, until_done
from tests.formats_docker.stand import tls
from tests.service import PASSWORD, RunningService

TAGS = 100
_WORDS = ("ROOT", "TARGETS", "SNAPSHOT", "DELEGATION")


@dataclass(frozen=True)
class Side:
    """One server, and somebody who publishes there with stock tools."""

    name: str
    server: str
    ca: Path
    gun: str
    config: Path

    @property
    def environ(self) -> dict[str, str]:
        """What docker and notary find their keys, passphrases and server by."""
        return {
            **os.environ,
            **{f"NOTARY_{word}_PASSPHRASE": PASSPHRASE for word in _WORDS},
            **{f"DOCKER_CONTENT_TRUST_{word}_PASSPHRASE": PASSPHRASE for word in ("ROOT", "REPOSITORY")},
            "NOTARY_AUTH": base64.b64encode(f"alice:{PASSWORD}".encode()).decode(),
            "DOCKER_CONFIG": str(self.config),
            "DOCKER_CONTENT_TRUST_SERVER": f"https://{self.server}",
        }

    def sign(self) -> None:
        """Signs the tags with notary, whose keys are docker's."""
        trusted = self.config / "tls" / self.server
        trusted.mkdir(parents=True)
        shutil.copy(self.ca, trusted / "ca.crt")
        notary = [
            "notary",
            "-s",
            f"https://{self.server}",
            "--tlscacert",
            str(self.ca),
            "-d",
            str(self.config / "trust"),
        ]
        until_done([*notary, "init", "-p", self.gun], self.environ)
        for number in range(TAGS):
            until_done([*notary, "addhash", self.gun, f"v{number}", "100", "--sha256", DIGEST], self.environ)
        until_done([*notary, "publish", self.gun], self.environ)

    def inspect(self) -> Spent:
        """What ``docker trust inspect`` of one tag took."""
        return milliseconds(["docker", "trust", "inspect", f"{self.gun}:v7"], self.environ, DIGEST)

    def sign_again(self) -> Spent:
        """What ``docker trust sign`` of that tag took."""
        return milliseconds(["docker", "trust", "sign", f"{self.gun}:v7"], self.environ, "Successfully signed")


def _login(side: Side) -> None:
    """Has docker keep what it would after a ``docker login``, which needs no engine then."""
    feed = ["docker", "login", "-u", "alice", "--password-stdin", side.server]
    milliseconds(feed, {**side.environ, "DOCKER_HOST": "unix:///nowhere"}, "Login Succeeded", feed=PASSWORD)


def measure(folder: Path, runs: int) -> dict[str, list[Spent]]:
    """What each run of each command took."""
    certificate, key = tls(folder)
    service = RunningService(folder, "--tls-cert", str(certificate), "--tls-key", str(key)).start()
    try:
        with notary_server(folder) as (address, ca):
            service.admin("principal", "add", "alice", "--password-stdin", feed=PASSWORD)
            for role in ("AcrPush", "AcrImageSigner"):
                service.admin("role", "assign", "alice", role, "--repository", "*")
            host = f"localhost:{service.port}"
            ours = Side("trustkit", host, certificate, f"{host}/bench/app", folder / "ours")
            theirs = Side("notary-server", address, ca, "localhost:5000/bench/app", folder / "theirs")
            for side in (ours, theirs):
                side.config.mkdir()
            (ours.config / "tls" / host).mkdir(parents=True)
            shutil.copy(certificate, ours.config / "tls" / host / "ca.crt")
            _login(ours)
            shutil.rmtree(ours.config / "tls")
            found: dict[str, list[Spent]] = {}
            for side in (ours, theirs):
                side.sign()
            for run in range(-WARM_UP, runs):
                for side in (ours, theirs):
                    for kind, act in (("inspect", side.inspect), ("sign", side.sign_again)):
                        took = act()
                        if run >= 0:
                            found.setdefault(f"{kind} at {side.name}", []).append(took)
            return found
    finally:
        service.stop()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), runs)
    tell(found)
    medians = {kind: statistics.median(each.time for each in spent) for kind, spent in found.items()}
    for kind in ("inspect", "sign"):
        print(f"{kind} ratio {medians[f'{kind} at trustkit'] / medians[f'{kind} at notary-server']:.2f}")


if __name__ == "__main__":
    main()
