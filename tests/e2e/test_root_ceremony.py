"""Root ceremonies by the command line: holders offline, in any order, on copies; rehearsals; what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from tests.service import PASSPHRASE, Person, Result, RunningService

numbers = count()


class Ceremony:
    """A collection whose root key only ``holder`` has; ``online`` has its repository key and the network."""

    def __init__(self, service: RunningService, alice: Person, carol: Person, folder: Path) -> None:
        self.folder, self.online, self.carol = folder, Person("online", folder / "online"), carol
        shutil.copytree(alice.home / "docker", self.online.home / "docker")
        self.gun = f"{service.host}/ceremony/app{next(numbers)}"
        self.online.push(f"{self.gun}:v1")
        assert self.online("sign", f"{self.gun}:v1").status == 0
        self.root = self.online.root_key()
        assert carol("pin", "add", self.gun, "--root-key", self.root).status == 0
        assert carol("verify", f"{self.gun}:v1").status == 0
        self.holder = self.person("holder")
        (self.holder.home / "trustkit" / "keys").mkdir(parents=True, mode=0o700)
        key = f"trustkit/keys/{self.root}.pem"
        shutil.move(self.online.home / key, self.holder.home / key)

    def person(self, name: str) -> Person:
        return Person(name, self.folder / name)

    def new_holder(self, name: str) -> tuple[Person, str, str]:
        """Another holder, the id of a root key of theirs, and its public half's file."""
        person, public = self.person(name), str(self.folder / f"{name}.pub")
        key_id = person("key", "generate", "--role", "root").out.strip()
        assert person("key", "export", "--public", key_id, "-o", public).status == 0
        return person, key_id, public

    def propose(self, *options: str, name: str = "") -> tuple[str, str]:
        """A ceremony file, and the digest of what is to be signed."""
        file = str(self.folder / (name or f"ceremony{next(numbers)}"))
        done = self.online("root", "propose", self.gun, "-o", file, *options)
        assert done.status == 0, done.err
        return file, done.out.strip()

    def shown(self) -> dict[str, object]:
        return dict(json.loads(self.online("root", "show", self.gun, "--format", "json").out))


@pytest.fixture
def ceremony(service: RunningService, alice: Person, carol: Person, tmp_path: Path) -> Ceremony:
    return Ceremony(service, alice, carol, tmp_path)


def offline(person: Person, *arguments: str) -> Result:
    """Runs a command where there is no network at all, not even loopback."""
    command = ["unshare", "--net", sys.executable, "-m", "trustkit", *arguments]
    environ = {**os.environ, **person.environment()}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_renewal_signed_with_no_network(ceremony: Ceremony) -> None:
    if os.geteuid() != 0:
        pytest.skip("unshare --net takes root")
    file, digest = ceremony.propose()
    signed = offline(ceremony.holder, "root", "sign", file, "--yes", "--expect", digest)
    assert (signed.status, signed.out.strip()) == (0, digest), signed.err
    assert "nothing but its version and expiry" in signed.err
    done = ceremony.online("root", "publish", file)
    assert (done.status, done.out) == (0, f"{ceremony.gun}: root version 2\n"), done.err
    assert ceremony.carol("verify", f"{ceremony.gun}:v1").status == 0
    assert PASSPHRASE not in Path(file).read_text()
    again = ceremony.online("root", "publish", file)
    assert again.status == 0
    assert "published already" in again.err


def test_more_holders_in_any_order_on_copies(ceremony: Ceremony) -> None:
    bert, bert_key, bert_public = ceremony.new_holder("bert")
    cleo, cleo_key, cleo_public = ceremony.new_holder("cleo")
    file, digest = ceremony.propose("--add-key", bert_public, "--add-key", cleo_public, "--threshold", "2")
    copy, signature = f"{file}.copy", f"{file}.sig"
    shutil.copy(file, copy)
    base = str(ceremony.shown()["sha256"])
    told = bert("root", "sign", copy, "--yes", "--expect", digest)
    assert (told.status, told.slug) == (1, "bad-ceremony"), "nothing tells bert that this is the current root"
    assert "--current" in told.err
    wrong = bert("root", "sign", copy, "--yes", "--current", "0" * 16)
    assert (wrong.status, wrong.slug) == (1, "bad-ceremony")
    assert bert("root", "sign", copy, "--yes", "--current", base[:20]).status == 0
    few = ceremony.online("root", "publish", copy)
    assert (few.status, few.slug) == (1, "bad-signature"), few.err
    assert ceremony.root in few.err, "who lacks is named"
    assert ceremony.holder("root", "sign", file, "--yes", "--signature-out", signature).status == 0
    assert "to sign" not in Path(signature).read_text()
    rehearsed = ceremony.online("root", "publish", file, "--signature", copy, "--signature", signature, "--rehearse")
    assert rehearsed.status == 0, rehearsed.err
    assert ceremony.shown()["version"] == 1, "a rehearsal publishes nothing"
    done = ceremony.online("root", "publish", file, "--signature", signature, "--signature", copy)
    assert done.status == 0, done.err
    roles = ceremony.shown()["roles"]
    assert isinstance(roles, dict)
    assert roles["root"]["threshold"] == 2
    signed = {key["id"]: key["signed"] for key in roles["root"]["keys"]}
    assert signed == {ceremony.root: True, bert_key: True, cleo_key: False}
    assert ceremony.carol("verify", f"{ceremony.gun}:v1").status == 0

    second, _ = ceremony.propose("--remove-key", ceremony.root[:12])
    assert bert("root", "sign", second, "--yes").status == 0, "bert has signed the root before, so it is known"
    alone = ceremony.online("root", "publish", second, "--rehearse")
    assert (alone.status, alone.slug) == (1, "bad-signature")
    assert cleo("root", "sign", second, "--yes", "--current", str(ceremony.shown()["sha256"])).status == 0
    assert ceremony.online("root", "publish", second).status == 0
    assert ceremony.carol("verify", f"{ceremony.gun}:v1").status == 0


def test_other_repository_keys_sign_all_anew_in_the_same_publish(ceremony: Ceremony) -> None:
    online, public = ceremony.online, str(ceremony.folder / "repository.pub")
    made = online("key", "generate", "--role", "repository", "--gun", ceremony.gun).out.strip()
    assert online("key", "export", "--public", made, "-o", public).status == 0
    file, _ = ceremony.propose("--repository-key", public)
    shown = ceremony.holder("root", "sign", file, "--yes")
    assert f"key {made} may sign targets from now on" in shown.err
    other = ceremony.person("elsewhere")
    shutil.copytree(online.home / "docker", other.home / "docker")
    assert other("pin", "add", ceremony.gun, "--root-key", ceremony.root).status == 0
    keyless = other("root", "publish", file)
    assert (keyless.status, keyless.slug) == (6, "key-missing"), keyless.err
    assert online("root", "publish", file).status == 0
    assert ceremony.carol("verify", f"{ceremony.gun}:v1").status == 0
    online.push(f"{ceremony.gun}:v2")
    assert online("sign", f"{ceremony.gun}:v2").status == 0


def test_a_rehearsal_of_signing_writes_nothing(ceremony: Ceremony) -> None:
    file, digest = ceremony.propose()
    before = {path: path.read_bytes() for path in ceremony.folder.rglob("*") if path.is_file()}
    done = ceremony.holder("root", "sign", file, "--rehearse")
    assert (done.status, done.out.strip()) == (0, digest), done.err
    after = {path: path.read_bytes() for path in ceremony.folder.rglob("*") if path.is_file()}
    assert after == before
    wrong = ceremony.holder("root", "sign", file, "--rehearse", environ={"TRUSTKIT_ROOT_PASSPHRASE": "not this one"})
    assert (wrong.status, wrong.slug) == (6, "wrong-passphrase"), "a rehearsal finds that out"


def test_nobody_signs_unasked_or_something_else(ceremony: Ceremony) -> None:
    file, digest = ceremony.propose()
    unasked = ceremony.holder("root", "sign", file)
    assert (unasked.status, unasked.slug) == (2, "usage")
    other = ceremony.holder("root", "sign", file, "--yes", "--expect", "ab" * 32)
    assert (other.status, other.slug) == (1, "bad-ceremony")
    assert json.loads(Path(file).read_text())["signatures"] == []
    spaced = " ".join(digest[i : i + 8] for i in range(0, 64, 8))
    assert ceremony.holder("root", "sign", file, "--yes", "--expect", spaced).status == 0, "as people read it aloud"
    assert ceremony.online("root", "sign", file, "--yes").slug == "key-missing"


def test_two_roots_of_one_version_are_not_signed(ceremony: Ceremony) -> None:
    first, _ = ceremony.propose()
    second, _ = ceremony.propose("--days", "400")
    assert ceremony.holder("root", "sign", first, "--yes").status == 0
    fork = ceremony.holder("root", "sign", second, "--yes")
    assert (fork.status, fork.slug) == (1, "bad-ceremony")
    assert "fork" in fork.err
    assert ceremony.holder("root", "sign", first, "--yes").status == 0, "the same one again is no other one"
    assert ceremony.holder("root", "sign", second, "--yes", "--again").status == 0
    assert ceremony.online("root", "publish", second).status == 0
    stale = ceremony.online("root", "publish", first)
    assert (stale.status, stale.slug) == (1, "conflict"), stale.err
    assert "Propose it anew" in stale.err


@pytest.mark.parametrize("where", ["gun", "proposed"])
def test_a_file_that_was_tampered_with_is_refused_by_both(ceremony: Ceremony, where: str) -> None:
    file, _ = ceremony.propose()
    assert ceremony.holder("root", "sign", file, "--yes").status == 0
    document = json.loads(Path(file).read_text())
    if where == "gun":
        document["gun"] += "x"
    else:
        document["proposed"]["version"] += 1
    Path(file).write_text(json.dumps(document))
    for person, command in ((ceremony.holder, "sign"), (ceremony.online, "publish")):
        refused = person("root", command, file, "--yes")
        assert (refused.status, refused.slug) == (1, "bad-ceremony"), refused.err


def test_an_absurd_expiry_is_not_signed(ceremony: Ceremony) -> None:
    file, _ = ceremony.propose("--days", "40000")
    refused = ceremony.holder("root", "sign", file, "--yes")
    assert (refused.status, refused.slug) == (1, "bad-ceremony")
    assert "expires" in refused.err
    assert ceremony.online("root", "propose", ceremony.gun, "-o", file).status == 6, "no file is written over"
