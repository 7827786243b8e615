"""Answers that never end, or drip (TRUST 6.2)."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from tests.attacks.collection import Collection
from tests.attacks.evil import Stage
from tests.remote.conftest import Handler
from tests.simulator import manifest
from trustkit.core.pinning import MAX_ROOTS
from trustkit.remote.http import Limits
from trustkit.remote.sockets import Speed

FILES = ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]
ENOUGH = 64 * 1024 * 1024
"""Bytes that an endless answer may have sent when its reader is gone: no file may have more than 5 MB, and sockets
buffer some."""

STOP_SECONDS = 60.0


def _pour(handler: Handler, *, head: bytes, piece: bytes, pause: float = 0) -> int:
    """Sends the head, and then the piece until nobody reads any more; how many bytes that were."""
    handler.close_connection = True
    sent, end = 0, time.monotonic() + STOP_SECONDS
    with suppress(OSError):
        handler.wfile.write(head)
        while time.monotonic() < end and sent <= ENOUGH:
            handler.wfile.write(piece)
            sent += len(piece)
            time.sleep(pause)
    return sent


class Endless:
    """A lie that never ends; ``sent`` is how much of it went out in the end."""

    def __init__(self, head: bytes, piece: bytes) -> None:
        self._head = head
        self._piece = piece
        self.sent = -1

    def __call__(self, handler: Handler) -> None:
        self.sent = _pour(handler, head=self._head, piece=self._piece)

    def ended(self) -> int:
        """Waits until the server has noticed that nobody reads any more."""
        end = time.monotonic() + STOP_SECONDS
        while self.sent < 0 and time.monotonic() < end:
            time.sleep(0.01)
        return self.sent


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BLOCK = b" " * 65536

BODIES: dict[str, tuple[bytes, bytes]] = {
    "a body in chunks": (CHUNKED, _chunk(BLOCK)),
    "a body until the connection closes": (OK + b"\r\n", BLOCK),
    "a body of a declared exabyte": (OK + b"Content-Length: 1000000000000000000\r\n\r\n", BLOCK),
    "a body that begins well": (CHUNKED + _chunk(b'{"signatures":['), _chunk(b'{"keyid":"","sig":""},' * 1000)),
}
"""Head, and what is repeated for ever."""

FRAMES: dict[str, tuple[bytes, bytes]] = {
    "a body in chunks of a byte": (CHUNKED, _chunk(b" ") * 1000),
    "a status line": (b"HTTP/1.1 200 ", BLOCK),
    "one header": (OK + b"X-Fill: ", BLOCK),
    "headers": (OK, b"X-Fill: a\r\n" * 1000),
    "one chunk's length": (CHUNKED, b"0" * 65536),
    "one chunk's extension": (CHUNKED + b"1;", BLOCK),
    "a negative chunk": (CHUNKED, b"-1\r\n" + BLOCK),
}


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("file", FILES)
def test_a_body_without_end(stage: Stage, cache: str, file: str, case: str) -> None:
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    lie = Endless(*BODIES[case])
    stage.server.lies[file] = lie
    stage.refuses(4, "garbage")
    assert 0 <= lie.ended() <= ENOUGH
    stage.recovers()


@pytest.mark.parametrize("case", FRAMES)
def test_something_else_of_an_answer_without_end(stage: Stage, cache: str, case: str) -> None:
    stage.meet(cache)
    lie = Endless(*FRAMES[case])
    stage.server.lies["timestamp.json"] = lie
    stage.refuses(4, "garbage")
    assert 0 <= lie.ended() <= ENOUGH
    stage.recovers()


def test_a_process_of_its_own_ends_by_its_own_limits(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    lie = Endless(*BODIES["a body in chunks"])
    stage.server.lies["2.targets.json"] = lie
    asked = stage.victim.as_process("verify", stage.ref)
    assert (asked.status, asked.slug, asked.out) == (4, "garbage", "")
    assert 0 <= lie.ended() <= ENOUGH
    stage.recovers()


def test_a_compressed_body_is_not_unpacked(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    bomb = gzip.compress(bytes(100_000_000))
    stage.server.lies["timestamp.json"] = lambda handler: handler.reply(200, bomb, Content_Encoding="gzip")
    stage.refuses(4, "garbage")
    stage.recovers()


@pytest.mark.parametrize("command", ["verify", "pull"])
def test_a_manifest_without_end(stage: Stage, command: str, tmp_path: Path) -> None:
    """A verify needs none of it, and a pull ends before anything is written."""
    stage.meet("warm")
    lie = Endless(*BODIES["a body in chunks"])
    stage.server.lies[str(manifest("v1").digest)] = lie
    if command == "verify":
        return stage.trusts()
    pulled = stage.victim("pull", stage.ref, "--to", f"oci:{tmp_path / 'out'}")
    assert (pulled.status, pulled.slug, pulled.out) == (4, "garbage", "")
    assert 0 <= lie.ended() <= ENOUGH
    return stage.recovers()


def _drips(head: bytes, piece: bytes) -> Callable[[Handler], None]:
    def drip(handler: Handler) -> None:
        _pour(handler, head=head, piece=piece, pause=0.02)

    return drip


def _silence(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.settimeout(STOP_SECONDS)
    with suppress(OSError):
        handler.connection.recv(1)  # until the other side has had enough


DRIPS: dict[str, Callable[[Handler], None]] = {
    "silence": _silence,
    "a body": _drips(OK + b"Content-Length: 10000\r\n\r\n", b" "),
    "a body in chunks": _drips(CHUNKED, _chunk(b" ")),
    "headers": _drips(OK, b"X: y\r\n"),
    "a status line": _drips(b"HTTP/1.1 ", b"2"),
    "provisional answers": _drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a trailer": _drips(CHUNKED + b"0\r\n", b"X: y\r\n"),
}


@pytest.mark.parametrize("case", DRIPS)
def test_a_drip_ends_at_the_deadline(stage: Stage, cache: str, case: str) -> None:
    """Each byte comes in time; all of them together don't."""
    stage.meet(cache)
    stage.server.lies["timestamp.json"] = DRIPS[case]
    stage.victim.limits = Limits(total=1, speed=Speed(bytes_per_second=0.1, window=3600))
    stage.refuses(4, "timed-out")
    stage.victim.limits = None
    stage.recovers()


@pytest.mark.parametrize("case", DRIPS)
def test_a_drip_ends_at_the_smallest_speed(stage: Stage, case: str) -> None:
    """Long before a generous deadline."""
    stage.meet("warm")
    stage.server.lies["timestamp.json"] = DRIPS[case]
    stage.victim.limits = Limits(total=3600, speed=Speed(bytes_per_second=100_000, window=0.5))
    stage.refuses(4, "timed-out")
    stage.victim.limits = None
    stage.recovers()


@pytest.mark.parametrize("file", FILES)
def test_each_file_has_a_deadline(stage: Stage, file: str) -> None:
    stage.meet("warm")
    stage.honest.release("v1", manifest("new"))
    stage.server.lies[file] = DRIPS["a body"]
    stage.victim.limits = Limits(total=1)
    stage.refuses(4, "timed-out")
    stage.victim.limits = None
    stage.recovers()


def test_the_limits_that_everybody_has_end_a_drip(stage: Stage) -> None:
    """The defaults, by a stopwatch that runs fifty times as fast: a byte a second is too slow after 15 s."""
    stage.meet("warm")
    stage.server.lies["timestamp.json"] = DRIPS["a body"]
    stage.victim.stopwatch = lambda: time.monotonic() * 50
    stage.refuses(4, "timed-out")
    assert (Limits().total, Limits().speed) == (60, Speed(bytes_per_second=512, window=15))
    stage.victim.stopwatch = time.monotonic
    stage.recovers()


def test_files_that_come_in_time_one_by_one_take_no_ages(stage: Stage) -> None:
    """At first contact a server may show many roots, each of them slowly."""
    stage.meet("cold")
    stage.server.lies["*"] = Collection(stage.gun).first_upload()["root"]
    slow = count(0, 20)
    stage.victim.patience = lambda: float(next(slow))
    stage.refuses(4, "timed-out")
    assert len(stage.server.seen) < 30
    stage.victim.patience = time.monotonic
    stage.recovers()


def test_roots_without_end(stage: Stage) -> None:
    stage.meet("cold")
    stage.server.seen.clear()
    stage.server.lies["*"] = Collection(stage.gun).first_upload()["root"]
    stage.refuses(3, "wrong-root")
    assert len(stage.server.seen) == MAX_ROOTS
    stage.recovers()


def test_redirects_without_end(stage: Stage, cache: str) -> None:
    """None is followed: a collection's files are where they are."""
    stage.meet(cache)
    stage.server.seen.clear()
    path = f"/v2/{stage.gun}/_trust/metadata/timestamp.json"
    stage.server.lies["timestamp.json"] = lambda handler: handler.reply(302, Location=path)
    stage.refuses(4, "garbage")
    assert stage.server.seen.count("timestamp.json") == 1
    stage.recovers()
