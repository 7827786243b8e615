"""One collection that docker, notary and trustkit sign in turn: after each write every one of them still reads it."""

from __future__ import annotations

import json
import random
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.formats_docker.stand import PASSPHRASE as NOTARY_PASSPHRASE
from tests.formats_docker.stand import Notary, NotaryServer
from tests.real.notary_stand import NotaryStand, Someone
from tests.real.parts import Docker, Tool
from tests.service import PASSPHRASE, Person, Result

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def stand(
    need: Callable[[str, str], Path], docker: Docker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NotaryStand]:
    made = NotaryStand.of(tmp_path_factory.mktemp("docker-writes"), docker, Tool(need("notary", "notary"), {}))
    yield made
    made.service.stop()


@pytest.fixture
def alice(stand: NotaryStand) -> Someone:
    return stand.people["alice"]


def kit_of(who: Someone, folder: Path) -> Person:
    """trustkit in the hands of the same person, with a home of its own."""
    words = ("ROOT", "REPOSITORY", "SIGNER", "SNAPSHOT")
    passphrases = {f"TRUSTKIT_{word}_PASSPHRASE": PASSPHRASE for word in words}
    docker = {f"DOCKER_CONTENT_TRUST_{word}_PASSPHRASE": PASSPHRASE for word in ("ROOT", "REPOSITORY")}
    own = {"SSL_CERT_FILE": str(who.stand.ca), "DOCKER_CONFIG": str(who.folder / "docker")}
    return Person(who.name, folder, {**passphrases, **docker, **own})


def must(done: Result) -> str:
    assert done.status == 0, done.err
    return done.out


def inspected(who: Someone, gun: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(who.docker("trust", "inspect", gun))[0]
    return found


def root_id(who: Someone, gun: str) -> str:
    keys = {row["Name"]: row["Keys"] for row in inspected(who, gun)["AdministrativeKeys"]}
    return str(keys["Root"][0]["ID"])


def signers_of(who: Someone, gun: str) -> set[str]:
    return {row["Name"] for row in inspected(who, gun)["Signers"]}


def tags_of(who: Someone, gun: str) -> dict[str, str]:
    return {row["SignedTag"]: row["Digest"] for row in inspected(who, gun)["SignedTags"]}


def pinned(kit: Person, who: Someone, gun: str) -> Person:
    must(kit("pin", "add", gun, "--format", "docker", "--root-key", root_id(who, gun)))
    return kit


def trust_dir(who: Someone) -> tuple[str, str]:
    return "--trust-dir", str(who.folder / "docker" / "trust")


def test_docker_trustkit_docker(stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path) -> None:
    gun = stand.gun("writes/app")
    docker.make(f"{gun}:v1", "one")
    alice.docker("push", f"{gun}:v1")
    kit = pinned(kit_of(alice, tmp_path), alice, gun)
    must(kit("verify", f"{gun}:v1"))

    second = docker.push({**alice.environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:v2", "two")
    alice.docker("pull", f"{gun}:v2", fails=True)
    lacks = kit("sign", f"{gun}:v2")
    assert (lacks.status, lacks.slug) == (6, "key-missing"), lacks.err
    assert f"{gun}:v2@{second}" in must(kit("sign", f"{gun}:v2", *trust_dir(alice)))
    alice.docker("pull", f"{gun}:v2")

    docker.make(f"{gun}:v3", "three")
    alice.docker("push", f"{gun}:v3")
    for version in ("v1", "v2", "v3"):
        must(kit("verify", f"{gun}:{version}"))
    assert alice.listed(gun) == dict.fromkeys(("v1", "v2", "v3"), "targets")

    alice.docker("trust", "key", "generate", "ann", "--dir", str(tmp_path))
    add = ("signer", "add", "ann", gun, "--key", str(tmp_path / "ann.pub"), "--yes", *trust_dir(alice))
    must(kit(*add))
    assert signers_of(alice, gun) == {"ann"}
    docker.make(f"{gun}:v4", "four")
    alice.docker("trust", "sign", f"{gun}:v4")
    assert set(tags_of(alice, gun)) == {"v1", "v2", "v3", "v4"}
    must(kit("verify", f"{gun}:v4"))
    plain = docker.push({**alice.environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:v5", "five")
    must(kit("sign", f"{gun}:v5", *trust_dir(alice)))
    assert tags_of(alice, gun)["v5"] == plain.removeprefix("sha256:")
    rows = {row["SignedTag"]: row["Signers"] for row in inspected(alice, gun)["SignedTags"]}
    assert rows["v5"] == ["ann"]

    must(kit("revoke", f"{gun}:v4", *trust_dir(alice)))
    alice.docker("pull", f"{gun}:v4", fails=True)
    assert kit("verify", f"{gun}:v4").slug == "unsigned"

    must(kit("signer", "remove", "ann", gun, "--yes", "--resign", *trust_dir(alice)))
    assert signers_of(alice, gun) == set()
    assert set(tags_of(alice, gun)) == {"v1", "v2", "v3", "v5"}
    must(kit(*add))
    alice.docker("trust", "sign", f"{gun}:v4")
    assert "v4" in tags_of(alice, gun)
    must(kit("verify", f"{gun}:v4"))

    for role in ("repository", "root", "snapshot", "timestamp"):
        must(kit("key", "rotate", gun, "--role", role, "--yes", *trust_dir(alice)))
        must(kit("verify", f"{gun}:v1"))
        docker.make(f"{gun}:{role}", role)
        alice.docker("trust", "sign", f"{gun}:{role}")
        alice.docker("pull", f"{gun}:{role}")
        must(kit("verify", f"{gun}:{role}"))
    assert set(alice.elsewhere().listed(gun)) >= {"v1", "v5", "root"}


def test_trustkit_makes_one(stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path) -> None:
    """The service's default-format says docker; the keys are the home's, and docker gets them by export."""
    gun = stand.gun("writes/made")
    first = docker.push({**alice.environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:v1", "made")
    kit = kit_of(alice, tmp_path)
    stand.admin("policy", "set", "default-format", "docker")
    try:
        must(kit("sign", f"{gun}:v1"))
    finally:
        stand.admin("policy", "set", "default-format", "tuf")
    assert "sha256:" + tags_of(alice, gun)["v1"] == first
    alice.docker("pull", f"{gun}:v1")
    assert "docker" in must(kit("pin", "list"))
    token, path = stand.token("carol", f"repository:{gun}:pull"), f"/v2/{gun}/_trust/tuf/timestamp.json"
    before = stand.ask("GET", path, token=token).body
    public = str(_public(kit, tmp_path))
    for words in (
        ("threshold", "set", gun, "--role", "targets", "2"), ("threshold", "show", gun),
        ("propose", f"{gun}:v1"), ("proposal", "list", gun), ("approve", gun, "0123456789abcdef"),
        ("root", "show", gun), ("root", "rotate", gun, "--yes"),
        ("mirror", f"{gun}:v1", str(tmp_path / "mirror")),
        ("signer", "add", "x", gun, "--key", public, "--paths", "v*", "--yes"),
        ("signer", "add", "x", gun, "--key", public, "--before", "y", "--yes"),
    ):  # fmt: skip
        done = kit(*words)
        assert (done.status, done.slug) == (1, "wrong-format"), (words, done.err)
    assert kit("init", gun).slug == "usage"
    assert kit("init", gun, "--format", "tuf").slug == "wrong-format"
    assert stand.ask("GET", path, token=token).body == before

    must(kit("key", "export", "--docker", str(tmp_path / "exported")))
    keys = alice.folder / "docker" / "trust" / "private"
    keys.mkdir(parents=True, exist_ok=True)
    for file in (tmp_path / "exported").rglob("*.key"):
        (keys / file.name).write_bytes(file.read_bytes())
        (keys / file.name).chmod(0o600)
    docker.make(f"{gun}:v2", "docker goes on")
    alice.docker("push", f"{gun}:v2")
    must(kit("verify", f"{gun}:v2"))
    for role in ("root", "repository"):
        must(kit("key", "rotate", gun, "--role", role, "--yes"))
    must(kit("revoke", f"{gun}:v2"))
    assert set(alice.elsewhere().listed(gun)) == {"v1"}
    bob = kit_of(stand.people["bob"], tmp_path / "bob")
    must(bob("pin", "add", gun, "--format", "docker", "--root-key", root_id(alice, gun)))
    for words in (("sign", f"{gun}:v1"), ("revoke", f"{gun}:v1"), ("key", "rotate", gun, "--role", "root", "--yes")):
        done = bob(*words)
        assert done.slug == "role-missing", (words, done.err)
    assert must(bob("key", "list", "--format", "json")).strip() == "[]"
    other = stand.gun("writes/tuf")
    fresh = kit_of(alice, tmp_path / "fresh")
    must(fresh("init", other))
    done = fresh("sign", f"{other}:v1", *trust_dir(alice))
    assert done.slug == "usage", done.err


def _public(kit: Person, folder: Path) -> Path:
    must(kit("key", "generate", "--role", "signer", "--name", "x", "--algorithm", "ecdsa-p256"))
    ids = [key["id"] for key in json.loads(must(kit("key", "list", "--format", "json"))) if key["role"] == "signer"]
    file = folder / "x.pem"
    file.write_text(must(kit("key", "export", ids[0], "--public")))
    return file


@pytest.mark.parametrize("seed", [1])
def test_any_sequence_of_writers(
    stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path, seed: int
) -> None:
    """What was written by one is read by all of them, and each can write on."""
    random_ = random.Random(seed)
    gun = stand.gun(f"writes/random{seed}")
    docker.make(f"{gun}:v0", "zero")
    alice.docker("push", f"{gun}:v0")
    kit = pinned(kit_of(alice, tmp_path), alice, gun)
    notary = alice.notary_of_docker()
    digests = [docker.push(alice.environ | {"DOCKER_CONTENT_TRUST": "0"}, f"{gun}:i{n}", f"i{n}") for n in range(3)]
    expected = dict(tags_of(alice, gun))
    for step in range(12):
        number = random_.randrange(3)
        tag, digest = f"i{number}", digests[number]
        word = random_.choice(["notary", "trustkit", "notary", "trustkit", "revoke", "repository"])
        if word == "notary":
            notary("addhash", gun, tag, "500", "--sha256", digest[7:], "-p")
            expected[tag] = digest[7:]
        elif word == "trustkit":
            must(kit("sign", f"{gun}:{tag}", *trust_dir(alice)))
            expected[tag] = digest[7:]
        elif word == "revoke" and tag in expected:
            must(kit("revoke", f"{gun}:{tag}", *trust_dir(alice)))
            del expected[tag]
        elif word == "repository":
            must(kit("key", "rotate", gun, "--role", "repository", "--yes", *trust_dir(alice)))
        assert tags_of(alice, gun) == expected, (step, word)
        assert set(alice.elsewhere().listed(gun)) == set(expected), (step, word)
        done = kit("verify", f"{gun}:{tag}")
        assert (done.status == 0) == (tag in expected), (step, word, done.err)


@dataclass(frozen=True)
class Foreign:
    """Docker's own server before the images of our stand, and notary with its keys."""

    server: NotaryServer
    notary: Notary
    kit: Person
    stand: NotaryStand

    def gun(self, name: str) -> str:
        return self.stand.gun(name)

    @property
    def keys(self) -> tuple[str, str]:
        return "--trust-dir", str(self.notary.folder)

    def root(self, gun: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.server.get(f"/v2/{gun}/_trust/tuf/root.json"))["signed"]
        return found

    def version(self, gun: str, role: str) -> int:
        return int(json.loads(self.server.get(f"/v2/{gun}/_trust/tuf/{role}.json"))["signed"]["version"])

    def pinned(self, gun: str) -> None:
        (key,) = self.root(gun)["roles"]["root"]["keyids"]
        must(self.kit("pin", "add", gun, "--format", "docker", "--root-key", key))

    def listed(self, gun: str) -> dict[str, str]:
        rows = [line.split() for line in self.notary.must("list", gun).splitlines()]
        return {row[0]: row[3] for row in rows if len(row) == 4 and len(row[1]) == 64}


@pytest.fixture(scope="module")
def foreign(
    need: Callable[[str, str], Path], stand: NotaryStand, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Foreign]:
    folder = tmp_path_factory.mktemp("notary-server")
    (folder / "server").mkdir()
    with NotaryServer(need("notary-server", "notary"), folder / "server") as server:
        notary = Notary(need("notary", "notary"), folder / "notary", server.url, server.ca)
        alice = stand.people["alice"]
        trusted = alice.folder / "docker" / "tls" / f"localhost:{server.port}"
        trusted.mkdir(parents=True)
        (trusted / "ca.crt").write_bytes(server.ca.read_bytes())
        kit = kit_of(alice, folder / "kit")
        del kit.environ["SSL_CERT_FILE"]  # both authorities have one name; each is known for its host alone
        kit.environ.update({name: NOTARY_PASSPHRASE for name in kit.environ if name.endswith("_PASSPHRASE")})
        kit.environ["TRUSTKIT_TRUST_SERVERS"] = f"{stand.host}={server.url}"
        yield Foreign(server, notary, kit, stand)


def test_on_dockers_own_server(foreign: Foreign, docker: Docker, tmp_path: Path) -> None:
    """A collection of notary's init, whose snapshot key is a publisher's, and then the service's."""
    gun, kit = foreign.gun("foreign/app"), foreign.kit
    alice = foreign.stand.people["alice"]
    plain = {**alice.environ, "DOCKER_CONTENT_TRUST": "0"}
    digests = {f"v{n}": docker.push(plain, f"{gun}:v{n}", f"foreign {n}") for n in range(4)}
    foreign.notary.must("init", gun, "-p")
    foreign.pinned(gun)
    must(kit("sign", f"{gun}:v0", *foreign.keys))
    foreign.notary.must("addhash", gun, "v1", "500", "--sha256", digests["v1"][7:], "-p")
    must(kit("verify", f"{gun}:v1"))
    assert foreign.listed(gun) == {"v0": "targets", "v1": "targets"}

    must(kit("key", "rotate", gun, "--role", "snapshot", "--yes", *foreign.keys))
    for path in (foreign.notary.folder / "private").glob("*.key"):
        if "role: snapshot" in path.read_text():
            path.rename(tmp_path / path.name)
    must(kit("sign", f"{gun}:v2", *foreign.keys))
    foreign.notary.must("addhash", gun, "v3", "500", "--sha256", digests["v3"][7:], "-p")
    for tag in digests:
        must(kit("verify", f"{gun}:{tag}"))

    must(kit("key", "rotate", gun, "--role", "root", "--yes", *foreign.keys))
    must(kit("key", "rotate", gun, "--role", "repository", "--yes", *foreign.keys))
    foreign.notary.must("remove", gun, "v0", "-p")
    assert set(foreign.listed(gun)) == {"v1", "v2", "v3"}
    assert kit("verify", f"{gun}:v0").slug == "unsigned"
    must(kit("verify", f"{gun}:v3"))
    stranger = Notary(foreign.notary.binary, tmp_path / "stranger", foreign.server.url, foreign.server.ca)
    assert digests["v2"][7:] in stranger.must("lookup", gun, "v2")


def test_trustkit_begins_on_dockers_own_server(foreign: Foreign, docker: Docker, tmp_path: Path) -> None:
    gun, kit = foreign.gun("foreign/made"), foreign.kit
    alice = foreign.stand.people["alice"]
    digest = docker.push({**alice.environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:v1", "made here")
    foreign.notary.folder.mkdir(mode=0o700, exist_ok=True)
    roots = [path.stem for path in foreign.notary.folder.glob("private/*.key") if "role: root" in path.read_text()]
    named = ("--root-key", roots[0]) if roots else ()
    made = kit("init", gun, "--format", "docker", *named, *foreign.keys)
    (shown,) = must(made).split()
    assert foreign.root(gun)["roles"]["root"]["keyids"] == [shown]
    must(kit("sign", f"{gun}:v1", *foreign.keys))
    assert foreign.listed(gun) == {"v1": "targets"}
    must(kit("key", "generate", "--role", "signer", "--name", "bea", "--algorithm", "ecdsa-p256"))
    ids = [key for key in json.loads(must(kit("key", "list", "--format", "json"))) if key["role"] == "signer"]
    file = tmp_path / "bea.pem"
    file.write_text(must(kit("key", "export", ids[0]["id"], "--public")))
    for _ in range(2):  # its server keeps the versions of roles that ended
        must(kit("signer", "add", "bea", gun, "--key", str(file), "--yes", *foreign.keys))
        must(kit("signer", "remove", "bea", gun, "--yes", "--resign", *foreign.keys))
    foreign.notary.must("addhash", gun, "v2", "500", "--sha256", digest[7:], "-p")
    must(kit("verify", f"{gun}:v2"))
    must(kit("verify", f"{gun}:v1"))


def test_refused_before_anything_is_uploaded(foreign: Foreign, docker: Docker, tmp_path: Path) -> None:
    """Keys that aren't there, and keys of the same name that are others: the server hears of nothing."""
    gun, kit = foreign.gun("foreign/refused"), foreign.kit
    alice = foreign.stand.people["alice"]
    docker.push({**alice.environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:v1", "refused")
    foreign.notary.must("init", gun, "-p")
    foreign.pinned(gun)
    before = {role: foreign.version(gun, role) for role in ("root", "targets", "snapshot", "timestamp")}
    own = list((foreign.notary.folder / "private").glob("*.key"))
    other = tmp_path / "trust" / "private"
    other.mkdir(parents=True)
    ids = {role: _of(own, gun, role) for role in ("targets", "snapshot")}

    def lacks(*words: str) -> None:
        done = kit(*words, "--trust-dir", str(tmp_path / "trust"))
        assert (done.status, done.slug) == (6, "key-missing"), done.err
        assert {role: foreign.version(gun, role) for role in before} == before

    lacks("sign", f"{gun}:v1")
    lacks("key", "rotate", gun, "--role", "root", "--yes")
    lacks("key", "rotate", gun, "--role", "repository", "--yes")
    (other / ids["targets"].name).write_bytes(ids["targets"].read_bytes())
    (other / ids["targets"].name).chmod(0o600)
    lacks("sign", f"{gun}:v1")  # the snapshot's isn't there
    (other / ids["targets"].name).write_bytes(ids["snapshot"].read_bytes())  # another key under its name
    done = kit("sign", f"{gun}:v1", "--trust-dir", str(tmp_path / "trust"))
    assert done.status == 6, done.err
    assert {role: foreign.version(gun, role) for role in before} == before
    assert not [path for path in own if not path.exists()]


def test_a_racing_publisher(foreign: Foreign, docker: Docker) -> None:
    """Several at once: every change of every one is there in the end, notary's among them."""
    gun, kit = foreign.gun("foreign/race"), foreign.kit
    alice = foreign.stand.people["alice"]
    plain = {**alice.environ, "DOCKER_CONTENT_TRUST": "0"}
    digest = docker.push(plain, f"{gun}:r0", "race")
    for number in range(1, 4):
        docker.tool(plain, "tag", f"{gun}:r0", f"{gun}:r{number}")
        docker.push(plain, f"{gun}:r{number}")
    foreign.notary.must("init", gun, "-p")
    foreign.pinned(gun)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(kit, "sign", f"{gun}:r{number}", *foreign.keys) for number in range(4)]
        assert [one.result().status for one in waiting] == [0] * 4, [one.result().err for one in waiting]
    foreign.notary.must("addhash", gun, "n", "500", "--sha256", digest[7:], "-p")
    assert set(foreign.listed(gun)) == {"r0", "r1", "r2", "r3", "n"}


def test_what_a_thief_released_goes_with_the_signer(
    stand: NotaryStand, alice: Someone, docker: Docker, tmp_path: Path
) -> None:
    """Also what stands in targets/releases alone, and what the tag was before the signer came isn't trusted again."""
    gun, kit = stand.gun("writes/thief"), kit_of(alice, tmp_path)
    plain = {**alice.environ, "DOCKER_CONTENT_TRUST": "0"}
    old, new = (docker.push(plain, f"{gun}:{tag}", f"thief {tag}")[7:] for tag in ("v1", "v2"))
    notary = alice.notary_of_docker()
    notary("init", gun, "-p")
    notary("addhash", gun, "v1", "500", "--sha256", old, "-p")
    notary("addhash", gun, "v0", "500", "--sha256", old, "-p")
    pinned(kit, alice, gun)
    for name in ("cy", "di"):
        alice.docker("trust", "key", "generate", name, "--dir", str(tmp_path))
        must(kit("signer", "add", name, gun, "--key", str(tmp_path / f"{name}.pub"), "--yes", *trust_dir(alice)))
    must(kit("sign", f"{gun}:v2", *trust_dir(alice)))
    for tag in ("v1", "evil"):
        notary("addhash", gun, tag, "500", "--sha256", new, "-r", "targets/releases", "-p")
    for tag, digest in {"v0": old, "v1": new, "v2": new, "evil": new}.items():
        assert must(kit("verify", f"{gun}:{tag}")) == f"{gun}:{tag}@sha256:{digest}\n"
    shown = must(kit("signer", "remove", "cy", gun, "--dry-run", *trust_dir(alice)))
    assert "2 tags would stop being trusted" in shown, shown
    assert kit("signer", "remove", "cy", gun, *trust_dir(alice)).slug == "usage"
    must(kit("signer", "remove", "cy", gun, "--yes", *trust_dir(alice)))
    assert tags_of(alice, gun) == {"v0": old, "v2": new}
    assert alice.elsewhere().listed(gun) == {"v0": "targets", "v2": "targets/releases"}
    assert kit("verify", f"{gun}:evil").slug == "unsigned"
    must(kit("verify", f"{gun}:v2"))


class Between:
    """Whoever sits between trustkit and the trust server: serves old files, or says yes and keeps the upload."""

    def __init__(self, server: NotaryServer) -> None:
        self.seen: dict[str, bytes] = {}
        self.frozen: dict[str, bytes] = {}
        self.posts = 0
        self.swallows = False
        self._context = ssl.create_default_context(cafile=str(server.ca))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*((200, outer.frozen[self.path]) if self.path in outer.frozen else self._passed(None)))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts += 1
                self._answer(*((200, b"") if outer.swallows else self._passed(body)))

            def _passed(self, body: bytes | None) -> tuple[int, bytes]:
                kind = {"Content-Type": self.headers.get("Content-Type", "")}
                asked = urllib.request.Request(f"{server.url}{self.path}", body, kind if body else {})
                try:
                    with urllib.request.urlopen(asked, timeout=10, context=outer._context) as answer:
                        found = answer.read()
                except urllib.error.HTTPError as error:
                    return error.code, error.read()
                if body is None:
                    outer.seen[self.path] = found
                return 200, found

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Between:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_somebody_in_between(foreign: Foreign, docker: Docker, tmp_path: Path) -> None:
    gun, kit = foreign.gun("foreign/between"), foreign.kit
    alice = foreign.stand.people["alice"]
    digest = docker.push({**alice.environ, "DOCKER_CONTENT_TRUST": "0"}, f"{gun}:v1", "between")[7:]
    foreign.notary.must("init", gun, "-p")
    foreign.pinned(gun)
    folder = foreign.notary.folder / "private"
    with Between(foreign.server) as between:
        through = {"TRUSTKIT_TRUST_SERVERS": f"{foreign.stand.host}={between.url}"}
        assert kit("verify", f"{gun}:v1", environ=through).slug == "unsigned"
        former = dict(between.seen)
        foreign.notary.must("addhash", gun, "v2", "500", "--sha256", digest, "-p")
        must(kit("verify", f"{gun}:v2", environ=through))

        between.frozen = former
        done = kit("sign", f"{gun}:v1", *foreign.keys, environ=through)
        assert (done.status, done.slug, between.posts) == (3, "rolled-back", 0), done.err

        between.frozen, between.swallows = {}, True
        rotate = ("key", "rotate", gun, "--role", "repository", "--yes", *foreign.keys)
        before = set(folder.iterdir())
        done = kit(*rotate, environ=through)
        assert (done.status, done.slug, between.posts) == (3, "rolled-back", 1), done.err
        (new,) = set(folder.iterdir()) - before
        assert before < set(folder.iterdir())
        done = kit("sign", f"{gun}:v1", *foreign.keys, environ=through)
        assert (done.status, done.slug, done.out) == (3, "rolled-back", ""), done.err

        between.swallows = False
        assert new.stem in must(kit(*rotate, environ=through))
        assert set(folder.iterdir()) == before | {new}
        must(kit("sign", f"{gun}:v1", *foreign.keys, environ=through))
    foreign.notary.must("addhash", gun, "v3", "500", "--sha256", digest, "-p")
    assert set(foreign.listed(gun)) == {"v1", "v2", "v3"}


def _of(files: list[Path], gun: str, role: str) -> Path:
    (found,) = [path for path in files if f"role: {role}" in (text := path.read_text()) and f"gun: {gun}" in text]
    return found
