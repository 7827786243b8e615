"""Command lines as processes of their own, without each of them loading Python and trustkit anew.

A server process loads what the commands load, then forks for each command: own memory, environment, standard streams
and exit status, as from a shell, in a fifth of the time.  One server for each process that runs tests.  Where the
environment means something to Python's own start or the loader (``LD_PRELOAD`` of faketime), a command is started
the ordinary way.

A key file that was opened once is not opened by scrypt again: 0.2 s of computing each, by which a file and its
passphrase are what they were.  Anything else about it, a wrong passphrase above all, goes the whole way.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import hashlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from trustkit.keys import sdks

LOADED = (
    "trustkit.cli.admin",
    "trustkit.cli.app",
    "trustkit.cli.context",
    "trustkit.cli.status",
    "trustkit.keys.sdks",
    "trustkit.client.push",
    "trustkit.client.rotate",
    "trustkit.client.sign",
    "trustkit.client.verify",
    "trustkit.remote.updater",
    "trustkit.store.database",
)
STREAMS = 3
_ORDINARY = ("LD_", "PYTHON", "FAKETIME", "DYLD_")
_LONGEST = 1 << 20


class ForkServer:
    """The server, seen from a test; started at the first command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path = ""

    def fits(self, environ: dict[str, str]) -> bool:
        """Whether a command with this environment can come from the server."""
        changed = {name for name in {*environ, *os.environ} if environ.get(name) != os.environ.get(name)}
        return not any(name.startswith(_ORDINARY) for name in changed)

    def run(self, arguments: list[str], environ: dict[str, str], feed: str, timeout: float) -> tuple[int, str, str]:
        """Runs ``trustkit ARGUMENTS`` in this process's folder; gives status, stdout and stderr.

        Whatever takes longer than ``timeout`` seconds is killed; its status is -9 then.
        """
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(STREAMS)]
            files[0].write(feed.encode())
            files[0].seek(0)
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.connect(self._started())
            asked = json.dumps([arguments, environ, str(Path.cwd()), timeout]).encode()
            fds = array.array("i", [file.fileno() for file in files])
            header = len(asked).to_bytes(4, "big")
            connection.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            connection.sendall(asked)
            status = int(connection.makefile("r").readline())
            for file in files[1:]:
                file.seek(0)
            out, err = (io.TextIOWrapper(file, "utf-8").read() for file in files[1:])
        return status, out, err

    def _started(self) -> str:
        with self._lock:
            if not self._path:
                folder = tempfile.mkdtemp(prefix="trustkit-fork-")
                self._path = str(Path(folder, "socket"))
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.forkserver", self._path],
                    cwd=Path(__file__).parent.parent,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                atexit.register(process.kill)
            return self._path


def serve(path: str) -> None:
    """Serves until stdin ends: so no server outlives the process that started it."""
    sdks.leave_out()
    for name in LOADED:
        __import__(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _handle(connection, Path(path).parent)
        connection.close()


def _handle(connection: socket.socket, shelf: Path) -> None:
    """In a child: has a child of its own be the command, and tells how that ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    header, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(STREAMS * 4))
    fds = array.array("i")
    fds.frombytes(ancillary[0][2])
    size, asked = int.from_bytes(header, "big"), b""
    while len(asked) < size:
        asked += connection.recv(min(size - len(asked), _LONGEST))
    arguments, environ, folder, timeout = json.loads(asked)
    if (child := os.fork()) == 0:
        connection.close()
        _remember_opened(shelf)
        _be(arguments, environ, folder, list(fds))
    signal.signal(signal.SIGALRM, lambda _number, _frame: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, timeout)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _remember_opened(shelf: Path) -> None:
    """What opens key files keeps what it got in a folder of the tests, and looks there first."""
    from trustkit.keys import keypairs

    real = keypairs.open_der

    def open_der(sealed: bytes, passphrase: bytes) -> PrivateKeyTypes:
        kept = shelf / hashlib.sha256(hashlib.sha256(sealed).digest() + passphrase).hexdigest()
        if kept.exists():
            return load_der_private_key(kept.read_bytes(), None)
        opened = real(sealed, passphrase)
        written = kept.with_suffix(f".{os.getpid()}")
        written.write_bytes(opened.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        written.replace(kept)
        return opened

    keypairs.open_der = open_der


def _be(arguments: list[str], environ: dict[str, str], folder: str, fds: list[int]) -> None:
    """Becomes ``trustkit ARGUMENTS``."""
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["trustkit", *arguments]
    status = 1
    try:
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
