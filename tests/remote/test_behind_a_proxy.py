"""The HTTP client behind a proxy: one that is as it should be, and one that means it ill."""

from __future__ import annotations

import base64
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.remote.conftest import Authority, Handler, Running, Serve
from tests.remote.forward import STANDS, Act, between, forwarding, leads, says, tinyproxy
from trustkit.core.names import Host
from trustkit.errors import Garbage, ProxyFailed, TimedOut, TrustkitError, Unreachable
from trustkit.remote.connections import KEPT
from trustkit.remote.http import HttpClient, Limits
from trustkit.remote.sockets import Speed

LIMITS = Limits(total=20, connect=15, speed=Speed(bytes_per_second=1, window=15))
QUICK = Limits(total=0.6, connect=0.5, speed=Speed(bytes_per_second=1, window=5))
REGISTRY = Host("registry.example", 5443)
"""A name that only the proxy can do something with."""
BEARER = {"Authorization": "Bearer s3cret"}


def echo(handler: Handler) -> None:
    handler.reply(200, handler.path.encode(), X_Peer=str(handler.client_address[1]))


@pytest.fixture
def registry(serve: Serve, authority: Authority, tmp_path: Path) -> Running:
    """A registry over TLS, whose certificate is REGISTRY's."""
    return serve(echo, certificate=authority.issue(tmp_path, "registry.example"))


@pytest.fixture
def behind(authority: Authority, tmp_path: Path) -> Callable[..., HttpClient]:
    """``behind(proxy)``: a client of REGISTRY that has this in HTTPS_PROXY."""

    def made(proxy: str, host: Host = REGISTRY, *, limits: Limits = LIMITS, **environ: str) -> HttpClient:
        known = {"HOME": str(tmp_path), "SSL_CERT_FILE": str(authority.file), "HTTPS_PROXY": proxy}
        return HttpClient(host, environ={**known, **environ}, limits=limits)

    return made


Behind = Callable[..., HttpClient]


def test_through_a_tunnel_that_is_kept(registry: Running, behind: Behind) -> None:
    with forwarding(leads(registry.host.port)) as proxy:
        used = behind(f"http://{proxy.address}")
        answers = [used.request("GET", f"/v2/{number}", headers=BEARER) for number in range(3)]
        assert [answer.body for answer in answers] == [b"/v2/0", b"/v2/1", b"/v2/2"]
        assert len({answer.headers.get("x-peer") for answer in answers}) == 1
        assert [method for method, _, _ in registry.seen] == ["GET"] * 3
        (head,) = proxy.heads
    assert head.split(b"\r\n")[:2] == [b"CONNECT registry.example:5443 HTTP/1.1", b"Host: registry.example:5443"]
    assert b"s3cret" not in head
    assert b"uthorization" not in head


def test_the_proxys_login_goes_to_the_proxy_and_the_registrys_to_the_registry(
    serve: Serve, authority: Authority, tmp_path: Path, behind: Behind
) -> None:
    seen: list[dict[str, str]] = []

    def answer(handler: Handler) -> None:
        seen.append(dict(handler.headers))
        handler.reply(200)

    server = serve(answer, certificate=authority.issue(tmp_path, "registry.example"))
    with forwarding(leads(server.host.port)) as proxy:
        behind(f"http://me:p%40ss%3A@{proxy.address}").request("GET", "/", headers=BEARER)
        (head,) = proxy.heads
    login = base64.b64encode(b"me:p@ss:")
    assert b"Proxy-Authorization: Basic " + login + b"\r\n" in head
    assert seen[0]["Authorization"] == "Bearer s3cret"
    assert login.decode() not in str(seen)


@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
def test_tls_with_the_proxy_and_tls_inside_it(
    registry: Running, behind: Behind, authority: Authority, tmp_path: Path, *, six: bool
) -> None:
    large = b"x" * 3_000_000
    certificate = authority.issue(tmp_path, "::1" if six else "127.0.0.1")
    with forwarding(leads(registry.host.port), certificate=certificate, six=six) as proxy:
        used = behind(f"https://[::1]:{proxy.port}" if six else f"https://{proxy.address}")
        answers = [used.request("PUT", "/v2/", headers=BEARER, body=large) for _ in range(3)]
        assert len({answer.headers.get("x-peer") for answer in answers}) == 1
        assert len(proxy.heads) == 1


def test_what_is_large_and_what_breaks_off_inside_two_tls(
    serve: Serve, behind: Behind, authority: Authority, tmp_path: Path
) -> None:
    def answer(handler: Handler) -> None:
        if handler.path == "/whole":
            handler.reply(200, b"x" * 900_000)
        elif handler.path == "/silent":
            time.sleep(3)
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            handler.close_connection = True

    server = serve(answer, certificate=authority.issue(tmp_path, "registry.example"))
    with forwarding(leads(server.host.port), certificate=authority.issue(tmp_path, "127.0.0.1")) as proxy:
        used = behind(f"https://{proxy.address}")
        assert len(used.request("GET", "/whole").body) == 900_000
        with pytest.raises((Garbage, Unreachable)):
            used.request("GET", "/broken")
        with pytest.raises(TimedOut, match=r"registry\.example:5443 did not answer in time"):
            used.request("GET", "/silent", total=0.4)


def test_many_at_a_time_through_two_tls(
    registry: Running, behind: Behind, authority: Authority, tmp_path: Path
) -> None:
    with forwarding(leads(registry.host.port), certificate=authority.issue(tmp_path, "127.0.0.1")) as proxy:
        used, found = behind(f"https://{proxy.address}"), dict[str, bytes]()

        def ask(path: str) -> None:
            found[path] = used.request("GET", path).body

        threads = [threading.Thread(target=ask, args=(f"/{number}",)) for number in range(KEPT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert found == {f"/{number}": f"/{number}".encode() for number in range(KEPT)}


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_the_registrys_certificate_counts_inside_a_tunnel(
    serve: Serve, behind: Behind, authority: Authority, tmp_path: Path, *, secure: bool
) -> None:
    """Whoever is the proxy can lead us anywhere; only the registry has the registry's certificate."""
    elsewhere = serve(echo, certificate=authority.issue(tmp_path, "elsewhere.example"))
    certificate = authority.issue(tmp_path, "127.0.0.1") if secure else None
    with (
        forwarding(leads(elsewhere.host.port), certificate=certificate) as proxy,
        pytest.raises(Unreachable, match=r"certificate of registry\.example:5443 is not accepted") as refused,
    ):
        behind(f"http{'s' * secure}://{proxy.address}").request("GET", "/", headers=BEARER)
    assert not isinstance(refused.value, ProxyFailed)
    assert elsewhere.seen == []


def test_the_proxys_own_certificate_counts(
    registry: Running, behind: Behind, authority: Authority, tmp_path: Path
) -> None:
    certificate = authority.issue(tmp_path, "proxy.elsewhere")
    with forwarding(leads(registry.host.port), certificate=certificate) as proxy:
        with pytest.raises(ProxyFailed, match=r"certificate of the proxy https://127.0.0.1:\d+ is not accepted"):
            behind(f"https://me:pa55@{proxy.address}").request("GET", "/")
        assert proxy.heads == []


BODY = b'{"errors": [{"code": "UNKNOWN", "message": "nothing is signed", "detail": {"slug": "no-collection"}}]}'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY), r"refuses .*\(404\)"),
        (b"HTTP/1.1 401 no\r\nWWW-Authenticate: Bearer realm=x\r\n\r\n", r"wants a login \(401\)"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", r"refuses to connect to registry\.example:5443 \(403\)"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", r"refuses .*\(502\)"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\n\r\n", r"refuses .*\(302\)"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", r"refuses .*\(304\)"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", r"refuses .*\(100\)"),
        (b"HTTP/1.1 407 no\r\n\r\n", r"wants a login"),
        (b"HTTP/1.1 407 no\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n", "negotiate, ntlm"),
        (b"HTTP/1.1 407 no\r\nProxy-Authenticate: \x1b[2J\xff\r\n\r\n", r"wants a login"),
        (b"", "closes the connection"),
        (b"HTTP/1.1 200 OK\r\n", "closes the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n", "sends more than an answer"),
        (STANDS + b"\x16\x03\x03", "sends more than an answer"),
        (b"HTTP/1.1 20\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 +20 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/2 200 OK\r\n\r\n", "not HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"),
        (b"\x00\xff\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, "more than 16 KiB"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "more than 16 KiB"),
    ],
)  # fmt: skip
def test_no_word_of_a_proxy_is_the_registrys(behind: Behind, answer: bytes, said: str) -> None:
    """Nothing that it can say is "not there", "not you" or a redirect: it is the proxy's, and no connection."""
    with forwarding(says(answer)) as proxy, pytest.raises(ProxyFailed, match=said) as refused:
        behind(f"http://{proxy.address}").request("GET", "/v2/", headers=BEARER)
    text = str(refused.value)
    assert f"proxy http://{proxy.address}" in text.lower()
    assert text.isprintable()
    assert (refused.value.slug, len(proxy.heads)) == ("proxy-failed", 1)


def test_what_a_proxy_says_inside_a_tunnel_is_no_tls(behind: Behind) -> None:
    def act(sock: socket.socket, _head: bytes) -> None:
        sock.sendall(STANDS)
        assert sock.recv(3)[0] == 0x16  # the hello
        sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with forwarding(act) as proxy, pytest.raises(Unreachable, match=r"No TLS connection to registry\.example"):
        behind(f"http://{proxy.address}").request("GET", "/v2/", headers=BEARER)


def drip(sock: socket.socket, _head: bytes) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500:
        sock.sendall(bytes([byte]))
        time.sleep(0.02)


def silent(sock: socket.socket, _head: bytes) -> None:
    select.select([sock], [], [], 5)


def silent_inside(sock: socket.socket, _head: bytes) -> None:
    sock.sendall(STANDS)
    sock.recv(10_000)
    silent(sock, b"")


@pytest.mark.parametrize("act", [drip, silent, silent_inside])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_has_no_more_time_than_a_connection(
    behind: Behind, authority: Authority, tmp_path: Path, act: Act, *, secure: bool
) -> None:
    certificate = authority.issue(tmp_path, "127.0.0.1") if secure else None
    started = time.monotonic()
    told = "proxy" if act is not silent_inside else r"registry\.example"
    with forwarding(act, certificate=certificate) as proxy, pytest.raises(TimedOut, match=told):
        behind(f"http{'s' * secure}://{proxy.address}", limits=QUICK).request("GET", "/")
    assert time.monotonic() - started < 4


def test_a_proxy_that_is_not_there(behind: Behind) -> None:
    nobody = free_port()
    with pytest.raises(ProxyFailed, match=rf"The proxy http://127.0.0.1:{nobody} can't be reached: .*refused"):
        behind(f"http://127.0.0.1:{nobody}").request("GET", "/")


SECRET = "pa55wort"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 no\r\n\r\n", b"HTTP/1.1 503 no\r\n\r\n", b"garbage\r\n\r\n", b""])
def test_its_password_is_in_no_error_log_or_repr(
    behind: Behind, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with forwarding(says(answer)) as proxy:
        used = behind(f"http://me:{SECRET}@{proxy.address}")
        with pytest.raises(ProxyFailed) as refused:
            used.request("GET", "/")
    shown, error = [repr(used), repr(used.way), caplog.text], refused.value
    while isinstance(error, BaseException):
        shown += [str(error), repr(error), str(getattr(error, "context", ""))]
        error = error.__cause__ or error.__context__
    text = "\n".join(shown)
    assert SECRET not in text
    assert base64.b64encode(f"me:{SECRET}".encode()).decode() not in text
    if b"407" in answer:
        assert "does not accept the name and password in HTTPS_PROXY" in text


def test_a_name_that_the_list_has_goes_straight(serve: Serve, behind: Behind) -> None:
    with forwarding(says(b"")) as proxy, pytest.raises(TrustkitError) as refused:
        behind(f"http://{proxy.address}", NO_PROXY=".example").request("GET", "/")
    assert not isinstance(refused.value, ProxyFailed)
    assert proxy.heads == []
    server = serve(echo)
    with forwarding(says(b"")) as proxy:
        environ = {"ALL_PROXY": f"http://{proxy.address}", "HTTP_PROXY": f"http://{proxy.address}"}
        assert behind(f"http://{proxy.address}", server.host, **environ).request("GET", "/x").body == b"/x"
        assert proxy.heads == []


def test_a_redirect_goes_through_the_proxy_of_where_it_leads(
    serve: Serve, authority: Authority, tmp_path: Path, behind: Behind
) -> None:
    storage = serve(echo, certificate=authority.issue(tmp_path, "storage.example"))

    def away(handler: Handler) -> None:
        handler.reply(307, Location="https://storage.example:8443/blob")

    server = serve(away, certificate=authority.issue(tmp_path, "registry.example"))

    def act(sock: socket.socket, head: bytes) -> None:
        leads((storage if b"storage" in head.split(b"\r\n")[0] else server).host.port)(sock, head)

    with forwarding(act) as proxy:
        used = behind(f"http://{proxy.address}")
        with used.stream("GET", "/v2/blob", headers=BEARER, follow=True) as answer:
            assert b"".join(answer.chunks) == b"/blob"
        assert [head.split()[1] for head in proxy.heads] == [b"registry.example:5443", b"storage.example:8443"]
    assert storage.seen == [("GET", "/blob", "")]


def test_connections_are_kept_by_the_proxy_that_they_went_through(
    registry: Running, authority: Authority, tmp_path: Path
) -> None:
    environ = {"HOME": str(tmp_path), "SSL_CERT_FILE": str(authority.file)}
    with forwarding(leads(registry.host.port)) as one, forwarding(leads(registry.host.port)) as other:
        environ["HTTPS_PROXY"] = f"http://{one.address}"
        used = HttpClient(REGISTRY, environ=environ, limits=LIMITS)
        used.request("GET", "/")
        for proxy in (f"http://{other.address}", f"http://me:x@{other.address}", f"http://me:y@{other.address}"):
            environ["HTTPS_PROXY"] = proxy
            used.request("GET", "/")
            used.request("GET", "/")
        assert (len(one.heads), len(other.heads)) == (1, 3)


PLAIN = Host("plain.example", 5080)


def plain(tmp_path: Path, **environ: str) -> HttpClient:
    return HttpClient(PLAIN, environ={"HOME": str(tmp_path), **environ}, limits=LIMITS, unsafe_plain_http=True)


def test_without_tls_a_request_has_a_whole_url(serve: Serve, tmp_path: Path) -> None:
    server = serve(echo)
    with forwarding(leads(server.host.port)) as proxy:
        url = f"http://me:pass@{proxy.address}"
        used = plain(tmp_path, HTTPS_PROXY=url, HTTP_PROXY=url)
        assert used.request("GET", "/v2/a", query=[("b", "c")]).body == b"http://plain.example:5080/v2/a?b=c"
        assert used.request("GET", "/v2/d").status == 200
        asked, sent = proxy.heads
    assert asked.startswith(b"CONNECT plain.example:5080 ")
    assert sent.startswith(b"GET http://plain.example:5080/v2/a?b=c HTTP/1.1\r\nHost: plain.example:5080\r\n")
    assert b"Proxy-Authorization: Basic " in sent


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.8.9.10"])
def test_a_registry_elsewhere_sends_nobody_to_their_own_machine(serve: Serve, tmp_path: Path, name: str) -> None:
    """What listens on loopback often asks no login, and does what a GET says."""
    mine = serve(echo)

    def away(handler: Handler) -> None:
        handler.reply(307, Location=f"http://{name}:{mine.host.port}/shutdown")

    server = serve(away)
    with forwarding(leads(server.host.port)) as proxy:
        url = f"http://{proxy.address}"
        used = plain(tmp_path, HTTPS_PROXY=url, HTTP_PROXY=url)
        with (
            pytest.raises(Garbage, match="this machine itself"),
            used.stream("GET", "/v2/blob", follow=True) as answer,
        ):
            answer.read(10)
    assert mine.seen == []


def test_without_tls_a_407_is_the_proxys(tmp_path: Path) -> None:
    def act(sock: socket.socket, head: bytes) -> None:
        if head.startswith(b"CONNECT"):
            sock.sendall(STANDS)
            sock.recv(1000)
            sock.sendall(b"no")
        else:
            sock.sendall(b"HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")

    with forwarding(act) as proxy, pytest.raises(ProxyFailed, match="wants a login"):
        plain(tmp_path, ALL_PROXY=f"http://{proxy.address}").request("GET", "/")


def test_a_proxy_that_refuses_a_tunnel_makes_nobody_do_without_tls(tmp_path: Path) -> None:
    with forwarding(says(b"HTTP/1.1 405 no\r\n\r\n")) as proxy, pytest.raises(ProxyFailed):
        plain(tmp_path, ALL_PROXY=f"http://{proxy.address}").request("GET", "/", headers=BEARER)
    assert [head.split()[0] for head in proxy.heads] == [b"CONNECT"]


@pytest.fixture
def squire(need: Callable[[str, str], Path]) -> Path:
    return need("tinyproxy", "tinyproxy-bin")


@pytest.mark.real
def test_the_real_tinyproxy(serve: Serve, authority: Authority, tmp_path: Path, behind: Behind, squire: Path) -> None:
    """0.0.0.0 is this machine to the system, and no loopback to whoever reads the variables, as in Go."""
    server = serve(echo, certificate=authority.issue(tmp_path, "0.0.0.0"))
    host, port = Host("0.0.0.0", server.host.port), free_port()
    with tinyproxy(squire, tmp_path, port, "BasicAuth me pa55", f"ConnectPort {host.port}") as log:
        used = behind(f"http://me:pa55@127.0.0.1:{port}", host)
        answers = [used.request("GET", f"/{number}", headers=BEARER) for number in range(2)]
        assert [answer.body for answer in answers] == [b"/0", b"/1"]
        assert log.read_text().count("CONNECT 0.0.0.0") == 1
        with pytest.raises(ProxyFailed, match="wants a login"):
            behind(f"http://127.0.0.1:{port}", host).request("GET", "/")
        with pytest.raises(ProxyFailed, match="does not accept the name and password"):
            behind(f"http://me:wrong@127.0.0.1:{port}", host).request("GET", "/")
        with pytest.raises(ProxyFailed, match=r"refuses to connect to 0\.0\.0\.0:1 \(403\)"):
            behind(f"http://me:pa55@127.0.0.1:{port}", Host("0.0.0.0", 1)).request("GET", "/")
        with forwarding(onwards(port), certificate=authority.issue(tmp_path, "127.0.0.1")) as secure:
            assert behind(f"https://me:pa55@{secure.address}", host).request("GET", "/tls").body == b"/tls"


def onwards(port: int) -> Act:
    """TLS in front of another proxy, which answers CONNECT itself."""

    def act(sock: socket.socket, head: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as there:
            there.sendall(head)
            between(sock, there)

    return act


@pytest.mark.real
def test_the_real_tinyproxy_reaches_nobody(tmp_path: Path, behind: Behind, squire: Path) -> None:
    port = free_port()
    with tinyproxy(squire, tmp_path, port), pytest.raises(ProxyFailed, match=r"refuses to connect .* \(50[0-9]\)"):
        behind(f"http://127.0.0.1:{port}", Host("0.0.0.0", free_port())).request("GET", "/")
