"""What containerd's configuration lets past its verifiers."""

from __future__ import annotations

from pathlib import Path

import pytest

from trustkit.hooks.containerd_config import troubles

VERIFIER = '[plugins."io.containerd.image-verifier.v1.bindir"]\n'
CRI = '[plugins."io.containerd.cri.v1.images"]\n'
OLD_CRI = '[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://m"]\n'

CASES = {
    "a file that asks": ("", []),
    "explicitly": (f'{VERIFIER}bin_dir = "FOLDER"\nmax_verifiers = 10\nper_verifier_timeout = "10s"\n', []),
    "a time in other units": (f'{VERIFIER}bin_dir = "FOLDER"\nper_verifier_timeout = "1m"\n', []),
    "a time of several": (f'{VERIFIER}bin_dir = "FOLDER"\nper_verifier_timeout = "1m30s"\n', []),
    "another folder": (f'{VERIFIER}bin_dir = "/elsewhere"\n', ["bin_dir is '/elsewhere'"]),
    "a folder that is none": (f"{VERIFIER}bin_dir = 1\n", ["bin_dir is 1"]),
    "too few verifiers": (f'{VERIFIER}bin_dir = "FOLDER"\nmax_verifiers = 2\n', ["max_verifiers is 2"]),
    "all verifiers": (f'{VERIFIER}bin_dir = "FOLDER"\nmax_verifiers = -1\n', []),
    "too little time": (
        f'{VERIFIER}bin_dir = "FOLDER"\nper_verifier_timeout = "800ms"\n',
        ["per_verifier_timeout isn't over 8s"],
    ),
    "no verifier at all": ('disabled_plugins = ["io.containerd.image-verifier.v1.bindir"]\n', ["asks no verifier"]),
    "more files": ('imports = ["/etc/containerd/conf.d/*.toml"]\n', ["imports other files"]),
    "mirrors": (OLD_CRI, ["registry.mirrors"]),
    "its own credentials": (f"{CRI}[plugins.'io.containerd.cri.v1.images'.registry.auths.a]\n", ["registry.auths"]),
    "pulls by itself": (f"{CRI}use_local_image_pull = true\n", ["use_local_image_pull"]),
    "other downloads": (f"{CRI}max_concurrent_downloads = 5\n", ["max_concurrent_downloads"]),
    "the usual downloads": (f"{CRI}max_concurrent_downloads = 3\ndiscard_unpacked_layers = false\n", []),
    "plugins that are none": ("plugins = 1\n", []),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_found(text: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trustkit.hooks.containerd_config.DEFAULT", tmp_path)
    for name in ("a", "b", "trustkit", "z"):
        (tmp_path / name).touch()
    found = list(troubles(f"version = 3\n{text.replace('FOLDER', str(tmp_path))}".encode(), tmp_path, "trustkit"))
    assert len(found) == len(expected), found
    assert all(part in sentence for part, sentence in zip(expected, found, strict=True)), found


@pytest.mark.parametrize("config", [b"version = 2\n", b"", b'version = "3"\n'])
def test_an_older_version(config: bytes) -> None:
    assert any("before 2.0" in found for found in troubles(config, Path("/opt/x"), "trustkit"))


@pytest.mark.parametrize("config", [b"version = \n", b"\xff", b"a = " + b"[" * 100_000])
def test_no_toml(config: bytes) -> None:
    (found,) = troubles(config, Path("/opt/x"), "trustkit")
    assert found.startswith("it is no TOML")
