"""Sockets with a budget: a deadline for everything that follows, and a smallest speed (TRUST 6.2).

A socket's own timeout starts anew with every byte, so a slow drip never meets it.  Here ``settimeout`` grants one
budget: every read and write until the next ``settimeout`` draws on it.
"""

from __future__ import annotations

import errno
import io
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import field
from threading import Event, Lock, Thread
from typing import Any

from trustkit.core.records import dataclass

_LEAST_WAIT = 0.001


@dataclass(frozen=True, slots=True)
class Speed:
    """The smallest speed: ``bytes_per_second`` on average over each ``window`` seconds spent waiting for data."""

    bytes_per_second: float = 512.0
    window: float = 15.0


@dataclass(slots=True)
class Budget:
    """What is left of a deadline, and how fast data came.  Time that a reader spends elsewhere isn't waiting."""

    clock: Callable[[], float]
    speed: Speed
    deadline: float | None = None
    _waited: float = field(default=0.0, init=False)
    _received: int = field(default=0, init=False)

    def grant(self, seconds: float | None) -> None:
        """Starts anew; None means no deadline."""
        self.deadline = None if seconds is None else self.clock() + seconds
        self._waited, self._received = 0.0, 0

    def wait(self) -> float:
        """Seconds that the next operation may take.

        Raises:
            TimeoutError: nothing is left.
        """
        window = self.speed.window - self._waited
        left = window if self.deadline is None else min(window, self.deadline - self.clock())
        if left <= 0:
            raise TimeoutError("past the deadline")
        return max(left, _LEAST_WAIT)

    def count(self, started: float, size: int) -> None:
        """Books ``size`` bytes that were waited for since ``started``.

        Raises:
            TimeoutError: the window is over and the bytes in it were too few.
        """
        self._waited += max(0.0, self.clock() - started)
        self._received += size
        if self._waited >= self.speed.window:
            if self._received < self.speed.bytes_per_second * self._waited:
                raise TimeoutError("slower than the smallest speed")
            self._waited, self._received = 0.0, 0


class _BudgetReader(io.RawIOBase):
    """The reading side of a socket, on a budget.  Keeps the socket open as ``socket.makefile`` does."""

    def __init__(self, sock: socket.socket, budget: Budget) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._budget.wait())
        started = self._budget.clock()
        size = self._raw.readinto(buffer)
        if size:
            self._budget.count(started, size)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class BudgetSocket:
    """A connected socket, plain or TLS, on a budget.  Everything that isn't here is the socket's own."""

    def __init__(self, sock: socket.socket, budget: Budget) -> None:
        self._sock = sock
        self._budget = budget

    def settimeout(self, value: float | None) -> None:
        """Grants a new budget of ``value`` seconds."""
        self._budget.grant(value)

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Sends all of it within the budget and one window."""
        self._sock.settimeout(self._budget.wait())
        self._sock.sendall(data)

    def makefile(self, mode: str = "rb", *_: object, **__: object) -> io.BufferedReader:
        """A buffered reader; writing goes through ``sendall``."""
        assert mode == "rb"  # noqa: S101 - http.client asks for nothing else
        return io.BufferedReader(_BudgetReader(self._sock, self._budget))

    def fileno(self) -> int:
        """The socket's descriptor, for poll."""
        return self._sock.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def budgeted(sock: socket.socket, speed: Speed, clock: Callable[[], float]) -> Any:
    """The socket on a budget, of which nothing is granted yet; it does what ``http.client`` asks of a socket."""
    return BudgetSocket(sock, Budget(clock, speed))


def connected(name: str, port: int, seconds: float) -> socket.socket:
    """A connection; raises OSError, and a TimeoutError in time whatever the resolver and the addresses do.

    A name's addresses are tried in the resolver's order, each for its part of what is left, so that one that
    doesn't answer leaves time for the next.

    Args:
        name: a host that was parsed, so of ASCII: as bytes it goes to the resolver as it is, and no tables of
            international names are loaded for it.
    """
    until = time.monotonic() + seconds
    found = _addresses(name.encode("ascii"), port, seconds)
    failed: OSError = TimeoutError("past the deadline")
    for number, (family, kind, protocol, _, address) in enumerate(found):
        left = until - time.monotonic()
        if left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(min(left, max(left / (len(found) - number), _LEAST_TRY)))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failed = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failed


_Addresses = Sequence[tuple[Any, ...]]
_LEAST_TRY = 2.0
"""Seconds; to a far host a first packet may get lost, and is sent again after one."""
MOST_LOOKUPS = 64
"""Names that a resolver which doesn't answer may be asked for at a time; each has a thread until it does.  As many
again of names that it has answered for before: who makes up names that hang doesn't keep others from theirs."""
MOST_ANSWERED = 1024


class ResolverSilent(TimeoutError):
    """The resolver has not answered in time."""


class _Lookup:
    """One question to the resolver, which can't be told to stop: whoever waits for it goes, and it ends by itself."""

    def __init__(self, name: bytes, port: int) -> None:
        self._asked = name, port
        self._done = Event()
        self._found: _Addresses = ()
        self._failed: OSError | None = None

    def run(self, over: Callable[[], None]) -> None:
        try:
            self._found = socket.getaddrinfo(*self._asked, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._failed = error if isinstance(error, OSError) else OSError(None, "no name that can be resolved")
        finally:
            over()
            self._done.set()

    def result(self, seconds: float) -> _Addresses:
        if not self._done.wait(max(seconds, 0)):
            raise ResolverSilent("the resolver did not answer in time")
        if self._failed is not None:
            raise type(self._failed)(*self._failed.args)
        return self._found


_lookups: dict[tuple[bytes, int], _Lookup] = {}
_answered: dict[bytes, None] = {}
_looking = Lock()


def _addresses(name: bytes, port: int, seconds: float) -> _Addresses:
    """Where a name leads; who asks for the same one at the same time waits for the same answer."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # an address as it stands needs nobody
            socket.inet_pton(family, name.decode("ascii"))
            return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    key = name, port
    with _looking:
        lookup = _lookups.get(key)
        if lookup is None:
            if len(_lookups) >= (2 if name in _answered else 1) * MOST_LOOKUPS:
                raise ResolverSilent("the resolver answers nothing any more")
            lookup = _lookups[key] = _Lookup(name, port)
            thread = Thread(target=lookup.run, args=(lambda: _lookups.pop(key, None),), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more threads
                del _lookups[key]
                raise OSError(errno.EAGAIN, "no thread to ask the resolver in") from error
    found = lookup.result(seconds)
    with _looking:
        _answered.pop(name, None)  # the latest ones stay
        _answered[name] = None
        if len(_answered) > MOST_ANSWERED:
            del _answered[next(iter(_answered))]
    return found
