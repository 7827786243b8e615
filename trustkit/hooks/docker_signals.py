"""What docker tells its plugins of signals: it closes a socket, and the plugin has to end.

Where there is a terminal, its kernel tells every process; else docker alone gets the signal (docker/cli,
``cli-plugins/socket``).  The real docker that takes the plugin's place doesn't know that socket, so somebody has to
listen at it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Mapping

SOCKET = "DOCKER_CLI_PLUGIN_SOCKET"


def end_with_caller(environ: Mapping[str, str]) -> None:
    """Has a process of its own send SIGTERM to this one when docker closes its socket, where there is one."""
    name = environ.get(SOCKET, "")
    if not name:
        return
    told = os.getpid()
    if os.fork() == 0:
        with contextlib.suppress(BaseException):
            _wait(f"\0{name[1:]}" if name.startswith("@") else name)
            if os.getppid() == told:
                os.kill(told, signal.SIGTERM)
        os._exit(0)


def _wait(address: str) -> None:
    """Until the other side closes; without holding open what others read from this process."""
    os.setsid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        while connection.recv(64):
            pass
