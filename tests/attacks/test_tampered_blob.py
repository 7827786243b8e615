"""Bytes change behind their digest: on the service's disk, and in a registry behind it that lies (TRUST 4.4, 7.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.attacks.victims import INDEX, MANIFEST, Middle, Reply, ask, other, serving
from tests.conftest import StartRegistry
from tests.real.parts import within
from tests.service import Person, Result, RunningService

SECONDS = 10
PLAIN, STRICT = "plain/app", "strict/app"

Change = Callable[[bytes], bytes | None]
CHANGES: dict[str, Change] = {
    "one bit": lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:],
    "longer": lambda data: data + b" ",
    "shorter": lambda data: data[:-1],
    "emptied": lambda data: b"",
    "gone": lambda data: None,
}


@dataclass(frozen=True)
class Trial:
    """A service, who publishes on it and who pulls from it."""

    service: RunningService
    alice: Person
    carol: Person
    _signed: dict[str, dict[str, str]] = field(default_factory=dict)

    def gun(self, repository: str) -> str:
        return f"{self.service.host}/{repository}"

    def signed(self, repository: str) -> dict[str, str]:
        """The digests of all that two signed tags, ``one`` and ``many``, reach; made when first asked for."""
        if repository not in self._signed:
            self._signed[repository] = self._sign(repository)
        return self._signed[repository]

    def _sign(self, repository: str) -> dict[str, str]:
        gun = self.gun(repository)
        digests = {
            "manifest": self.alice.push(f"{gun}:one", f"{repository} one"),
            "index": self.alice.push(f"{gun}:many", f"{repository} many", architectures=("amd64",)),
        }
        done = self.alice("sign", f"{gun}:one", f"{gun}:many")
        assert done.status == 0, done.err
        digests["child"] = self.read(repository, digests["index"]).json["manifests"][0]["digest"]
        manifest = self.read(repository, digests["manifest"]).json
        return digests | {"config": manifest["config"]["digest"], "layer": manifest["layers"][0]["digest"]}

    def read(self, repository: str, reference: str) -> Reply:
        token = self.carol.token(self.service.host, f"repository:{repository}:pull")
        path = f"/v2/{repository}/manifests/{reference}"
        return ask(self.service.host, "GET", path, token=token, accept=f"{MANIFEST}, {INDEX}")

    def pull(self, repository: str, folder: Path, *, tag: str = "one") -> Result:
        return self.carol("pull", f"{self.gun(repository)}:{tag}", "--to", f"oci:{folder}")


@contextmanager
def _trial(folder: Path, *arguments: str) -> Iterator[Trial]:
    with serving(folder, *arguments) as service:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        carol = service.principal("carol", "AcrPull")
        assert service.admin("repository", "set", "strict/*", "--trust-only").status == 0
        assert alice("init", f"{service.host}/empty").status == 0
        assert carol("pin", "add", f"{service.host}/*", "--root-key", alice.root_key()).status == 0
        yield Trial(service, alice, carol)


def _listed(folder: Path) -> list[str]:
    """What an OCI layout lists; nothing where it was never finished."""
    index = folder / "index.json"
    return [entry["digest"] for entry in json.loads(index.read_text())["manifests"]] if index.exists() else []


def _refused(result: Result, folder: Path) -> None:
    """Not trusted or could not be had, said on stderr, and nothing to use afterwards."""
    assert result.status in (1, 3, 4), result.err
    assert (result.slug != "", result.out, _listed(folder)) == (True, "", [])


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with _trial(tmp_path_factory.mktemp("service")) as trial:
        yield trial


@contextmanager
def _changed(trial: Trial, repository: str, digest: str, change: Change) -> Iterator[None]:
    """Changes a stored file, and puts it back."""
    file = trial.service.data / "registry" / repository / "_oci" / "blobs" / "sha256" / digest[7:]
    before = file.read_bytes()
    after = change(before)
    try:
        file.unlink() if after is None else file.write_bytes(after)
        yield
    finally:
        file.write_bytes(before)


def test_what_nobody_changed_is_pulled(disk: Trial, tmp_path: Path) -> None:
    for repository in (PLAIN, STRICT):
        for tag, part in (("one", "manifest"), ("many", "index")):
            folder, digest = tmp_path / repository / tag, disk.signed(repository)[part]
            assert disk.pull(repository, folder, tag=tag).status == 0
            assert _listed(folder) == [digest]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("part", "tag"), [("manifest", "one"), ("config", "one"), ("layer", "one"), ("index", "many"), ("child", "many")]
)
def test_the_client_uses_nothing_that_changed_on_disk(
    disk: Trial, tmp_path: Path, part: str, tag: str, change: str
) -> None:
    with _changed(disk, STRICT, disk.signed(STRICT)[part], CHANGES[change]):
        refused = disk.pull(STRICT, tmp_path, tag=tag)
    _refused(refused, tmp_path)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("part", "tag"), [("manifest", "one"), ("index", "many"), ("child", "")])
@pytest.mark.parametrize("repository", [PLAIN, STRICT])
def test_no_changed_manifest_leaves_the_service(
    disk: Trial, repository: str, part: str, tag: str, change: str
) -> None:
    digest = disk.signed(repository)[part]
    references = [name for name in (digest, tag) if name]
    assert {disk.read(repository, name).status for name in references} == {200}
    with _changed(disk, repository, digest, CHANGES[change]):
        replies = [disk.read(repository, name) for name in references]
    assert all(reply.status in (404, 502) and reply.code for reply in replies), replies


@pytest.mark.parametrize("change", ["one bit", "longer"])
def test_nothing_that_changed_is_signed(disk: Trial, change: str) -> None:
    gun, digest = disk.gun(PLAIN), disk.signed(PLAIN)["manifest"]
    with _changed(disk, PLAIN, digest, CHANGES[change]):
        for reference in (f"{gun}:one", f"{gun}:new@{digest}"):
            refused = disk.alice("sign", reference)
            assert (refused.status != 0, refused.out) == (True, ""), reference
    assert disk.alice("verify", f"{gun}:one").out.strip() == f"{gun}:one@{digest}"
    assert disk.alice("verify", f"{gun}:new").slug == "unsigned"


EVIL = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": [], "evil": True}).encode()
LIES: dict[str, Callable[[Reply], Reply]] = {
    "another manifest": lambda reply: other(reply, EVIL),
    "another type": lambda reply: other(reply, reply.body, content_type="application/vnd.oci.image.index.v1+json"),
    "one bit": lambda reply: other(reply, bytes([reply.body[0] ^ 1]) + reply.body[1:]),
    "shorter": lambda reply: other(reply, reply.body[:-1]),
    "over 4 MiB": lambda reply: other(reply, reply.body + b" " * (4 << 20)),
    "a web page": lambda reply: other(reply, b"<html>Log in here</html>", content_type="text/html"),
    "elsewhere": lambda reply: Reply(307, {"location": "http://127.0.0.1:9/v2/x/manifests/y"}, b""),
    "an error": lambda reply: Reply(500, {}, b""),
}


@pytest.fixture(scope="module")
def middle() -> Iterator[Middle]:
    middle = Middle()
    yield middle
    middle.close()


@pytest.fixture(scope="module")
def behind(middle: Middle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with _trial(tmp_path_factory.mktemp("service"), "--upstream", f"http://{middle.host}") as trial:
        yield trial


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where docker-registry keeps its data from one test to the next."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def lying(behind: Trial, middle: Middle, images: Path, start_docker_registry: StartRegistry) -> Trial:
    """A service before a real docker-registry, with a man in the middle who is still honest."""
    middle.honest()
    middle.target = start_docker_registry(images)
    return behind


def _lie(middle: Middle, kind: str, lie: str) -> None:
    middle.change = lambda method, path, reply: LIES[lie](reply) if method == "GET" and kind in path else reply


@pytest.mark.real
@pytest.mark.parametrize("lie", LIES)
def test_an_upstream_lies_about_manifests(lying: Trial, middle: Middle, tmp_path: Path, lie: str) -> None:
    digest = lying.signed(STRICT)["manifest"]
    assert lying.pull(STRICT, tmp_path / "honest").status == 0
    _lie(middle, "/manifests/", lie)
    for reference in ("one", digest):
        # For a second the gate may still have the honest answer.
        assert within(SECONDS, lambda at=reference: lying.read(STRICT, at).status != 200)
        reply = lying.read(STRICT, reference)
        assert (reply.status in (403, 502), reply.code != "") == (True, True), reply
    _refused(lying.pull(STRICT, tmp_path / "spoilt"), tmp_path / "spoilt")


@pytest.mark.real
@pytest.mark.parametrize("lie", ["another manifest", "one bit", "shorter", "an error"])
@pytest.mark.parametrize("repository", [PLAIN, STRICT])
def test_an_upstream_lies_about_blobs(
    lying: Trial, middle: Middle, tmp_path: Path, lie: str, repository: str
) -> None:
    lying.signed(repository)
    assert lying.pull(repository, tmp_path / "honest").status == 0
    _lie(middle, "/blobs/", lie)
    _refused(lying.pull(repository, tmp_path / "spoilt"), tmp_path / "spoilt")


@pytest.mark.real
def test_an_upstream_lies_where_no_gate_is(lying: Trial, middle: Middle, tmp_path: Path) -> None:
    gun, digest = lying.gun(PLAIN), lying.signed(PLAIN)["manifest"]
    assert lying.pull(PLAIN, tmp_path / "honest").status == 0
    _lie(middle, "/manifests/", "another manifest")
    refused = lying.pull(PLAIN, tmp_path / "spoilt")
    assert (refused.status, refused.slug, _listed(tmp_path / "spoilt")) == (3, "digest-mismatch", [])
    unsigned = lying.alice("sign", f"{gun}:new@{digest}")
    assert (unsigned.status, unsigned.slug, unsigned.out) == (3, "digest-mismatch", "")
