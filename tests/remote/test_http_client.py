"""The HTTP client against a server that means it ill (TRUST 6.2, 8.3)."""

from __future__ import annotations

import gzip
import http.client
import inspect
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from tests.remote.conftest import Authority, Handler, Serve
from trustkit.core.names import Host
from trustkit.errors import CouldNotCheck, Garbage, InvalidSetting, TimedOut, TrustkitError, Unreachable
from trustkit.remote.connections import NoConnection
from trustkit.remote.foreign import FOREIGN, as_ours
from trustkit.remote.http import HttpClient, Limits
from trustkit.remote.messages import Origin
from trustkit.remote.sockets import Budget, Speed
from trustkit.remote.tls import speaks_tls

QUICK = Limits(total=0.6, connect=2, speed=Speed(bytes_per_second=1, window=5))


def client(host: Host, home: Path, *, limits: Limits = QUICK, **environ: str) -> HttpClient:
    return HttpClient(host, environ={"HOME": str(home), **environ}, limits=limits)


def ok(handler: Handler) -> None:
    handler.reply(200, b"ok", X_Kind="fine")


def test_plain_http_on_loopback_is_used_where_the_port_speaks_no_tls(serve: Serve, tmp_path: Path) -> None:
    server = serve(ok)
    answer = client(server.host, tmp_path).request("GET", "/v2/", query=[("a", "b c")])
    assert (answer.status, answer.body, answer.headers.get("x-kind")) == (200, b"ok", "fine")
    assert server.seen == [("GET", "/v2/?a=b+c", "")]


def test_tls_with_the_authority_in_ssl_cert_file(serve: Serve, tmp_path: Path, authority: Authority) -> None:
    server = serve(ok, certificate=authority.issue(tmp_path, "localhost"), name="localhost")
    used = client(server.host, tmp_path, SSL_CERT_FILE=str(authority.file))
    assert used.origin.scheme == "https"
    assert used.request("GET", "/").body == b"ok"


@pytest.mark.parametrize("place", ["certs.d", "tls"])
def test_tls_with_the_authority_in_dockers_folders(
    serve: Serve, tmp_path: Path, authority: Authority, place: str
) -> None:
    server = serve(ok, certificate=authority.issue(tmp_path, "127.0.0.1"))
    folder = tmp_path / ".docker" / place / str(server.host)
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(authority.file.read_bytes())
    assert client(server.host, tmp_path).request("GET", "/").status == 200


def test_a_client_certificate_from_dockers_folder(serve: Serve, tmp_path: Path, authority: Authority) -> None:
    server = serve(ok, certificate=authority.issue(tmp_path, "127.0.0.1"), client_ca=authority.file)
    folder = tmp_path / "docker" / "certs.d" / str(server.host)
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(authority.file.read_bytes())
    with pytest.raises(CouldNotCheck):
        client(server.host, tmp_path, DOCKER_CONFIG=str(tmp_path / "docker")).request("GET", "/")
    pair = authority.issue(tmp_path, "me").read_bytes()
    (folder / "me.cert").write_bytes(pair)
    (folder / "me.key").write_bytes(pair)
    assert client(server.host, tmp_path, DOCKER_CONFIG=str(tmp_path / "docker")).request("GET", "/").status == 200


@pytest.mark.parametrize("names", [("127.0.0.1",), ("elsewhere.example",)], ids=["unknown-authority", "wrong-name"])
def test_a_certificate_error_never_falls_back_to_plain_http(
    serve: Serve, tmp_path: Path, authority: Authority, names: tuple[str, ...]
) -> None:
    server = serve(ok, certificate=authority.issue(tmp_path, *names))
    trusted = {"SSL_CERT_FILE": str(authority.file)} if names[0] != "127.0.0.1" else {}
    with pytest.raises(Unreachable, match="certificate"):
        client(server.host, tmp_path, **trusted).request("GET", "/")
    assert server.seen == []


def test_a_damaged_certificate_in_dockers_folder_is_an_error(
    serve: Serve, tmp_path: Path, authority: Authority
) -> None:
    server = serve(ok, certificate=authority.issue(tmp_path, "127.0.0.1"))
    folder = tmp_path / ".docker" / "certs.d" / str(server.host)
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_text("nothing")
    with pytest.raises(InvalidSetting, match=r"ca\.crt"):
        client(server.host, tmp_path).request("GET", "/")


def test_off_loopback_the_port_is_never_asked_for_plain_http(tmp_path: Path) -> None:
    assert client(Host("registry.invalid"), tmp_path).origin == Origin("https", "registry.invalid", 443)


def test_a_silent_or_closing_port_is_no_plain_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        assert speaks_tls(Host("127.0.0.1", listener.getsockname()[1]), 2)


def test_nobody_listening(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        client(Host("127.0.0.1", port), tmp_path).request("GET", "/")


def drip_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(200):
        handler.wfile.write(b"X: y\r\n")
        time.sleep(0.05)


def silent(handler: Handler) -> None:
    time.sleep(3)


@pytest.mark.parametrize("answer", [drip_body, drip_headers, silent])
def test_the_deadline_is_total(serve: Serve, tmp_path: Path, answer: object) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut):
        client(serve(answer).host, tmp_path).request("GET", "/")
    assert time.monotonic() - started < 2


def test_a_slow_drip_over_tls(serve: Serve, tmp_path: Path, authority: Authority) -> None:
    server = serve(drip_body, certificate=authority.issue(tmp_path, "127.0.0.1"))
    with pytest.raises(TimedOut):
        client(server.host, tmp_path, SSL_CERT_FILE=str(authority.file)).request("GET", "/")


def test_the_smallest_speed_ends_a_transfer_long_before_its_deadline(serve: Serve, tmp_path: Path) -> None:
    limits = Limits(total=60, speed=Speed(bytes_per_second=1000, window=0.4))
    started = time.monotonic()
    with pytest.raises(TimedOut):
        client(serve(drip_body).host, tmp_path, limits=limits).request("GET", "/")
    assert time.monotonic() - started < 3


def test_a_slow_reader_is_no_slow_sender() -> None:
    now = 0.0
    budget = Budget(lambda: now, Speed(bytes_per_second=100, window=1))
    budget.grant(1000)
    for _ in range(50):
        started = now
        now += 0.1
        budget.count(started, 20)
        now += 10
    assert budget.wait() <= 1
    now += 1000
    with pytest.raises(TimeoutError):
        budget.wait()


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def test_an_endless_body_ends_at_the_limit(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(Garbage, match="goes on"):
        client(serve(endless).host, tmp_path, limits=Limits(total=20)).request("GET", "/", max_body=1_000_000)


def test_a_declared_length_over_the_limit_is_not_read(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda handler: handler.reply(200, b"", Content_Length="999999999999"))
    with pytest.raises(Garbage, match="more than"):
        client(server.host, tmp_path).request("GET", "/")


def test_a_gzip_bomb_is_not_unpacked(serve: Serve, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    server = serve(lambda handler: handler.reply(200, bomb, Content_Encoding="gzip"))
    with pytest.raises(Garbage, match="encoded"):
        client(server.host, tmp_path).request("GET", "/")


def raw(data: bytes) -> object:
    def answer(handler: Handler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"",
    ],
    ids=["ssh", "status", "chunk", "truncated", "many-headers", "long-header", "nothing"],
)
def test_what_is_no_http_is_ours_to_report(serve: Serve, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CouldNotCheck):
        client(serve(raw(data)).host, tmp_path).request("GET", "/")


def test_redirects_are_not_followed_unless_asked(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda handler: handler.reply(307, b"", Location="http://127.0.0.1:1/x"))
    assert client(server.host, tmp_path).request("GET", "/").status == 307


def test_authorization_never_follows_a_redirect_off_the_origin(serve: Serve, tmp_path: Path) -> None:
    store = serve(ok)
    server = serve(lambda handler: handler.reply(307, b"", Location=f"{store.url}/blob?sig=1"))
    secret = {"Authorization": "Bearer secret", "Cookie": "secret"}
    with client(server.host, tmp_path).stream("GET", "/b", headers=secret, follow=True) as answer:
        assert answer.read(10).body == b"ok"
    assert server.seen == [("GET", "/b", "Bearer secret")]
    assert store.seen == [("GET", "/blob?sig=1", "")]


def test_authorization_stays_on_the_origin_after_a_local_redirect(serve: Serve, tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        if handler.path == "/a":
            handler.reply(302, b"", Location="/b")
        else:
            ok(handler)

    server = serve(answer)
    with client(server.host, tmp_path).stream("GET", "/a", headers={"Authorization": "x"}, follow=True):
        pass
    assert server.seen == [("GET", "/a", "x"), ("GET", "/b", "x")]


@pytest.mark.parametrize(
    "location",
    ["http://registry.example/x", "ftp://127.0.0.1/x", "https://user:pw@example.com/", "http://[::1", "/a b", "\x7f"],
)
def test_redirects_to_nowhere_good(serve: Serve, tmp_path: Path, location: str) -> None:
    server = serve(lambda handler: handler.reply(302, b"", Location=location))
    with (
        pytest.raises(CouldNotCheck),
        client(server.host, tmp_path).stream("GET", "/", follow=True) as answer,
    ):
        answer.read(10)
    assert len(server.seen) == 1


def test_redirects_without_end(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda handler: handler.reply(302, b"", Location="/"))
    with pytest.raises(Garbage, match="redirects"), client(server.host, tmp_path).stream("GET", "/", follow=True):
        pass


@pytest.mark.parametrize(
    ("location", "path"),
    [("/up/1?x=y", "/up/1?x=y"), ("2", "/base/2"), ("{url}/up/3", "/up/3"), ("http://other.example/up", None)],
)
def test_a_location_is_on_the_same_origin(serve: Serve, tmp_path: Path, location: str, path: str | None) -> None:
    server = serve(ok)
    used = client(server.host, tmp_path)
    if path is None:
        with pytest.raises(Garbage, match="another origin"):
            used.local_path(location, "/base/")
    else:
        assert used.local_path(location.format(url=server.url), "/base/") == path


def test_connections_are_kept_and_a_closed_one_is_made_anew(serve: Serve, tmp_path: Path) -> None:
    ports: set[int] = set()

    def answer(handler: Handler) -> None:
        ports.add(handler.client_address[1])
        ok(handler)
        if handler.path == "/last":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True

    used = client(serve(answer).host, tmp_path)
    for path in ("/1", "/2", "/last"):
        assert used.request("GET", path).body == b"ok"
    assert len(ports) == 1
    assert used.request("GET", "/4").body == b"ok"
    assert len(ports) == 2


def test_a_body_in_chunks_has_its_length(serve: Serve, tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def answer(handler: Handler) -> None:
        bodies.append(handler.body)
        assert "Transfer-Encoding" not in handler.headers
        handler.reply(201)

    used = client(serve(answer).host, tmp_path)
    chunks = (bytes([i]) * 1000 for i in range(5))
    assert used.request("PUT", "/", body=chunks, headers={"Content-Length": "5000"}).status == 201
    assert len(bodies[0]) == 5000


def foreign_types() -> list[type[BaseException]]:
    modules = (http.client, ssl)
    found = {t for m in modules for _, t in inspect.getmembers(m, inspect.isclass) if issubclass(t, Exception)}
    return sorted(found, key=lambda t: f"{t.__module__}.{t.__qualname__}")


@pytest.mark.parametrize("kind", foreign_types(), ids=lambda t: f"{t.__module__}.{t.__name__}")
def test_every_foreign_exception_has_a_leaf(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    assert isinstance(error, FOREIGN) or kind in (Exception,)
    ours = as_ours(error, "host:1")
    assert isinstance(ours, CouldNotCheck)
    assert "host:1" in ours.message


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        (ConnectionResetError(104, "reset"), Unreachable),
        (NoConnection(111, "Connection refused"), Unreachable),
        (http.client.RemoteDisconnected("gone"), Unreachable),
        (http.client.BadStatusLine("?"), Garbage),
        (http.client.IncompleteRead(b"", 2), Garbage),
        (ssl.SSLError(1, "wrong version number"), Unreachable),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), Garbage),
        (TimeoutError(), TimedOut),
        (ConnectionRefusedError(111, "Connection refused"), Unreachable),
        (socket.gaierror(-2, "Name or service not known"), Unreachable),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_foreign_errors_by_kind(error: Exception, leaf: type[TrustkitError]) -> None:
    assert type(as_ours(error, "h")) is leaf


def test_nothing_secret_in_a_repr(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda handler: handler.reply(200, b"secret-body", X_Token="secret-header"))
    used = client(server.host, tmp_path)
    assert "secret" not in f"{used!r} {used.request('GET', '/')!r}"
