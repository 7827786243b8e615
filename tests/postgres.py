"""A real PostgreSQL server of the tests' own, and new databases on it."""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

PASSWORD = "a-Password-of-17+"
START_SECONDS = 60.0
SUPERUSER, USER = "postgres", "tester"
"""Who the tests are to the server, and who the service is: the owner of its database, and no more."""
_PR_SET_PDEATHSIG = 1


def binaries() -> Path | None:
    """The folder with the newest server's programs, which Debian keeps off PATH; None for none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if not found and (there := shutil.which("postgres")):
        found = [Path(there).resolve().parent]
    return max(found, key=lambda path: (len(path.parent.name), path.parent.name), default=None)


def _dies_with_us() -> None:
    """A server doesn't outlive a killed test run."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


class Postgres:
    """One server, on a socket and on a port of loopback, where it asks for a password.

    Runs as user ``postgres`` where we are root, whom PostgreSQL refuses.
    """

    INITDB: tuple[str, ...] = ()
    """Further options of initdb."""

    def __init__(self, programs: Path, **settings: str) -> None:
        self._programs = programs
        self._identity: dict[str, Any] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="trustkit-pg-"))
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
            self._identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self._template: str | None = None
        self._initialise()
        self.settings = settings
        self.start()
        self.run(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(USER), sql.Literal(PASSWORD)))

    @property
    def socket_folder(self) -> Path:
        return self._folder

    def _initialise(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD, encoding="ascii")
        command = [
            self._programs / "initdb",
            *("-D", self._folder / "data", "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}"),
            *self.INITDB,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120, cwd="/", **self._identity)

    def start(self) -> None:
        """Starts it, on the port from before if there was one; returns once it answers."""
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = int(probe.getsockname()[1])
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "shared_buffers": "32MB",
            "max_connections": "60",
            "dynamic_shared_memory_type": "mmap",
            **self.settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=_dies_with_us,
                **self._identity,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError(f"PostgreSQL did not start:\n{self.log()[-2000:]}") from None
                time.sleep(0.05)
            else:
                return

    def listen_on(self, address: str) -> None:
        """Takes connections there, too, from the neighbourhood; a start later."""
        self.settings = {**self.settings, "listen_addresses": f"127.0.0.1,{address}"}
        with (self._folder / "data" / "pg_hba.conf").open("a", encoding="ascii") as file:
            file.write(f"host all all {address}/24 scram-sha-256\n")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it: SIGINT breaks connections off in order, SIGQUIT at once, as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def pause(self, *, on: bool) -> None:
        """Has every process of the server stand still, or go on."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        for pid in [self._process.pid, *map(int, children.split())]:
            with suppress(ProcessLookupError):  # a connection that has ended since
                os.kill(pid, signal.SIGSTOP if on else signal.SIGCONT)

    def close(self) -> None:
        """Stops it and removes what it wrote."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """What the server said."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection over the socket, as the superuser; what is asked on it is committed at once."""
        return psycopg.connect(
            host=str(self._folder),
            port=self.port,
            user=SUPERUSER,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def run(self, statement: Any, url: str = "") -> list[tuple[Any, ...]]:
        """What one statement gives, in the database of a URL."""
        with self.connect(name_of(url) if url else "postgres") as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str, *, password: str = "", port: int = 0) -> str:
        """Over the socket or, with a password, over TCP."""
        if password:
            return f"postgresql://{USER}:{password}@127.0.0.1:{port or self.port}/{database}"
        return f"postgresql://{USER}@/{database}?host={self._folder}&port={self.port}"

    def empty(self, options: str = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0") -> str:
        """A new database without tables, which sorts as people in one country do; its URL, over the socket."""
        return self._create(options)

    def _create(self, options: str) -> str:
        name = f"t{next(self._numbers)}"
        statement = "CREATE DATABASE {} OWNER {} " + options
        self.run(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(USER)))
        return self.url(name)

    def database(self) -> str:
        """A new database with this version's tables; its URL, over the socket."""
        if self._template is None:
            from trustkit.store.postgres.address import Address
            from trustkit.store.postgres.tables import migrate

            made = self.empty()
            migrate(Address.parse(made))
            self._template = name_of(made)
        return self._create(f"TEMPLATE {self._template}")

    def drop(self, url: str) -> None:
        """Removes a database, whoever is connected to it."""
        self.run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name_of(url))))


def name_of(url: str) -> str:
    """The name of the database of a URL."""
    return url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
