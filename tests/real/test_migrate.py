"""Collections of the real docker and notary, brought from a real notary-server to our service."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.formats_docker.stand import NotaryServer
from tests.real.migration_stand import MigrationStand, There, stage
from tests.real.notary_stand import NotaryStand
from tests.real.parts import Docker, Tool
from tests.real.test_docker_writes import must, root_id, signers_of, tags_of, trust_dir
from tests.service import Person

pytestmark = pytest.mark.real

MANY = {f"t{number:04d}": hashlib.sha256(str(number).encode()).hexdigest() for number in range(1000)}


@pytest.fixture(scope="module")
def both(
    need: Callable[[str, str], Path], docker: Docker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MigrationStand]:
    stand = NotaryStand.of(tmp_path_factory.mktemp("migrate"), docker, Tool(need("notary", "notary"), {}))
    with NotaryServer(need("notary-server", "notary"), tmp_path_factory.mktemp("old")) as server:
        yield MigrationStand(stand, server)
    stand.service.stop()


@dataclass
class Moving:
    """One collection on its way, with machines that have seen it at different times."""

    both: MigrationStand
    gun: str
    alice: There
    olga: There
    kit: Person
    reader: Person
    warm: dict[str, There]
    before: dict[str, str]


def made(both: MigrationStand, docker: Docker, name: str, folder: Path) -> Moving:
    """By docker: three signers, one of them olga; its root key changed twice; a thousand tags."""
    gun, alice, olga = both.stand.gun(name), both.there("alice"), both.there("olga")
    docker.make(f"{gun}:v1", "one")
    alice.docker("push", f"{gun}:v1")
    warm = {"first root": both.machine("carol", folder / "early")}
    assert set(tags_of(warm["first root"], gun)) == {"v1"}
    for signer, who in (("ann", alice), ("ben", alice), ("olga", olga)):
        who.docker("trust", "key", "generate", signer, "--dir", str(folder))
        alice.docker("trust", "signer", "add", signer, gun, "--key", str(folder / f"{signer}.pub"))
    for tag, who in (("v2", alice), ("v4", olga)):
        docker.make(f"{gun}:{tag}", tag)
        who.docker("trust", "sign", f"{gun}:{tag}")
    for _ in range(2):
        alice.notary("key", "rotate", gun, "root", feed="yes\n", folder="docker/trust")
        warm[f"root {both.version(gun)}"] = machine = both.machine("carol", folder / f"root{both.version(gun)}")
        assert "v2" in tags_of(machine, gun)
    stage(alice.folder / "docker/trust/tuf" / gun / "changelist", "targets/releases", MANY)
    alice.notary("publish", gun, folder="docker/trust")
    warm["last state"] = both.machine("carol", folder / "late")
    reader = both.kit(warm["last state"], folder / "reader")
    there = {"TRUSTKIT_TRUST_SERVERS": f"{both.stand.host}={both.server.url}"}
    (root,) = json.loads(both.server.get(f"/v2/{gun}/_trust/tuf/root.json"))["signed"]["roles"]["root"]["keyids"]
    must(reader("pin", "add", gun, "--format", "docker", "--root-key", root))
    must(reader("verify", f"{gun}:v2", environ=there))
    before = tags_of(warm["last state"], gun)
    assert set(before) == {*MANY, "v1", "v2", "v4"}
    return Moving(both, gun, alice, olga, both.kit(alice, folder / "kit"), reader, warm, before)


@pytest.fixture(scope="module")
def moved(both: MigrationStand, docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Moving:
    """Looked at, refused where nobody allowed it, then migrated."""
    it = made(both, docker, "moved/app", tmp_path_factory.mktemp("moved"))
    run, gun = (*both.source, "--gun", it.gun, *trust_dir(it.alice)), it.gun
    version = both.version(gun)
    looked = json.loads(must(it.kit(*run, "--dry-run", "--format", "json")))["collections"][0]
    assert (looked["state"], looked["problems"], looked["left"], looked["signed"]) == ("planned", [], [], [])
    assert looked["root"] == {"there": version, "first": 1, "lacking": 0, "new": version + 1}
    assert looked["trusted"]["by"] == "own key"
    assert {row["tag"]: row["digest"][7:] for row in looked["tags"]} == it.before
    assert {row["tag"]: row["signers"] for row in looked["tags"] if row["signers"]} == {
        "v2": ["ann", "ben"], "v4": ["olga"],
    }  # fmt: skip
    refused = it.kit(*run)
    assert (refused.status, refused.slug) == (5, "consent-missing"), refused.err
    assert f"Its operator allows it once: trustkit admin allow-migration {gun}." in refused.err
    assert "does not have trust data" in both.stand.people["alice"].notary("list", gun, fails=True)
    both.allow(gun)
    done = it.kit(*run)
    assert done.status == 0, done.err
    assert done.out == f"{gun}: {len(it.before)} tags migrated, root {version + 1}\n"
    return it


def test_it_is_done_once(moved: Moving) -> None:
    run = (*moved.both.source, "--gun", moved.gun, *trust_dir(moved.alice))
    again = moved.kit(*run)
    assert (again.status, "migrated before" in again.out) == (0, True), again.err
    rows = json.loads(moved.both.stand.admin("audit", "list", "--format", "json"))
    mine = [row for row in rows if row["subject"] == moved.gun]
    assert [row["action"] for row in mine].count("collection-founded") == 1
    (founded,) = [row for row in mine if row["action"] == "collection-founded"]
    assert founded["detail"]["former_roots"] == [1, moved.both.version(moved.gun)]


@pytest.mark.parametrize("seen", ["first root", "root 2", "root 3", "last state"])
def test_warm_docker_goes_on(moved: Moving, seen: str) -> None:
    machine = moved.warm[seen].here
    assert tags_of(machine, moved.gun) == moved.before
    assert signers_of(machine, moved.gun) == {"ann", "ben", "olga"}
    pulled = machine.docker("pull", f"{moved.gun}:v2")
    assert moved.before["v2"] in pulled


def test_warm_trustkit_goes_on_and_believes_the_old_server_no_more(moved: Moving) -> None:
    must(moved.reader("verify", f"{moved.gun}:v2"))
    there = {"TRUSTKIT_TRUST_SERVERS": f"{moved.both.stand.host}={moved.both.server.url}"}
    refused = moved.reader("verify", f"{moved.gun}:v2", environ=there)
    assert refused.status in (3, 4), refused.err
    must(moved.reader("verify", f"{moved.gun}:t0001"))


def test_cold_docker_notary_and_trustkit_read_it(moved: Moving, tmp_path: Path) -> None:
    cold = moved.both.machine("carol", tmp_path / "cold").here
    assert tags_of(cold, moved.gun) == moved.before
    assert set(cold.listed(moved.gun)) == set(moved.before)
    for tag in ("v1", "v2", "v4", "t0999"):
        assert must(moved.kit("verify", f"{moved.gun}:{tag}")) == f"{moved.gun}:{tag}@sha256:{moved.before[tag]}\n"
    reader = moved.both.kit(moved.both.stand.people["carol"], tmp_path / "reader")
    must(reader("pin", "add", moved.gun, "--format", "docker", "--root-key", root_id(cold, moved.gun)))
    must(reader("verify", f"{moved.gun}:t0500"))


def test_docker_and_notary_publish_on_and_the_old_server_is_behind(
    moved: Moving, docker: Docker, tmp_path: Path
) -> None:
    gun, alice, olga = moved.gun, moved.alice.here, moved.olga.here
    docker.make(f"{gun}:v5", "five")
    alice.docker("trust", "sign", f"{gun}:v5")
    docker.make(f"{gun}:v6", "six")
    olga.docker("trust", "sign", f"{gun}:v6")
    alice.notary_of_docker()("remove", gun, "t0000", "-r", "targets/releases", "-p")
    alice.notary_of_docker()("key", "rotate", gun, "snapshot", "-r")
    cold = moved.both.machine("carol", tmp_path / "cold").here
    expected = {*moved.before, "v5", "v6"} - {"t0000"}
    assert set(tags_of(cold, gun)) == expected
    assert set(tags_of(moved.warm["last state"].here, gun)) == expected
    run = (*moved.both.source, "--gun", gun, *trust_dir(moved.alice))
    assert "migrated before" in must(moved.kit(*run))


def test_who_goes_on_publishing_there_is_told(both: MigrationStand, docker: Docker, tmp_path: Path) -> None:
    gun, alice = both.stand.gun("moved/behind"), both.there("alice")
    docker.make(f"{gun}:v1", "one")
    alice.docker("push", f"{gun}:v1")
    kit, run = both.kit(alice, tmp_path / "kit"), (*both.source, "--gun", gun, *trust_dir(alice))
    both.allow(gun)
    must(kit(*run))
    late = both.machine("alice", tmp_path / "late")
    (late.folder / "docker/trust").mkdir()
    for path in (alice.folder / "docker/trust/private").iterdir():
        target = late.folder / "docker/trust/private" / path.name
        target.parent.mkdir(exist_ok=True, mode=0o700)
        target.write_bytes(path.read_bytes())
        target.chmod(0o600)
    docker.make(f"{gun}:v2", "two")
    late.docker("push", f"{gun}:v2")
    told = kit(*both.source, "--gun", gun, "--trust-dir", str(late.folder / "docker/trust"))
    assert (told.status, told.slug) == (1, "conflict"), told.err
    assert "has gone on since" in told.err
    assert "v2" in told.err
    assert set(tags_of(alice.here, gun)) == {"v1"}


def notary_made(both: MigrationStand, name: str, tags: int = 3) -> tuple[str, There]:
    """By notary: its publisher holds the snapshot key."""
    gun, alice = both.stand.gun(name), both.there("alice")
    alice.notary("init", gun)
    stage(alice.folder / "notary/tuf" / gun / "changelist", "targets", dict(list(MANY.items())[:tags]))
    alice.notary("publish", gun)
    return gun, alice


def test_a_publishers_snapshot_key_becomes_the_services(both: MigrationStand, tmp_path: Path) -> None:
    gun, alice = notary_made(both, "moved/notary")
    kit = both.kit(alice, tmp_path / "kit")
    must(kit("key", "import", "--docker", str(alice.folder / "notary")))
    both.allow(gun)
    plan = must(kit(*both.source, "--gun", gun, "--dry-run"))
    assert "snapshot: the service's new key" in plan
    must(kit(*both.source, "--gun", gun))
    assert set(alice.here.listed(gun)) == {"t0000", "t0001", "t0002"}
    alice.here.notary("addhash", gun, "late", "500", "--sha256", "ab" * 32, "-p")
    assert "late" in both.machine("carol", tmp_path / "cold").here.listed(gun)


def test_many_collections_by_the_changefeed_and_by_a_list(both: MigrationStand, tmp_path: Path) -> None:
    names = [notary_made(both, f"many/{name}", 1) for name in ("one", "two", "three")]
    alice, guns = names[0][1], [gun for gun, _ in names]
    kit = both.kit(alice, tmp_path / "kit")
    keys = ("--trust-dir", str(alice.folder / "notary"))
    pattern = f"{both.stand.host}/many/*"
    seen = json.loads(must(kit(*both.source, "--gun", pattern, "--dry-run", "--format", "json", *keys)))
    assert {row["gun"]: row["state"] for row in seen["collections"]} == dict.fromkeys(guns, "planned")
    both.allow(guns[0], guns[2])
    some = kit(*both.source, "--gun", pattern, "--format", "json", *keys)
    assert some.status == 5, some.err
    states = {
        row["gun"]: (row["state"], (row["error"] or {}).get("slug")) for row in json.loads(some.out)["collections"]
    }
    assert states == {
        guns[0]: ("migrated", None),
        guns[1]: ("failed", "consent-missing"),
        guns[2]: ("migrated", None),
    }
    both.allow(guns[1])
    listed = tmp_path / "guns"
    listed.write_text("# all\n\n" + "\n".join(guns) + "\n")
    rest = must(kit(*both.source, "--gun-file", str(listed), *keys))
    assert [line.partition(": ")[2][:8] for line in rest.splitlines()] == ["migrated", "1 tags m", "migrated"]
    assert kit(*both.source, "--gun", f"{both.stand.host}/none/*", *keys).slug == "not-found"


def test_without_the_root_key_nothing_is_believed_or_signed(both: MigrationStand, tmp_path: Path) -> None:
    gun, alice = notary_made(both, "moved/keyless", 1)
    kit = both.kit(both.stand.people["olga"], tmp_path / "kit")
    both.allow(gun)
    unknown = kit(*both.source, "--gun", gun)
    assert (unknown.status, unknown.slug) == (3, "no-pin"), unknown.err
    strange = kit(*both.source, "--gun", gun, "--root-key", "ab" * 32)
    assert (strange.status, strange.slug) == (3, "wrong-root"), strange.err
    (root,) = json.loads(both.server.get(f"/v2/{gun}/_trust/tuf/root.json"))["signed"]["roles"]["root"]["keyids"]
    lacks = kit(*both.source, "--gun", gun, "--root-key", root)
    assert (lacks.status, lacks.slug) == (6, "key-missing"), lacks.err
    nobody = both.kit(both.stand.people["bob"], tmp_path / "bob")
    roleless = nobody(*both.source, "--gun", gun, "--trust-dir", str(alice.folder / "notary"))
    assert (roleless.status, roleless.slug) == (5, "role-missing"), roleless.err
    same = kit("migrate", "from-notary", "--server", both.stand.url, "--gun", gun)
    assert (same.status, same.slug) == (2, "usage"), same.err
    assert kit(*both.source, "--gun", both.stand.gun("moved/nothing")).slug == "no-collection"
    assert kit("migrate", "from-notary", "--server", "http://example.com", "--gun", gun).slug == "invalid-setting"


def test_somebody_of_another_collection_is_no_obstacle(both: MigrationStand, tmp_path: Path) -> None:
    """What is at the service under the name already, and isn't from there, is never touched."""
    gun, alice = notary_made(both, "moved/taken", 1)
    other = both.machine("olga", tmp_path / "other").here
    other.notary("init", gun, "-p")
    kit = both.kit(alice, tmp_path / "kit")
    taken = kit(*both.source, "--gun", gun, "--trust-dir", str(alice.folder / "notary"))
    assert (taken.status, taken.slug) == (1, "conflict"), taken.err
    assert "is not the one at" in taken.err
