"""A program ``trustkit`` for shells, whose command lines come from the fork server, with the shell's own streams.

It starts in a tenth of the time.  Where the fork server can't be the process that the shell would get (another user,
another environment of the loader or of Python itself), it starts Python the ordinary way.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.forkserver import INDIFFERENT, ORDINARY, ForkServer

_TEXT = """#!{python} -IS
import _signal, _socket, os, sys

ORDINARY, INDIFFERENT, SERVES = {ordinary!r}, {indifferent!r}, {serves!r}
asked = {{name: value for name, value in os.environ.items() if name.startswith(ORDINARY) and name not in INDIFFERENT}}
if asked != {environ!r} or os.geteuid() != {user}:
    os.execv(sys.executable, [sys.executable, "-m", "trustkit", *sys.argv[1:]])
stays = any(word in SERVES for word in sys.argv[1:3])
line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
line.connect({path!r})
body = ascii([sys.argv[1:], dict(os.environ), os.getcwd(), stays, ""]).encode()
fds = b"".join(fd.to_bytes(4, sys.byteorder) for fd in range(3))
line.sendmsg([len(body).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
while body:
    body = body[line.send(body):]
answers = open(line.detach())
child = int(answers.readline())
for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
    _signal.signal(number, lambda got, _frame: os.kill(child, got))
status = int(answers.readline() or 1)
os._exit(status if status >= 0 else 128 - status)
"""
SERVES = ("serve", "serve-signer", "verifierd")


def write_shim(forks: ForkServer, folder: Path) -> Path:
    """Writes ``trustkit`` into a folder, for the front of a PATH; returns the program."""
    program = folder / "trustkit"
    environ = {
        name: value for name, value in os.environ.items() if name.startswith(ORDINARY) and name not in INDIFFERENT
    }
    text = _TEXT.format(
        python=sys.executable,
        ordinary=ORDINARY,
        indifferent=INDIFFERENT,
        serves=SERVES,
        environ=environ,
        user=os.geteuid(),
        path=forks.started(),
    )
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return program
