"""The real nginx with the deployment guide's configuration, for tests: the file as it stands, in other places."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import START_SECONDS
from tests.real.parts import within

SITE = Path(__file__).parents[2] / "docs" / "deploy" / "nginx" / "trustkit.conf"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_MAIN = """{user}daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    {temporary}
    include {folder}/site.conf;
}}
"""


def site(places: dict[str, str]) -> str:
    """The guide's file with each of these places in it replaced by another."""
    text = SITE.read_text(encoding="utf-8")
    for place, other in places.items():
        assert place in text, place
        text = text.replace(place, other)
    return text


@contextmanager
def running_nginx(binary: Path, folder: Path, port: int, places: dict[str, str]) -> Iterator[Path]:
    """Runs nginx until the block ends; gives the folder of its temporary files.

    Args:
        folder: an empty one of its own.
        port: where the site listens on 127.0.0.1.
        places: as for ``site``.
    """
    (folder / "site.conf").write_text(site(places), encoding="utf-8")
    temporary = folder / "temporary"
    temporary.mkdir()
    paths = "\n    ".join(f"{name}_temp_path {temporary}/{name};" for name in TEMPORARY)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(user=user, folder=folder, temporary=paths), encoding="utf-8")
    command = [str(binary), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        assert within(START_SECONDS, lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, (folder / "out").read_text()
        yield temporary
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True
