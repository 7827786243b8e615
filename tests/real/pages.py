"""A how-to page, played: its console blocks are typed as they stand, by whoever the prompt names.

``alice$ COMMAND`` is run by a person called alice, with a home folder of her own; what stands below a command is what
it prints, where ``...`` stands for anything.  A backslash or a here-document continues a command.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.real.parts import SECONDS, within
from tests.remembered import CHEAP
from tests.service import FORKS, PASSPHRASE
from tests.shim import write_shim

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"([a-z]+)\$ (.*)")
_TRUST = r"^No valid trust data|^you are not authorized|^unable to reach trust server"
"""What docker says for a refusal of Docker Content Trust."""

_REFUSED = re.compile(rf"\[[a-z-]+\]$|^Error|^error|^denied|level=fatal|^\* fatal|{_TRUST}", re.MULTILINE)
_SERVER = re.compile(
    r"(faketime -f \S+ )?(trustkit( admission)?|docker-registry) serve\b"
    r"|trustkit (verifierd|docker-authz)\b|nginx -c\b|notary-server -config\b"
)
_SOCKETS = ("verifierd", "docker-authz")
"""Servers with a socket instead of an address."""
_STOP = re.compile(r"systemctl stop trustkit")
_CHANGE = re.compile(r"trustkit admin .* (set|assign|revoke|disable|remove|passwd)\b", re.DOTALL)
NOTICES = 1.0
"""Seconds that a running service may take to notice what an operator changed (TRUST 8.4): whoever else types
something next waits as long, and a row of changes once."""

FOLDER, PUBLISHER = "/srv/registry", "alice"


@dataclass(frozen=True)
class Step:
    """One command: who types it, and the lines that it prints.

    A ``trustkit serve``, ``trustkit serve-signer`` or ``docker-registry serve`` goes on running; a later one at the
    same address replaces it, and ``systemctl stop trustkit`` stands for stopping all of them.
    """

    who: str
    command: str
    printed: list[str] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether the page shows a refusal, which has to end with a status that says so."""
        return bool(_REFUSED.search("\n".join(self.printed)))

    def compare(self, said: str, *, failed: bool) -> None:
        """Asserts that the command ended as the page shows it, and printed at least these lines."""
        story = f"{self.who}$ {self.command}\n{said}"
        assert failed == self.refused, story
        for line in self.printed:
            assert re.search(".*".join(map(re.escape, line.split("..."))), said), f"{line}\n\nis not in\n\n{story}"


def steps(page: str) -> list[Step]:
    """Every command of a page, in order."""
    found: list[Step] = []
    for block in _BLOCK.findall(page):
        lines = iter(block.splitlines())
        for line in lines:
            start = _COMMAND.fullmatch(line)
            if not start:
                found[-1].printed.append(line)
                continue
            text = start[2]
            while text.endswith("\\"):
                text += f"\n{next(lines)}"
            if document := re.search(r"<<'(\w+)'", text):
                while not text.endswith(f"\n{document[1]}"):
                    text += f"\n{next(lines)}"
            found.append(Step(start[1], text))
    return found


class Stage:
    """Where a page is played: everything of it lies in one folder, where everybody works.

    Args:
        folder: empty; stands for ``/srv/registry`` of the page.
        ports: the free port for each port that the page uses.
        environ: what everybody has, for example DOCKER_HOST.
    """

    def __init__(self, folder: Path, ports: dict[int, int], environ: dict[str, str]) -> None:
        self.folder = folder
        self._ports, self._environ = ports, environ
        self._programs = folder.parent / f"{folder.name}-bin"
        self._programs.mkdir()
        write_shim(FORKS, self._programs)
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._noticed = 0.0

    def play(self, step: Step) -> None:
        """Types a step; it has to end as the page says, and print what the page shows."""
        if not step.command.startswith("trustkit admin"):
            time.sleep(max(0.0, self._noticed - time.monotonic()))
        if _SERVER.match(step.command):
            self._serve(step)
            return
        if _STOP.fullmatch(step.command):
            self.close()
            return
        done = subprocess.run(
            ["bash", "-c", self._here(step.command)],
            cwd=self.folder,
            env=self._environment(step.who),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        step.compare(self._there(done.stdout), failed=done.returncode != 0)
        if _CHANGE.match(step.command):
            self._noticed = time.monotonic() + NOTICES

    def _serve(self, step: Step) -> None:
        """Starts a server, in the place of one at the same address, and waits until it answers."""
        told = ("--listen", "docker-registry", "nginx", "notary-server", *_SOCKETS)
        listen = "" if any(each in step.command for each in told) else " --listen 127.0.0.1:5080"
        command = self._here(step.command + listen)
        address = self._address(command)
        if command.startswith("nginx"):  # its workers have to get into a folder of ours
            command += " -g 'daemon off;" + (" user root;'" if os.geteuid() == 0 else "'")
        self._stop(address)
        log = self.folder / f"{address}.log"
        log.write_bytes(b"")
        with log.open("ab") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._environment(step.who),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._servers[address] = process
        assert within(SECONDS, lambda: process.poll() is not None or _listens(log) or _answers(address)), command
        step.compare(self._there(log.read_text()), failed=process.poll() is not None)

    def close(self) -> None:
        """Stops every server."""
        for address in list(self._servers):
            self._stop(address)

    def _stop(self, address: str) -> None:
        process = self._servers.pop(address, None)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # one that has refused to start
                os.killpg(process.pid, signal.SIGTERM)  # faketime doesn't pass a signal on to what it runs
            process.wait(SECONDS)

    def _address(self, command: str) -> str:
        if command.startswith("docker-registry"):
            config = (self.folder / command.split()[-1]).read_text()
            return re.findall(r"addr: (\S+?)}?$", config, re.MULTILINE)[0]
        if command.startswith("notary-server"):
            return str(json.loads((self.folder / command.split()[-1]).read_text())["server"]["http_addr"])
        if command.startswith("nginx"):
            included = re.findall(r"include (\S+);", Path(command.split()[-1]).read_text())[0]
            return re.findall(r"listen (\S+)", Path(included).read_text())[0]
        for name in _SOCKETS:
            if name in command:
                return name
        return command.rpartition("--listen ")[2].split()[0]

    def _environment(self, who: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("TRUSTKIT_HOME", "DOCKER_CONFIG", "XDG_DATA_HOME")}
        home = self.folder / "home" / who
        home.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(
            [str(self._programs), str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
        )
        passphrases = {f"TRUSTKIT_{kind}_PASSPHRASE": PASSPHRASE for kind in ("ROOT", "REPOSITORY", "SIGNER")}
        return {**kept, **passphrases, **self._environ, CHEAP: "1", "HOME": str(home), "PATH": path}

    def _here(self, text: str) -> str:
        for port, actual in self._ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{actual}")
        return text.replace(FOLDER, str(self.folder)).replace("ROOT_KEY_ID", self._root_key(text))

    def _there(self, text: str) -> str:
        for port, actual in self._ports.items():
            text = text.replace(f"127.0.0.1:{actual}", f"127.0.0.1:{port}")
        return text.replace(str(self.folder), FOLDER)

    def _root_key(self, text: str) -> str:
        if "ROOT_KEY_ID" not in text:
            return ""
        command = [self._programs / "trustkit", "key", "list", "--format", "json"]
        listed = subprocess.run(command, env=self._environment(PUBLISHER), capture_output=True, check=True).stdout
        return next(str(key["id"]) for key in json.loads(listed) if key["role"] == "root")


def _listens(log: Path) -> bool:
    """Whether a server has said that it takes connections which a plain request can't try."""
    return log.read_text().startswith(("https://", "/"))


def _answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status < 500  # also nginx's 400 to who speaks no TLS
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
