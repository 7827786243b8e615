"""Migrations from a server that lies: another collection's files, roots that don't hold, old states, no end."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.formats_docker.forge import NOW, RSA_2048, Forge, Pair, certified, ecdsa, role_of, tags
from tests.formats_docker.stand import Attacker, Hosted
from tests.service import PASSPHRASE, Person, Result, RunningService
from trustkit.core.formats.docker import files
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyRole
from trustkit.keys.dockerkeys import Purpose, render

OLD, NEW = "0d" * 32, "1e" * 32


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    made = RunningService(tmp_path_factory.mktemp("service")).start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    with Attacker(tmp_path_factory.mktemp("attacker")) as server:
        yield server


@pytest.fixture(scope="module")
def alice(service: RunningService, there: Attacker) -> Person:
    person = service.principal("alice", "AcrPush", "AcrImageSigner")
    trusted = person.home / "docker" / "tls" / there.url.removeprefix("https://")
    trusted.mkdir(parents=True)
    (trusted / "ca.crt").write_bytes(there.ca.read_bytes())
    words = {f"DOCKER_CONTENT_TRUST_{word}_PASSPHRASE": PASSPHRASE for word in ("ROOT", "REPOSITORY")}
    person.environ.update(words)
    return person


@dataclass
class Old:
    """A collection at a server that serves what it likes, and its publisher, on a machine of its own."""

    service: RunningService
    there: Attacker
    person: Person
    folder: Path
    gun: Gun
    last: int = 3
    forge: Forge = field(init=False)
    roots: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.forge = Forge(self.gun)
        self.forge.roles["targets"].version = 9
        self.forge.versions = {"snapshot": 9, "timestamp": 9}
        for version in range(1, self.last + 1):
            self.forge.version = version
            self.roots[version] = files.sign(self.forge.root, self.forge.signers["root"])
        self.person = replace(self.person, environ=dict(self.person.environ))
        self.person.environ["TRUSTKIT_HOME"] = str(self.folder / "home")
        self.has(KeyRole.ROOT, self.forge.signers["root"][0])

    @property
    def keys(self) -> Path:
        return self.folder / "trust"

    def has(self, role: KeyRole, pair: Pair) -> None:
        """The publisher's own folder has this key."""
        purpose = Purpose(role, self.gun if role is KeyRole.REPOSITORY else None, None)
        path = self.keys / "private" / f"{pair[0].canonical_id}.key"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(render(pair[1].private, PASSPHRASE.encode(), purpose, rounds=1000))  # type: ignore[attr-defined]  # a RawSigner
        path.chmod(0o600)

    def state(self) -> dict[str, bytes]:
        """With the very root of before, where that has been signed."""
        return self.forge.files({"root": lambda made: self.roots.get(self.forge.version, made)})

    def serve(self, **changed: bytes | None) -> dict[str, bytes]:
        """What is signed now; ``r2=None`` hides root 2, ``r2=data`` puts another one there."""
        state = self.state()
        self.roots[self.forge.version] = state["root"]
        roots = {**self.roots, **{int(name[1:]): data for name, data in changed.items()}}
        self.there.hosted = Hosted(state, {version: data for version, data in roots.items() if data is not None})
        return state

    def __call__(self, *arguments: str) -> Result:
        run = ("migrate", "from-notary", "--server", self.there.url, "--gun", str(self.gun))
        return self.person(*run, "--trust-dir", str(self.keys), *arguments)

    def plan(self, *arguments: str) -> dict[str, Any]:
        done = self("--dry-run", "--format", "json", *arguments)
        assert done.status == 0, done.err
        (row,) = json.loads(done.out)["collections"]
        assert isinstance(row, dict)
        return row

    def refuses(self, status: int, slug: str, *arguments: str) -> str:
        """Before anything is at the service."""
        done = self(*arguments)
        assert (done.status, done.slug) == (status, slug), done.err
        assert self.person("inspect", str(self.gun)).status != 0
        return done.err

    def migrates(self, *arguments: str) -> None:
        self.service.admin("allow-migration", str(self.gun))
        done = self(*arguments)
        assert done.status == 0, done.err


Make = Callable[..., Old]


@pytest.fixture
def old(service: RunningService, there: Attacker, alice: Person, tmp_path: Path, request: Any) -> Make:
    def make(last: int = 3) -> Old:
        name = "".join(each if each.isalnum() else "-" for each in request.node.name.lower()).strip("-")
        return Old(service, there, alice, tmp_path, Gun.parse(f"{service.host}/{name}"), last)

    return make


def test_another_collections_files_by_the_same_root_key(old: Make) -> None:
    it = old()
    private = it.forge.signers["root"][0][1].private  # type: ignore[attr-defined]  # a RawSigner
    other = Forge(Gun.parse(f"{it.gun.host}/other"), signers={"root": [certified(private, f"{it.gun.host}/other")]})
    it.there.hosted = Hosted(other.files(), {1: other.files()["root"]})
    assert "is for" in it.refuses(3, "wrong-root")
    it.serve()
    it.migrates()


def test_a_strangers_root_with_the_name_of_the_collection(old: Make) -> None:
    it, stranger = old(), Forge(old().gun)
    state = stranger.files()
    it.there.hosted = Hosted(state, {1: state["root"]})
    told = it.refuses(3, "no-pin")
    assert "none of those at" in told
    mine = it.forge.signers["root"][0][0].keyid
    it.refuses(3, "wrong-root", "--root-key", mine)
    it.forge.signers["root"] += [certified(gun=it.gun)]
    listed = files.sign(it.forge.root, [it.forge.signers["root"][1]])
    it.there.hosted = Hosted(it.forge.files({"root": lambda _: listed}), {1: listed})
    assert "is signed by the pinned keys" in it.refuses(3, "wrong-root")


def test_a_line_with_a_gap_is_said_and_taken_by_consent(old: Make) -> None:
    it = old(4)
    it.serve(r2=None)
    assert it.plan()["root"] == {"there": 4, "first": 3, "lacking": 2, "new": 5}
    refused = it()
    assert (refused.status, refused.slug) == (2, "usage"), refused.err
    assert "The roots 1 to 2" in refused.err
    it.migrates("--without-old-roots")
    assert it.person("verify", f"{it.gun}:v1").out.startswith(f"{it.gun}:v1@sha256:")


def test_a_strangers_root_in_the_line(old: Make) -> None:
    it, stranger = old(), Forge(old().gun)
    stranger.version = 2
    it.serve(r2=files.sign(stranger.root, stranger.signers["root"]))
    assert "is not signed by the root keys before it" in it.refuses(3, "wrong-root")
    it.serve(r2=it.roots[1])
    it.refuses(3, "rolled-back")
    it.serve(r2=b"<html>")
    assert "2.root.json" in it.refuses(3, "wrong-root")
    it.serve()
    it.migrates()


def test_an_older_state_than_docker_has_seen_here(old: Make) -> None:
    it = old()
    before = it.serve()
    targets = it.forge.roles["targets"]
    targets.version, targets.targets = 10, tags("v1", digest=NEW)
    it.forge.versions = {"snapshot": 10, "timestamp": 10}
    seen = it.keys / "tuf" / str(it.gun) / "metadata"
    for role, data in it.state().items():
        seen.mkdir(parents=True, exist_ok=True)
        (seen / f"{role}.json").write_bytes(data)
    it.there.hosted = Hosted(before, it.roots)
    it.refuses(3, "rolled-back")
    it.serve()
    it.migrates()


def test_an_older_state_than_a_dry_run_has_seen(old: Make) -> None:
    it = old()
    before = it.serve()
    it.forge.roles["targets"].version = 10
    it.forge.versions = {"snapshot": 10, "timestamp": 10}
    it.serve()
    it.plan()
    it.there.hosted = Hosted(before, it.roots)
    it.refuses(3, "rolled-back")


def test_an_older_state_behind_an_answer_that_says_nothing(
    old: Make, there: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the walk from the pin fails, the current root is tried by itself; what was seen counts all the same."""
    it = old()
    before = it.serve()
    it.forge.roles["targets"].version = 10
    it.forge.versions = {"snapshot": 10, "timestamp": 10}
    it.serve()
    it.plan()
    it.there.hosted = Hosted(before, it.roots)
    asked, find = list[str](), there.find

    def lies(path: str) -> bytes | None:
        asked.append(path)
        first = sum(each.endswith("/timestamp.json") for each in asked) == 1
        return b"<html>" if first and path.endswith("/timestamp.json") else find(path)

    monkeypatch.setattr(there, "find", lies)
    it.refuses(3, "rolled-back")


def test_an_expired_state_takes_consent(old: Make) -> None:
    it = old()
    it.forge.ends = {"timestamp": NOW - timedelta(days=1)}
    it.serve()
    assert it.plan()["expired"] == ["timestamp"]
    refused = it()
    assert (refused.status, "may be an old state" in refused.err) == (2, True), refused.err
    it.migrates("--accept-expired")


def test_a_line_without_end_is_walked_no_further_than_clients_do(old: Make) -> None:
    it = old(260)
    it.serve()
    assert it.plan()["root"] == {"there": 260, "first": 6, "lacking": 5, "new": 261}
    it.migrates("--without-old-roots")


def test_what_expires_is_signed_anew_by_whose_key_is_here_and_named_otherwise(old: Make) -> None:
    it, ann, ben = old(), ecdsa(), ecdsa()
    it.forge.delegate(role_of("targets/ann", ann[0]), tags("v1"), ann)
    it.forge.delegate(role_of("targets/ben", ben[0]), tags("v1"), ben)
    it.forge.delegate(role_of("targets/cut", ben[0]), tags("v1"), ben)
    it.forge.signers["targets/cut"] = [ecdsa()]
    it.forge.ends = {"targets": NOW + timedelta(days=4000), "targets/ann": NOW + timedelta(minutes=10)}
    it.serve()
    (problem,) = it.plan()["problems"]
    assert "over 1830 days" in problem
    assert it.forge.signers["targets"][0][0].canonical_id[:16] in problem
    assert it().slug == "consent-missing"
    it.has(KeyRole.REPOSITORY, it.forge.signers["targets"][0])
    plan = it.plan()
    assert [each["role"] for each in plan["signed"]] == ["targets"]
    left = {each["role"]: (each["why"], each["mend"]) for each in plan["left"]}
    assert set(left) == {"targets/ann", "targets/cut"}
    assert "notary witness" in str(left["targets/ann"][1])
    assert left["targets/cut"] == ("too few of its keys have signed it, or its parent", None)
    refused = it()
    assert (refused.status, "targets/ann" in refused.err) == (2, True), refused.err
    it.migrates("--drop-rest")
    (shown,) = json.loads(it.person("inspect", str(it.gun), "--format", "json").out)
    (tag,) = shown["SignedTags"]
    assert tag["Signers"] == ["ben"]


def test_a_certificate_that_has_ended_is_made_anew(old: Make) -> None:
    it = old(1)
    private = it.forge.signers["root"][0][1].private  # type: ignore[attr-defined]  # a RawSigner
    begun = NOW - timedelta(days=3660)
    it.forge.signers["root"] = [certified(private, it.gun, now=begun)]
    it.roots.clear()
    it.serve()
    plan = it.plan()
    assert (plan["new_certificate"], plan["problems"]) == (True, [])
    it.migrates()
    assert it.person("verify", f"{it.gun}:v1").out.startswith(f"{it.gun}:v1@sha256:")
    assert "migrated before" in it().out


def test_an_ended_certificate_that_no_key_here_makes_anew_is_named_before_anything_is_signed(old: Make) -> None:
    it = old(1)
    it.forge.signers["root"] = [certified(RSA_2048, it.gun, now=NOW - timedelta(days=3660))]
    it.has(KeyRole.ROOT, it.forge.signers["root"][0])
    it.roots.clear()
    it.serve()
    plan = it.plan()
    assert plan["new_certificate"]
    assert "The certificate of its root key has ended" in plan["problems"][0]
    it.refuses(5, "consent-missing")


def test_a_server_that_lists_nothing_has_to_be_told_names(old: Make, tmp_path: Path) -> None:
    it = old()
    it.serve()
    done = it.person("migrate", "from-notary", "--server", it.there.url)
    assert (done.status, "--gun-file" in done.err) == (4, True), done.err
    names = tmp_path / "names"
    names.write_text(f"{it.gun}\n../../etc/passwd\n")
    bad = it.person("migrate", "from-notary", "--server", it.there.url, "--gun-file", str(names))
    assert (bad.status, bad.slug) == (2, "invalid-setting"), bad.err
    assert "line 2" in bad.err
    names.write_text("# none, which is not all\n")
    none = it.person("migrate", "from-notary", "--server", it.there.url, "--gun-file", str(names))
    assert (none.status, none.slug) == (2, "invalid-setting"), none.err


KILLS = {
    "before the upload": "from trustkit.remote.notary import HttpNotary as it; it.publish = lambda *_: os._exit(137)",
    "after the upload": "from trustkit.remote.notary import HttpNotary as it; real = it.publish\n"
    "it.publish = lambda *given: (real(*given), os._exit(137))",
    "before the pin": "from trustkit.client.migrate import Migrate as it; it._done = lambda *_: os._exit(137)",
}


@pytest.mark.parametrize("when", KILLS)
def test_it_is_killed_and_run_again(old: Make, when: str) -> None:
    """Nothing is published twice, and what is left to do is done."""
    it = old()
    it.serve()
    it.service.admin("allow-migration", str(it.gun))
    killed = replace(it.person, first=f"import os\n{KILLS[when]}")
    it.person, alive = killed, it.person
    assert it().status == 137
    it.person = alive
    done = it()
    assert done.status == 0, done.err
    assert ("migrated before" in done.out) == (when != "before the upload")
    rows = json.loads(it.service.admin("audit", "list", "--format", "json").out)
    assert [row["action"] for row in rows if row["subject"] == str(it.gun)].count("collection-founded") == 1
    assert it.person("verify", f"{it.gun}:v1").status == 0
    (pin,) = json.loads(it.person("pin", "list", "--format", "json").out)
    assert (pin["pattern"], pin["format"]) == (str(it.gun), "docker")


def test_two_at_once(old: Make) -> None:
    it = old()
    it.serve()
    it.service.admin("allow-migration", str(it.gun))
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda _: it(), range(2)))
    assert [each.status for each in done] == [0, 0], [each.err for each in done]
    assert sorted("migrated before" in each.out for each in done) == [False, True]
    rows = json.loads(it.service.admin("audit", "list", "--format", "json").out)
    assert [row["action"] for row in rows if row["subject"] == str(it.gun)].count("collection-founded") == 1


def test_the_fingerprints_are_agreed_to_on_a_terminal_or_nothing_is_believed(old: Make) -> None:
    it = old()
    it.serve()
    stranger = replace(it.person, environ={**it.person.environ, "TRUSTKIT_HOME": str(it.folder / "other")})
    run = ["migrate", "from-notary", "--server", it.there.url, "--gun", str(it.gun), "--dry-run"]
    status, said = asked(stranger, run, "n")
    assert status == 3, said
    assert it.forge.signers["root"][0][0].keyid in said
    status, said = asked(stranger, run, "y")
    assert status == 6, said
    assert "root" in said
    assert "[key-missing]" in said


def asked(person: Person, arguments: list[str], answer: str) -> tuple[int, str]:
    """What the command says on a terminal where somebody answers its one question."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, **person.environment()}
    command = [sys.executable, "-m", "trustkit", *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    said = b""
    try:
        while data := os.read(ours, 4096):
            said += data
            if b"[y/N]" in said and answer:
                os.write(ours, f"{answer}\n".encode())
                answer = ""
    except OSError:
        pass  # how a pseudoterminal ends
    finally:
        os.close(ours)
    return process.wait(60), said.decode()


def test_a_home_that_is_pinned_to_other_keys_publishes_nothing(old: Make) -> None:
    it = old()
    it.serve()
    it.service.admin("allow-migration", str(it.gun))
    other = certified(gun=it.gun)[0].keyid
    assert it.person("pin", "add", str(it.gun), "--format", "docker", "--root-key", other).status == 0
    assert "meets the pin" in it.refuses(3, "wrong-root")
    it.person("pin", "remove", str(it.gun))
    it.migrates()


def test_who_stops_it_is_told_what_is_left(old: Make) -> None:
    it = old()
    it.serve()
    names = [f"{it.gun}-{number}" for number in range(3)]
    stop = (
        "from trustkit.client.migrate import Migrate as it; real = it.plan; seen = []\ndef plan(self, gun, *rest):\n"
    )
    stop += "    seen.append(gun)\n    if len(seen) > 1: raise KeyboardInterrupt\n    return real(self, gun, *rest)\n"
    it.person = replace(it.person, first=f"{stop}it.plan = plan")
    done = it(*[word for name in names for word in ("--gun", name)], "--dry-run", "--format", "json")
    assert done.status == 1, done.err
    states = {row["gun"]: row["state"] for row in json.loads(done.out)["collections"]}
    assert states == {str(it.gun): "planned", **dict.fromkeys(names, "left")}


def test_what_has_come_is_converted_and_does_not_come_again(old: Make) -> None:
    it = old()
    it.has(KeyRole.REPOSITORY, it.forge.signers["targets"][0])
    it.serve()
    it.migrates()
    done = it.person("convert", str(it.gun), "--to", "tuf", "--trust-dir", str(it.keys), "--yes")
    assert done.status == 0, done.err
    assert it.person("verify", f"{it.gun}:v1").out.startswith(f"{it.gun}:v1@sha256:")
    again = it()
    assert (again.status, again.slug) == (1, "wrong-format"), again.err
    assert it.service.admin("allow-migration", str(it.gun)).status == 1
