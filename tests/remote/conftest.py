"""A real HTTP server in a thread, plain or TLS, that answers what a test tells it to."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from trustkit.core.names import Host


class Handler(http.server.BaseHTTPRequestHandler):
    """Passes each request to the test's function and notes it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
        try:
            self.server.answer(self)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_HEAD = _serve

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[Handler], None]
    seen: list[tuple[str, str, str]]

    def handle_error(self, *args: object) -> None:
        """A client that hangs up is what many tests are about."""


class ServerOnSix(Server):
    address_family = socket.AF_INET6


@dataclass
class Running:
    host: Host
    scheme: str
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"


Answer = Callable[[Handler], None]
Serve = Callable[..., Running]


@dataclass(frozen=True)
class Authority:
    """A certificate authority with the file that holds it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    file: Path

    def issue(self, folder: Path, *names: str) -> Path:
        """A certificate for these names with its key, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [
            x509.IPAddress(ip_address(n)) if n[0].isdigit() or ":" in n else x509.DNSName(n) for n in names
        ]
        certificate = (
            _builder("server", self.certificate.subject, key)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = folder / f"{names[0]}.pem"
        file.write_bytes(_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return file


def _builder(name: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder("test authority", None, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("ca") / "ca.crt"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key, file)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server; ``certificate`` makes it speak TLS, ``client_ca`` makes it ask for a certificate."""
    servers: list[Server] = []

    def start(
        answer: Answer, *, certificate: Path | None = None, client_ca: Path | None = None, name: str = "127.0.0.1"
    ) -> Running:
        six = name == "[::1]"
        server = ServerOnSix(("::1", 0), Handler) if six else Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            if client_ca is not None:
                context.load_verify_locations(client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        running = Running(Host(name, server.server_port), "https" if certificate else "http")
        server.answer, server.seen = answer, running.seen
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return running

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
