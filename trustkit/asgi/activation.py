"""Sockets that a supervisor has opened before us, and keeps open while we are restarted (sd_listen_fds(3)).

Who connects in between waits in the kernel's queue, and none is refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from trustkit.core.names import Host
from trustkit.errors import InvalidSetting

FIRST = 3
"""The number of the first descriptor, by the protocol."""
MOST = 8
BLOBS = "blobs"
"""What the socket for a proxy's questions is called (``FileDescriptorName=``)."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """Listening sockets from a supervisor; none of them where there is no such supervisor.

    Attributes:
        main: where the server answers.
        others: by name: ``blobs``.
    """

    main: socket.socket | None = None
    others: Mapping[str, socket.socket] = field(default_factory=dict)

    @classmethod
    def of(cls, environ: Mapping[str, str], process: int) -> Self:
        """What the environment says, if it is meant for this process.

        Raises:
            InvalidSetting: what was passed is no listening stream socket, or several are for the same.
        """
        if environ.get("LISTEN_PID") != str(process) or "LISTEN_FDS" not in environ:
            return cls()
        count = environ["LISTEN_FDS"]
        if not count.isdecimal() or not 1 <= int(count) <= MOST:
            raise InvalidSetting(f"LISTEN_FDS is {count[:20]!r}, and not a number from 1 to {MOST}.")
        names = environ.get("LISTEN_FDNAMES", "").split(":") + [""] * MOST
        main, others = list[socket.socket](), dict[str, socket.socket]()
        for number, name in zip(range(FIRST, FIRST + int(count)), names, strict=False):
            opened = _listening(number)
            if name != BLOBS:
                main.append(opened)
            elif others.setdefault(name, opened) is not opened:
                raise InvalidSetting(f"Two sockets are called {name}.", hint="Give one ListenStream= to each.")
        if len(main) > 1:
            raise InvalidSetting(
                f"{len(main)} sockets were passed to listen at, and one is served.",
                hint=f"Call another one FileDescriptorName={BLOBS}; ListenStream=PORT listens for IPv4 and IPv6.",
            )
        return cls(main[0] if main else None, others)

    @property
    def unix(self) -> bool:
        """Whether the main socket is a unix socket."""
        return self.main is not None and self.main.family == socket.AF_UNIX

    def address(self, otherwise: Host) -> Host:
        """The address of the main socket; this one where there is none, and for a unix socket, which has none."""
        if self.main is None or self.unix:
            return otherwise
        name, port = self.main.getsockname()[:2]
        return Host.parse(f"[{name}]:{port}" if ":" in name else f"{name}:{port}")


def _listening(number: int) -> socket.socket:
    try:
        opened = socket.socket(fileno=number)
        if not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or opened.type != socket.SOCK_STREAM:
            raise OSError(0, "not a listening stream socket")
    except OSError as error:
        raise InvalidSetting(
            f"Descriptor {number}, passed by LISTEN_FDS, can't be listened at: {error.strerror}.",
            hint="A socket unit passes one with ListenStream= and Accept=no.",
        ) from error
    os.set_inheritable(number, False)
    opened.setblocking(False)
    return opened
