"""Names, and a resolver that means it ill: in namespaces where /etc/resolv.conf and /etc/hosts are the test's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import START_SECONDS

SILENT = "nameserver 127.0.0.53\noptions timeout:30 attempts:5\n"
"""A resolver that would be waited for for minutes."""
HOSTS = "127.0.0.1 localhost\n127.0.0.2 two.example\n127.0.0.3 two.example\n"

INSIDE = """\
import json, os, socket, sys, time
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.53", 53))
full = socket.create_server(("127.0.0.2", 5443), backlog=0)  # who doesn't answer: its queue is full
waiting = [socket.socket() for _ in range(2)]
for each in waiting:
    each.setblocking(False)
    each.connect_ex(("127.0.0.2", 5443))
answering = socket.create_server(("127.0.0.3", 5443))
silent.set_inheritable(True)
print("ready", flush=True)
if sys.argv[1:]:
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
from threading import Thread, active_count
from trustkit.core.names import Host
from trustkit.errors import TrustkitError
from trustkit.remote.http import HttpClient, Limits
from trustkit.remote.sockets import MOST_LOOKUPS, connected

def failed(name):
    started = time.monotonic()
    limits = Limits(total=1.0, connect=0.3)
    try:
        HttpClient(Host(name), environ={"HOME": "/nonexistent"}, limits=limits).request("GET", "/v2/")
    except TrustkitError as error:
        return {"slug": error.slug, "said": str(error), "took": time.monotonic() - started, "threads": active_count()}

found = {"one": failed("registry.example")}
together = [Thread(target=failed, args=("registry.example",)) for _ in range(4)]
for each in together: each.start()
for each in together: each.join()
found["again"] = failed("registry.example")
started = time.monotonic()
with connected("two.example", 5443, 4.2) as sock:
    found["second"] = {"peer": sock.getpeername()[0], "took": time.monotonic() - started}
started = time.monotonic()
with connected("127.0.0.3", 5443, 1.0) as sock:
    found["literal"] = {"took": time.monotonic() - started}
for number in range(MOST_LOOKUPS):
    try:
        connected(f"r{number}.example", 443, 0.001)
    except TimeoutError:
        pass
found["many"] = failed("one-more.example")
with connected("two.example", 5443, 4.2) as sock:
    found["known"] = sock.getpeername()[0]
print(json.dumps(found), flush=True)
"""


def entered(folder: Path, need: Callable[[str, str], Path]) -> list[str]:
    """A command that runs INSIDE with a resolver that says nothing and two addresses of one name; or skips."""
    unshare, ip = need("unshare", "util-linux"), need("ip", "iproute2")
    for name, text in (("resolv.conf", SILENT), ("hosts", HOSTS), ("inside.py", INSIDE)):
        (folder / name).write_text(text)
    (folder / "nsswitch.conf").write_text("hosts: files dns\n")
    names = ("resolv.conf", "hosts", "nsswitch.conf")
    mounts = " && ".join(f"mount --bind {folder}/{name} $(readlink -f /etc/{name})" for name in names)
    script = f'{mounts} && {ip} link set lo up && exec {sys.executable} {folder}/inside.py "$@"'
    command = [str(unshare), "--map-root-user", "--mount", "--net", "bash", "-c", script, "bash"]
    if subprocess.run([*command[:4], "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may make no namespaces (unshare --mount --net)")
    return command


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str, str], Path]) -> dict[str, Any]:
    command = entered(tmp_path_factory.mktemp("resolver"), need)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=START_SECONDS, check=True)
    said: dict[str, Any] = json.loads(done.stdout.partition("\n")[2])
    return said


def test_a_resolver_that_hangs_does_not_outlast_a_connections_time(found: dict[str, Any]) -> None:
    assert found["one"]["slug"] == "timed-out"
    assert "address of registry.example" in found["one"]["said"]
    assert "/etc/resolv.conf" in found["one"]["said"]
    assert 0.2 < found["one"]["took"] < 5


def test_who_asks_for_one_name_again_waits_in_no_thread_more(found: dict[str, Any]) -> None:
    """A node asks for its registry at each pull, and a thread for each would pile up as long as the fault lasts."""
    assert found["again"]["threads"] == found["one"]["threads"] == 2


def test_the_threads_that_wait_are_bounded(found: dict[str, Any]) -> None:
    assert found["many"]["slug"] == "timed-out"
    assert found["many"]["threads"] <= 65
    assert "answers nothing any more" in found["many"]["said"]


def test_names_that_hang_keep_nobody_from_one_that_was_answered_before(found: dict[str, Any]) -> None:
    """Whoever may start a pull may make names up; a node's own registry is found all the same."""
    assert found["known"] == "127.0.0.3"


def test_an_address_that_does_not_answer_leaves_time_for_the_next(found: dict[str, Any]) -> None:
    assert found["second"]["peer"] == "127.0.0.3"
    assert 2 < found["second"]["took"] < 4.2


def test_an_address_as_it_stands_asks_nobody(found: dict[str, Any]) -> None:
    assert found["literal"]["took"] < 0.5


@pytest.fixture
def hanging(tmp_path: Path, need: Callable[[str, str], Path]) -> Iterator[subprocess.Popen[str]]:
    """A ``trustkit verify`` that waits for the resolver."""
    verify = ["-m", "trustkit", "--home", str(tmp_path / "home"), "verify", "registry.example/app:v1"]
    pin = ["pin", "add", "registry.example/app", "--root-key", "a" * 64]
    subprocess.run([sys.executable, *verify[:4], *pin], check=True, capture_output=True, timeout=START_SECONDS)
    process = subprocess.Popen(
        [*entered(tmp_path, need), *verify], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()


def test_a_command_that_waits_for_the_resolver_can_be_interrupted(hanging: subprocess.Popen[str]) -> None:
    assert hanging.stdout is not None
    assert hanging.stdout.readline() == "ready\n"
    time.sleep(2)  # it is to be in the middle of waiting, which is nothing to be waited for
    assert hanging.poll() is None
    started = time.monotonic()
    hanging.send_signal(signal.SIGINT)
    _, said = hanging.communicate(timeout=20)
    assert time.monotonic() - started < 3
    assert hanging.returncode not in (0, 3)
    assert "Traceback" not in said
