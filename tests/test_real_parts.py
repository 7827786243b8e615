"""The real parts that other tests build on start, answer, and are what they are said to be."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.softhsm import SoftHsm

pytestmark = pytest.mark.real


def test_docker_registry_answers(docker_registry):
    with urllib.request.urlopen(f"http://{docker_registry}/v2/", timeout=5) as answer:
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_an_image_goes_from_the_engine_to_the_registry_and_skopeo_reads_it(
    dockerd: Path, docker_cli: Path, docker_registry: str, skopeo: Path, tmp_path: Path
):
    (tmp_path / "hello").write_text("hello", encoding="ascii")
    environment = {**os.environ, "DOCKER_HOST": f"unix://{dockerd}"}
    image = f"{docker_registry}/app:v1"
    archive = subprocess.run(["tar", "-C", str(tmp_path), "-c", "hello"], check=True, capture_output=True).stdout
    for command, stdin in (([docker_cli, "import", "-", image], archive), ([docker_cli, "push", image], b"")):
        subprocess.run(command, input=stdin, env=environment, check=True, capture_output=True, timeout=60)
    seen = subprocess.run(
        [skopeo, "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{image}"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert seen.stdout.startswith("sha256:")


def test_softhsm_keeps_a_token_in_a_folder(softhsm: SoftHsm):
    token = softhsm.insert("ceremony")
    shown = ["softhsm2-util", "--show-slots"]
    run = {"env": {**os.environ, **softhsm.environ}, "check": True, "capture_output": True, "text": True}
    assert "Label:            ceremony" in subprocess.run(shown, **run).stdout
    softhsm.pull_out(token)
    assert "ceremony" not in subprocess.run(shown, **run).stdout
