"""A program ``trustkit`` for shells, whose command lines come from the fork server, with the shell's own streams.

It starts in a tenth of the time.  Where the fork server can't be the process that the shell would get (another user,
another environment of the loader or of Python itself), it starts Python the ordinary way.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.forkserver import ORDINARY, ForkServer

_TEXT = """#!{python} -IS
import array, json, os, signal, socket, sys

ORDINARY, SERVES = {ordinary!r}, {serves!r}
asked = {{name: value for name, value in os.environ.items() if name.startswith(ORDINARY)}}
if asked != {environ!r} or os.geteuid() != {user}:
    os.execv(sys.executable, [sys.executable, "-m", "trustkit", *sys.argv[1:]])
stays = any(word in SERVES for word in sys.argv[1:3])
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
line.connect({path!r})
body = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), None if stays else {seconds}]).encode()
fds = array.array("i", [0, 1, 2])
line.sendmsg([len(body).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
line.sendall(body)
answers = line.makefile("r")
child = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda got, _frame: os.kill(child, got))
status = int(answers.readline() or 1)
sys.exit(status if status >= 0 else 128 - status)
"""
SERVES = ("serve", "serve-signer", "verifierd")
SECONDS = 300.0


def write_shim(forks: ForkServer, folder: Path) -> Path:
    """Writes ``trustkit`` into a folder, for the front of a PATH; returns the program."""
    program = folder / "trustkit"
    environ = {name: value for name, value in os.environ.items() if name.startswith(ORDINARY)}
    text = _TEXT.format(
        python=sys.executable,
        ordinary=ORDINARY,
        serves=SERVES,
        environ=environ,
        user=os.geteuid(),
        path=forks.started(),
        seconds=SECONDS,
    )
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return program
