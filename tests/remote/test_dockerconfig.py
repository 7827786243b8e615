"""Docker's ``config.json``, with and without a credential helper."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from trustkit.core.names import Host
from trustkit.errors import Failed, StateError
from trustkit.home.files import write_atomically
from trustkit.remote.dockerconfig import Credentials, DockerConfig

HOST = Host("localhost", 5080)
AUTH = base64.b64encode(b"alice:pa:ss\0\0").decode()


def config(folder: Path, members: object) -> DockerConfig:
    (folder / "config.json").write_text(json.dumps(members))
    return DockerConfig.load(folder)


@pytest.mark.parametrize("name", ["localhost:5080", "https://localhost:5080", "https://localhost:5080/v1/"])
def test_auths_by_host_or_old_url(tmp_path: Path, name: str) -> None:
    used = config(tmp_path, {"auths": {name: {"auth": AUTH}, "other": {"auth": "!!"}}})
    assert used.credentials(HOST) == Credentials("alice", "pa:ss")
    assert used.credentials(Host("localhost", 5081)) is None


def test_an_identity_token_comes_before_a_password(tmp_path: Path) -> None:
    used = config(tmp_path, {"auths": {"localhost:5080": {"auth": AUTH, "identitytoken": "r"}}})
    assert used.credentials(HOST) == Credentials("alice", identity_token="r")


@pytest.mark.parametrize(
    "members",
    [
        {"auths": {"localhost:5080": {"auth": "%%%"}}},
        {"auths": {"localhost:5080": {"auth": base64.b64encode(b"nocolon").decode()}}},
        {"auths": {"localhost:5080": {"auth": 7}}},
        {"auths": {"localhost:5080": []}},
        {"auths": [1]},
        {"credsStore": 7},
        {"credsStore": "../evil"},
    ],
)
def test_damage_is_an_error(tmp_path: Path, members: object) -> None:
    with pytest.raises(StateError):
        config(tmp_path, members).credentials(HOST)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_no_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(StateError):
        DockerConfig.load(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    assert DockerConfig.load(tmp_path / "none").credentials(HOST) is None


def test_store_and_forget_leave_the_rest_alone(tmp_path: Path) -> None:
    folder = tmp_path / "docker"
    stored = DockerConfig.load(folder).store(HOST, Credentials("alice", identity_token="r"), write_atomically)
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
    assert DockerConfig.load(folder) == stored
    assert stored.credentials(HOST) == Credentials("alice", identity_token="r")
    config(folder, {**stored.members, "psFormat": "x", "auths": {**stored.members["auths"], "other": {}}})
    left, removed = DockerConfig.load(folder).forget(HOST, write_atomically)
    assert removed
    assert left.members == {"psFormat": "x", "auths": {"other": {}}}
    assert not left.forget(HOST, write_atomically)[1]


def test_nothing_secret_in_a_repr(tmp_path: Path) -> None:
    used = config(tmp_path, {"auths": {"localhost:5080": {"auth": AUTH}}})
    assert AUTH not in repr(used)
    assert "pa:ss" not in repr(used.credentials(HOST))


HELPER = """#!/usr/bin/env python3
import json, pathlib, sys
store = pathlib.Path(__file__).with_name("store.json")
known = json.loads(store.read_text()) if store.exists() else {}
text = sys.stdin.read()
if sys.argv[1] == "get":
    if text not in known:
        print("credentials not found in native keychain"); sys.exit(1)
    print(json.dumps(known[text]))
elif sys.argv[1] == "store":
    entry = json.loads(text); known[entry["ServerURL"]] = entry
else:
    known.pop(text)
store.write_text(json.dumps(known))
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "docker-credential-test"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return program


@pytest.mark.parametrize("members", [{"credsStore": "test"}, {"credHelpers": {"localhost:5080": "test"}}])
def test_a_helper_keeps_and_gives(tmp_path: Path, helper: Path, members: dict[str, object]) -> None:
    used = config(tmp_path, members)
    assert used.credentials(HOST) is None
    used = used.store(HOST, Credentials("alice", identity_token="r"), write_atomically)
    assert used.credentials(HOST) == Credentials("<token>", identity_token="r")
    assert used.members["auths"] == {"localhost:5080": {}}
    assert '"r"' not in (tmp_path / "config.json").read_text()
    used, removed = used.forget(HOST, write_atomically)
    assert removed
    assert used.credentials(HOST) is None


def test_a_helper_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="docker-credential-nowhere"):
        config(tmp_path, {"credsStore": "nowhere"}).credentials(HOST)
