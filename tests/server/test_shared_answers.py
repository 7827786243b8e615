"""What one reader has asked for, or a publish has made, is given to other readers at once, and to nobody else."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from itertools import count

import pytest

from tests.server.scrape import Monitored
from tests.server.test_quick_reads import Desk, get, within
from tests.service import Person

numbers = count()
BUSY = 10.0


@dataclass(frozen=True)
class Docker:
    """A collection in format ``docker`` with one tag, which alice signs."""

    desk: Desk
    gun: str

    @property
    def name(self) -> str:
        return self.gun.partition("/")[2]

    def sign(self, tag: str) -> None:
        self.desk.alice.push(f"{self.gun}:{tag}")
        done = self.desk.alice("sign", f"{self.gun}:{tag}")
        assert done.status == 0, done.err

    def read(self, file: str, token: str) -> int:
        return get(self.desk.service, f"/v2/{self.gun}/_trust/tuf/{file}", token).status

    def at_once(self, file: str, token: str, status: int = 200) -> bool:
        """Whether this was answered from memory as it stood."""
        before = self.desk.answers()
        assert self.read(file, token) == status
        return self.desk.answers() > before

    def is_quick(self, file: str, token: str) -> bool:
        """Whether it is, at the first or a later try: on a busy machine what is remembered lapses in between."""
        return within(BUSY, lambda: self.at_once(file, token))

    def reader(self, *, signs: bool = False) -> str:
        """Another token for the collection."""
        scope = f"repository:{self.gun}:pull,push" if signs else f"repository:{self.name}:pull"
        return self.desk.alice.token(self.desk.service.host, scope)

    def names(self) -> list[str]:
        """The current files of snapshot and targets, by the hashes that clients ask for."""
        found, role = [], "timestamp"
        path, token = f"/v2/{self.gun}/_trust/tuf", self.reader()
        for below in ("snapshot", "targets"):
            file = json.loads(get(self.desk.service, f"{path}/{role}.json", token).body)
            digest = base64.b64decode(file["signed"]["meta"][below]["hashes"]["sha256"]).hex()
            role = f"{below}.{digest}"
            found.append(f"{role}.json")
        return found


@pytest.fixture(scope="module")
def desk(service: Monitored, alice: Person) -> Desk:
    return Desk(service, alice)


@pytest.fixture
def docker(desk: Desk) -> Docker:
    made = Docker(desk, f"{desk.service.host}/shared/app{next(numbers)}")
    desk.alice.push(f"{made.gun}:v1")
    done = desk.alice("init", made.gun, "--format", "docker")
    assert done.status == 0, done.err
    made.sign("v1")
    return made


def test_a_new_token_goes_the_long_way_once(docker: Docker) -> None:
    """As each command of docker has one."""
    names = ["timestamp.json", *docker.names(), "root.json"]

    def by_a_new_token() -> list[bool]:
        token = docker.reader()
        return [docker.at_once(name, token) for name in names]

    assert within(BUSY, lambda: by_a_new_token() == [False, True, True, True])


def test_what_a_publish_has_made_is_at_hand(docker: Docker) -> None:
    token = docker.reader()
    docker.read("timestamp.json", token)
    before = docker.names()
    docker.sign("v2")
    after = docker.names()
    assert not set(before) & set(after)
    assert docker.is_quick("timestamp.json", token)
    assert docker.is_quick(after[1], token)
    assert docker.read(before[1], token) == 200, "the former one by its hash, which is stored"


def test_who_may_not_read_is_given_nothing_that_is_kept(docker: Docker) -> None:
    """A token for another repository, for another name of this one, and of somebody without the role."""
    token, files = docker.reader(), ["timestamp.json", "root.json"]
    assert [docker.read(file, token) for file in files] == [200, 200]
    service, path = docker.desk.service, f"/v2/{docker.gun}/_trust/tuf"
    mallory = service.principal(f"mallory{next(numbers)}", "AcrPull", pattern="elsewhere/*")
    others = [
        docker.desk.alice.token(service.host, "repository:shared/other:pull"),
        docker.desk.alice.token(service.host, f"repository:{docker.name}x:pull"),
        mallory.token(service.host, f"repository:{docker.name}:pull"),
        mallory.token(service.host, "repository:elsewhere/app:pull"),
    ]
    for other in others:
        for file in files:
            assert not docker.at_once(file, other, status=401)
    stranger = path.replace(service.host, "stranger.example")
    assert get(service, f"{stranger}/root.json", token).status == 404
    assert get(service, path.replace("/tuf", "/metadata") + "/timestamp.json", token).status == 409, "another API"


def test_whoever_publishes_is_not_given_the_frozen_root_that_readers_are(docker: Docker) -> None:
    """A client that is about to sign is told that the collection was converted, whoever has read what before."""
    converted = docker.desk.alice("convert", docker.gun, "--to", "tuf")
    assert converted.status == 0, converted.err
    reader, signer = docker.reader(), docker.reader(signs=True)
    snapshot, _ = docker.names()
    for _ in range(2):
        assert [docker.read(name, reader) for name in ("root.json", "timestamp.json", snapshot)] == [200, 200, 200]
        assert docker.is_quick(snapshot, reader)
        assert docker.is_quick(snapshot, signer)
        assert [docker.read(name, signer) for name in ("root.json", "timestamp.json")] == [400, 400]


def test_what_was_deleted_is_at_nobodys_hand(docker: Docker) -> None:
    token = docker.reader()
    assert docker.read("timestamp.json", token) == 200
    assert docker.is_quick("timestamp.json", token)
    olga = docker.desk.service.principal(f"olga{next(numbers)}", "Owner")
    reset = olga("reset", docker.gun, "--yes-reset", docker.gun)
    assert reset.status == 0, reset.err
    assert [docker.read(file, token) for file in ("timestamp.json", "root.json")] == [404, 404]


def test_who_asks_for_a_file_as_it_is_has_nobody_else_get_it_so(desk: Desk) -> None:
    """A snapshot of a thousand names is a seventh when it is packed, and most ask for it so."""
    gun = f"{desk.service.host}/shared/large"
    tags = [f"{gun}:v{number}" for number in range(2)]
    for tag in tags:
        desk.alice.push(tag)
    signed = desk.alice("sign", *tags, environ={"TRUSTKIT_BINS_ABOVE": "1"})
    assert signed.status == 0, signed.err
    path, token = f"/v2/{gun}/_trust/metadata", desk.alice.token(desk.service.host, "repository:shared/large:pull")
    timestamp = json.loads(desk.get(f"{path}/timestamp.json", token).body)
    snapshot = f"{path}/{timestamp['signed']['meta']['snapshot.json']['version']}.snapshot.json"
    for _ in range(3):
        plain = desk.get(snapshot, token)
        assert "content-encoding" not in plain.headers
        packed = desk.get(snapshot, token, accept_encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert len(packed.body) * 3 < len(plain.body)
