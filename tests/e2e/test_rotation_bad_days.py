"""A rotation that is killed at its worst moments, an upload that fails, and two rotations at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

import pytest

from tests.service import FORKS, SECONDS, Person, Result, RunningService

numbers = count()

KILL = "os.kill(os.getpid(), signal.SIGKILL)"
MOMENTS = {
    "the key is made, nothing noted": f"FileRotations.begin = lambda *a, **k: {KILL}",
    "noted, nothing published": f"HttpTrustService.publish = lambda *a, **k: {KILL}",
    "published, no answer seen": f"publish = HttpTrustService.publish\n"
    f"HttpTrustService.publish = lambda *a, **k: (publish(*a, **k), {KILL})",
    "published, not read back": f"Publisher.read_back = lambda *a, **k: {KILL}",
    "read back, nothing noted": f"FileRotations.end = lambda *a, **k: {KILL}",
}
"""By the moment: what has the client end as kill -9 would end it then."""


def crippled(person: Person, code: str, *arguments: str) -> Result:
    """Runs a command line in a process that does ``code`` first."""
    lines = [
        "import os, signal, subprocess, sys",
        "from trustkit.client.publish import Publisher",
        "from trustkit.home.rotations import FileRotations",
        "from trustkit.remote.trust import HttpTrustService",
        code,
    ]
    environ = {**os.environ, **person.environment()}
    return Result(*FORKS.run(list(arguments), environ, "", SECONDS, first="\n".join(lines)))


def state(person: Person, gun: str) -> tuple[str, str, int]:
    """The root key, the repository key and the root's version."""
    shown = json.loads(person("root", "show", gun, "--format", "json").out)
    roles = shown["roles"]
    return roles["root"]["keys"][0]["id"], roles["repository"]["keys"][0]["id"], shown["version"]


def key_files(person: Person) -> set[str]:
    return {path.stem for path in (person.home / "trustkit" / "keys").glob("*.pem")}


@pytest.fixture
def owner(service: RunningService, alice: Person, tmp_path: Path) -> Person:
    made = Person("owner", tmp_path / "owner")
    shutil.copytree(alice.home / "docker", made.home / "docker")
    return made


@pytest.fixture
def gun(service: RunningService, owner: Person, carol: Person) -> str:
    made = f"{service.host}/baddays/app{next(numbers)}"
    owner.push(f"{made}:v1")
    assert owner("sign", f"{made}:v1").status == 0
    assert carol("pin", "add", made, "--root-key", owner.root_key()).status == 0
    assert carol("verify", f"{made}:v1").status == 0
    return made


ROTATIONS = {"repository": ("key", "rotate", "--role", "repository"), "root": ("root", "rotate")}


@pytest.mark.parametrize("role", ROTATIONS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_client_s_second_run_ends_it(owner: Person, carol: Person, gun: str, role: str, moment: str) -> None:
    before, keys = state(owner, gun), key_files(owner)
    killed = crippled(owner, MOMENTS[moment], *ROTATIONS[role], gun)
    assert killed.status == -signal.SIGKILL, killed.err
    made = key_files(owner) - keys
    assert len(made) == 1, "the key was on disk before anything else"
    assert carol("verify", f"{gun}:v1").status == 0, "whoever looks meanwhile finds one state or the other"
    again = owner(*ROTATIONS[role], gun)
    assert again.status == 0, again.err
    after = state(owner, gun)
    new = after[1 if role == "repository" else 0]
    assert after[2] == before[2] + 1, "one rotation, not two"
    if "nothing noted" not in moment or "read back" in moment:
        assert made == {new}, "with the key that was made first"
    assert new not in before
    assert carol("verify", f"{gun}:v1").status == 0
    owner.push(f"{gun}:v2")
    assert owner("sign", f"{gun}:v2").status == 0
    third = owner(*ROTATIONS[role], gun)
    assert third.status == 0
    assert state(owner, gun)[2] == before[2] + 2, "a new run is a new rotation"


@pytest.mark.parametrize("role", ROTATIONS)
def test_a_failed_upload_loses_nothing(owner: Person, carol: Person, gun: str, role: str) -> None:
    before, keys = state(owner, gun), key_files(owner)
    fail = "from trustkit.errors import Unreachable\ndef fail(*a, **k): raise Unreachable('gone')"
    failed = crippled(owner, f"{fail}\nHttpTrustService.publish = fail", *ROTATIONS[role], gun)
    assert (failed.status, failed.slug) == (4, "unreachable")
    assert state(owner, gun) == before
    owner.push(f"{gun}:v2")
    assert owner("sign", f"{gun}:v2").status == 0, "the old keys sign as before"
    again = owner(*ROTATIONS[role], gun)
    assert again.status == 0
    assert "Going on with the new" in again.err
    assert key_files(owner) - keys == {state(owner, gun)[1 if role == "repository" else 0]}
    assert carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0


@pytest.mark.parametrize("role", ROTATIONS)
def test_of_two_rotations_at_once_one_wins_and_the_other_says_so(
    owner: Person, carol: Person, gun: str, role: str, tmp_path: Path
) -> None:
    """The other owner's whole rotation takes place when the first one's upload is about to go."""
    other = Person("other", tmp_path / "other")
    shutil.copytree(owner.home, other.home)
    before = state(owner, gun)
    environ = other.environment()
    command = [sys.executable, "-m", "trustkit", *ROTATIONS[role], gun]
    late = (
        "publish, done = HttpTrustService.publish, []\n"
        "def late(*a, **k):\n"
        f"    done or done.append(subprocess.run({command!r}, env={{**os.environ, **{environ!r}}}, check=True))\n"
        "    return publish(*a, **k)\n"
        "HttpTrustService.publish = late"
    )
    lost = crippled(owner, late, *ROTATIONS[role], gun)
    assert (lost.status, lost.slug) == (1, "conflict"), lost.err
    assert "somebody else rotated it meanwhile" in lost.err
    after = state(other, gun)
    assert after[2] == before[2] + 1
    assert after[1 if role == "repository" else 0] in key_files(other) - key_files(owner)
    assert carol("verify", f"{gun}:v1").status == 0


def test_a_sign_in_between_is_kept(owner: Person, carol: Person, gun: str, tmp_path: Path) -> None:
    """The rotation is applied anew to what somebody else has signed meanwhile, and says what that was."""
    other = Person("other", tmp_path / "other")
    shutil.copytree(owner.home, other.home)
    digest = other.push(f"{gun}:v2")
    command = [sys.executable, "-m", "trustkit", "sign", f"{gun}:v2"]
    late = (
        "publish, done = HttpTrustService.publish, []\n"
        "def late(*a, **k):\n"
        f"    done or done.append(subprocess.run({command!r}, env={{**os.environ, **{other.environment()!r}}}))\n"
        "    return publish(*a, **k)\n"
        "HttpTrustService.publish = late"
    )
    done = crippled(owner, late, *ROTATIONS["repository"], gun)
    assert done.status == 0, done.err
    assert f"{gun}:v2 was meanwhile changed by somebody else: unsigned -> {digest}" in done.err
    assert carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0


def online(service: RunningService, gun: str) -> dict[str, tuple[str, str]]:
    """By role the id of the service's key in use, and of the one that waits; empty for none."""
    rows = json.loads(service.admin("online-keys", "list", "--format", "json").out)
    return {row["role"]: (row["key"], row["pending"]) for row in rows if row["gun"] == gun}


ONLINE = ("key", "rotate", "--role", "online")
UPLOADS = {
    "the upload fails": "from trustkit.errors import Unreachable\n"
    "def fail(*a, **k): raise Unreachable('gone')\nHttpTrustService.publish = fail",
    **{moment: MOMENTS[moment] for moment in MOMENTS if "published" in moment},
}


@pytest.mark.parametrize("moment", UPLOADS)
def test_online_keys_too_are_changed_by_a_second_run(
    service: RunningService, owner: Person, carol: Person, gun: str, moment: str
) -> None:
    before = online(service, gun)
    failed = crippled(owner, UPLOADS[moment], *ONLINE, gun)
    assert failed.status in (4, -signal.SIGKILL), failed.err
    made = online(service, gun)
    published = moment.startswith("published")
    if not published:
        assert {role: key for role, (key, _) in made.items()} == {role: key for role, (key, _) in before.items()}
        assert all(waits for _, waits in made.values())
    assert carol("verify", f"{gun}:v1").status == 0
    owner.push(f"{gun}:v2")
    assert owner("sign", f"{gun}:v2").status == 0, "the keys in use sign as before"
    again = owner(*ONLINE, gun)
    assert again.status == 0, again.err
    after = online(service, gun)
    assert all(not waits for _, waits in after.values())
    assert not {key for key, _ in after.values()} & {key for key, _ in before.values()}
    if not published:
        assert {key for key, _ in after.values()} == {waits for _, waits in made.values()}
    assert carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0
