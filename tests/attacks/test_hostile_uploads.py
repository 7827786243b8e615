"""Uploads that are no uploads: bombs, truncations, ambiguities, and heads of requests that never end (TRUST 3.2).

Who sends them may publish, so that nothing but the upload itself is refused; after each of them an honest publish
goes through.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from securesystemslib.signer import Key

from tests.attacks.victims import Reply, ask, serving, wire
from tests.service import RunningService
from tests.simulator import Publisher, manifest
from trustkit.core.names import Gun
from trustkit.core.strictjson import serialise

QUICKLY = 20.0
"""Seconds for any refusal, on a machine that does other things as well; each takes well under one on a quiet one."""
SMALL = 192 * 1024
"""KiB that the service may grow by, whatever comes."""
MIB = 1 << 20
TYPE = "multipart/form-data; boundary=cut"


class Upstairs(Publisher):
    """A publisher whose collection lies on the running service."""

    def __init__(self, service: RunningService, repository: str, token: str) -> None:
        super().__init__(Gun.parse(f"{service.host}/{repository}"))
        self.service, self.token = service, token
        self.path = f"/v2/{self.gun}/_trust/metadata"
        keys = ask(service.host, "GET", f"/v2/{self.gun}/_trust/online-keys", token=token).json
        self._online = {role: Key.from_dict(value.pop("keyid"), value) for role, value in keys.items()}
        self.published, self.last = 0, b""
        self.publish(self.first_upload("v1", now=datetime.now(UTC)))

    @property
    def online(self) -> dict[str, Any]:
        return self._online

    def post(self, body: bytes, kind: str = TYPE, **headers: str) -> Reply:
        return ask(self.service.host, "POST", self.path, body, token=self.token, content_type=kind, **headers)

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Publishes, which has to go through."""
        self.taken(self.post(whole(files)), files)

    def taken(self, reply: Reply | None, files: Mapping[str, bytes]) -> None:
        """Holds a reply to what follows a publish that went through."""
        assert reply is not None
        self.published += 1
        assert (reply.status, reply.json["versions"]["targets"]) == (200, self.published), reply.body
        self.files |= files
        self.last = self.served()

    def next(self) -> bytes:
        """The next ``targets.json``, which the service would take."""
        tag = f"v{self.published + 1}"
        return self.sign_upload(tag, manifest(tag), now=datetime.now(UTC))["targets"]

    def served(self) -> bytes:
        return ask(self.service.host, "GET", f"{self.path}/timestamp.json", token=self.token).body


def part(role: str, data: bytes, *headers: str, disposition: str = "") -> bytes:
    named = disposition or f'form-data; name="files"; filename="{role}.json"'
    lines = ["--cut", f"Content-Disposition: {named}", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + data + b"\r\n"


def whole(files: Mapping[str, bytes]) -> bytes:
    return b"".join(part(role, data) for role, data in files.items()) + b"--cut--\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with serving(tmp_path_factory.mktemp("service")) as service:
        yield service


def _publisher(service: RunningService, name: str) -> Upstairs:
    person = service.principal(name, "AcrPush", "AcrImageSigner")
    repository = f"hostile/{name}"
    return Upstairs(service, repository, person.token(service.host, f"repository:{repository}:pull,push,sign"))


@pytest.fixture(scope="module")
def mallory(service: RunningService) -> Upstairs:
    return _publisher(service, "mallory")


@pytest.fixture(scope="module")
def alice(service: RunningService) -> Upstairs:
    return _publisher(service, "alice")


def memory(service: RunningService, what: str) -> int:
    """``VmRSS`` or ``VmHWM`` of the service, in KiB."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(what))


@pytest.fixture(autouse=True)
def small_and_alive(service: RunningService, mallory: Upstairs) -> Iterator[None]:
    """Memory stays small, nothing was published, and the next honest publish goes through."""
    assert service.process is not None
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")  # the highest value counts from here
    before = memory(service, "VmRSS")
    yield
    assert mallory.served() == mallory.last
    assert memory(service, "VmHWM") - before < SMALL
    mallory.publish({"targets": mallory.next()})
    assert "Traceback" not in service.log.read_text()


def test_an_honest_upload_is_taken(mallory: Upstairs) -> None:
    mallory.publish({"targets": mallory.next()})


def _json(text: bytes) -> Callable[[bytes], bytes]:
    return lambda _: whole({"targets": text})


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """The honest file with its JSON changed, under the honest signature."""

    def body(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return whole({"targets": serialise(value)})

    return body


def _respelt(respell: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def body(data: bytes) -> bytes:
        changed = respell(data)
        assert changed != data
        return whole({"targets": changed})

    return body


END = b"--cut--\r\n"
DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
NAMED = 'form-data; name="files"; filename="targets.json"'
BODIES: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "empty": (lambda data: b"", 400, "malformed"),
    "no part": (lambda data: END, 400, "malformed"),
    "4,161 parts": (lambda data: b"".join(part(f"r{n}", b"") for n in range(4161)) + END, 413, "too-large"),
    "70,000 parts": (lambda data: b"".join(part(f"r{n}", b"") for n in range(70_000))[: 7 * MIB], 413, "too-large"),
    "a header of 7 MiB": (lambda data: part("targets", data, "X-A: " + "a" * 7 * MIB) + END, 400, "malformed"),
    "a header's name of 7 MiB": (lambda data: part("targets", data, "a" * 7 * MIB + ": x") + END, 400, "malformed"),
    "400,000 headers": (
        lambda data: part("targets", data, *(f"X-{n}: 1" for n in range(400_000))) + END,
        400,
        "malformed",
    ),
    "a file of 7 MiB": (lambda data: whole({"targets": b'"' + b"x" * 7 * MIB + b'"'}), 413, "too-large"),
    "a file of 7 MiB of spaces": (lambda data: whole({"targets": data + b" " * 7 * MIB}), 413, "too-large"),
    "a root over its own limit": (lambda data: whole({"root": b"x" * 600_000, "targets": data}), 413, "too-large"),
    "over the limit of all": (lambda data: whole({"targets": data}) + b"\r\n" * 16 * MIB, 413, "too-large"),
    "400,000 members": (_json(b"{" + b",".join(b'"%d":1' % n for n in range(400_000)) + b"}"), 400, "malformed"),
    "a preamble of 7 MiB": (lambda data: b"x" * 7 * MIB + b"\r\n" + whole({"targets": data}), 400, "malformed"),
    "a preamble": (lambda data: b"preamble\r\n" + whole({"targets": data}), 400, "malformed"),
    "an epilogue": (lambda data: whole({"targets": data}) + b"epilogue", 400, "malformed"),
    "a second body": (lambda data: whole({"targets": data}) * 2, 400, "malformed"),
    "cut before the end": (lambda data: part("targets", data), 400, "malformed"),
    "cut in the file": (lambda data: part("targets", data)[:-100], 400, "malformed"),
    "cut in a header": (lambda data: part("targets", data)[:40], 400, "malformed"),
    "cut in the last boundary": (lambda data: whole({"targets": data})[:-4], 400, "malformed"),
    "one file twice": (lambda data: part("targets", data) * 2 + END, 400, "malformed"),
    "one file twice, differently": (
        lambda data: part("targets", b"{}") + part("targets", data) + END,
        400,
        "malformed",
    ),
    "an unknown part": (lambda data: part("targets", data) + part("kek", data) + END, 400, "bad-delegation"),
    "an online role": (lambda data: part("targets", data) + part("timestamp", data) + END, 400, "malformed"),
    "a name with a path": (lambda data: part("../targets", data) + END, 400, "malformed"),
    "a name in upper case": (lambda data: part("Targets", data) + END, 400, "malformed"),
    "a name with NUL": (lambda data: part("targets.json\0", data) + END, 400, "malformed"),
    "no file name": (lambda data: part("", data, disposition='form-data; name="files"') + END, 400, "malformed"),
    "another field": (
        lambda data: part("", data, disposition=NAMED.replace('"files"', '"file"')) + END,
        400,
        "malformed",
    ),
    "an attachment": (
        lambda data: part("", data, disposition=NAMED.replace("form-data", "file")) + END,
        400,
        "malformed",
    ),
    "two file names": (
        lambda data: part("", data, disposition=f'form-data; name="files"; filename="root.json"; {NAMED[11:]}') + END,
        400,
        "malformed",
    ),
    "an encoded file name": (
        lambda data: part("", data, disposition=f"{NAMED}; filename*=UTF-8''root.json") + END,
        400,
        "malformed",
    ),
    "4,000 quotes": (lambda data: part("", data, disposition=NAMED[:-1] + '\\"' * 2000) + END, 400, "malformed"),
    "two dispositions": (lambda data: part("targets", data, f"Content-Disposition: {NAMED}") + END, 400, "malformed"),
    "a transfer encoding": (
        lambda data: part("targets", data, "Content-Transfer-Encoding: binary") + END,
        400,
        "malformed",
    ),
    "a file that is empty": (_json(b""), 400, "malformed"),
    "a file that is no object": (_json(b"[1]"), 400, "malformed"),
    "JSON that ends early": (_respelt(lambda data: data[:-1]), 400, "malformed"),
    "JSON that goes on": (_respelt(lambda data: data + b"{}"), 400, "malformed"),
    "JSON with a space": (_respelt(lambda data: data.replace(b":", b": ", 1)), 400, "malformed"),
    "JSON with a line's end": (_respelt(lambda data: data + b"\n"), 400, "malformed"),
    "JSON with a mark of its bytes' order": (_respelt(lambda data: b"\xef\xbb\xbf" + data), 400, "malformed"),
    "JSON in UTF-16": (_respelt(lambda data: data.decode().encode("utf-16")), 400, "malformed"),
    "a member twice": (
        _respelt(lambda data: data.replace(b'"version":', b'"version":1,"version":')),
        400,
        "malformed",
    ),
    "signed twice": (_respelt(lambda data: data[:-1] + b',"signed":{}}'), 400, "malformed"),
    "10,000 deep": (_json(DEEP), 413, "too-large"),
    "10,000 deep, of lists": (_json(b"[" * 10_000 + b"]" * 10_000), 413, "too-large"),
    "3 million deep": (_json(b"[" * 3_000_000), 413, "too-large"),
    "deep in an honest file": (_respelt(lambda data: data[:-1] + b',"x":' + DEEP + b"}"), 413, "too-large"),
    "a number of 4 MB": (_json(b'{"signed":' + b"1" * 4_000_000 + b"}"), 400, "malformed"),
    "a float": (_respelt(lambda data: data.replace(b'"version":', b'"version":1.')), 400, "malformed"),
    "infinity": (_json(b'{"signed":Infinity,"signatures":[]}'), 400, "malformed"),
    "an unknown member beside signed": (_edited(lambda v: v.update(x=1)), 400, "malformed"),
    "an unknown member in signed": (_edited(lambda v: v["signed"].update(x=1)), 400, "malformed"),
    "an unknown member in a signature": (_edited(lambda v: v["signatures"][0].update(x=1)), 400, "malformed"),
    "another type": (_edited(lambda v: v["signed"].update(_type="root")), 400, "malformed"),
    "65 signatures": (
        _edited(lambda v: v.update(signatures=[{"keyid": f"{n:064x}", "sig": "00"} for n in range(65)])),
        400,
        "malformed",
    ),
    "a later version": (_edited(lambda v: v["signed"].update(version=2**31 - 1)), 400, "bad-version"),
    "a version of true": (_edited(lambda v: v["signed"].update(version=True)), 400, "malformed"),
    "another signature": (_edited(lambda v: v["signatures"][0].update(sig="00" * 64)), 400, "bad-signature"),
    "one tag more": (
        _edited(lambda v: v["signed"]["targets"].update(evil=v["signed"]["targets"]["v1"])),
        400,
        "bad-signature",
    ),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_no_upload(mallory: Upstairs, what: str) -> None:
    body, status, slug = BODIES[what]
    data, started = body(mallory.next()), time.monotonic()
    reply = mallory.post(data)
    assert time.monotonic() - started < QUICKLY
    assert (reply.status, reply.slug) == (status, slug), reply.body
    assert reply.code in ("TRUST_REJECTED", "SIZE_INVALID")
    assert 10 < len(reply.message) < 1000


TYPES = [
    "", "application/json", "application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=", 'multipart/form-data; boundary=""', "multipart/mixed; boundary=cut",
    "multipart/form-data; boundary=other", "multipart/form-data; boundary=cut; boundary=cut",
    "multipart/form-data; boundary=other; boundary=cut", "multipart/form-data; x=y; boundary=cut",
    "multipart/form-data; boundary*=UTF-8''cut", "multipart/form-data; boundary=" + "c" * 5000,
    "multipart/form-data; " + ';"a' * 5000 + "; boundary=cut", "multipart/form-data; boundary=c\xfct",
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind[:50] or "none")
def test_another_content_type(mallory: Upstairs, kind: str) -> None:
    reply = mallory.post(whole({"targets": mallory.next()}), kind)
    assert (reply.status, reply.code, reply.slug) == (400, "TRUST_REJECTED", "malformed")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "aws-chunked", "x"])
def test_a_content_encoding(mallory: Upstairs, coding: str) -> None:
    """Neither a bomb nor what is only said to be one is unpacked or taken."""
    for body in (gzip.compress(b"--cut" + b"\0" * 64 * MIB), whole({"targets": mallory.next()})):
        reply = mallory.post(body, content_encoding=coding)
        assert (reply.status, reply.code, reply.slug) == (400, "TRUST_REJECTED", "malformed")
    assert mallory.post(gzip.compress(whole({"targets": mallory.next()}))).slug == "malformed"


def _request(mallory: Upstairs, *fields: str, body: bytes = b"") -> bytes:
    lines = [
        f"POST {mallory.path} HTTP/1.1",
        f"Host: {mallory.service.host}",
        f"Authorization: Bearer {mallory.token}",
    ]
    return "\r\n".join([*lines, f"Content-Type: {TYPE}", *fields, "", ""]).encode() + body


def _exchange(mallory: Upstairs, *fields: str, body: bytes = b"", finish: bool = False) -> Reply | None:
    started = time.monotonic()
    reply = wire(mallory.service.host, _request(mallory, *fields, body=body), finish=finish)
    assert time.monotonic() - started < QUICKLY
    return reply


def _chunked(data: bytes, size: int = 100) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def test_a_body_in_chunks_is_taken_as_well(mallory: Upstairs) -> None:
    data = mallory.next()
    body = _chunked(whole({"targets": data})) + b"0\r\n\r\n"
    mallory.taken(_exchange(mallory, "Transfer-Encoding: chunked", body=body), {"targets": data})


class TestLengths:
    """What is said about the length of a body, and what comes."""

    def test_more_is_promised_than_comes(self, mallory: Upstairs) -> None:
        data = whole({"targets": mallory.next()})
        reply = _exchange(mallory, f"Content-Length: {len(data) + 1}", body=data, finish=True)
        assert reply is None, "nobody is left who could be answered"

    def test_less_is_promised_than_comes(self, mallory: Upstairs) -> None:
        data = whole({"targets": mallory.next()})
        reply = _exchange(mallory, f"Content-Length: {len(data) - 20}", body=data)
        assert reply is not None
        assert reply.status == 400
        assert reply.slug == "malformed" or reply.body.startswith(b"Invalid HTTP request"), "as if it were the next"

    @pytest.mark.parametrize("more", [[], ["Expect: 100-continue"]])
    def test_ten_gigabytes_are_promised(self, mallory: Upstairs, more: list[str]) -> None:
        reply = _exchange(mallory, "Content-Length: 10000000000", *more)
        assert reply is not None
        assert (reply.status, reply.code, reply.slug) == (413, "SIZE_INVALID", "too-large")

    def test_chunks_without_end(self, mallory: Upstairs) -> None:
        body = _chunked(b"x" * 9 * MIB, MIB)
        reply = _exchange(mallory, "Transfer-Encoding: chunked", body=body)
        assert reply is not None
        assert (reply.status, reply.code, reply.slug) == (413, "SIZE_INVALID", "too-large")

    @pytest.mark.parametrize(
        "fields",
        [
            ["Content-Length: 5", "Content-Length: 6"],
            ["Content-Length: {right}", "Content-Length: 6"],
            ["Content-Length: {right}", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: {right}"],
            ["Content-Length: -1"],
            ["Content-Length: +{right}"],
            ["Content-Length: 0x10"],
            ["Content-Length: 1e3"],
            ["Content-Length: {right}, {right}"],
            ["Content-Length: 99999999999999999999999"],
            ["Transfer-Encoding: chunked"],
            ["Transfer-Encoding: gzip, chunked"],
            ["Transfer-Encoding: xchunked"],
            ["Content-Length : {right}"],
            [],
        ],
        ids=str,
    )
    def test_nonsense(self, mallory: Upstairs, fields: list[str]) -> None:
        data = whole({"targets": mallory.next()})
        said = [field.format(right=len(data)) for field in fields]
        reply = _exchange(mallory, *said, body=data)
        assert reply is not None
        assert reply.status in (400, 413)
        assert reply.code or reply.body.startswith(b"Invalid HTTP request")

    @pytest.mark.parametrize(
        "fields",
        [
            ["Transfer-Encoding: gzip, chunked"],
            ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked, chunked"],
            ["Transfer-Encoding: chunked;x=1"],
        ],
        ids=str,
    )
    def test_a_coding_that_what_stands_in_front_might_read_otherwise(
        self, mallory: Upstairs, fields: list[str]
    ) -> None:
        """The body is what it would be in chunks alone, and whoever reads another header ends it elsewhere."""
        body = _chunked(whole({"targets": mallory.next()})) + b"0\r\n\r\n"
        reply = _exchange(mallory, *fields, body=body)
        assert reply is not None
        assert (reply.status, reply.body[:20]) == (400, b"Invalid HTTP request")

    @pytest.mark.parametrize(
        "line", ["GET /healthz", "GET /healthz HTTP/0.9", "GET /healthz HTTP/2.0", "GET /healthz HTTP/1.2"]
    )
    def test_another_version_of_http(self, mallory: Upstairs, line: str) -> None:
        reply = wire(mallory.service.host, f"{line}\r\nHost: x\r\n\r\n".encode())
        assert reply is None or reply.status == 400

    def test_chunks_in_a_version_that_has_none(self, mallory: Upstairs) -> None:
        said = "POST /healthz HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        reply = wire(mallory.service.host, said.encode())
        assert reply is not None
        assert reply.status == 400


START = "POST {path} HTTP/1.1\r\nHost: x\r\n"
ENDLESS = {
    "a header": (START + "X-A: ", "a" * 65_536),
    "headers": (START, "X-A: 1\r\n" * 8_000),
    "a header's name": (START, "a" * 65_536),
    "a URL": ("GET /", "a" * 65_536),
    "a method": ("GET", "A" * 65_536),
    "a trailer": (START + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ", "a" * 65_536),
    "trailers": (START + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: 1\r\n" * 8_000),
    "what a chunk is called": (START + "Transfer-Encoding: chunked\r\n\r\n5;", "a" * 65_536),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_cut_before_anybody_is_known(mallory: Upstairs, what: str) -> None:
    """400 MiB would come, of which the service reads next to nothing; nobody has to be logged in for this."""
    start, more = ENDLESS[what]
    name, _, port = mallory.service.host.rpartition(":")
    with socket.create_connection((name, int(port)), QUICKLY) as sock:
        sock.sendall(start.format(path=mallory.path).encode())
        with pytest.raises(ConnectionError):
            _send(sock, more.encode(), 6_400)


ASKED = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
FORM = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n"


def test_requests_that_wait_for_no_answer_are_cut_before_anybody_is_known(mallory: Upstairs) -> None:
    """Twelve million would come on one connection; each that waits takes a hundred times its bytes."""
    name, _, port = mallory.service.host.rpartition(":")
    with socket.create_connection((name, int(port)), QUICKLY) as sock, pytest.raises(ConnectionError):
        _send(sock, ASKED * 2_000, 6_400)


def test_a_few_requests_may_wait_and_are_answered_in_their_order(mallory: Upstairs) -> None:
    """The body of the last one comes when nobody waits any more."""
    name, _, port = mallory.service.host.rpartition(":")
    with socket.create_connection((name, int(port)), QUICKLY) as sock, sock.makefile("rb") as said:
        sock.sendall(ASKED * 15 + FORM)
        statuses = [_status(said) for _ in range(15)]
        sock.sendall(b"some text")
        assert [*statuses, _status(said)] == [401] * 15 + [400]


def _status(said: BinaryIO) -> int:
    """Of the next reply, which is read to its end."""
    status, length = int(said.readline().split()[1]), 0
    while line := said.readline().strip():
        field, _, value = line.partition(b":")
        length = int(value) if field.lower() == b"content-length" else length
    said.read(length)
    return status


def _send(sock: socket.socket, data: bytes, times: int) -> None:
    for _ in range(times):
        sock.sendall(data)


@pytest.fixture(scope="module")
def lingering(service: RunningService) -> Iterator[list[socket.socket]]:
    """Connections from the beginning of these tests on: one that says nothing, one that says a byte now and then."""
    name, _, port = service.host.rpartition(":")
    silent, slow = (socket.create_connection((name, int(port)), 120) for _ in range(2))
    with silent, slow:
        dripping = threading.Thread(target=_drip, args=([slow], b"GET /v2/" + b"x" * 10_000), daemon=True)
        dripping.start()
        yield [silent, slow]


def _drip(socks: list[socket.socket], data: bytes) -> None:
    """Sends a byte to each now and then, until one of them is closed."""
    with contextlib.suppress(OSError):
        for at in range(len(data)):
            for sock in socks:
                sock.sendall(data[at : at + 1])
            time.sleep(0.25)


@pytest.fixture(scope="module", autouse=True)
def _linger(lingering: list[socket.socket]) -> None:
    """Starts them first."""


def test_twenty_bombs_at_once(mallory: Upstairs) -> None:
    data = whole({"targets": b"[" * 7 * MIB})
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda: replies.append(mallory.post(data))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(reply.status, reply.slug) for reply in replies] == [(413, "too-large")] * 20


def test_one_publishers_slow_uploads_do_not_keep_another_from_publishing(mallory: Upstairs, alice: Upstairs) -> None:
    name, _, port = mallory.service.host.rpartition(":")
    head = _request(mallory, "Content-Length: 1000000")
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection((name, int(port)), QUICKLY)) for _ in range(40)]
        for sock in socks:
            sock.sendall(head + b"--cut")
        threading.Thread(target=_drip, args=(socks, b"x" * 10_000), daemon=True).start()
        started = time.monotonic()
        alice.publish({"targets": alice.next()})
        assert time.monotonic() - started < QUICKLY


def test_a_head_that_does_not_come_ends_the_connection(lingering: list[socket.socket]) -> None:
    for sock in lingering:
        with contextlib.suppress(ConnectionError):
            assert sock.recv(1024) == b""
