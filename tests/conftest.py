"""What every test has: a closed environment, hypothesis profiles, and the real parts that interoperability needs.

A test that needs a real part is marked ``real`` and skips with the reason where the part is missing; with
TRUSTKIT_REQUIRE_REAL=1 (as in continuous integration) each such skip is a failure.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.postgres import Postgres, binaries
from tests.softhsm import SoftHsm
from tests.spread import pytest_collection_modifyitems, pytest_configure, pytest_xdist_make_scheduler

__all__ = ["pytest_collection_modifyitems", "pytest_configure", "pytest_xdist_make_scheduler"]

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

REQUIRED = os.environ.get("TRUSTKIT_REQUIRE_REAL") == "1"
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
START_SECONDS = 30.0

Need = Callable[[str, str], Path]
StartRegistry = Callable[..., str]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Turns a skipped ``real`` test into a failed one where real parts are required."""
    report = yield
    if REQUIRED and report.skipped and item.get_closest_marker("real") and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"TRUSTKIT_REQUIRE_REAL=1, and this test of a real part did not run: {why}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _closed_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No key, pin, login or passphrase of whoever runs the tests is seen by one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("TRUSTKIT_", "DOCKER_", "NOTARY_")) and name != "TRUSTKIT_REQUIRE_REAL":
                patch.delenv(name)
        base = tmp_path_factory.mktemp("environment")
        patch.setenv("TRUSTKIT_HOME", str(base / "home"))
        patch.setenv("DOCKER_CONFIG", str(base / "docker"))
        yield


def _unavailable(reason: str) -> None:
    (pytest.fail if REQUIRED else pytest.skip)(reason)


def _need(binary: str, package: str) -> Path:
    found = shutil.which(binary, path=SEARCH)
    if found is None:
        _unavailable(f"{binary} is not installed (Debian: apt install {package})")
    return Path(str(found))


@pytest.fixture(scope="session")
def need() -> Need:
    """``need(binary, package)``: the path of a program, or a skip (or failure) that names its Debian package."""
    return _need


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(connection: http.client.HTTPConnection, path: str) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _await(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ready():
            return True
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _run_registry(binary: Path, folder: Path, extra: dict[str, Any]) -> tuple[subprocess.Popen[bytes], str]:
    address = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": address},
        **extra,
    }
    file = folder / "config.yml"
    file.write_text(json.dumps(config), encoding="utf-8")
    with (folder / "log").open("ab") as log:
        command = [str(binary), "serve", str(file)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log), address


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, for as long as the tests of this process run."""
    programs = binaries()
    if programs is None:
        _unavailable("PostgreSQL is not installed (Debian: apt install postgresql)")
    server = Postgres(Path(str(programs)))
    yield server
    server.close()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The URL of a new database of PostgreSQL with tables."""
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def start_docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRegistry]:
    """``start(**sections)``: runs a real docker-registry with these sections of its configuration (``auth=...``).

    Returns its HOST:PORT once it answers; it stops with the module.  ``folder=`` keeps its data between two starts.
    """
    running: list[subprocess.Popen[bytes]] = []

    def start(folder: Path | None = None, **sections: Any) -> str:
        binary = _need("docker-registry", "docker-registry")
        place = folder or tmp_path_factory.mktemp("registry")
        for _ in range(3):  # another process may take the port between the probe and the start
            process, address = _run_registry(binary, place, sections)
            running.append(process)
            if _await(process, lambda at=address: _answers(http.client.HTTPConnection(at, timeout=2), "/v2/")):
                return address
            _stop(process)
        pytest.fail(f"docker-registry did not start:\n{(place / 'log').read_text(errors='replace')[-2000:]}")

    yield start
    for process in running:
        _stop(process)


@pytest.fixture
def docker_registry(start_docker_registry: StartRegistry) -> str:
    """HOST:PORT of a real, empty docker-registry that asks for no login."""
    return start_docker_registry()


@pytest.fixture(scope="session")
def skopeo() -> Path:
    """The path of skopeo."""
    return _need("skopeo", "skopeo")


@pytest.fixture
def softhsm(tmp_path: Path) -> SoftHsm:
    """Real PKCS#11 tokens of the test's own, none at first."""
    return SoftHsm(tmp_path / "softhsm", _need("softhsm2-util", "softhsm2"))


@pytest.fixture(scope="session")
def docker_cli() -> Path:
    """The path of the docker command line."""
    return _need("docker", "docker.io")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=2)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(2)
        self.sock.connect(str(self._path))


def _dockerd_command(binary: Path, folder: Path, *more: str) -> list[str]:
    command = [
        str(binary), "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
        "--pidfile", str(folder / "pid"), "-H", f"unix://{folder / 'docker.sock'}",
        "--iptables=false", "--bridge=none", "--storage-driver=vfs", "--config-file", str(folder / "none.json"),
        *more,
    ]  # fmt: skip
    return command if os.geteuid() == 0 else ["sudo", "-n", *command, "--group", str(os.getgid())]


def _stop_dockerd(process: subprocess.Popen[bytes], folder: Path) -> None:
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    for stop in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None and (folder / "pid").exists():
            pid = (folder / "pid").read_text(encoding="ascii").strip()
            subprocess.run([*as_root, "kill", f"-{stop.value}", pid], check=False)
        try:
            process.wait(20)
            break
        except subprocess.TimeoutExpired:
            continue
    subprocess.run([*as_root, "rm", "-rf", str(folder)], check=False)


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Path]:
    """The unix socket of a real Docker engine with an empty store; clients use DOCKER_HOST=unix://SOCKET.

    It has no network of its own, and takes plain HTTP from registries at ``localhost:PORT`` and ``127.0.0.1:PORT``.
    """
    with running_dockerd() as path:
        yield path


@contextmanager
def running_dockerd(*more: str, folder: Path | None = None) -> Iterator[Path]:
    """A Docker engine as in ``dockerd``, with more options; its socket is ``docker.sock`` in the folder."""
    binary = _need("dockerd", "docker.io")
    folder = folder or Path(tempfile.mkdtemp(prefix="tk-engine-"))  # short: a socket's path has at most 107 bytes
    (folder / "none.json").write_text("{}", encoding="ascii")
    with (folder / "log").open("wb") as log:
        command = _dockerd_command(binary, folder, *more)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    path = folder / "docker.sock"
    try:
        if not _await(process, lambda: path.exists() and _answers(_UnixConnection(path), "/_ping")):
            _unavailable(f"dockerd did not start: {(folder / 'log').read_text(errors='replace')[-1500:]}")
        yield path
    finally:
        _stop_dockerd(process, folder)
