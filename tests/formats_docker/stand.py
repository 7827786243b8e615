"""The real notary client, a real notary-server, and a server of files that an attacker has in hand."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.conftest import free_port
from tests.formats_docker.forge import NOW

PASSPHRASE = "a passphrase of tests"
_FILE = re.compile(
    r"/_trust/tuf/(?:(?P<version>[0-9]+)\.)?(?P<role>[a-z/0-9_-]+?)(?:\.(?P<hash>[0-9a-f]{64}))?\.json\Z"
)


@dataclass(frozen=True)
class Ran:
    """What a process said."""

    status: int
    output: str


def _by_role(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder))[: -len(".json")]: file.read_bytes() for file in folder.rglob("*.json")}


@dataclass(frozen=True)
class Notary:
    """The notary command line with a trust folder of its own."""

    binary: Path
    folder: Path
    server: str
    ca: Path | None = None

    def __call__(self, *arguments: str, answer: str = "") -> Ran:
        command = [str(self.binary), "-s", self.server, "-d", str(self.folder), *arguments]
        if self.ca is not None:
            command[3:3] = ["--tlscacert", str(self.ca)]
        roles = ("ROOT", "TARGETS", "SNAPSHOT", "DELEGATION")
        environment = {**os.environ, **{f"NOTARY_{role}_PASSPHRASE": PASSPHRASE for role in roles}}
        ran = subprocess.run(
            command, input=answer, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return Ran(ran.returncode, ran.stdout + ran.stderr)

    def must(self, *arguments: str, answer: str = "") -> str:
        """Its output; fails where it does."""
        ran = self(*arguments, answer=answer)
        assert ran.status == 0, ran.output
        return ran.output

    def cached(self, gun: object) -> dict[str, bytes]:
        """The files of a collection as it received them, by role."""
        return _by_role(self.folder / "tuf" / str(gun) / "metadata")


@dataclass(frozen=True)
class DockerTrust:
    """The docker command line, as far as it asks a trust server; no engine is there."""

    binary: Path
    folder: Path
    server: str
    ca: Path

    def __call__(self, *arguments: str) -> Ran:
        configuration = self.folder / "docker"
        trusted = configuration / "tls" / self.server.removeprefix("https://")
        trusted.mkdir(parents=True, exist_ok=True)
        (trusted / "ca.crt").write_bytes(self.ca.read_bytes())
        environment = {
            **os.environ,
            "DOCKER_CONFIG": str(configuration),
            "DOCKER_HOST": f"unix://{self.folder}/no-engine.sock",
            "DOCKER_CONTENT_TRUST": "1",
            "DOCKER_CONTENT_TRUST_SERVER": self.server,
            "DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE": PASSPHRASE,
            "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE": PASSPHRASE,
        }
        command = [str(self.binary), *arguments]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return Ran(ran.returncode, ran.stdout + ran.stderr)

    def cached(self, gun: object) -> dict[str, bytes]:
        """The files of a collection as it received them, by role."""
        return _by_role(self.folder / "docker" / "trust" / "tuf" / str(gun) / "metadata")

    def pulls(self, reference: str) -> str | None:
        """The digest, in hex, that a trusted pull would fetch; None where it refuses."""
        ran = self("pull", reference)
        found = re.search(r"Pull \(1 of 1\): \S+@sha256:([0-9a-f]{64})", ran.output)
        assert found or "trust" in ran.output.lower() or "hash" in ran.output, ran.output
        return found[1] if found else None


def tls(folder: Path) -> tuple[Path, Path]:
    """A certificate of localhost and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(NOW.replace(hour=0))
        .not_valid_after(NOW.replace(year=NOW.year + 1, day=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, SHA256())
    )  # fmt: skip
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key


class NotaryServer:
    """A real notary-server that keeps everything in memory, or in a database."""

    def __init__(self, binary: Path, folder: Path, backend: str = "memory", database: str = "") -> None:
        self._binary, self._folder = binary, folder
        self._storage = f'{{"backend":"{backend}"' + (f',"db_url":"{database}"}}' if database else "}")
        self.ca, self._key = tls(folder)
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"

    def __enter__(self) -> Self:
        config = self._folder / "server.json"
        config.write_text(
            f'{{"server":{{"http_addr":"127.0.0.1:{self.port}","tls_key_file":"{self._key}",'
            f'"tls_cert_file":"{self.ca}"}},"trust_service":{{"type":"local","hostname":"","port":"",'
            f'"key_algorithm":"ecdsa"}},"logging":{{"level":"error"}},"storage":{self._storage}}}',
            encoding="ascii",
        )
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen([self._binary, "-config", str(config)], stdout=log, stderr=log)
        context = ssl.create_default_context(cafile=str(self.ca))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.get("/v2/", context)
            except OSError:
                time.sleep(0.05)
            else:
                return self
        self.__exit__()
        raise AssertionError((self._folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:])

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def get(self, path: str, context: ssl.SSLContext | None = None) -> bytes:
        """The body of an answer with status 200."""
        context = context or ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5, context=context) as answer:
            return bytes(answer.read())


@dataclass
class Hosted:
    """What is served under every GUN: files by role, and former roots by version."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    roots: Mapping[int, bytes] = field(default_factory=dict)


ABSENT = b'{"errors":[{"code":"METADATA_NOT_FOUND","message":"You have requested metadata that does not exist."}]}'
"""What notary-server says of whatever it doesn't have."""


class Attacker:
    """A trust server that serves what it is told to, whatever that is."""

    def __init__(self, folder: Path) -> None:
        self.hosted = Hosted()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                body = b"{}" if self.path == "/v2/" else outer.find(self.path)
                self.send_response(200 if body is not None else 404)
                body = ABSENT if body is None else body
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.ca, key = tls(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"

    def find(self, path: str) -> bytes | None:
        match = _FILE.search(path)
        if match is None:
            return None
        if match["version"]:
            return self.hosted.roots.get(int(match["version"])) if match["role"] == "root" else None
        found = self.hosted.files.get(match["role"])
        if found is not None and match["hash"] and hashlib.sha256(found).hexdigest() != match["hash"]:
            return None
        return found

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
