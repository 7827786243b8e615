"""Who may talk to the signer: a client with a certificate by its authority and, where names are given, by name."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from tests.signer.certificates import SERVER, Authority
from tests.signer.running import RunningSigner
from trustkit.asgi.certified import client_names
from trustkit.core.names import Gun
from trustkit.errors import InvalidSetting, ServerFailed, StateError
from trustkit.server.signer_client import SignerAddress

GUN = Gun.parse("registry.example.com/tls/app")


def test_the_service_is_let_in(signer: RunningSigner) -> None:
    signer.as_seen_by().ready()
    assert set(signer.as_seen_by().make(GUN)) == {"snapshot", "timestamp"}


def test_no_certificate_is_refused(signer: RunningSigner) -> None:
    context = ssl.create_default_context(cafile=str(signer.authority.file))
    pool = urllib3.HTTPSConnectionPool("127.0.0.1", signer.port, ssl_context=context, retries=False, timeout=20)
    with pytest.raises(urllib3.exceptions.HTTPError, match=r"(?i)certificate required|closed|reset"):
        pool.request("GET", "/healthz")


def test_plain_http_is_refused(signer: RunningSigner) -> None:
    with socket.create_connection(("127.0.0.1", signer.port), 20) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"HTTP/1.1 200" not in plain.recv(4096)


def test_a_certificate_by_another_authority_is_refused(signer: RunningSigner, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "an authority for tests").issue("service")
    with pytest.raises(ServerFailed, match="can't be reached"):
        signer.as_seen_by(stranger).make(GUN)


def test_an_expired_certificate_is_refused(signer: RunningSigner) -> None:
    expired = signer.authority.issue("service", days=-1)
    with pytest.raises(ServerFailed, match="can't be reached"):
        signer.as_seen_by(expired).make(GUN)


def test_a_servers_certificate_is_no_clients(signer: RunningSigner) -> None:
    with pytest.raises(ServerFailed, match="can't be reached"):
        signer.as_seen_by(signer.server).make(GUN)


@pytest.mark.parametrize("name", ["another", "service.example.com", "Service", "xservice"])
def test_another_name_is_refused(signer: RunningSigner, name: str) -> None:
    other = signer.as_seen_by(signer.authority.issue(name))
    for ask in (other.ready, lambda: other.make(GUN), lambda: other.sign(GUN, "snapshot", b"{}", {})):
        with pytest.raises(StateError, match=f"doesn't work for {name}"):
            ask()


def test_the_service_does_not_believe_another_signer(signer: RunningSigner, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "another authority")
    with pytest.raises(ServerFailed, match=r"(?i)certificate"):
        signer.as_seen_by(authority=stranger.file).make(GUN)


def test_a_signer_under_another_name_is_not_believed(signer: RunningSigner) -> None:
    there = SignerAddress.of(
        f"https://127.0.0.2:{signer.port}", signer.authority.file, signer.client.certificate, signer.client.key
    )
    assert there is not None
    with (
        pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)ip address mismatch"),
        socket.create_connection(("127.0.0.1", signer.port), 20) as plain,
    ):
        there.context().wrap_socket(plain, server_hostname="127.0.0.2")


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        ({"subject": ((("commonName", "a"),),)}, {"a"}),
        ({"subject": ((("commonName", "a"),), (("commonName", "b"),))}, set()),
        ({"subject": (), "subjectAltName": (("DNS", "c"), ("IP Address", "d"))}, {"c"}),
        ({}, set()),
    ],
)
def test_names_of_a_certificate(certificate: dict[str, object], names: set[str]) -> None:
    assert client_names(certificate) == names


@pytest.mark.parametrize("lacking", ["--tls-cert", "--tls-key", "--client-ca"])
def test_the_signer_does_not_start_without_mutual_tls(tmp_path: Path, lacking: str) -> None:
    authority = Authority(tmp_path / "authority")
    server = authority.issue("signer", SERVER)
    options = {"--tls-cert": server.certificate, "--tls-key": server.key, "--client-ca": authority.file}
    given = [str(part) for name, file in options.items() if name != lacking for part in (name, file)]
    command = [sys.executable, "-m", "trustkit", "serve-signer", "--data-dir", str(tmp_path / "d"), *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, lacking in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("url", "parts", "why"),
    [
        (None, 3, "need --signer"),
        ("https://127.0.0.1:1", 2, "needs --signer-ca"),
        ("http://127.0.0.1:1", 3, "is not https"),
        ("https://127.0.0.1:1/path", 3, "is not https"),
        ("https://", 3, "--signer"),
    ],
)
def test_half_an_address_is_refused(tmp_path: Path, url: str | None, parts: int, why: str) -> None:
    files = [tmp_path / str(number) if number < parts else None for number in range(3)]
    with pytest.raises(InvalidSetting, match=why):
        SignerAddress.of(url, *files)


def test_a_client_that_says_nothing_keeps_no_server_from_ending(tmp_path: Path) -> None:
    """Its connection is idle and encrypted; it would answer a farewell only when it reads again."""
    signer = RunningSigner(tmp_path).start()
    signer.as_seen_by().ready()
    context = ssl.create_default_context(cafile=str(signer.authority.file))
    context.load_cert_chain(signer.client.certificate, signer.client.key)
    with (
        socket.create_connection(("127.0.0.1", signer.port), 20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as idle,
    ):
        idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 ")
        began = time.monotonic()
        signer.end()
        assert time.monotonic() - began < 5
