"""One line in, one line out, over a unix socket that is for this user and root."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from trustkit.errors import Conflict, InvalidSetting, StateError
from trustkit.folders import make_folder
from trustkit.home.locks import exclusive

log = logging.getLogger("trustkit.verifierd")

THREADS = 128
"""Connections at a time; who comes then waits in the kernel's queue."""
SECONDS = 5.0
"""For a request to arrive, and again for its answer to be taken."""
_LONGEST_PATH = 107
_PIECE = 64 * 1024
_CREDENTIALS = struct.Struct("3i")


class LocalServer:
    """Listens at a path that no other process listens at.

    Args:
        path: absolute.  Its folder is made 0700 where it isn't there; the socket is 0600.
        answer: from a request without its newline to an answer with one; called in up to 128 threads.  Where it
            raises, the connection is closed without an answer.
        longest: bytes of a request, with its newline.
        threads: connections at a time.
    """

    def __init__(self, path: Path, answer: Callable[[bytes], bytes], *, longest: int, threads: int = THREADS) -> None:
        self._path, self._answer, self._longest = path, answer, longest
        self._slots = threading.BoundedSemaphore(threads)

    def serve(self, ready: Callable[[], None]) -> None:
        """Serves until SIGTERM or SIGINT, which end the process at once, with status 0 and without the socket.

        Raises:
            InvalidSetting: a path that is too long for a socket.
            Conflict: another process listens there, or there is something else than a socket.
            StateError: a folder where others may write, or that can't be used.
        """
        if len(os.fsencode(self._path)) > _LONGEST_PATH:
            raise InvalidSetting(
                f"{self._path} is too long for a socket: {_LONGEST_PATH} bytes at most.",
                hint="Name a shorter one with --socket.",
            )
        _private(self._path.parent)
        with self._alone(), self._listening() as listener:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._end)
            ready()
            while True:
                self._accept(listener)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self._path.with_name(f"{self._path.name}.lock")
        held = exclusive(lock, timeout=0)
        try:
            held.__enter__()
        except StateError as error:
            raise Conflict(f"Nothing can listen at {self._path}: {error.message}", hint=error.hint) from error
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    @contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        """The socket; whatever a killed process left at its place is gone, for its lock is held here."""
        _clear(self._path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            before = os.umask(0o177)
            try:
                listener.bind(str(self._path))
            except OSError as error:
                raise StateError(f"{self._path} can't be made: {error.strerror}.") from error
            finally:
                os.umask(before)
            listener.listen(THREADS)
            try:
                yield listener
            finally:
                self._path.unlink(missing_ok=True)

    def _end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        try:
            self._path.unlink(missing_ok=True)
        finally:
            os._exit(0)

    def _accept(self, listener: socket.socket) -> None:
        self._slots.acquire()
        try:
            connection, _ = listener.accept()
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()
        except (
            OSError,
            RuntimeError,
        ) as error:  # no descriptor or no thread is left: whoever asks does it themselves
            self._slots.release()
            log.warning("A connection could not be taken: %s", error)
            time.sleep(0.05)

    def _handle(self, connection: socket.socket) -> None:
        try:
            with connection:
                if not believed(connection):
                    log.warning("Another user's process asked, and got no answer.")
                    return
                self._talk(connection)
        except OSError:
            pass  # it went away, or took too long
        except Exception as error:  # noqa: BLE001 - one question must not end the others
            log.warning("A question could not be answered: %s", type(error).__name__)
        finally:
            self._slots.release()

    def _talk(self, connection: socket.socket) -> None:
        """All that is said over a connection to who is believed; it is closed afterwards, whatever is raised."""
        request = self._request(connection)
        answer = self._answer(request)
        connection.settimeout(SECONDS)
        connection.sendall(answer)

    def _request(self, connection: socket.socket) -> bytes:
        ends, line = time.monotonic() + SECONDS, bytearray()
        while not line.endswith(b"\n"):
            connection.settimeout(max(0.001, ends - time.monotonic()))
            piece = connection.recv(_PIECE)
            line += piece
            if not piece or len(line) > self._longest:
                raise ConnectionError
        return bytes(line[:-1])


def believed(connection: socket.socket) -> bool:
    """Whether the other end is root or this user, as the kernel has it."""
    given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(given)[1] in (0, os.geteuid())


def _private(folder: Path) -> None:
    try:
        make_folder(folder)
        found = folder.stat()
    except OSError as error:
        raise StateError(f"{folder} can't be used: {error.strerror}.") from error
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise StateError(
            f"Others may write to {folder}, so no socket is put there.", hint="Name one in a folder of mode 0700."
        )


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Conflict(f"{path} is there, and is no socket.", hint="Move it away, or name another --socket.")
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StateError(f"{path} can't be removed: {error.strerror}.") from error
