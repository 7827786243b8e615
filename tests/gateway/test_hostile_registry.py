"""A registry that was taken over answers byte by byte as it likes: what comes of it is an answer of the service's."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.gateway.conftest import APP, Client, Serving, World
from trustkit.gateway.gate import LOOKS
from trustkit.gateway.transport import Timeouts
from trustkit.gateway.upstream import UpstreamRegistry

BLOB = "/v2/team/app/blobs/sha256:" + "0" * 64
MANIFEST = "/v2/team/app/manifests/v1"
Answer = Callable[[socket.socket, bytes], None]


class Raw:
    """Answers each request, head read, by ``answer``; then closes."""

    def __init__(self) -> None:
        self.answer: Answer = said(b"")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                found, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(found,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(4096) or b"\r\n\r\n"
            self.answer(sock, head)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def said(data: bytes) -> Answer:
    return lambda sock, _: sock.sendall(data)


@pytest.fixture(scope="module")
def raw() -> Iterator[Raw]:
    registry = Raw()
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def behind(raw: Raw) -> Iterator[Client]:
    url, timeouts = f"http://127.0.0.1:{raw.port}", Timeouts(connect=0.5, read=0.5)
    make = partial(UpstreamRegistry, url, timeouts=timeouts, connections=2)  # in the server's thread
    with Serving(make, World()) as client:
        yield client


HEADS = [
    ("the protocol switched", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    ("the protocol switched, without a word", b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n"),
    ("a status that is none", b"HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n"),
    ("a status beyond all", b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello"),
    ("a length and chunks", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("no length", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"),
    ("another coding", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello"),
    ("a carriage return in a header", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: a\rX-Evil: b\r\n\r\n"),
    ("a place that is none", b"HTTP/1.1 307 x\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n"),
    ("a port that is none", b"HTTP/1.1 307 x\r\nLocation: http://x:99999/\r\nContent-Length: 0\r\n\r\n"),
    ("a host that is none", b"HTTP/1.1 307 x\r\nLocation: http://\xff\xfe.x/\r\nContent-Length: 0\r\n\r\n"),
    ("no host", b"HTTP/1.1 307 x\r\nLocation: https:///x\r\nContent-Length: 0\r\n\r\n"),
    ("a file", b"HTTP/1.1 307 x\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"),
    ("itself, for ever", b"HTTP/1.1 307 x\r\nLocation: ?\r\nContent-Length: 0\r\n\r\n"),
]


@pytest.mark.parametrize("head", [row[1] for row in HEADS], ids=[row[0] for row in HEADS])
def test_what_is_no_answer_is_told_as_none(behind: Client, raw: Raw, head: bytes) -> None:
    raw.answer = said(head)
    reply = behind("GET", BLOB)
    assert (reply.status, reply.code) == (502, "UNKNOWN")


def test_a_place_that_is_none_is_no_place_of_ours_either(behind: Client, raw: Raw) -> None:
    raw.answer = said(b"HTTP/1.1 202 x\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n")
    reply = behind("POST", "/v2/team/app/blobs/uploads/")
    assert (reply.status, reply.code) == (502, "UNKNOWN")


def test_no_header_of_its_own_gets_out_of_another(behind: Client, raw: Raw) -> None:
    """llhttp is lenient with answers: it takes control characters and folded lines."""
    raw.answer = said(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: a\x01\x0b\x7f\r\n X-Evil: b\r\n\r\n")
    reply = behind("GET", BLOB)
    assert (reply.status, "x-evil" in reply.headers) == (200, False)
    assert reply.headers["etag"].isprintable()


@pytest.mark.parametrize("message", ["\\ud800", "\\u001b[2J\\u0000", '"], "errors": ["'])
def test_its_words_are_words_and_nothing_else(behind: Client, raw: Raw, message: str) -> None:
    body = b'{"errors": [{"code": "BLOB_UNKNOWN", "message": "%b"}]}' % message.replace('"', '\\"').encode()
    head = b"HTTP/1.1 404 x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    raw.answer = said(head + body)
    reply = behind("GET", BLOB)
    assert (reply.status, reply.code) == (404, "BLOB_UNKNOWN")
    assert reply.body.isascii()
    assert all(byte >= 0x20 for byte in reply.body)


def _dripping(sock: socket.socket, _: bytes) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        sock.sendall(b"X-A: b\r\n")
        time.sleep(0.2)


def _interim(sock: socket.socket, _: bytes) -> None:
    while True:
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.2)


@pytest.mark.parametrize("answer", [_dripping, _interim], ids=["headers that drip", "interim answers without end"])
@pytest.mark.parametrize("path", [BLOB, MANIFEST], ids=["blob", "manifest"])
def test_an_answer_that_never_begins_takes_no_longer_than_its_time(
    behind: Client, raw: Raw, answer: Answer, path: str
) -> None:
    raw.answer = answer
    before = time.monotonic()
    assert behind("GET", path).status == 502
    assert time.monotonic() - before < 5


def test_who_reads_blobs_slowly_holds_up_no_manifest(behind: Client, raw: Raw) -> None:
    """All connections for blobs are taken; what the gate asks has connections of its own."""

    def answer(sock: socket.socket, head: bytes) -> None:
        if b"/blobs/" in head:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                sock.sendall(bytes(1 << 20))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}")

    raw.answer = answer
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            reader = http.client.HTTPConnection("127.0.0.1", behind.port, timeout=10)
            stack.callback(reader.close)
            reader.request("GET", BLOB)
            assert reader.getresponse().status == 200
        assert behind("GET", BLOB).status == 502, "they are taken, and nobody waits for ever"
        assert behind("GET", MANIFEST).body == b"{}"


def test_few_blobs_are_in_memory_at_a_time_however_many_are_asked_for(raw: Raw) -> None:
    """The gate looks at a small blob as a whole: whoever may push puts hundreds there, and asks for all at once."""
    open_now, most, lock, full = 0, 0, threading.Lock(), threading.Event()

    def answer(sock: socket.socket, head: bytes) -> None:
        nonlocal open_now, most
        if b"/manifests/" in head or head.startswith(b"HEAD"):
            status = b"404 x" if b"/manifests/" in head else b"200 OK"
            sock.sendall(b"HTTP/1.1 %b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n" % status)
            return
        with lock:
            open_now += 1
            most = max(most, open_now)
        if most >= LOOKS:
            full.set()
        full.wait(5)
        time.sleep(0.05)
        with lock:
            open_now -= 1
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab")

    raw.answer = answer
    world = World(trust_only={APP})
    world.sign(APP, {})
    with Serving(lambda: UpstreamRegistry(f"http://127.0.0.1:{raw.port}"), world) as client:
        paths = [f"/v2/team/app/blobs/sha256:{number:064x}" for number in range(4 * LOOKS)]
        with ThreadPoolExecutor(len(paths)) as pool:
            statuses = set(pool.map(lambda path: client("HEAD", path, who="puller").status, paths))
    assert (statuses, most) == ({200}, LOOKS)
