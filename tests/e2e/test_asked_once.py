"""How often the service is asked by a command that is about many tags of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import RunningService

TAGS = ("1.0", "1.1", "1.2")


class Counted:
    """A service that tells of each request, with a collection of three tags, and carol who has pinned it."""

    def __init__(self, service: RunningService) -> None:
        alice, self.carol = service.principal("alice", "AcrPush", "AcrImageSigner"), service.principal("c", "AcrPull")
        self.name, self._log = f"{service.host}/base", service.log
        self.digests = {tag: alice.push(f"{self.name}:{tag}", tag) for tag in TAGS}
        assert alice("sign", *self.refs).status == 0
        assert self.carol("pin", "add", self.name, "--root-key", alice.root_key()).status == 0

    @property
    def refs(self) -> list[str]:
        return [f"{self.name}:{tag}" for tag in TAGS]

    def asked(self) -> int:
        """How often anybody has asked for this collection's timestamp."""
        return self._log.read_text().count("/base/_trust/metadata/timestamp.json")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    service = RunningService(tmp_path_factory.mktemp("counted"), "--access-log").start()
    try:
        yield Counted(service)
    finally:
        service.stop()


def test_verify_of_many_tags(counted: Counted) -> None:
    before = counted.asked()
    done = counted.carol("verify", *counted.refs)
    assert done.out.splitlines() == [f"{counted.name}:{tag}@{digest}" for tag, digest in counted.digests.items()]
    assert counted.asked() - before == 1


def test_resolve_of_many_files(counted: Counted, tmp_path: Path) -> None:
    docker, compose = tmp_path / "Dockerfile", tmp_path / "compose.yaml"
    docker.write_text("".join(f"FROM {ref} AS s{number}\n" for number, ref in enumerate(counted.refs)))
    compose.write_text("services:\n" + "".join(f"  s{n}:\n    image: {ref}\n" for n, ref in enumerate(counted.refs)))
    before = counted.asked()
    done = counted.carol("resolve", str(docker), str(compose))
    assert (done.status, done.out.count("@sha256:")) == (0, 6), done.err
    assert counted.asked() - before == 1


def test_the_next_command_asks_again(counted: Counted) -> None:
    before = counted.asked()
    for _ in range(2):
        assert counted.carol("verify", counted.refs[0]).status == 0
    assert counted.asked() - before == 2
