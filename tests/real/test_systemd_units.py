"""The units of the deployment guide: systemd reads them, finds them tight, and what they start serves."""

from __future__ import annotations

import base64
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Need
from tests.load.supervisor import Supervisor

pytestmark = pytest.mark.real

UNITS = Path(__file__).parents[2] / "docs" / "deploy" / "systemd"
SERVICE, SOCKETS = "trustkit.service", ("trustkit.socket", "trustkit-blobs.socket")
EXPOSURE = 1.2
"""systemd's own measure, from 0 to 10; 1.1 is what a service that has to be on the network comes to."""


def settings(unit: str, name: str) -> list[str]:
    """The values of a setting in a unit, its continued lines joined."""
    text = (UNITS / unit).read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def analyze(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``systemd-analyze VERB UNIT...`` on the units with a program that is here."""
    binary, folder = need("systemd-analyze", "systemd"), tmp_path_factory.mktemp("units")
    program = shutil.which("trustkit", path=str(Path(sys.executable).parent))
    assert program
    for unit in (SERVICE, *SOCKETS):
        text = (UNITS / unit).read_text(encoding="utf-8")
        (folder / unit).write_text(text.replace("/opt/trustkit/bin/trustkit", program), encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(binary), *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_systemd_has_nothing_to_say_about_the_units(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = analyze("verify", f"./{SERVICE}", *(f"./{unit}" for unit in SOCKETS))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_is_as_tight_as_it_is_said_to_be(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", f"./{SERVICE}")
    assert done.returncode == 0, done.stdout


def test_what_the_unit_starts_serves_on_the_sockets_of_the_units(tmp_path: Path, need: Need) -> None:
    state, credentials = tmp_path / "state", tmp_path / "credentials"
    state.mkdir(mode=0o700)
    credentials.mkdir()
    (credentials / "kek").write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n")
    (credentials / "kek").chmod(0o400)
    credentials.chmod(0o500)
    assert settings(SERVICE, "LoadCredential") == ["kek:/etc/trustkit/kek"]
    assert [settings(unit, "FileDescriptorName") for unit in SOCKETS] == [["http"], ["blobs"]]
    (line,) = settings(SERVICE, "ExecStart")
    places = {"${STATE_DIRECTORY}": str(state), "${CREDENTIALS_DIRECTORY}": str(credentials)}
    for place, path in places.items():
        line = line.replace(place, path)
    program, *arguments = shlex.split(line)
    assert program == "/opt/trustkit/bin/trustkit"
    assert "--listen" not in arguments, "addresses come from the socket units"
    command = [sys.executable, "-m", "trustkit", *arguments]
    supervisor = Supervisor(tmp_path, command=command, blobs=tmp_path / "blobs.sock")
    try:
        supervisor.start()
        supervisor.until("WATCHDOG=1")
        curl = [str(need("curl", "curl")), "-s", "-o", "/dev/null", "-w", "%{http_code}"]
        for more, status in (
            ([f"http://{supervisor.host}/healthz"], "200"),
            (["--unix-socket", str(tmp_path / "blobs.sock"), "http://proxy/"], "403"),
        ):
            done = subprocess.run([*curl, *more], capture_output=True, text=True, check=True, timeout=30)
            assert done.stdout == status, more
        assert supervisor.stop() == 0
        assert supervisor.told[-1] == "STOPPING=1" or "STOPPING=1" in supervisor.told
        assert sorted(path.name for path in credentials.iterdir()) == ["kek"]
    finally:
        supervisor.close()
        credentials.chmod(0o700)
