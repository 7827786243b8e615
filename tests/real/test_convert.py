"""Collections that the real docker and notary made, converted: who reads them then, who signs, and what ends."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from tests.real.notary_stand import NotaryStand, Someone
from tests.real.parts import Docker, Tool
from tests.real.test_docker_writes import kit_of, must, pinned, trust_dir
from tests.service import Person

pytestmark = pytest.mark.real

CONVERTED = "was converted to TUF 1.0 on"


@pytest.fixture(scope="module")
def stand(
    need: Callable[[str, str], Path], docker: Docker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NotaryStand]:
    made = NotaryStand.of(tmp_path_factory.mktemp("convert"), docker, Tool(need("notary", "notary"), {}))
    yield made
    made.service.stop()


@pytest.fixture
def alice(stand: NotaryStand) -> Someone:
    return stand.people["alice"]


class Stock(FetcherInterface):
    """python-tuf's own client, which finds what a collection signs."""

    def __init__(self, stand: NotaryStand, gun: str, folder: Path) -> None:
        token = stand.token("alice", f"repository:{gun.partition('/')[2]}:pull")
        self._pool = urllib3.PoolManager(ca_certs=str(stand.ca), headers={"authorization": f"Bearer {token}"})
        self._url, self._folder = f"{stand.url}/v2/{gun}/_trust", folder
        folder.mkdir(exist_ok=True)

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._pool.request("GET", url)
        if answer.status >= 400:
            raise DownloadHTTPError("refused", answer.status)
        return iter([answer.data])

    def digests(self, *tags: str) -> dict[str, str]:
        root = next(self._fetch(f"{self._url}/metadata/1.root.json"))
        updater = Updater(str(self._folder), f"{self._url}/metadata/", fetcher=self, bootstrap=root)
        found = {tag: updater.get_targetinfo(tag) for tag in tags}
        return {tag: target.hashes["sha256"] for tag, target in found.items() if target}


def shown(who: Someone, gun: str) -> dict[str, Any]:
    """What ``docker trust inspect`` prints; its warnings of an expiry are apart."""
    done = who.plain("trust", "inspect", gun, environ=who.environ)
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)[0]
    return found


def signed(who: Someone, gun: str) -> dict[str, str]:
    return {row["SignedTag"]: row["Digest"] for row in shown(who, gun)["SignedTags"]}


def cold(who: Someone, name: str) -> Someone:
    """The same person on a machine that has seen nothing."""
    return Someone(who.name, who.folder / name, who.stand).logged_in()


def made_by_docker(stand: NotaryStand, docker: Docker, name: str, folder: Path) -> str:
    """A collection of docker's: v1 of before there were signers, v2 by ann and ben, v4 by olga, v3 revoked."""
    gun, alice, olga = stand.gun(name), stand.people["alice"], stand.people["olga"]
    docker.make(f"{gun}:v1", "one")
    alice.docker("push", f"{gun}:v1")
    for signer, who in (("ann", alice), ("ben", alice), ("olga", olga)):
        who.docker("trust", "key", "generate", signer, "--dir", str(folder))
        alice.docker("trust", "signer", "add", signer, gun, "--key", str(folder / f"{signer}.pub"))
    for tag, who in (("v2", alice), ("v3", alice), ("v4", olga)):
        docker.make(f"{gun}:{tag}", tag)
        who.docker("trust", "sign", f"{gun}:{tag}")
    alice.docker("trust", "revoke", "--yes", f"{gun}:v3")
    return gun


def test_what_docker_made(stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path) -> None:
    gun = made_by_docker(stand, docker, "convert/app", tmp_path)
    before, olga = signed(alice, gun), stand.people["olga"]
    assert set(before) == {"v1", "v2", "v4"}
    kit = pinned(kit_of(alice, tmp_path / "kit"), alice, gun)

    lacks = kit("convert", gun, "--to", "tuf")
    assert (lacks.status, lacks.slug) == (6, "key-missing"), lacks.err
    assert "root" in lacks.err
    looked = json.loads(must(kit("convert", gun, "--to", "tuf", "--dry-run", "--format", "json", *trust_dir(alice))))
    assert (looked["state"], looked["problems"], {tag["tag"] for tag in looked["tags"]}) == ("planned", [], {*before})
    assert {one["name"] for one in looked["signers"]} == {"ann", "ben", "olga"}
    assert (looked["left"], looked["unattributed"]) == ([], ["olga"])
    places = {key["role"]: bool(key["place"]) for key in looked["keys"]}
    assert places == {"root": True, "repository": True, "signer ann": True, "signer ben": True, "signer olga": False}

    done = kit("convert", gun, "--to", "tuf", *trust_dir(alice))
    assert done.status == 0, done.err
    assert "The key of olga isn't here" in done.err
    assert Stock(stand, gun, tmp_path / "tuf").digests(*before, "v3") == before
    for tag, digest in before.items():
        assert must(kit("verify", f"{gun}:{tag}")) == f"{gun}:{tag}@sha256:{digest}\n"
    assert kit("verify", f"{gun}:v3").slug == "unsigned"
    inspected = must(kit("inspect", gun))
    assert [line.split()[2:] for line in inspected.splitlines() if line.startswith("v2")] == [["ann,", "ben"]]
    assert json.loads(must(kit("pin", "list", "--format", "json")))[0]["format"] == "tuf"
    again = kit("convert", gun, "--to", "tuf", *trust_dir(alice))
    assert (again.status, "before" in again.out) == (0, True), again.err

    for who in (alice, cold(alice, "fresh")):
        assert signed(who, gun) == before
        who.docker("pull", f"{gun}:v2")
    docker.make(f"{gun}:v9", "nine")
    refusals = [
        alice.docker("trust", "sign", f"{gun}:v9", fails=True),
        alice.docker("trust", "revoke", "--yes", f"{gun}:v1", fails=True),
        alice.docker("push", f"{gun}:v9", fails=True),
        olga.docker("trust", "sign", f"{gun}:v9", fails=True),
    ]
    where = ("-s", stand.url, "--tlscacert", str(stand.ca), "-d", str(olga.folder / "docker" / "trust"))
    for words in (("key", "rotate", gun, "snapshot", "-r"), ("delete", gun, "--remote")):
        ran = stand.notary_tool(olga.environ, *where, *words)
        refusals.append(ran.out + ran.err)
    assert [CONVERTED in words for words in refusals] == [True] * 6, refusals
    assert signed(alice, gun) == before

    five = docker.push({**alice.environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:v5", "five")
    assert f"{gun}:v5@{five}" in must(kit("sign", f"{gun}:v5"))
    assert signed(alice, gun) == before  # a new tag takes nothing back
    must(kit("revoke", f"{gun}:v1"))
    for who in (alice, cold(alice, "fresh again")):
        assert CONVERTED in who.docker("pull", f"{gun}:v2", fails=True)
        who.docker("trust", "inspect", gun, fails=True)
        assert "v1 was revoked" in who.notary("list", gun, fails=True)
    assert Stock(stand, gun, tmp_path / "tuf").digests("v1", "v2", "v5") == {
        "v2": before["v2"], "v5": five.removeprefix("sha256:"),
    }  # fmt: skip
    key = trustkit_key(kit, tmp_path)
    must(kit("signer", "remove", "ben", gun, "--yes"))
    must(kit("signer", "add", "fay", gun, "--key", str(key)))
    must(kit("verify", f"{gun}:v5"))


def trustkit_key(kit: Person, folder: Path) -> Path:
    must(kit("key", "generate", "--role", "signer", "--name", "fay"))
    (made,) = [row for row in json.loads(must(kit("key", "list", "--format", "json"))) if row["name"] == "fay"]
    public = folder / "fay.pub"
    public.write_text(must(kit("key", "export", made["id"], "--public")))
    return public


def quick(stand: NotaryStand, kit: Person, docker: Docker, name: str, *more: str) -> str:
    """A collection of trustkit's in format docker with v1 and v2, converted."""
    gun = stand.gun(name)
    for tag in ("v1", "v2"):
        docker.push({**stand.people["alice"].environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:{tag}", f"{name} {tag}")
    must(kit("init", gun, "--format", "docker"))
    must(kit("sign", f"{gun}:v1", f"{gun}:v2"))
    warm = stand.people["alice"].notary("list", gun)
    assert "v1" in warm
    must(kit("convert", gun, "--to", "tuf", *more))
    return gun


def closed(who: Someone, gun: str, why: str) -> None:
    for machine in (who, who.elsewhere()):
        said = machine.notary("list", gun, fails=True)
        assert CONVERTED in said, said
        assert why in said, said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param(("sign", "GUN:v1"), "v1 was revoked or signed anew", id="a tag that moves"),
        pytest.param(("revoke", "GUN:v2"), "v2 was revoked or signed anew", id="a tag that goes"),
        pytest.param(("key", "rotate", "GUN", "--role", "root", "--yes"), "may sign nothing", id="another root key"),
        pytest.param(
            ("key", "rotate", "GUN", "--role", "repository", "--yes"), "may sign", id="another repository key"
        ),
        pytest.param(("reset", "GUN", "--yes-reset", "GUN"), "the collection was reset", id="an Owner's reset"),
        pytest.param(
            ("convert", "GUN", "--end-docker", "--yes"), "its publisher ended it", id="its publisher's word"
        ),
    ],
)
def test_what_ends_the_docker_side(
    stand: NotaryStand, docker: Docker, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    olga = stand.people["olga"]
    kit = kit_of(olga, tmp_path)
    name = f"ends/{why.split()[0]}-{words[-2].lower().lstrip('-') if words[0] == 'key' else words[0]}"
    gun = quick(stand, kit, docker, name)
    warm = cold(olga, name)
    assert set(signed(warm, gun)) == {"v1", "v2"}
    docker.push({**olga.environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:v1", "another one")
    must(kit(*(word.replace("GUN", gun) for word in words)))
    closed(stand.people["alice"], gun, why)
    for machine in (warm, cold(olga, f"{name}-ended")):
        assert CONVERTED in machine.docker("pull", f"{gun}:v2", fails=True)


def test_a_docker_side_that_ends_at_once(stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path) -> None:
    kit = kit_of(alice, tmp_path)
    gun = quick(stand, kit, docker, "ends/now", "--docker-until", "now")
    must(kit("verify", f"{gun}:v1"))
    for machine in (alice, alice.elsewhere()):
        assert "root expired" in machine.notary("list", gun, fails=True)
    for machine in (alice, cold(alice, "ended")):
        said = machine.docker("pull", f"{gun}:v1", fails=True)
        assert "expired" in said or CONVERTED in said, said
    assert CONVERTED in alice.docker("trust", "sign", f"{gun}:v1", fails=True)


def test_who_has_seen_the_end_does_not_go_back_when_nobody_answers(
    stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path
) -> None:
    """notary falls back on what it has cached where a server fails: it has cached the end."""
    kit = kit_of(alice, tmp_path)
    gun = quick(stand, kit, docker, "ends/offline")

    def offline(*, fails: bool) -> str:
        stand.service.stop()
        try:
            return alice.notary("list", gun, fails=fails)
        finally:
            stand.service.start()

    assert re.search(r"v2 +[0-9a-f]{64}", offline(fails=False))
    must(kit("revoke", f"{gun}:v2"))
    closed(alice, gun, "v2 was revoked")
    said = offline(fails=True)
    assert not re.search(r"[0-9a-f]{64}", said), said


def test_a_publisher_who_holds_the_snapshot_and_what_notary_can_say(
    stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path
) -> None:
    gun = stand.gun("convert/notary")
    custom = tmp_path / "custom.json"
    custom.write_text('{"build":7,"labels":["a","b"]}')
    alice.notary("init", gun)
    alice.notary("addhash", gun, "v1", "500", "--sha256", "ab" * 32, "--custom", str(custom))
    alice.notary("addhash", gun, "v2", "500", "--sha256", "cd" * 32, "-p")
    certificates = certificate_of(alice, tmp_path)
    alice.notary("delegation", "add", gun, "targets/old", certificates, "--all-paths", "-p")
    kit = pinned(kit_of(alice, tmp_path / "kit"), alice, gun)
    notary = ("--trust-dir", str(alice.folder / "notary"))
    refused = kit("convert", gun, "--to", "tuf", *notary)
    assert (refused.status, refused.slug) == (2, "usage"), refused.err
    assert "targets/old" in refused.err
    done = kit("convert", gun, "--to", "tuf", "--drop-rest", *notary)
    assert done.status == 0, done.err
    assert "media types stay unknown" in done.err
    assert Stock(stand, gun, tmp_path / "tuf").digests("v1", "v2") == {"v1": "ab" * 32, "v2": "cd" * 32}
    token = stand.token("alice", "repository:convert/notary:pull")
    served = json.loads(stand.ask("GET", f"/v2/{gun}/_trust/metadata/1.targets.json", token=token).body)
    assert served["signed"]["targets"]["v1"]["custom"]["labels"] == ["a", "b"]
    assert set(alice.elsewhere().listed(gun)) == {"v1", "v2"}
    must(kit("verify", f"{gun}:v1"))


def certificate_of(who: Someone, folder: Path) -> str:
    """The public half of a signer's key of docker's."""
    who.docker("trust", "key", "generate", "old", "--dir", str(folder))
    return str(folder / "old.pub")


def test_whoever_signs_meanwhile_is_in_it_or_is_told(
    stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path
) -> None:
    gun = made_by_docker(stand, docker, "convert/race", tmp_path)
    kit = pinned(kit_of(alice, tmp_path / "kit"), alice, gun)
    olga, said = stand.people["olga"], dict[str, str]()
    for number in range(4):
        docker.make(f"{gun}:r{number}", f"race {number}")

    def sign() -> None:
        for number in range(4):
            done = olga.plain("trust", "sign", f"{gun}:r{number}", environ=olga.environ)
            said[f"r{number}"] = "" if done.status == 0 else done.out + done.err

    signing = threading.Thread(target=sign)
    signing.start()
    done = kit("convert", gun, "--to", "tuf", *trust_dir(alice))
    signing.join()
    assert done.status == 0, done.err
    taken = {tag for tag, words in said.items() if not words}
    assert all(CONVERTED in words for words in said.values() if words), said
    digests = Stock(stand, gun, tmp_path / "tuf").digests(*said)
    assert set(digests) == taken
    assert {tag: digest for tag, digest in signed(cold(olga, "race"), gun).items() if tag in said} == digests


def test_a_thousand_tags_and_three_signers(
    stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path
) -> None:
    """notary stages each in a file of its own; one publish has them all."""
    gun = made_by_docker(stand, docker, "convert/large", tmp_path)
    digests = {f"t{number}": f"{number:064x}" for number in range(1, 1001)}
    staged = alice.folder / "docker" / "trust" / "tuf" / gun / "changelist"
    staged.mkdir(parents=True, exist_ok=True)
    for number, (tag, digest) in enumerate(digests.items()):
        (staged / f"{number:020d}_{number:08x}.change").write_text(change_of(tag, digest))
    alice.notary_of_docker()("publish", gun)
    before = signed(alice, gun)
    assert len(before) == 1003
    kit = pinned(kit_of(alice, tmp_path / "kit"), alice, gun)
    whole = {"TRUSTKIT_BINS_ABOVE": "0"}  # a thousand files would take long to fetch one after the other
    must(kit("convert", gun, "--to", "tuf", *trust_dir(alice), environ=whole))
    assert Stock(stand, gun, tmp_path / "tuf").digests(*before) == before
    (inspected,) = json.loads(must(kit("inspect", gun, "--format", "json")))
    assert {row["SignedTag"]: row["Digest"] for row in inspected["SignedTags"]} == before
    assert signed(cold(alice, "large"), gun) == before


def change_of(tag: str, digest: str) -> str:
    """What notary stages for ``addhash -r targets/releases`` (client/changelist/change.go)."""
    from base64 import b64encode

    meta = {"length": 500, "hashes": {"sha256": b64encode(bytes.fromhex(digest)).decode()}}
    data = b64encode(json.dumps(meta).encode()).decode()
    change: Mapping[str, object]
    change = {"action": "create", "role": "targets/releases", "type": "target", "path": tag, "data": data}
    return json.dumps(change)
