"""Reads over TLS from 16 connections: the service, with a bearer token, against notary-server 0.7 without any login.

    python -m tests.bench.read_speed [--store sqlite|postgresql] [--rounds N] [--seconds S]

With SQLite the peer has its memory store; with PostgreSQL both are on one real server.  Both have the certificate of
the same key and a collection of a hundred tags, the service one of either format.  They take turns, and the
medians of the rounds are compared.  Every file is looked at first, and every answer has to be one.  Prints requests a
second, and the processor time that the server takes for one; the last lines are ``root ratio N`` and ``ratio N``
(timestamp), in format ``tuf``, ours over notary's.  Needs wrk, notary, notary-server and, for PostgreSQL, that
(Debian: wrk, notary, postgresql).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.publishers import Client, processor_seconds
from tests.bench.verify_speed import DIGEST, PASSPHRASE, until_done
from tests.conftest import free_port
from tests.formats_docker.stand import tls
from tests.postgres import PASSWORD as SECRET
from tests.postgres import USER, Postgres, binaries, name_of
from tests.service import PASSWORD, RunningService

TAGS = 100
CONNECTIONS = 16
WORDS = ("ROOT", "TARGETS", "SNAPSHOT", "DELEGATION")
RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
BAD = re.compile(r"Non-2xx|Socket errors")
NOTARY_TABLES = """
CREATE TABLE tuf_files (id serial PRIMARY KEY, created_at timestamp, updated_at timestamp, deleted_at timestamp,
  gun varchar(255) NOT NULL, role varchar(255) NOT NULL, version integer NOT NULL, data bytea NOT NULL,
  sha256 char(64), UNIQUE (gun, role, version));
CREATE INDEX tuf_files_sha256 ON tuf_files (sha256);
CREATE TABLE change_category (category varchar(20) PRIMARY KEY);
INSERT INTO change_category VALUES ('update'), ('deletion');
CREATE TABLE changefeed (id serial PRIMARY KEY, created_at timestamp DEFAULT now(), gun varchar(255) NOT NULL,
  version integer NOT NULL, sha256 char(64), category varchar(20) DEFAULT 'update' REFERENCES change_category);
"""


@dataclass(frozen=True)
class Target:
    """What is asked for, again and again."""

    name: str
    url: str
    token: str = ""

    def rate(self, seconds: int) -> float:
        """Requests a second."""
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
        if self.token:
            command += ["-H", f"Authorization: Bearer {self.token}"]
        said = subprocess.run([*command, self.url], capture_output=True, text=True, check=True).stdout
        found = RATE.search(said)
        if not found or BAD.search(said):
            raise SystemExit(f"{self.name}: {said}")
        return float(found[1])

    def look(self) -> None:
        """Fetches it once; it has to be a signed file."""
        request = urllib.request.Request(self.url)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=10, context=unchecked()) as answer:
            if "signatures" not in json.loads(answer.read()):
                raise SystemExit(f"{self.url} is no signed file")


def unchecked() -> ssl.SSLContext:
    """TLS with a certificate that nobody signed."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def notary_server(
    folder: Path, certificate: Path | None, key: Path | None, storage: dict[str, str]
) -> Iterator[tuple[str, int]]:
    """A notary-server, over TLS where there is a certificate; its HOST:PORT, and its process."""
    address = f"localhost:{free_port()}"
    encrypted = {"tls_key_file": str(key), "tls_cert_file": str(certificate)} if certificate else {}
    config = {
        "server": {"http_addr": address, **encrypted},
        "trust_service": {"type": "local", "hostname": "", "port": "", "key_algorithm": "ecdsa"},
        "logging": {"level": "error"},
        "storage": storage,
    }
    (folder / "notary.json").write_text(json.dumps(config))
    with (folder / "notary.log").open("wb") as log:
        process = subprocess.Popen(["notary-server", "-config", folder / "notary.json"], stdout=log, stderr=log)
    try:
        _await(address)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _await(address: str) -> None:
    """Returns once somebody listens there."""
    host, _, port = address.partition(":")
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def notary_storage(server: Postgres) -> dict[str, str]:
    """notary-server's ``storage``: a database of its own on this server."""
    theirs = server.empty()
    with server.connect(name_of(theirs)) as connection:
        connection.execute(NOTARY_TABLES + f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {USER};"
                           f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {USER};")  # fmt: skip
    url = server.url(name_of(theirs), password=SECRET).replace("postgresql:", "postgres:") + "?sslmode=disable"
    return {"backend": "postgres", "db_url": url}


@contextmanager
def databases(store: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Flags of ``serve``, and notary-server's ``storage``."""
    if store == "sqlite":
        yield [], {"backend": "memory"}
        return
    programs = binaries()
    if programs is None:
        raise SystemExit("There is no PostgreSQL here.")
    server = Postgres(programs)
    try:
        yield ["--database", server.database()], notary_storage(server)
    finally:
        server.close()


def signed_by_notary(folder: Path, server: str, ca: Path, gun: str) -> None:
    """A hundred tags, by the real client."""
    environ = {
        **os.environ,
        **{f"NOTARY_{word}_PASSPHRASE": PASSPHRASE for word in WORDS},
        "NOTARY_AUTH": base64.b64encode(f"alice:{PASSWORD}".encode()).decode(),
    }
    notary = ["notary", "-s", f"https://{server}", "--tlscacert", str(ca), "-d", str(folder)]
    until_done([*notary, "init", "-p", gun], environ)
    for number in range(TAGS):
        until_done([*notary, "addhash", gun, f"v{number}", "100", "--sha256", DIGEST], environ)
    until_done([*notary, "publish", gun], environ)


def token(host: str, scope: str, *, offline: bool = False) -> str:
    """An access token for alice's password, or the refresh token that a login keeps."""
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD, "service": host, "scope": scope}
    form |= {"access_type": "offline"} if offline else {}
    request = urllib.request.Request(f"https://{host}/oauth2/token", urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=10, context=unchecked()) as answer:
        return str(json.loads(answer.read())["refresh_token" if offline else "access_token"])


@contextmanager
def people(service: RunningService) -> Iterator[None]:
    """Alice, who may do everything."""
    for command in (
        ("principal", "add", "alice", "--password-stdin"),
        *(("role", "assign", "alice", role, "--repository", "*") for role in ("AcrPush", "AcrImageSigner")),
    ):
        done = service.admin(*command, feed=PASSWORD if "--password-stdin" in command else "")
        if done.status:
            raise SystemExit(done.err)
    yield


def signed_in_tuf(host: str) -> None:
    """The same number of tags in format ``tuf``."""
    secret = token(host, "repository:bench/tuf:pull,push,sign")
    client = Client(f"{host}/bench/tuf", secret, unchecked())
    client.publish(client.prepare(TAGS))


def measure(
    folder: Path, store: str, rounds: int, seconds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Rates of each target, and its server's processor seconds for a request."""
    certificate, key = tls(folder)
    with ExitStack() as stack:
        flags, storage = stack.enter_context(databases(store))
        server, peer = stack.enter_context(notary_server(folder, certificate, key, storage))
        tls_flags = ("--tls-cert", str(certificate), "--tls-key", str(key), "--public-name")
        port = free_port()
        host = f"localhost:{port}"
        service = RunningService(folder, *tls_flags, host, *flags)
        service.port = port
        service.start()
        stack.callback(service.stop)
        stack.enter_context(people(service))
        signed_by_notary(folder / "theirs", server, certificate, "localhost:5000/bench/app")
        signed_by_notary(folder / "ours", host, certificate, f"{host}/bench/docker")
        signed_in_tuf(host)
        targets = _targets(host, server)
        assert service.process is not None
        rates: dict[str, list[float]] = {target.name: [] for target in targets}
        spent: dict[str, list[float]] = {target.name: [] for target in targets}
        for target in targets:
            target.look()
            target.rate(1)
        for _ in range(rounds):
            for target in targets:
                pid = service.process.pid if target.token else peer
                before = processor_seconds(pid)
                rates[target.name].append(target.rate(seconds))
                took = processor_seconds(pid) - before
                spent[target.name].append(took / (rates[target.name][-1] * seconds))
        return rates, spent


def _targets(host: str, server: str) -> list[Target]:
    trust, tuf = f"{host}/bench/docker/_trust/tuf", f"{host}/bench/tuf/_trust/metadata"
    docker = token(host, f"repository:{host}/bench/docker:pull")
    ours = token(host, "repository:bench/tuf:pull")
    peer = f"https://{server}/v2/localhost:5000/bench/app/_trust/tuf"
    return [
        Target("notary-server timestamp", f"{peer}/timestamp.json"),
        Target("trustkit timestamp, tuf", f"https://{host}/v2/{tuf}/timestamp.json", ours),
        Target("trustkit timestamp, docker", f"https://{host}/v2/{trust}/timestamp.json", docker),
        Target("notary-server root", f"{peer}/root.json"),
        Target("trustkit root, tuf", f"https://{host}/v2/{tuf}/1.root.json", ours),
        Target("trustkit root, docker", f"https://{host}/v2/{trust}/root.json", docker),
    ]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rates, spent = measure(Path(folder), arguments.store, arguments.rounds, arguments.seconds)
    for name, found in rates.items():
        each = statistics.median(spent[name]) * 1e6
        print(
            f"{name}: median {statistics.median(found):.0f} a second, best {max(found):.0f}, "
            f"{each:.0f} us of the server's processor time each"
        )
    middle = {name: statistics.median(found) for name, found in rates.items()}
    for kind in ("root, docker", "timestamp, docker", "root, tuf"):
        role = kind.partition(",")[0]
        label = "root" if kind == "root, tuf" else f"docker {role}"
        print(f"{label} ratio {middle[f'trustkit {kind}'] / middle[f'notary-server {role}']:.2f}")
    print(f"ratio {middle['trustkit timestamp, tuf'] / middle['notary-server timestamp']:.2f}")


if __name__ == "__main__":
    main()
