"""TLS towards one registry host: whom to believe, with what to identify, and whether a loopback port speaks it.

Certificates come from where Docker's users keep them: ``certs.d/HOST:PORT/*.crt`` under /etc/docker and Docker's
configuration folder are authorities for that host alone, ``X.cert`` with ``X.key`` identifies the client, and
``tls/HOST:PORT`` is the same for trust servers.  ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace the system's store.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from trustkit.core.names import Host
from trustkit.errors import InvalidSetting
from trustkit.remote.sockets import connected

SYSTEM_FOLDER = Path("/etc/docker")
_TLS_RECORDS = frozenset({0x14, 0x15, 0x16, 0x17})


def docker_folder(environ: Mapping[str, str]) -> Path:
    """Docker's configuration folder: ``DOCKER_CONFIG``, or ``.docker`` in the home folder."""
    if folder := environ.get("DOCKER_CONFIG"):
        return Path(folder)
    return Path(environ["HOME"] if environ.get("HOME") else Path.home()) / ".docker"


def client_context(host: Host, environ: Mapping[str, str]) -> ssl.SSLContext:
    """A context that accepts this host's certificate and no other's.

    Raises:
        InvalidSetting: a certificate or key that is named or lies in a folder of this host can't be used; leaving
            it out silently would end in an unexplained refusal.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_authorities(context, environ)
    for folder in _folders(host, environ):
        _load_folder(context, folder)
    return context


def _load_authorities(context: ssl.SSLContext, environ: Mapping[str, str]) -> None:
    file, folder = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    if not file and not folder:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(cafile=file or None, capath=folder or None)
    except (OSError, ValueError) as error:
        name = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        raise InvalidSetting(
            f"{name} names {file or folder}, which holds no certificates that can be read."
        ) from error


def _folders(host: Host, environ: Mapping[str, str]) -> Iterator[Path]:
    own = docker_folder(environ)
    for folder in (SYSTEM_FOLDER / "certs.d", own / "certs.d", own / "tls"):
        yield folder / str(host)


def _load_folder(context: ssl.SSLContext, folder: Path) -> None:
    try:
        names = sorted(folder.iterdir())
    except OSError:
        return
    for path in names:
        try:
            if path.suffix == ".crt":
                context.load_verify_locations(cafile=path)
            elif path.suffix == ".cert":
                context.load_cert_chain(path, path.with_suffix(".key"), password=_no_prompt)
        except (OSError, ValueError) as error:
            raise InvalidSetting(
                f"The certificate {path} can't be used.",
                hint="X.crt is an authority; X.cert needs its unencrypted key in X.key beside it.",
            ) from error


def _no_prompt() -> str:
    return ""


Connect = Callable[[str, int, float], socket.socket]
"""Connects to a host's name and port, within seconds."""


def speaks_tls(host: Host, timeout: float, connect: Connect = connected) -> bool:
    """Whether the port answers a TLS hello with a TLS record; any record counts, an alert too (TRUST 8.3).

    Only the first bytes of the answer decide, so a certificate that isn't accepted can never look like "no TLS".
    A port that closes or stays silent is taken to speak it.

    Args:
        timeout: seconds.
        connect: makes the connection.

    Raises:
        OSError: no connection; and what ``connect`` raises.
    """
    until = time.monotonic() + timeout
    with connect(host.name.strip("[]"), host.port or 443, timeout) as sock:
        sock.settimeout(max(until - time.monotonic(), 0.001))
        sock.sendall(_hello())
        try:
            answer = sock.recv(2)
        except OSError:
            return True
    return not answer or answer[0] in _TLS_RECORDS


def _hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()
