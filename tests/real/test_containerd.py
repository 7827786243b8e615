"""containerd through the gate: a real daemon of its own, without anything of ours installed on it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.parts import SECONDS, Stand, within
from tests.service import PASSWORD, Result

pytestmark = pytest.mark.real

PLUGINS = ("grpc.v1.cri", *(f"snapshotter.v1.{name}" for name in ("aufs", "devmapper", "zfs", "btrfs")))
CONFIG = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{plugins}]
[grpc]
  address = "{folder}/sock"
"""


@dataclass(frozen=True)
class Containerd:
    ctr: Path
    address: Path

    def __call__(self, *arguments: str) -> Result:
        done = subprocess.run(
            [self.ctr, "--address", self.address, *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def pull(self, reference: str) -> Result:
        """Fetches an image as carol, who may pull, with all platforms; nothing is unpacked."""
        return self("content", "fetch", "--plain-http", "--all-platforms", "--user", f"carol:{PASSWORD}", reference)

    def images(self) -> dict[str, str]:
        rows = [line.split() for line in self("images", "ls").out.splitlines()[1:]]
        return {row[0]: row[2] for row in rows}


@pytest.fixture(scope="module")
def containerd(need: Callable[[str, str], Path]) -> Iterator[Containerd]:
    daemon, ctr = need("containerd", "containerd"), need("ctr", "containerd")
    with tempfile.TemporaryDirectory(prefix="tk-cd-") as name:  # short: it is a socket's path
        folder = Path(name)
        plugins = ", ".join(f'"io.containerd.{plugin}"' for plugin in PLUGINS)
        (folder / "config.toml").write_text(CONFIG.format(folder=folder, plugins=plugins))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([daemon, "-c", folder / "config.toml"], stdout=log, stderr=log)
        made = Containerd(ctr, folder / "sock")
        try:
            up = within(20, lambda: process.poll() is not None or made("version").status == 0)
            if not up or process.poll() is not None:
                pytest.fail(f"containerd did not start: {(folder / 'log').read_text()[-1000:]}")
            yield made
        finally:
            process.terminate()
            process.wait(20)


def test_a_signed_tag_comes_and_an_unsigned_one_does_not(upstream: Stand, containerd: Containerd) -> None:
    gun = f"{upstream.host}/containerd/app"
    upstream.trust_only("containerd/*")
    digest = upstream.alice.push(f"{gun}:v1", "signed", architectures=("amd64", "arm64"))
    assert upstream.alice("sign", f"{gun}:v1").status == 0
    moved = upstream.bob.push(f"{gun}:v1", "moved afterwards")
    upstream.bob.push(f"{gun}:dev", "never signed")

    pulled = containerd.pull(f"{gun}:v1")
    assert pulled.status == 0, pulled.err
    assert containerd.images()[f"{gun}:v1"] == digest

    refused = containerd.pull(f"{gun}:dev")
    assert refused.status != 0
    assert "403 Forbidden" in refused.err, "it asks for a tag with HEAD, whose answer has no body"
    refused = containerd.pull(f"{gun}@{moved}")
    assert refused.status != 0
    assert f"{gun}:dev" not in containerd.images()
