"""Connections that are kept open, against a server that means it ill (TRUST 6.2)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.remote.conftest import Authority, Handler, Serve
from trustkit.core.names import Host
from trustkit.errors import CouldNotCheck, Garbage, TimedOut, Unreachable
from trustkit.remote.connections import KEPT
from trustkit.remote.http import HttpClient, Limits
from trustkit.remote.sockets import Speed

QUICK = Limits(total=2, connect=1, speed=Speed(bytes_per_second=1, window=5))


def client(host: Host, home: Path, *, limits: Limits = QUICK, **environ: str) -> HttpClient:
    return HttpClient(host, environ={"HOME": str(home), **environ}, limits=limits)


def counted(ports: set[int], body: bytes = b"ok", status: int = 200) -> object:
    def answer(handler: Handler) -> None:
        ports.add(handler.client_address[1])
        handler.reply(status, body)

    return answer


@pytest.mark.parametrize("later", [False, True])
def test_an_answer_that_nobody_asked_for_answers_nothing(serve: Serve, tmp_path: Path, *, later: bool) -> None:
    """A second answer that lies there would be taken for that of the next request: one file for another."""
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
    sent = threading.Event()

    def answer(handler: Handler) -> None:
        if handler.path != "/first":
            handler.reply(200, handler.path.encode())
            return
        first = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n/first"
        handler.wfile.write(first if later else first + smuggled)
        if later:
            handler.wfile.write(smuggled)
        sent.set()

    used = client(serve(answer).host, tmp_path)
    assert used.request("GET", "/first").body == b"/first"
    assert sent.wait(10)
    assert [used.request("GET", f"/{number}").body for number in range(3)] == [b"/0", b"/1", b"/2"]


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 2\r\nContent-Length: 5",
        b"Content-Length: 2, 2",
        b"Content-Length: +2",
        b"Content-Length: -1",
        b"Content-Length: 0x2",
        b"Content-Length: 1_0",
        b"Content-Length: \xb2",
        b"Content-Length:",
    ],
    ids=["two", "list", "plus", "negative", "hexadecimal", "underscore", "superscript", "empty"],
)
def test_a_length_that_is_none(serve: Serve, tmp_path: Path, headers: bytes) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\nok")
        handler.close_connection = True

    with pytest.raises(Garbage, match="Content-Length"):
        client(serve(answer).host, tmp_path).request("GET", "/")


def test_the_same_length_twice_is_one(serve: Serve, tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")

    assert client(serve(answer).host, tmp_path).request("GET", "/").body == b"ok"


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 100\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n-5\r\n",
    ],
    ids=["length", "no-last-chunk", "within-a-chunk", "negative-chunk"],
)
def test_what_breaks_off_is_never_taken_for_the_whole(serve: Serve, tmp_path: Path, data: bytes) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + data)
        handler.close_connection = True

    with pytest.raises(CouldNotCheck):
        client(serve(answer).host, tmp_path).request("GET", "/")


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_connection_is_used_again_after(serve: Serve, tmp_path: Path, method: str, status: int) -> None:
    ports: set[int] = set()
    body = b"ok" if status == 200 else b""
    used = client(serve(counted(ports, body, status)).host, tmp_path)
    for _ in range(3):
        assert used.request(method, "/").status == status
    assert len(ports) == 1


def test_after_chunks_too_and_one_piece_is_no_more_than_was_sent(serve: Serve, tmp_path: Path) -> None:
    ports: set[int] = set()

    def answer(handler: Handler) -> None:
        ports.add(handler.client_address[1])
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    used = client(serve(answer).host, tmp_path)
    assert [used.request("GET", "/").body for _ in range(3)] == [b"abcde"] * 3
    assert len(ports) == 1


def test_a_body_that_was_not_read_to_its_end_is_no_part_of_the_next_answer(serve: Serve, tmp_path: Path) -> None:
    ports: set[int] = set()
    used = client(serve(counted(ports, b"x" * 300_000)).host, tmp_path)
    with used.stream("GET", "/") as answer:
        assert next(answer.chunks)
    assert used.request("GET", "/").body == b"x" * 300_000
    assert len(ports) == 2


def test_a_long_upload_has_the_whole_time_and_not_a_connections(serve: Serve, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(4):
            time.sleep(0.15)
            yield b"x" * 1000

    limits = Limits(total=5, connect=0.3, speed=Speed(bytes_per_second=1, window=5))
    used = client(serve(lambda handler: handler.reply(201)).host, tmp_path, limits=limits)
    assert used.request("PUT", "/", body=chunks(), headers={"Content-Length": "4000"}).status == 201
    with pytest.raises(TimedOut):
        used.request("PUT", "/", body=chunks(), headers={"Content-Length": "4000"}, total=0.4)


@contextmanager
def talking(serve_one: object) -> Iterator[Host]:
    """A server of bare sockets: each connection is passed on to a thread."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def accept() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve_one, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield Host("127.0.0.1", listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


def test_an_answer_before_all_is_sent_is_read(tmp_path: Path) -> None:
    """A service refuses what is too large, and closes, before it has read it."""

    def refuse(sock: socket.socket) -> None:
        with sock:
            if sock.recv(3)[0] == 0x16:  # whether it speaks TLS
                sock.sendall(b"HT")
                return
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    with talking(refuse) as host:
        used = client(host, tmp_path)
        answer = used.request("PUT", "/", body=b"x" * 8_000_000)
        assert (answer.status, answer.body) == (413, b"no!")


def test_a_handshake_that_drips_is_over_when_a_connections_time_is(tmp_path: Path) -> None:
    def drip(sock: socket.socket) -> None:
        with sock:
            sock.recv(1000)
            try:
                for byte in b"\x16\x03\x03\x40\x00" + bytes(1000):
                    sock.sendall(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                pass

    limits = Limits(total=30, connect=0.5, speed=Speed(bytes_per_second=1, window=30))
    with talking(drip) as host:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            client(host, tmp_path, limits=limits).request("GET", "/")
        assert time.monotonic() - started < 10


def test_no_more_connections_are_kept_than_are_said_and_each_is_used_by_one(serve: Serve, tmp_path: Path) -> None:
    many, ports = KEPT + 8, set[int]()
    together = threading.Barrier(many)

    def answer(handler: Handler) -> None:
        if handler.path != "/alone":
            together.wait(20)
        ports.add(handler.client_address[1])
        handler.reply(200, handler.path.encode())

    limits = Limits(total=30, connect=10, speed=Speed(bytes_per_second=1, window=30))
    used, found = client(serve(answer).host, tmp_path, limits=limits), dict[str, bytes]()

    def ask(path: str) -> None:
        found[path] = used.request("GET", path).body

    threads = [threading.Thread(target=ask, args=(f"/{number}",)) for number in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {f"/{number}": f"/{number}".encode() for number in range(many)}
    assert len(ports) == many
    (pool,) = used._pools.values()
    assert len(pool._kept) == KEPT
    assert used.request("GET", "/alone").body == b"/alone"
    assert len(ports) == many


def test_nothing_is_sent_in_a_header_that_could_end_it(serve: Serve, tmp_path: Path) -> None:
    server = serve(counted(set()))
    used = client(server.host, tmp_path)
    with pytest.raises(CouldNotCheck):
        used.request("GET", "/", headers={"Authorization": "Bearer x\r\nX-Other: y"})
    with pytest.raises(CouldNotCheck):
        used.request("GET", "/ HTTP/1.1\r\nX-Other: y\r\n\r\n")
    assert server.seen == []


def here(handler: Handler) -> None:
    handler.reply(200, handler.headers["host"].encode())


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_registry_may_be_named_by_its_address_of_version_six(
    serve: Serve, authority: Authority, tmp_path: Path, *, secure: bool
) -> None:
    certificate = authority.issue(tmp_path, "::1") if secure else None
    host = serve(here, certificate=certificate, name="[::1]").host
    assert client(host, tmp_path, SSL_CERT_FILE=str(authority.file)).request("GET", "/v2/").body == str(host).encode()


def test_its_certificate_has_to_be_that_addresss(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    host = serve(here, certificate=authority.issue(tmp_path, "127.0.0.1"), name="[::1]").host
    with pytest.raises(Unreachable, match="not valid for '::1'"):
        client(host, tmp_path, SSL_CERT_FILE=str(authority.file)).request("GET", "/v2/")
