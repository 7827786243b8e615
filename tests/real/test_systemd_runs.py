"""The units of the deployment guide under systemd itself, as it boots in a container of this machine's ``/usr``.

The program is a script in the place that the units name; everything else is as it is installed: sockets, credential,
user, and every line of the sandbox.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Need
from tests.real.parts import within

pytestmark = pytest.mark.real

TOP = Path(__file__).parents[2]
UNITS = TOP / "docs" / "deploy" / "systemd"
BOOT_SECONDS, START_SECONDS = 60.0, 60.0
PROGRAM = """#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python3 -I -c 'import runpy, sys
sys.path[:0] = ["/opt/source", "/opt/site"]
runpy.run_module("trustkit", run_name="__main__", alter_sys=True)' "$@"
"""
LOAD = """
import http.client, json, sys, threading
ended, answered, failed = threading.Event(), [0], []
def ask(again):
    line = None
    while not ended.is_set():
        try:
            line = line or http.client.HTTPConnection("127.0.0.1", 5080, timeout=60)
            line.request("GET", "/healthz")
            answer = line.getresponse()
            answer.read()
            answered[0] += 1
            if answer.status != 200:
                failed.append(answer.status)
            if not again or answer.getheader("connection", "") == "close":
                line = line.close()
        except Exception as error:
            failed.append(repr(error))
            line = None
threads = [threading.Thread(target=ask, args=(again,)) for again in (True, True, False)]
for each in threads: each.start()
print("asking", flush=True)
sys.stdin.read()
ended.set()
for each in threads: each.join()
print(json.dumps([answered[0], failed[:3]]))
"""


@dataclass(frozen=True)
class Booted:
    """A systemd that has booted; its first process, as this machine sees it."""

    first: int

    def __call__(self, *command: str, namespaces: str = "-m -u -i -n -p -C", feed: str = "") -> str:
        """What a command says there; it has to end well."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.first), *namespaces.split(), *command],
            input=feed, capture_output=True, text=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}{self.journal()}"
        return done.stdout.strip()

    def journal(self) -> str:
        """What the service and systemd said of it last."""
        unit = ("-n", "30", "-o", "cat", "-u", "trustkit.service")
        words = ("-m", "-u", "-i", "-n", "-p", "journalctl", "--no-pager", *unit)
        command = ["nsenter", "-t", str(self.first), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout

    def ask(self, path: str, *more: str) -> str:
        """The status that curl gets in its network; a connection that waits is waited for."""
        curl = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "50")
        return self(*curl, *more, f"http://127.0.0.1:5080{path}", namespaces="-m -n")

    def shown(self, name: str) -> str:
        return self("systemctl", "show", "--property", name, "--value", "trustkit.service")


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Iterator[Booted]:
    nspawn = need("systemd-nspawn", "systemd-container")
    need("curl", "curl")
    if os.geteuid():
        pytest.skip("a system boots as root only")
    folder = tmp_path_factory.mktemp("booted")
    (folder / "trustkit").write_text(PROGRAM)
    (folder / "trustkit").chmod(0o755)
    (folder / "kek").write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n")
    (folder / "kek").chmod(0o600)
    places = {
        sys.base_prefix: "/opt/python",
        sysconfig.get_path("purelib"): "/opt/site",
        TOP / "trustkit": "/opt/source/trustkit",
        folder / "trustkit": "/opt/trustkit/bin/trustkit",
        folder / "kek": "/etc/trustkit/kek",
        UNITS / "trustkit.sysusers.conf": "/etc/sysusers.d/trustkit.conf",
        **{unit: f"/etc/systemd/system/{unit.name}" for unit in UNITS.glob("*.s[eo]*[et]")},
    }
    command = [str(nspawn), "--directory=/", "--volatile=yes", "--register=no", "--keep-unit", "--private-network"]
    command += ["--console=pipe", f"--machine=trustkit{os.getpid()}"]
    command += [f"--bind-ro={here}:{there}" for here, there in places.items()]
    waits = ("systemd-networkd-wait-online.service", "NetworkManager-wait-online.service")
    command += ["--boot", "systemd.unit=basic.target", "systemd.firstboot=off", *(f"systemd.mask={x}" for x in waits)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        assert within(BOOT_SECONDS, lambda: process.poll() is not None or _booted(process)), _text(folder / "log")
        assert process.poll() is None, _text(folder / "log")
        made = Booted(_first(process))
        made("systemctl", "start", "trustkit.service")
        yield made
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _first(process: subprocess.Popen[bytes]) -> int:
    """The last child of systemd-nspawn, which has one or two that only set things up before; 0 for none."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    return int(children[-1]) if children else 0


def _booted(process: subprocess.Popen[bytes]) -> bool:
    command = ["nsenter", "-t", str(_first(process)), "-m", "-u", "-i", "-n", "-p", "-C"]
    done = subprocess.run([*command, "systemctl", "is-active", "basic.target"], capture_output=True, check=False)
    return done.stdout.strip() == b"active"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def test_it_serves_once_systemd_says_that_it_has_started(booted: Booted) -> None:
    assert booted.shown("ActiveState") == "active"
    assert booted.ask("/healthz") == "200"
    assert booted.ask("/", "--unix-socket", "/run/trustkit/blobs.sock") == "403"
    assert booted("stat", "-c", "%U %G %a", "/run/trustkit/blobs.sock") == "root www-data 660"
    assert booted("stat", "-c", "%U %a", "/var/lib/trustkit") == "trustkit 700"
    assert booted("sh", "-c", "ls -A /var/lib/trustkit | grep -cx kek || true") == "0", (
        "it has a copy, and keeps none"
    )


def test_it_does_its_work_in_a_sandbox_that_is_really_there(booted: Booted) -> None:
    """A password is hashed and checked, a token signed, a sealed key opened: native code, threads and a database."""
    as_user = ("setpriv", "--reuid=trustkit", "--regid=trustkit", "--clear-groups")
    admin = (*as_user, "/opt/trustkit/bin/trustkit", "admin", "--data-dir", "/var/lib/trustkit")
    password = booted(*admin, "principal", "add", "alice")
    booted(*admin, "role", "assign", "alice", "AcrPull")
    service = "service=registry.example.com&offline_token=true&scope=repository:team/app:pull"
    assert booted.ask(f"/oauth2/token?{service}", "-u", f"alice:{password}") == "200"
    assert booted.ask(f"/oauth2/token?{service}", "-u", "alice:wrong") == "401"
    process = booted.shown("MainPID")
    status = dict(line.split(":", 1) for line in booted("cat", f"/proc/{process}/status").splitlines() if ":" in line)
    held = {name: status[name].strip() for name in ("NoNewPrivs", "Seccomp", "CapEff", "CapBnd")}
    assert held == {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}
    inside = ("nsenter", "-t", process, "-m", "sh", "-c")
    assert booted(*inside, "for at in /etc /usr /var/lib; do touch $at/x 2>/dev/null && echo $at; done; true") == ""
    assert booted(*inside, "ls /home | wc -l") == "0"
    booted("systemd-analyze", "security", "--threshold=10", "trustkit.service")


def test_no_request_fails_while_it_is_restarted(booted: Booted) -> None:
    command = ["nsenter", "-t", str(booted.first), "-n", sys.executable, "-c", LOAD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        assert load.stdout.readline() == "asking\n"
        before = booted.shown("MainPID")
        for _ in range(2):
            booted("systemctl", "restart", "trustkit.service")
        said, _ = load.communicate("", timeout=START_SECONDS)
    answered, failed = json.loads(said)
    assert failed == []
    assert answered > 10
    assert booted.shown("MainPID") != before


def test_who_comes_while_it_is_dead_waits_for_the_next_one(booted: Booted) -> None:
    before = booted.shown("MainPID")
    booted("systemctl", "kill", "--signal=KILL", "trustkit.service")
    assert booted.ask("/healthz") == "200"
    assert booted.shown("MainPID") not in (before, "0")
