"""A real MariaDB server for tests, on a socket and on loopback."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.conftest import free_port

PASSWORD = "a password of tests"


class MariaDb:
    """One server with one database, whose tables whoever uses it makes."""

    def __init__(self, server: Path, install: Path, client: Path) -> None:
        self._client = client
        self.folder = Path(tempfile.mkdtemp(prefix="trustkit-maria-"))
        self.port = free_port()
        data = self.folder / "data"
        made = ("--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db")
        subprocess.run([install, *made, "--user=root"], check=True, capture_output=True, timeout=120)
        small = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--skip-log-bin", "--user=root")
        where = (f"--datadir={data}", f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1")
        log = f"--log-error={self.folder / 'log'}"
        self._process = subprocess.Popen([server, "--no-defaults", *where, *small, log])
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run(
                    f"CREATE DATABASE notary; CREATE USER tester@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; "
                    "GRANT ALL ON notary.* TO tester@'127.0.0.1'",
                    database="",
                )
            except subprocess.CalledProcessError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.close()
                    raise AssertionError(f"MariaDB did not start: {error.stderr!r}") from None
                time.sleep(0.1)
            else:
                return

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    def run(self, statements: str, *, database: str = "notary") -> None:
        command = [
            self._client,
            "--no-defaults",
            f"--socket={self.socket}",
            "-uroot",
            *([database] if database else []),
        ]
        subprocess.run(command, input=statements.encode(), check=True, capture_output=True, timeout=60)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)
