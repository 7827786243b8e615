"""A registry, or somebody before it, sends the client elsewhere with its credentials (TRUST 8.3).

The client is the real command line, logged in at a real service through a man in the middle; the thief is a server
that keeps all that it is ever sent.
"""

from __future__ import annotations

import base64
import http.server
import json
import re
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.attacks.victims import Middle, Reply, serving
from tests.remote.conftest import Authority
from tests.service import PASSWORD, Person, Result
from trustkit.cli.demo_images import write_image

REPOSITORY = "theft/app"


class Thief:
    """A server that answers everything with one reply and notes every byte of what it gets."""

    def __init__(self, name: str = "127.0.0.1", certificate: Path | None = None) -> None:
        self.log: list[str] = []
        self.reply = Reply(200, {"content-type": "application/json"}, b'{"token":"thiefs-token","expires_in":300}')
        self._server = http.server.ThreadingHTTPServer((name, 0), _keeper(self))
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.host = f"{name}:{self._server.server_port}"
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _keeper(thief: Thief) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode("latin-1")
            thief.log.append(f"{self.requestline}\n{self.headers}\n{body}")
            self.send_response(thief.reply.status)
            for name, value in thief.reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(thief.reply.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _any

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def lurking(name: str = "127.0.0.1", certificate: Path | None = None) -> Iterator[Thief]:
    thief = Thief(name, certificate)
    try:
        yield thief
    finally:
        thief.close()


@pytest.fixture
def thief() -> Iterator[Thief]:
    with lurking() as thief:
        yield thief


@dataclass(frozen=True)
class Victim:
    """Alice, logged in at ``middle``, and every secret that she has or gets."""

    middle: Middle
    alice: Person
    tokens: set[str]

    @property
    def gun(self) -> str:
        return f"{self.middle.host}/{REPOSITORY}"

    def fresh(self, folder: Path, *, password: bool = False) -> Person:
        """Alice with no token at hand, so that the registry may ask who she is.

        Args:
            password: her password is in Docker's configuration, as other tools leave it, and no refresh token.
        """
        shutil.copytree(self.alice.home, folder / "home")
        shutil.rmtree(folder / "home" / "trustkit" / "cache")
        if password:
            pair = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
            config = {"auths": {self.middle.host: {"auth": pair}}}
            (folder / "home" / "docker" / "config.json").write_text(json.dumps(config))
        return replace(self.alice, home=folder / "home")

    @property
    def secrets(self) -> set[str]:
        config = json.loads((self.alice.home / "docker" / "config.json").read_text())
        refresh = config["auths"][self.middle.host]["identitytoken"]
        known = {refresh, PASSWORD, base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}
        return known | {PASSWORD.replace(" ", sign) for sign in ("+", "%20")} | self.tokens

    def nothing_in(self, log: list[str]) -> None:
        for entry in log:
            assert not re.search(r"(?im)^(proxy-)?authorization|^cookie", entry), entry
            for secret in self.secrets:
                assert secret not in entry, entry


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    middle, tokens = Middle(), set[str]()
    with serving(tmp_path_factory.mktemp("service"), "--public-name", middle.host) as service:
        middle.target = service.host
        assert service.admin("principal", "add", "alice", "--password-stdin", feed=PASSWORD).status == 0
        for role in ("AcrPush", "AcrImageSigner"):
            assert service.admin("role", "assign", "alice", role).status == 0
        alice = Person("alice", tmp_path_factory.mktemp("alice"))
        assert alice("login", middle.host, "-u", "alice", "--password-stdin", feed=PASSWORD).status == 0
        victim = Victim(middle, alice, tokens)
        alice.push(f"{victim.gun}:v1", "signed")
        assert alice("sign", f"{victim.gun}:v1").status == 0
        yield victim
    middle.close()


@pytest.fixture(autouse=True)
def watch(victim: Victim) -> None:
    """Notes every token that is given out."""
    victim.middle.honest()
    victim.middle.change = lambda method, path, reply: _noted(victim, path, reply)


def _noted(victim: Victim, path: str, reply: Reply) -> Reply:
    if path.startswith("/oauth2/token") and reply.status == 200:
        victim.tokens.update(value for value in reply.json.values() if isinstance(value, str) and len(value) > 40)
    return reply


def bend(victim: Victim, when: str, change: Callable[[Reply], Reply]) -> list[str]:
    """From now on changes the answers for paths that have ``when`` in them; the list has the paths it was done to."""
    bent: list[str] = []

    def bending(method: str, path: str, reply: Reply) -> Reply:
        _noted(victim, path, reply)
        if when not in path:
            return reply
        bent.append(path)
        return change(reply)

    victim.middle.change = bending
    return bent


def challenging(value: str) -> Callable[[Reply], Reply]:
    """Answers who isn't known yet with this challenge."""
    return lambda reply: (
        replace(reply, headers={**reply.headers, "www-authenticate": value}) if reply.status == 401 else reply
    )


def verify(victim: Victim, person: Person, **environ: str) -> Result:
    return person("verify", f"{victim.gun}:v1", environ=environ)


@pytest.mark.parametrize("password", [False, True], ids=["refresh token", "password"])
def test_the_registrys_own_realm_gets_what_it_needs(victim: Victim, tmp_path: Path, password: bool) -> None:
    before = len(victim.tokens)
    assert verify(victim, victim.fresh(tmp_path, password=password)).status == 0
    assert len(victim.tokens) > before


@pytest.mark.parametrize("password", [False, True], ids=["refresh token", "password"])
def test_a_configured_token_host_gets_it_too(victim: Victim, thief: Thief, tmp_path: Path, password: bool) -> None:
    """So the log of the thief would show it."""
    bend(victim, "/v2/", challenging(f'Bearer realm="http://{thief.host}/token",service="s"'))
    verify(victim, victim.fresh(tmp_path, password=password), TRUSTKIT_TOKEN_HOSTS=thief.host)
    assert any(secret in entry for secret in victim.secrets for entry in thief.log)


CHALLENGES = {
    "foreign": 'Bearer realm="http://{thief}/token",service="s"',
    "foreign, by name": 'Bearer realm="http://localhost:{port}/token",service="s"',
    "foreign, by another spelling": 'Bearer realm="http://127.1:{port}/token",service="s"',
    "foreign, over TLS": 'Bearer realm="https://{thief}/token",service="s"',
    "no scheme": 'Bearer realm="//{thief}/token",service="s"',
    "another scheme": 'Bearer realm="ftp://{thief}/token",service="s"',
    "user information": 'Bearer realm="http://alice:pw@{own}/token",service="s"',
    "user information that looks like the registry": 'Bearer realm="http://{own}@{thief}/token",service="s"',
    "user and password that look like the registry": 'Bearer realm="http://{own}:x@{thief}/token",service="s"',
    "a backslash": 'Bearer realm="http://{own}\\\\@{thief}/token",service="s"',
    "a fragment": 'Bearer realm="http://{thief}#@{own}/token",service="s"',
    "a query": 'Bearer realm="http://{thief}?@{own}/token",service="s"',
    "the registry's name continued": 'Bearer realm="http://{own}.evil.example/token",service="s"',
    "a tab in the name": 'Bearer realm="http://{thief}\t/token",service="s"',
    "after another": 'Basic realm="x", Bearer realm="http://{thief}/token",service="s"',
    "before the honest one": 'Bearer realm="http://{thief}/token",service="s", Bearer realm="http://{own}/token"',
    "twice in one challenge": 'Bearer realm="http://{own}/token",realm="http://{thief}/token",service="s"',
}


@pytest.mark.parametrize("password", [False, True], ids=["refresh token", "password"])
@pytest.mark.parametrize("challenge", CHALLENGES)
def test_a_challenge_that_names_another_realm(
    victim: Victim, thief: Thief, tmp_path: Path, challenge: str, password: bool
) -> None:
    value = CHALLENGES[challenge].format(thief=thief.host, port=thief.port, own=victim.middle.host)
    bent = bend(victim, "/v2/", challenging(value))
    refused = verify(victim, victim.fresh(tmp_path, password=password))
    assert (refused.status in (4, 5), refused.out, bent != []) == (True, "", True), refused
    assert refused.slug == ("login-required" if "twice" in challenge else "garbage")
    assert thief.log == []


@pytest.mark.parametrize(
    "command",
    [["push", "oci:{layout}:t", "{gun}:v2"], ["sign", "{gun}:v1"], ["revoke", "{gun}:v1"], ["inspect", "{gun}"]],
    ids=lambda command: command[0],
)
def test_every_command_keeps_them(victim: Victim, thief: Thief, tmp_path: Path, command: list[str]) -> None:
    write_image(tmp_path / "layout", "t", "new")
    bend(victim, "/v2/", challenging(CHALLENGES["foreign"].format(thief=thief.host)))
    words = [word.format(layout=tmp_path / "layout", gun=victim.gun) for word in command]
    refused = victim.fresh(tmp_path)(*words)
    assert (refused.status, refused.slug) == (4, "garbage"), refused
    assert thief.log == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("when", "password"), [("/_trust/", False), ("/oauth2/token", False), ("/oauth2/token", True)]
)
def test_metadata_and_token_requests_are_redirected(
    victim: Victim, thief: Thief, tmp_path: Path, when: str, password: bool, status: int
) -> None:
    location = {"location": f"http://{thief.host}/elsewhere"}
    bent = bend(victim, when, lambda reply: Reply(status, location, b"") if reply.status == 200 else reply)
    refused = verify(victim, victim.fresh(tmp_path, password=password))
    assert (refused.status, refused.out, bent != []) == (4, "", True), refused
    assert thief.log == []


def test_an_upload_is_sent_elsewhere(victim: Victim, thief: Thief, tmp_path: Path) -> None:
    write_image(tmp_path / "layout", "t", "something new")
    person, words = victim.fresh(tmp_path), ("push", f"oci:{tmp_path / 'layout'}:t", f"{victim.gun}:new")
    bent = bend(victim, "/blobs/uploads/", lambda reply: _moved(reply, f"http://{thief.host}/upload"))
    refused = person(*words)
    assert (refused.status, refused.slug, bent != []) == (4, "garbage", True)
    assert thief.log == []
    victim.middle.honest()
    assert person(*words).status == 0


def _moved(reply: Reply, location: str) -> Reply:
    return replace(reply, headers={**reply.headers, "location": location}) if "location" in reply.headers else reply


def test_a_blob_comes_from_elsewhere_without_credentials(victim: Victim, thief: Thief, tmp_path: Path) -> None:
    """A storage service behind the registry is followed, and is told nothing about who asks."""

    def elsewhere(reply: Reply) -> Reply:
        thief.reply = reply
        return Reply(307, {"location": f"http://{thief.host}/storage?signature=x"}, b"")

    bent = bend(victim, "/blobs/", elsewhere)
    pulled = victim.fresh(tmp_path)("pull", f"{victim.gun}:v1", "--to", f"oci:{tmp_path / 'out'}")
    assert pulled.status == 0, pulled.err
    assert len(thief.log) == len(bent) == 2
    victim.nothing_in(thief.log)


class TestLogin:
    def log_in(self, victim: Victim, folder: Path) -> Result:
        fresh = Person("alice", folder)
        return fresh("login", victim.middle.host, "-u", "alice", "--password-stdin", feed=PASSWORD)

    def test_at_the_registry_itself(self, victim: Victim, tmp_path: Path) -> None:
        assert self.log_in(victim, tmp_path).status == 0

    @pytest.mark.parametrize("challenge", CHALLENGES)
    def test_at_another_realm(self, victim: Victim, thief: Thief, tmp_path: Path, challenge: str) -> None:
        value = CHALLENGES[challenge].format(thief=thief.host, port=thief.port, own=victim.middle.host)
        bent = bend(victim, "/v2/", challenging(value))
        refused = self.log_in(victim, tmp_path)
        assert (refused.status != 0, bent) == (True, ["/v2/"]), refused
        assert thief.log == []
        assert not (tmp_path / "docker" / "config.json").exists()
        assert PASSWORD not in refused.err

    @pytest.mark.parametrize("status", [302, 307, 308])
    def test_after_a_redirect(self, victim: Victim, thief: Thief, tmp_path: Path, status: int) -> None:
        location = {"location": f"http://{thief.host}/oauth2/token"}
        for when in ("/v2/", "/oauth2/token"):
            bend(victim, when, lambda reply: Reply(status, location, b""))
            assert self.log_in(victim, tmp_path).status != 0
        assert thief.log == []


def test_one_registrys_credentials_are_not_anothers(victim: Victim, thief: Thief, tmp_path: Path) -> None:
    """The thief's own registry asks for a login, properly; alice has none there."""
    for host in (thief.host, f"localhost:{thief.port}"):
        realm = f'Bearer realm="http://{host}/token",service="{victim.middle.host}"'
        thief.reply = Reply(401, {"www-authenticate": realm, "content-length": "0"}, b"")
        person = victim.fresh(tmp_path / host)
        assert person("pin", "add", f"{host}/*", "--root-key", "0" * 64).status == 0
        assert person("verify", f"{host}/{REPOSITORY}:v1").status == 5
    assert len(thief.log) >= 4
    victim.nothing_in(thief.log)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate, file = builder.sign(key, hashes.SHA256()), tmp_path_factory.mktemp("authority") / "ca.crt"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key, file)


class TestOverTls:
    def ask(self, folder: Path, host: str, **environ: str) -> Result:
        """Verifies something at a registry for which a password is stored."""
        person = Person("alice", folder)
        (folder / "docker").mkdir(exist_ok=True)
        pair = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
        (folder / "docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": pair}}}))
        assert person("pin", "add", f"{host}/*", "--root-key", "0" * 64).status == 0
        return person("verify", f"{host}/{REPOSITORY}:v1", environ=environ)

    @staticmethod
    def challenge(registry: Thief, realm: str) -> None:
        value = f'Bearer realm="{realm}",service="s"'
        registry.reply = Reply(401, {"www-authenticate": value, "content-length": "0"}, b"")

    def test_a_realm_of_its_own(self, authority: Authority, tmp_path: Path) -> None:
        with lurking(certificate=authority.issue(tmp_path, "127.0.0.1")) as registry:
            self.challenge(registry, f"https://{registry.host}/token")
            self.ask(tmp_path, registry.host, SSL_CERT_FILE=str(authority.file))
            assert any("Authorization: Basic" in entry for entry in registry.log)

    @pytest.mark.parametrize("realm", ["http://{thief}/token", "http://{own}/token"])
    def test_a_realm_without_tls(self, authority: Authority, thief: Thief, tmp_path: Path, realm: str) -> None:
        with lurking(certificate=authority.issue(tmp_path, "127.0.0.1")) as registry:
            self.challenge(registry, realm.format(thief=thief.host, own=registry.host))
            refused = self.ask(tmp_path, registry.host, SSL_CERT_FILE=str(authority.file))
            assert (refused.status, refused.slug) == (4, "garbage")
            assert len(registry.log) == 1
            assert "Authorization" not in registry.log[0]
        assert thief.log == []

    @pytest.mark.parametrize("name", ["registry.example.com", "127.0.0.1"])
    def test_a_certificate_that_can_not_be_believed(self, authority: Authority, tmp_path: Path, name: str) -> None:
        """Of another name, or of an authority that the client doesn't know."""
        known = {"SSL_CERT_FILE": str(authority.file)} if name != "127.0.0.1" else {}
        with lurking(certificate=authority.issue(tmp_path, name)) as registry:
            self.challenge(registry, f"https://{registry.host}/token")
            refused = self.ask(tmp_path, registry.host, **known)
            assert (refused.status, refused.slug, registry.log) == (4, "unreachable", [])

    def test_a_token_host_off_this_machine_without_tls(self, authority: Authority, tmp_path: Path) -> None:
        with (
            lurking(_own_address()) as thief,
            lurking(certificate=authority.issue(tmp_path, "127.0.0.1")) as registry,
        ):
            self.challenge(registry, f"http://{thief.host}/token")
            known = {"SSL_CERT_FILE": str(authority.file), "TRUSTKIT_TOKEN_HOSTS": thief.host}
            refused = self.ask(tmp_path, registry.host, **known)
            assert (refused.status, refused.slug, thief.log) == (4, "garbage", [])

    def test_a_registry_off_this_machine_without_tls(self, tmp_path: Path) -> None:
        with lurking(_own_address()) as registry:
            self.challenge(registry, f"http://{registry.host}/token")
            refused = self.ask(tmp_path, registry.host)
            assert (refused.status, refused.slug, registry.log) == (4, "unreachable", [])


def _own_address() -> str:
    """An address of this machine that isn't loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = str(probe.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
    if address.startswith(("127.", "0.")):
        pytest.skip("this machine has no address but loopback")
    return address
