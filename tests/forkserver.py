"""Command lines as processes of their own, without each of them loading Python and trustkit anew.

A server process loads what the commands load, then forks for each command: own memory, environment, standard streams
and exit status, as from a shell, in a fifth of the time.  One server for each process that runs tests, and one more
where a clock is shown by libfaketime.  Where the environment means anything else to Python's own start or the loader,
a command is started the ordinary way.

What scrypt computes is remembered for commands (see ``tests/remembered.py``).  Services come from the server as well,
and nothing is remembered for them; passwords cost what they do, unless the environment of either says otherwise.
"""

from __future__ import annotations

import array
import ast
import atexit
import contextlib
import gc
import importlib
import io
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import trustkit
from tests import remembered
from tests.forked import Forked
from trustkit.keys import sdks

LOADED = (
    "_strptime",
    "alembic.command",
    "alembic.config",
    "cryptography.hazmat.backends.openssl.backend",
    "importlib.resources.readers",
    "tomllib",
    "uvloop",
)
"""What commands and services load late, besides all of trustkit."""
NOT_LOADED = ("trustkit.__main__", "trustkit.store.migrations.")
STREAMS = 3
ORDINARY = ("LD_", "PYTHON", "FAKETIME", "DYLD_")
INDIFFERENT = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
"""Of those, what is nothing to a command that is loaded already and opens its streams itself."""
_CLOCK = ("LD_PRELOAD", "FAKETIME_NO_CACHE", "FAKETIME_TIMESTAMP_FILE")
_LIKE_ANY = (*_CLOCK, "PYTHON_KEYRING_BACKEND")
_LONGEST, _MOST_FDS = 1 << 20, 4096


class ForkServer:
    """The servers, seen from a test; each is started for the first command that comes from it.

    There is one more for each library that shows its processes another clock.  Which clock that is, each process
    finds in its own environment (``FAKETIME_TIMESTAMP_FILE``).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[tuple[str, ...], str] = {}

    def fits(self, environ: Mapping[str, str]) -> bool:
        """Whether a command with this environment can come from a server."""
        changed = {name for name in {*environ, *os.environ} if environ.get(name) != os.environ.get(name)}
        return not any(name.startswith(ORDINARY) and name not in (*_LIKE_ANY, *INDIFFERENT) for name in changed)

    def run(
        self, arguments: list[str], environ: dict[str, str], feed: str, timeout: float, *, first: str = ""
    ) -> tuple[int, str, str]:
        """Runs ``trustkit ARGUMENTS`` in this process's folder; gives status, stdout and stderr.

        Whatever takes longer than ``timeout`` seconds is killed; its status is -9 then.

        Args:
            first: Python code that the process executes before.
        """
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(STREAMS)]
            files[0].write(feed.encode())
            files[0].seek(0)
            forked = self._ask(arguments, environ, files, first=first)
            try:
                status = forked.wait(timeout)
            except subprocess.TimeoutExpired:
                forked.kill()
                status = forked.wait()
            for file in files[1:]:
                file.seek(0)
            out, err = (io.TextIOWrapper(file, "utf-8").read() for file in files[1:])
        return status, out, err

    def start(self, arguments: list[str], environ: dict[str, str], stderr: IO[Any]) -> Forked:
        """Starts a service, ``trustkit ARGUMENTS`` in this process's folder, which reads nothing; see ``Forked``."""
        read, write = os.pipe()
        with Path(os.devnull).open("rb") as nothing, os.fdopen(write, "wb") as out:
            forked = self._ask(arguments, environ, [nothing, out, stderr], stays=True)
        forked.stdout = os.fdopen(read, "r", encoding="utf-8")
        return forked

    def _ask(
        self,
        arguments: list[str],
        environ: dict[str, str],
        files: list[Any],
        *,
        stays: bool = False,
        first: str = "",
    ) -> Forked:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(self.started(environ))
        asked = ascii([arguments, environ, str(Path.cwd()), stays, first]).encode()
        fds = array.array("i", [file.fileno() for file in files])
        header = len(asked).to_bytes(4, "big")
        connection.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        connection.sendall(asked)
        return Forked(["trustkit", *arguments], connection)

    def started(self, environ: Mapping[str, str] | None = None) -> str:
        """The socket of the server for commands with this environment, which runs from now on."""
        its = {name: environ[name] for name in _CLOCK[:2] if name in environ} if environ else {}
        with self._lock:
            if (key := tuple(its.values())) not in self._paths:
                self._paths[key] = _start(its)
            return self._paths[key]


def _start(environ: Mapping[str, str]) -> str:
    path = str(Path(tempfile.mkdtemp(prefix="trustkit-fork-"), "socket"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forkserver", path],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    atexit.register(process.stdin.close)
    return path


def serve(path: str) -> None:
    """Serves until stdin ends; what still runs then is killed, so that nothing outlives who started the server."""
    _load()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: dict[int, socket.socket] = {}
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin, woken], [], [])
        if sys.stdin in ready:
            break
        if woken in ready:
            os.read(woken, 4096)
            _tell(running)
        if listener in ready:
            connection, _ = listener.accept()
            child = _begin(connection, Path(path).parent)
            running[child] = connection
            with contextlib.suppress(OSError):
                connection.sendall(f"{child}\n".encode())
    for child in running:
        os.kill(child, signal.SIGKILL)
    shutil.rmtree(Path(path).parent, ignore_errors=True)


def _load() -> None:
    sdks.leave_out()
    for module in pkgutil.walk_packages(trustkit.__path__, "trustkit."):
        if not module.name.startswith(NOT_LOADED):
            with contextlib.suppress(Exception):  # a command that needs it tells what is wrong with it
                importlib.import_module(module.name)
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that no child copies the memory of all that was loaded only to count references


def _tell(running: dict[int, socket.socket]) -> None:
    """Tells of every child that has ended how it did."""
    while running:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        with running.pop(child) as connection, contextlib.suppress(OSError):
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _begin(connection: socket.socket, shelf: Path) -> int:
    """Has a child be what is asked for; its process id."""
    header, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(STREAMS * 4))
    fds = array.array("i")
    fds.frombytes(ancillary[0][2])
    size, asked = int.from_bytes(header, "big"), b""
    while len(asked) < size:
        asked += connection.recv(min(size - len(asked), _LONGEST))
    if not (child := os.fork()):
        _become(asked, fds, shelf)
    for fd in fds:
        os.close(fd)
    return child


def _become(asked: bytes, fds: Iterable[int], shelf: Path) -> NoReturn:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(STREAMS, _MOST_FDS)
    arguments, environ, folder, stays, first = ast.literal_eval(asked.decode())
    if not stays:
        remembered.everything(shelf)
    if environ.get(remembered.CHEAP):
        remembered.cheaply()
    _be(arguments, environ, folder, first)


def _be(arguments: list[str], environ: dict[str, str], folder: str, first: str) -> NoReturn:
    """Becomes ``trustkit ARGUMENTS``."""
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["trustkit", *arguments]
    status = 1
    try:
        exec(first, {})
        from trustkit.cli import main

        main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself ends for whatever is raised
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
