"""podman through the gate: a store of its own, stock configuration, and no hook anywhere."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.parts import Stand, Tool
from tests.service import Person, Result

pytestmark = pytest.mark.real


class Podman:
    """podman as a program, with everything it stores in one folder."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._tool = Tool(program, {"TMPDIR": str(folder)})
        self._where = ["--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]

    def __call__(self, who: Person, *arguments: str) -> Result:
        return self._tool(who, *self._where, "--cgroup-manager", "cgroupfs", *arguments)

    def pull(self, who: Person, reference: str) -> Result:
        auth = str(who.home / "docker" / "config.json")
        return self(who, "pull", "--quiet", "--tls-verify=false", "--authfile", auth, reference)

    def digest(self, who: Person, reference: str) -> str:
        done = self(who, "image", "inspect", reference)
        assert done.status == 0, done.err
        return str(json.loads(done.out)[0]["Digest"])


@pytest.fixture(scope="module")
def podman(need: Callable[[str, str], Path]) -> Iterator[Podman]:
    """podman takes no runroot of more than 50 characters, which pytest's folders often have."""
    program = need("podman", "podman")
    with tempfile.TemporaryDirectory(prefix="tk-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Podman(program, Path(folder))


def test_a_signed_tag_comes_and_an_unsigned_one_is_refused_with_the_reason(upstream: Stand, podman: Podman) -> None:
    gun, carol = f"{upstream.host}/podman/app", upstream.carol
    upstream.trust_only("podman/*")
    digest = upstream.alice.push(f"{gun}:v1", "signed")
    assert upstream.alice("sign", f"{gun}:v1").status == 0
    moved = upstream.bob.push(f"{gun}:v1", "moved afterwards")
    upstream.bob.push(f"{gun}:dev", "never signed")

    pulled = podman.pull(carol, f"{gun}:v1")
    assert pulled.status == 0, pulled.err
    assert podman.digest(carol, f"{gun}:v1") == digest

    refused = podman.pull(carol, f"{gun}:dev")
    assert refused.status != 0
    assert "podman/app:dev is not signed." in refused.err
    refused = podman.pull(carol, f"{gun}@{moved}")
    assert refused.status != 0
    assert "is not signed, and no signed index lists it." in refused.err
