"""Stock ``docker trust inspect`` and ``docker trust sign`` against the service, and against notary-server 0.7.

    python -m tests.bench.docker_trust [--runs N]

The service runs on SQLite and asks for a login; notary-server has its memory store, and runs twice: letting everybody
in, for which the stock client makes one request less, and asking for the same login at the service's token endpoint.
All are on loopback over TLS with certificates of the same kind, hold one collection of a hundred tags that the real
notary made, and take turns.  What is signed again is a tag that is there, which takes no engine.  Prints
milliseconds; the last lines are ``inspect ratio N`` and ``sign ratio N``, of the medians, ours over notary's without
a login, and before them the same with one.  Needs notary-server, notary and docker before 29 (Debian: notary,
docker.io).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.verify_speed import DIGEST, PASSPHRASE, WARM_UP, Spent, milliseconds, tell, until_done
from tests.conftest import free_port
from tests.formats_docker.stand import tls
from tests.service import PASSWORD, RunningService

TAGS = 100
OURS, THEIRS, ASKING = "trustkit", "notary-server", "notary-server with a login"
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


def _login(side: Side, host: str, certificate: Path) -> None:
    """Has docker keep what it would after a ``docker login``, which needs no engine then."""
    trusted = side.config / "tls" / host
    trusted.mkdir(parents=True)
    shutil.copy(certificate, trusted / "ca.crt")
    feed = ["docker", "login", "-u", "alice", "--password-stdin", host]
    milliseconds(feed, {**side.environ, "DOCKER_HOST": "unix:///nowhere"}, "Login Succeeded", feed=PASSWORD)
    shutil.rmtree(side.config / "tls")


def measure(folder: Path, runs: int) -> dict[str, list[Spent]]:
    """What each run of each command took."""
    certificate, key = tls(folder)
    port = free_port()
    host = f"localhost:{port}"
    flags = (
        "--tls-cert",
        str(certificate),
        "--tls-key",
        str(key),
        "--public-name",
        host,
    )
    service = RunningService(folder, *flags)
    service.port = port
    auth = {
        "realm": f"https://{host}/oauth2/token",
        "service": host,
        "issuer": host,
        "rootcertbundle": str(service.data / "token-ca.crt"),
    }
    with ExitStack() as stack:
        service.start()
        stack.callback(service.stop)
        service.admin("principal", "add", "alice", "--password-stdin", feed=PASSWORD)
        for role in ("AcrPush", "AcrImageSigner"):
            service.admin("role", "assign", "alice", role, "--repository", "*")
        open_, closed = (folder / name for name in ("open", "closed"))
        open_.mkdir()
        closed.mkdir()
        address = stack.enter_context(notary_server(open_, certificate, key))
        asking = stack.enter_context(notary_server(closed, certificate, key, auth))
        sides = [
            Side(OURS, host, certificate, f"{host}/bench/app", folder / "ours"),
            Side(THEIRS, address, certificate, "localhost:5000/bench/app", folder / "theirs"),
            Side(ASKING, asking, certificate, f"{host}/bench/other", folder / "asking"),
        ]
        found: dict[str, list[Spent]] = {}
        for side in sides:
            side.config.mkdir()
            _login(side, host, certificate)
            side.sign()
        for run in range(-WARM_UP, runs):
            for side in sides:
                for kind, act in (("inspect", side.inspect), ("sign", side.sign_again)):
                    took = act()
                    if run >= 0:
                        found.setdefault(f"{kind} at {side.name}", []).append(took)
        return found


@contextmanager
def notary_server(folder: Path, certificate: Path, key: Path, auth: dict[str, str] | None = None) -> Iterator[str]:
    """A notary-server with its memory store; its HOST:PORT."""
    address = f"localhost:{free_port()}"
    config: dict[str, object] = {
        "server": {"http_addr": address, "tls_key_file": str(key), "tls_cert_file": str(certificate)},
        "trust_service": {"type": "local", "hostname": "", "port": "", "key_algorithm": "ecdsa"},
        "logging": {"level": "error"},
        "storage": {"backend": "memory"},
    }
    if auth:
        config["auth"] = {"type": "token", "options": auth}
    (folder / "notary.json").write_text(json.dumps(config))
    with (folder / "notary.log").open("wb") as log:
        process = subprocess.Popen(["notary-server", "-config", folder / "notary.json"], stdout=log, stderr=log)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), runs)
    tell(found)
    medians = {kind: statistics.median(each.time for each in spent) for kind, spent in found.items()}
    for peer, words in ((ASKING, " with a login"), (THEIRS, "")):
        for kind in ("inspect", "sign"):
            ratio = medians[f"{kind} at {OURS}"] / medians[f"{kind} at {peer}"]
            print(f"{kind}{words} ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
