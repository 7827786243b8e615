"""The service speaks TLS itself: whom clients believe, and that a certificate error never leads to plain HTTP."""

from __future__ import annotations

import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.real.parts import SECONDS, Docker, Skopeo, within
from tests.service import PASSWORD, Person, RunningService

pytestmark = pytest.mark.real

ROLES = {"alice": ("AcrPush", "AcrImageSigner"), "carol": ("AcrPull",)}
Need = Callable[[str, str], Path]


@dataclass(frozen=True)
class Authority:
    """A certificate authority of openssl's, and servers' certificates by it."""

    openssl: Path
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "ca.crt"

    @classmethod
    def made(cls, openssl: Path, folder: Path) -> Authority:
        authority = cls(openssl, folder)
        authority._make("ca", "-subj", "/CN=an authority for tests")
        return authority

    def server(self, name: str, *alternatives: str) -> tuple[Path, Path]:
        """Certificate and key of a server with these alternative names, such as ``IP:127.0.0.1``."""
        by = ("-CA", str(self.file), "-CAkey", str(self.folder / "ca.key"))
        self._make(name, "-subj", f"/CN={name}", "-addext", f"subjectAltName={','.join(alternatives)}", *by)
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def _make(self, name: str, *arguments: str) -> None:
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        files = ("-keyout", str(self.folder / f"{name}.key"), "-out", str(self.folder / f"{name}.crt"))
        subprocess.run([self.openssl, *new, *files, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(need("openssl", "openssl"), tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(need("openssl", "openssl"), tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def service(authority: Authority, serve: Callable[..., RunningService]) -> RunningService:
    certificate, key = authority.server("server", "IP:127.0.0.1", "DNS:localhost")
    service = serve("--tls-cert", str(certificate), "--tls-key", str(key))
    for name, roles in ROLES.items():
        assert service.admin("principal", "add", name, "--password-stdin", feed=PASSWORD).status == 0
        assert all(service.admin("role", "assign", name, role).status == 0 for role in roles)
    return service


def by_environment(person: Person, host: str, file: Path) -> None:
    person.environ["SSL_CERT_FILE"] = str(file)


def by_folder(name: str) -> Callable[[Person, str, Path], None]:
    def believe(person: Person, host: str, file: Path) -> None:
        folder = person.home / "docker" / name / host
        folder.mkdir(parents=True)
        shutil.copy(file, folder / "ca.crt")

    return believe


WAYS = {"SSL_CERT_FILE": by_environment, "certs.d": by_folder("certs.d"), "tls": by_folder("tls")}


@pytest.mark.parametrize("way", list(WAYS))
def test_the_main_job_over_tls(
    service: RunningService, authority: Authority, docker: Docker, tmp_path: Path, way: str
) -> None:
    people = {name: Person(name, tmp_path / name) for name in ROLES}
    for name, person in people.items():
        WAYS[way](person, service.host, authority.file)
        login = person("login", service.host, "-u", name, "--password-stdin", feed=PASSWORD)
        assert login.status == 0, login.err
    alice, carol = people.values()
    gun = f"{service.host}/tls/{way.lower()}"
    digest = alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").out.strip() == f"{gun}:v1@{digest}"
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    assert carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{digest}"
    for to in (f"oci:{tmp_path / 'oci'}", "docker"):
        pulled = carol("pull", f"{gun}:v1", "--to", to, environ={"DOCKER_HOST": docker.host})
        assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:v1@{digest}"), pulled.err


def test_skopeo_believes_the_same_file(
    service: RunningService, authority: Authority, stranger: Authority, skopeo_tool: Skopeo, tmp_path: Path
) -> None:
    alice = Person("alice", tmp_path, {"SSL_CERT_FILE": str(authority.file)})
    assert alice("login", service.host, "-u", "alice", "--password-stdin", feed=PASSWORD).status == 0
    gun = f"{service.host}/tls/skopeo"
    digest = alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").status == 0
    to = f"skopeo:dir:{tmp_path / 'out'}"
    assert alice("pull", f"{gun}:v1", "--to", to).status == 0
    assert skopeo_tool.digest({}, f"dir:{tmp_path / 'out'}") == digest
    tls = skopeo_tool.tool(alice, "inspect", "--no-tags", "--format", "{{.Digest}}", f"docker://{gun}:v1")
    assert (tls.status, tls.out.strip()) == (0, digest), tls.err
    alice.environ["SSL_CERT_FILE"] = str(stranger.file)
    assert skopeo_tool.tool(alice, "inspect", f"docker://{gun}:v1").status != 0


@dataclass
class Tap:
    """Passes connections on to a port, and keeps what each client said first."""

    port: int
    heard: list[bytes] = field(default_factory=list)

    def serve(self) -> Iterator[str]:
        tap = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                first = self.request.recv(65536)
                tap.heard.append(first)
                with socket.create_connection(("127.0.0.1", tap.port), SECONDS) as there:
                    there.sendall(first)
                    back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
                    back.start()
                    _pump(self.request, there)
                    back.join(SECONDS)

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            yield f"127.0.0.1:{server.server_address[1]}"
            server.shutdown()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either end hung up, which is all that this has to notice


@pytest.fixture
def tap(service: RunningService) -> Iterator[tuple[Tap, str]]:
    tap = Tap(service.port)
    for host in tap.serve():
        yield tap, host


@pytest.mark.parametrize("way", list(WAYS))
def test_a_wrong_authority_is_refused_and_nothing_goes_over_plain_http(
    tap: tuple[Tap, str], stranger: Authority, tmp_path: Path, way: str
) -> None:
    wire, host = tap
    carol = Person("carol", tmp_path)
    WAYS[way](carol, host, stranger.file)
    assert carol("pin", "add", f"{host}/tls/app", "--root-key", "ab" * 32).status == 0
    for command, feed in (
        (["login", host, "-u", "carol", "--password-stdin"], PASSWORD),
        (["verify", f"{host}/tls/app:v1"], ""),
        (["pull", f"{host}/tls/app:v1", "--to", f"oci:{tmp_path / 'out'}"], ""),
    ):
        refused = carol(*command, feed=feed)
        assert (refused.status, refused.out) == (4, ""), refused
        assert "certificate" in refused.err
    assert len(wire.heard) >= 3
    assert all(first.startswith(b"\x16\x03") for first in wire.heard), "TLS handshakes, and nothing else"


def test_a_certificate_for_another_name_is_refused(
    authority: Authority, serve: Callable[..., RunningService], tmp_path: Path
) -> None:
    certificate, key = authority.server("elsewhere", "DNS:registry.example.com")
    service = serve("--tls-cert", str(certificate), "--tls-key", str(key))
    carol = Person("carol", tmp_path, {"SSL_CERT_FILE": str(authority.file)})
    refused = carol("login", service.host, "-u", "carol", "--password-stdin", feed=PASSWORD)
    assert (refused.status, "certificate" in refused.err) == (4, True), refused


@pytest.mark.parametrize("way", list(WAYS))
def test_an_authority_that_cannot_be_read_is_an_error_of_its_own(
    service: RunningService, tmp_path: Path, way: str
) -> None:
    carol, broken = Person("carol", tmp_path), tmp_path / "broken.crt"
    broken.write_text("not a certificate")
    WAYS[way](carol, service.host, broken)
    refused = carol("login", service.host, "-u", "carol", "--password-stdin", feed=PASSWORD)
    assert (refused.status, refused.slug) == (2, "invalid-setting"), refused


def test_a_renewed_certificate_is_served_without_a_restart(
    authority: Authority, serve: Callable[..., RunningService], tmp_path: Path
) -> None:
    first, second = (authority.server(name, "IP:127.0.0.1") for name in ("before", "renewed"))
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"

    def put(pair: tuple[Path, Path]) -> str:
        for source, target in zip(pair, (certificate, key), strict=True):
            shutil.copy(source, target.with_suffix(".new"))
            target.with_suffix(".new").replace(target)
        return pair[0].read_text()

    before = put(first)
    service = serve("--tls-cert", str(certificate), "--tls-key", str(key))
    address = ("127.0.0.1", service.port)
    assert ssl.get_server_certificate(address) == before
    renewed = put(second)
    assert within(30, lambda: ssl.get_server_certificate(address) == renewed)
