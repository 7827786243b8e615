"""The verifier's side of ``trustkit verifierd``: asks the helper, where there is one to believe.

Every pull starts a process for this, so it loads what Python has loaded anyway and little more: ``socket``, ``json``
and what they need take longer than the answer.  Their halves in C are enough, and where an interpreter has none of
them, or anything at all goes wrong, the caller does the work itself.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping, Sequence

SOCKET = "TRUSTKIT_VERIFIERD_SOCKET"
"""The variable with the helper's socket; where it is empty, no helper is asked."""
NAME = "verifierd.sock"
"""The socket in TRUSTKIT_HOME, where the variable isn't there."""
MAX_ANSWER = 64 * 1024
_PIECE = 16 * 1024
_ROOT = 0


def socket_path(environ: Mapping[str, str]) -> str:
    """Where the helper's socket would be; empty for nowhere.

    Only with an absolute TRUSTKIT_HOME there is one: to find the user's own takes longer than a helper saves.
    """
    home = environ.get("TRUSTKIT_HOME", "")
    path = environ.get(SOCKET, f"{home}/{NAME}")
    return path if home.startswith("/") and path.startswith("/") else ""


def ask(arguments: Sequence[str], given: bytes, environ: Mapping[str, str], seconds: float) -> tuple[int, str] | None:
    """The helper's status and reason; None where there is no helper, or none to believe, or it fails.

    It is believed where the process that listens is root's or this user's, which the kernel says: a folder where
    others may write is no place for a socket, but nobody can keep it from being named.

    Args:
        arguments: the verifier's flags, as they are.
        given: what stood on standard input.
        seconds: how long it may take.
    """
    path, policy = socket_path(environ), environ.get("TRUSTKIT_POLICY")
    if not path or (policy is not None and not policy.startswith("/")):
        return None
    try:
        from _json import encode_basestring_ascii as quoted
        from _json import scanstring
        from _socket import AF_UNIX, SOCK_STREAM, socket

        members = {"home": environ.get("TRUSTKIT_HOME"), "policy": policy, "input": given.decode("latin-1")}
        said = [f"{quoted(name)}: {'null' if text is None else quoted(text)}" for name, text in members.items()]
        words = ", ".join(quoted(word) for word in arguments)
        request = f'{{"arguments": [{words}], "seconds": {seconds:.3f}, {", ".join(said)}}}\n'
        ends = time.monotonic() + seconds
        connection = socket(AF_UNIX, SOCK_STREAM)
        connection.settimeout(seconds)
        connection.connect(path)
        if not _to_believe(connection):
            return None
        line = _exchange(connection, request.encode("ascii"), ends).decode("ascii")
        for status, opening in enumerate(('{"status": 0, "reason": "', '{"status": 1, "reason": "')):
            if line.startswith(opening):
                reason, end = scanstring(line, len(opening))
                return (status, reason) if line[end:] == "}\n" and reason else None
    except Exception:  # noqa: BLE001 - whatever it is (scanstring alone has a SystemError), the caller can do without
        return None
    return None


def _to_believe(connection: _socket.socket) -> bool:
    """Whether who listens is root or this user; SO_PEERCRED has pid, uid and gid, of four bytes each."""
    from _socket import SO_PEERCRED, SOL_SOCKET

    credentials = connection.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder) in (_ROOT, os.geteuid())


def _exchange(connection: _socket.socket, request: bytes, ends: float) -> bytes:
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b"\n"):
        connection.settimeout(max(0.001, ends - time.monotonic()))
        piece = connection.recv(_PIECE)
        answer += piece
        if not piece or len(answer) > MAX_ANSWER:
            raise ValueError
    return answer
