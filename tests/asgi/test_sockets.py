"""Sockets at a path and sockets from a supervisor: what is taken, and what is refused before anything is served."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trustkit.asgi.unixsocket import UnixSocket
from trustkit.errors import Conflict, InvalidSetting, StateError


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def test_a_socket_takes_the_place_of_another_without_a_gap_and_only_its_own_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = UnixSocket(path, backlog=4)
    assert path.stat().st_mode & 0o777 == 0o660
    second = UnixSocket(path, backlog=4)
    first.close()
    assert answers(path), "the one that ended leaves the other's path alone"
    assert list(tmp_path.iterdir()) == [path]
    second.close()
    assert list(tmp_path.iterdir()) == []
    second.close()


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(tmp_path / "s"))
    left.close()
    made = UnixSocket(tmp_path / "s", backlog=4)
    assert answers(tmp_path / "s")
    made.close()


def test_no_socket_is_put_where_it_is_not_safe_or_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not yours")
    with pytest.raises(Conflict):
        UnixSocket(tmp_path / "file", backlog=4)
    assert (tmp_path / "file").read_text() == "not yours"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(Conflict):
        UnixSocket(tmp_path / "link", backlog=4)
    with pytest.raises(StateError):
        UnixSocket(tmp_path / "nowhere" / "s", backlog=4)
    with pytest.raises(InvalidSetting):
        UnixSocket(tmp_path / ("s" * 120), backlog=4)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StateError):
        UnixSocket(tmp_path / "open" / "s", backlog=4)


TAKE = """
import json, os, sys
from trustkit.asgi.activation import Inherited
from trustkit.core.names import Host
from trustkit.errors import TrustkitError
try:
    found = Inherited.of(os.environ, os.getpid())
    told = {"main": str(found.address(Host.parse("none:1"))), "unix": found.unix, "others": sorted(found.others)}
except TrustkitError as error:
    told = {"error": error.slug, "said": str(error)}
print(json.dumps(told))
"""


def taken(*sockets: socket.socket, names: str = "", count: str = "", process: str = "$$") -> dict[str, object]:
    """What a process with these sockets from descriptor 3 on makes of them."""
    high = [fcntl.fcntl(each.fileno(), fcntl.F_DUPFD, 100) for each in sockets]  # nobody else's, out of bash's way
    moves = " ".join(f"{3 + number}<&{fd}" for number, fd in enumerate(high))
    environ = f"export LISTEN_PID={process} LISTEN_FDS={count or len(sockets)} LISTEN_FDNAMES={names}"
    script = f'{environ}; exec "$0" -c "$1" {moves}'
    try:
        done = subprocess.run(
            ["bash", "-c", script, sys.executable, TAKE], pass_fds=high, capture_output=True, check=True
        )
    finally:
        for fd in high:
            os.close(fd)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("where", ["0.0.0.0", "::"])
def test_a_supervisors_socket_for_everybody_is_not_served_without_tls(tmp_path: Path, where: str) -> None:
    family = socket.AF_INET6 if ":" in where else socket.AF_INET
    with socket.create_server((where, 0), family=family) as everybody:
        fd = everybody.fileno()
        serve = [sys.executable, "-m", "trustkit", "serve", "--data-dir", str(tmp_path / "data")]
        script = 'export LISTEN_PID=$$ LISTEN_FDS=1; fd=$0; exec "$@" 3<&"$fd"'
        done = subprocess.run(
            ["bash", "-c", script, str(fd), *serve], pass_fds=[fd], capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not loopback, and there is no TLS" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_supervisors_sockets_are_taken_by_name_and_none_that_is_not_one(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.create_server(("127.0.0.1", 0)) as more,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix,
        socket.socket() as deaf,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        at = f"127.0.0.1:{tcp.getsockname()[1]}"
        nothing = {"main": "none:1", "unix": False, "others": []}
        assert taken(tcp) == {"main": at, "unix": False, "others": []}
        assert taken(tcp, names="trustkit.socket") == {"main": at, "unix": False, "others": []}
        assert taken(unix, tcp, names="blobs:http") == {"main": at, "unix": False, "others": ["blobs"]}
        assert taken(unix) == {"main": "none:1", "unix": True, "others": []}
        assert taken(tcp, process="1") == nothing, "they are for another process"
        for wrong in (
            taken(tcp, more),
            taken(unix, tcp, names="blobs:blobs"),
            taken(deaf),
            taken(datagrams),
            taken(tcp, count="2"),
            taken(tcp, count="0"),
            taken(tcp, count="-1"),
            taken(tcp, count="nine"),
            taken(tcp, count="99999999"),
        ):
            assert wrong.get("error") == "invalid-setting", wrong
