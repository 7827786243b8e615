"""ASGI servers beside each other: one small application over TLS, by uvicorn, granian, hypercorn and our listener.

    python -m tests.bench.asgi_servers [--rounds N] [--seconds S]

One process each, on one loop, with the same certificate; they take turns.  ``trustkit`` is our listener with its
checks of heads, ``trustkit at once`` the same with an answer that is there already.  Tells requests a second from 16
connections with a bearer token, processor time for one, connections a second one after the other, how fast a body of
64 MiB comes, and memory afterwards.  granian and hypercorn are left out where they aren't installed.  The last line
is ``ratio N``: requests for a second of processor time of our listener at once, over the best of the others.  Needs
wrk and curl.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.bench.publishers import processor_seconds
from tests.conftest import free_port
from tests.formats_docker.stand import tls

BODY = b"x" * 495
HEAD = [(b"content-type", b"application/json"), (b"content-length", b"495")]
PIECE = b"z" * 262144
TOTAL = 64 * 1024 * 1024
TOKEN = "Authorization: Bearer " + "t" * 1500
RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
OURS, AT_ONCE = "trustkit", "trustkit at once"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers 495 bytes, or 64 MiB in pieces at ``/big``."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] != "/big":
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})
        await send({"type": "http.response.body", "body": BODY})
        return
    length = str(TOTAL).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for sent in range(0, TOTAL, len(PIECE)):
        await send({"type": "http.response.body", "body": PIECE, "more_body": sent + len(PIECE) < TOTAL})


def ours(port: int, certificate: str, key: str, at_once: str) -> None:
    """Serves as ``trustkit serve`` does."""
    from trustkit.asgi.listen import Tls, bind, run, serve
    from trustkit.asgi.quick import Answer, Quick
    from trustkit.core.names import Host

    head = b"".join(b"%b: %b\r\n" % pair for pair in HEAD)
    quick = Quick(lambda target, _: Answer(head, BODY) if target == b"/" else None) if at_once else None
    sock = bind(Host("127.0.0.1", port))
    run(lambda: serve(application, sock, tls=Tls(Path(certificate), Path(key)), ready=lambda: None, quick=quick))


def commands(certificate: Path, key: Path) -> dict[str, list[str]]:
    """How each server is started; PORT stands for the port."""
    app, this = "tests.bench.asgi_servers:application", "from tests.bench.asgi_servers import ours; ours"
    files = f"{str(certificate)!r}, {str(key)!r}"
    python = [sys.executable, "-m"]
    found = {
        "uvicorn": [
            *python, "uvicorn", app, "--port", "PORT", "--loop", "uvloop", "--http", "httptools", "--no-access-log",
            "--log-level", "error", "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key),
        ],
        "granian": [
            *python, "granian", "--interface", "asgi", "--port", "PORT", "--workers", "1", "--loop", "uvloop",
            "--http", "1", "--no-ws", "--log-level", "error", "--ssl-certificate", str(certificate),
            "--ssl-keyfile", str(key), app,
        ],
        "hypercorn": [
            *python, "hypercorn", app, "--bind", "127.0.0.1:PORT", "--worker-class", "uvloop", "--log-level", "ERROR",
            "--certfile", str(certificate), "--keyfile", str(key),
        ],
    }  # fmt: skip
    there = {name: command for name, command in found.items() if importlib.util.find_spec(name)}
    for name, flag in ((OURS, ""), (AT_ONCE, "yes")):
        there[name] = [sys.executable, "-c", f"{this}(PORT, {files}, {flag!r})"]
    return there


@contextmanager
def running(command: list[str]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server that answers; its port and its process."""
    port = free_port()
    process = subprocess.Popen([word.replace("PORT", str(port)) for word in command])
    try:
        until = time.monotonic() + 20
        while subprocess.run(
            ["curl", "-sk", "-o", "/dev/null", f"https://127.0.0.1:{port}/"], check=False
        ).returncode:
            if time.monotonic() > until:
                raise SystemExit(f"{command} does not answer")
            time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait(20)


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def processor(pid: int) -> float:
    """Seconds that they have used."""
    return sum(map(processor_seconds, family(pid)))


def memory(pid: int) -> float:
    """MiB that they hold, without what they share counted twice (proc(5), Pss)."""
    rollups = (Path(f"/proc/{each}/smaps_rollup").read_text() for each in family(pid))
    return sum(int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) for text in rollups) / 1024  # type: ignore[index]


def rate(port: int, seconds: int, connections: int, *headers: str) -> float:
    """Requests a second."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for header in (TOKEN, *headers):
        command += ["-H", header]
    said = subprocess.run([*command, f"https://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or (found := RATE.search(said)) is None:
        raise SystemExit(said)
    return float(found[1])


def stream(port: int) -> float:
    """MiB a second of one large body."""
    command = ["curl", "-sk", "-o", "/dev/null", "-w", "%{speed_download}", f"https://127.0.0.1:{port}/big"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024**2


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    seconds = arguments.seconds
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            name: stack.enter_context(running(command)) for name, command in commands(*tls(Path(folder))).items()
        }
        for _ in range(arguments.rounds):
            for name, (port, process) in servers.items():
                began = processor(process.pid)
                requests = rate(port, seconds, 16)
                used = (processor(process.pid) - began) / (requests * seconds)
                opened = rate(port, seconds, 1, "Connection: close")
                for what, value in zip(
                    ("requests", "us", "connections", "stream"),
                    (requests, used * 1e6, opened, stream(port)),
                    strict=True,
                ):
                    found[name][what].append(value)
        held = {name: memory(process.pid) for name, (_, process) in servers.items()}
    for name, values in found.items():
        middle = {what: statistics.median(each) for what, each in values.items()}
        print(
            f"{name}: {middle['requests']:.0f} requests a second, {middle['us']:.0f} us of processor time each, "
            f"{middle['connections']:.0f} connections a second, {middle['stream']:.0f} MiB/s, {held[name]:.0f} MiB"
        )
    best = min(statistics.median(values["us"]) for name, values in found.items() if not name.startswith(OURS))
    print(f"ratio {best / statistics.median(found[AT_ONCE]['us']):.2f}")


if __name__ == "__main__":
    main()
