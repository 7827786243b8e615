"""A real ``trustkit serve-signer`` as a process."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from pathlib import Path

from tests.service import Process, start
from tests.signer.certificates import SERVER, Authority, Certified
from trustkit.server.signer_client import RemoteSigner, SignerAddress


class RunningSigner:
    """A signer on a free port of loopback; restarts on the same port and data.

    Args:
        folder: where its data and certificates lie.
        environ: more environment, for example a clock by libfaketime.
    """

    def __init__(self, folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "signer"
        self.authority = Authority(folder / "authority")
        self.server = self.authority.issue("signer", SERVER)
        self.client = self.authority.issue("service")
        self.arguments = arguments
        self.environ = environ or {}
        self.port = 0
        self.log = folder / "signer.log"
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def options(self) -> list[str]:
        """What ``trustkit serve`` needs to use it."""
        files = ["--signer-cert", str(self.client.certificate), "--signer-key", str(self.client.key)]
        return ["--signer", self.url, "--signer-ca", str(self.authority.file), *files]

    def start(self) -> RunningSigner:
        command = ["serve-signer", "--data-dir", str(self.data)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--tls-cert", str(self.server.certificate)]
        command += ["--tls-key", str(self.server.key), "--client-ca", str(self.authority.file), *self.arguments]
        with self.log.open("a") as log:
            self.process = start(command, self.environ, log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line.startswith("https://"), f"the signer did not start: {self.log.read_text()}"
        self.port = int(line.rpartition(":")[2])
        return self

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends the process, if it runs."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def as_seen_by(self, client: Certified | None = None, authority: Path | None = None) -> RemoteSigner:
        """The service's own end of the line, with this certificate."""
        client = client or self.client
        return RemoteSigner(SignerAddress(self.url, authority or self.authority.file, client.certificate, client.key))

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Reads its database."""
        connection = sqlite3.connect(self.data / "signer.db")
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()
