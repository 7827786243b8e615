"""A conversion is where two formats meet: nobody smuggles, loses or takes over anything by it (TRUST 5.4).

The insider may publish, and has keys of their own; in some rows also the repository key, but never the root key.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from tests.attacks.victims import Reply, ask, serving
from tests.formats_docker.forge import ecdsa
from tests.service import Person, RunningService
from trustkit.cli.context import Context
from trustkit.cli.convert import converting
from trustkit.core.formats import tuf1
from trustkit.core.formats.docker import files as docker_files
from trustkit.core.formats.docker.keys import DockerKey, from_tuf, key_of
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyRole
from trustkit.remote.trust import multipart

Files = dict[str, bytes]


class Captured(Exception):
    """What an honest client was about to upload."""

    def __init__(self, tuf: Mapping[str, bytes], docker: Mapping[str, bytes]) -> None:
        super().__init__()
        self.tuf, self.docker = dict(tuf), dict(docker)


@dataclass
class Scene:
    """A collection in format docker on a real service, the honest conversion of it, and its keys."""

    service: RunningService
    alice: Person
    bob: Person
    gun: Gun
    tuf: Files = field(default_factory=dict)
    docker: Files = field(default_factory=dict)
    root: Signer = field(init=False)
    repository: Signer = field(init=False)

    def capture(self) -> None:
        """Has alice's client make it, and keeps it from being sent."""
        context = Context(home_flag=None, environ=self.alice.environment())
        store = context.key_store()
        convert = converting(context, store)
        vars(convert)["_service"].convert = _captures
        try:
            convert.run(self.gun, None, agree=lambda _plan, _until: None)
        except Captured as made:
            self.tuf, self.docker = made.tuf, made.docker
        opened = {info.role: store.unlock(info) for info in store.list() if info.gun in (None, self.gun)}
        self.root, self.repository = opened[KeyRole.ROOT], opened[KeyRole.REPOSITORY]

    def post(self, tuf: Files, docker: Files, who: Person | None = None) -> Reply:
        files = {f"tuf/{role}": data for role, data in tuf.items()}
        body, kind = multipart(files | {f"docker/{role}": data for role, data in docker.items()})
        return self.ask("POST", "", body, who=who, content_type=kind)

    def ask(self, method: str, tail: str, body: bytes | None = None, who: Person | None = None, **more: str) -> Reply:
        token = (who or self.alice).token(self.service.host, f"repository:{self.gun.repository}:pull,push,sign")
        return ask(self.service.host, method, f"/v2/{self.gun}/_trust/convert{tail}", body, token=token, **more)

    def refused(self, tuf: Files, docker: Files, status: int, slug: str, who: Person | None = None) -> None:
        reply = self.post(tuf, docker, who)
        assert (reply.status, reply.slug) == (status, slug), reply.body
        assert self.ask("GET", "").json["format"] == "docker"


def _captures(_gun: Gun, tuf: Mapping[str, bytes], docker: Mapping[str, bytes]) -> Mapping[str, int]:
    raise Captured(tuf, docker)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, Person, Person]]:
    with serving(tmp_path_factory.mktemp("convert")) as service:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner", "Owner")
        yield service, alice, service.principal("bob", "AcrPush")


def made(place: tuple[RunningService, Person, Person], name: str) -> Scene:
    service, alice, bob = place
    scene = Scene(service, alice, bob, Gun.parse(f"{service.host}/{name}"))
    assert alice("init", str(scene.gun), "--format", "docker").status == 0
    for tag in ("v1", "v2"):
        alice.push(f"{scene.gun}:{tag}")
    done = alice("sign", f"{scene.gun}:v1", f"{scene.gun}:v2")
    assert done.status == 0, done.err
    scene.capture()
    return scene


@pytest.fixture(scope="module")
def scene(place: tuple[RunningService, Person, Person]) -> Scene:
    """For everything that is refused: it stays as it is."""
    return made(place, "convert/refused")


def tuf_root(scene: Scene, change: Callable[[Root], Any], *signers: Signer) -> Files:
    root = tuf1.read(scene.tuf["root"], Root).signed
    change(root)
    return {**scene.tuf, "root": signed(root, signers or (scene.root,))}


def tuf_targets(scene: Scene, change: Callable[[dict[str, TargetFile]], Any]) -> Files:
    targets = tuf1.read(scene.tuf["targets"], Targets).signed
    change(targets.targets)
    return {**scene.tuf, "targets": signed(targets, (scene.repository,))}


def signed(payload: Root | Targets, signers: tuple[Signer, ...]) -> bytes:
    return tuf1.sign(payload, {signer.public_key.keyid: signer for signer in signers})


def last(scene: Scene, role: str, change: Callable[[Any], Any], *pairs: tuple[DockerKey, Signer]) -> Files:
    """The last files in format docker with one of them changed, signed by its own key or by these."""
    read: Metadata[Any] = docker_files.read(scene.docker[role], docker_files.role_kind(role))
    root = docker_files.read(scene.docker["root"], Root).signed
    own = scene.root if role == "root" else scene.repository
    named = [key_of(root.keys[key_id]) for key_id in root.roles[role].keyids]
    change(read.signed)
    return {**scene.docker, role: docker_files.sign(read.signed, pairs or [(key, own) for key in named])}


def stranger() -> Signer:
    return CryptoSigner(Ed25519PrivateKey.generate())


def smuggle(entries: dict[str, TargetFile]) -> None:
    entries["evil"] = copy.deepcopy(entries["v1"])
    entries["evil"].path = "evil"


def swap(entries: dict[str, TargetFile]) -> None:
    entries["v1"].hashes, entries["v1"].length = entries["v2"].hashes, entries["v2"].length


def revive(entries: dict[str, TargetFile]) -> None:
    until = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    entries["v1"].custom["x-trustkit"]["superseded"] = [{"digest": "sha256:" + "ab" * 32, "until": until}]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(smuggle, id="a tag that nobody signed"),
        pytest.param(lambda entries: entries.pop("v2"), id="a tag that is lost"),
        pytest.param(swap, id="another digest"),
        pytest.param(revive, id="a digest that may be pulled again"),
        pytest.param(lambda entries: setattr(entries["v1"], "length", 7), id="another length"),
    ],
)
def test_who_has_the_repository_key_changes_no_tag_by_it(scene: Scene, change: Callable[[Any], Any]) -> None:
    scene.refused(tuf_targets(scene, change), scene.docker, 409, "conflict")


def another_root_key(root: Root) -> None:
    root.add_key(stranger().public_key, "root")


def test_the_root_keys_stay_and_have_signed(scene: Scene) -> None:
    mine = stranger()

    def take_over(root: Root) -> None:
        for key_id in list(root.roles["root"].keyids):
            root.revoke_key(key_id, "root")
        root.add_key(mine.public_key, "root")

    scene.refused(tuf_root(scene, take_over, mine), scene.docker, 400, "bad-keys")
    scene.refused(tuf_root(scene, another_root_key), scene.docker, 400, "bad-keys")
    scene.refused(tuf_root(scene, lambda root: root.add_key(mine.public_key, "root"), mine), scene.docker, 400,
                  "bad-keys")  # fmt: skip
    listed = tuf1.read(scene.tuf["root"], Root)
    other = {**scene.tuf, "root": tuf1.sign(listed.signed, {scene.root.public_key.keyid: scene.repository})}
    scene.refused(other, scene.docker, 400, "bad-signature")


def test_the_services_keys_are_new_ones(scene: Scene) -> None:
    def old_keys(root: Root) -> None:
        mine = stranger().public_key
        for role in ("snapshot", "timestamp"):
            for key_id in list(root.roles[role].keyids):
                root.revoke_key(key_id, role)
            root.add_key(mine, role)

    scene.refused(tuf_root(scene, old_keys), scene.docker, 400, "wrong-online-keys")


DAY = timedelta(days=1)
CENTURY = datetime(2126, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("role", "change", "slug"),
    [
        pytest.param("root", lambda s: setattr(s, "consistent_snapshot", False), "malformed", id="no mark"),
        pytest.param("root", lambda s: setattr(s, "expires", s.expires + DAY), "bad-expiry", id="a later root"),
        pytest.param("targets", lambda s: setattr(s, "expires", s.expires + DAY), "bad-expiry", id="later targets"),
        pytest.param("root", lambda s: setattr(s, "expires", CENTURY), "bad-expiry", id="a root without end"),
        pytest.param("targets", lambda s: s.targets.pop("v1"), "malformed", id="fewer tags"),
        pytest.param("targets", lambda s: setattr(s, "version", s.version + 1), "bad-version", id="a leap"),
        pytest.param("root", lambda s: setattr(s.roles["root"], "threshold", 2), "bad-keys", id="another threshold"),
    ],
)
def test_the_last_files_say_what_was_said_and_end_together(
    scene: Scene, role: str, change: Callable[[Any], Any], slug: str
) -> None:
    scene.refused(scene.tuf, last(scene, role, change), 400, slug)


def test_the_last_files_are_the_publishers(scene: Scene) -> None:
    mine = ecdsa()
    for role in ("root", "targets"):
        scene.refused(scene.tuf, last(scene, role, lambda _: None, mine), 400, "bad-signature")
        lacking = {name: data for name, data in scene.docker.items() if name != role}
        scene.refused(scene.tuf, lacking, 400, "malformed")
    scene.refused({}, scene.docker, 400, "malformed")
    scene.refused({"targets": scene.tuf["targets"]}, scene.docker, 400, "malformed")
    scene.refused({**scene.tuf, "timestamp": scene.tuf["targets"]}, scene.docker, 400, "malformed")
    scene.refused(scene.tuf, {**scene.docker, "timestamp": scene.docker["root"]}, 400, "malformed")


def test_another_collections_conversion_is_no_ones(
    scene: Scene, place: tuple[RunningService, Person, Person]
) -> None:
    other = made(place, "convert/other")
    scene.refused(other.tuf, scene.docker, 400, "wrong-gun")
    scene.refused(scene.tuf, other.docker, 400, "wrong-gun")
    moved = tuf_targets(scene, lambda entries: None)
    theirs = tuf1.read(other.tuf["targets"], Targets).signed
    scene.refused({**moved, "targets": signed(theirs, (scene.repository,))}, scene.docker, 400, "wrong-gun")


def test_who_may_not_publish_may_not_convert(scene: Scene) -> None:
    scene.refused(scene.tuf, scene.docker, 403, "role-missing", who=scene.bob)
    for method, tail in (("GET", ""), ("POST", "/keys")):
        assert scene.ask(method, tail, b"" if method == "POST" else None, who=scene.bob).slug == "role-missing"
    assert scene.ask("GET", "/keys").status == 400


def test_who_may_only_pull_is_told_of_the_docker_side_and_may_not_end_it(
    place: tuple[RunningService, Person, Person],
) -> None:
    """Nor learns from it what is the publishers' business; and nobody is told of what he may not pull."""
    ending = made(place, "convert/ending")
    reader = ending.service.principal("rita", "AcrPull")
    assert ending.ask("POST", "/docker", b"{}").slug == "not-found"
    assert ending.post(ending.tuf, ending.docker).status == 200
    path = f"/v2/{ending.gun}/_trust/convert/docker"

    def asked(method: str, who: Person | None, actions: str = "pull") -> Reply:
        token = who.token(ending.service.host, f"repository:{ending.gun.repository}:{actions}") if who else ""
        return ask(ending.service.host, method, path, b"{}" if method == "POST" else None, token=token)

    told = asked("GET", reader)
    assert (told.status, set(told.json), told.json["docker"]["ended"]) == (200, {"converted", "docker"}, None)
    for method, who, slug in (
        ("GET", None, "login-required"),
        ("POST", reader, "role-missing"),
        ("POST", ending.bob, "role-missing"),
        ("POST", ending.alice, "login-required"),  # her token for pulls alone
    ):
        assert asked(method, who).slug == slug
    assert asked("GET", reader).json == told.json
    ended = ending.ask("POST", "/docker", b"{}")
    assert (ended.status, ended.json["docker"]["reason"]) == (200, "its publisher ended it"), ended.body
    assert asked("GET", reader).json == ended.json == ending.ask("POST", "/docker", b"{}").json
    assert ending.alice("verify", f"{ending.gun}:v1").status == 0  # its roots stay, so pins go on following


def test_a_publish_in_the_other_format_converts_nothing(scene: Scene) -> None:
    body, kind = multipart(scene.tuf)
    token = scene.alice.token(scene.service.host, f"repository:{scene.gun.repository}:pull,push,sign")
    reply = ask(scene.service.host, "POST", f"/v2/{scene.gun}/_trust/metadata", body, token=token, content_type=kind)
    assert (reply.status, reply.slug) == (409, "wrong-format")


def test_the_honest_one_is_taken_once_and_there_is_no_way_back(
    place: tuple[RunningService, Person, Person],
) -> None:
    taken = made(place, "convert/taken")
    assert taken.post(taken.tuf, taken.docker).status == 200
    again = taken.post(taken.tuf, taken.docker)
    assert (again.status, again.slug) == (409, "wrong-format"), again.body
    assert taken.ask("POST", "/keys", b"").slug == "wrong-format"
    token = taken.alice.token(taken.service.host, f"repository:{taken.gun}:pull,push")
    path = f"/v2/{taken.gun}/_trust/tuf/"

    def by_notary(method: str, tail: str = "", body: bytes | None = None, kind: str = "") -> Reply:
        return ask(taken.service.host, method, path + tail, body, token=token, content_type=kind or "text/plain")

    body, kind = multipart(taken.docker)
    for reply in (by_notary("POST", "", body, kind), by_notary("GET", "snapshot.key"),
                  by_notary("POST", "timestamp.key", b"")):  # fmt: skip
        assert reply.status == 400, reply.body
        assert b"was converted to TUF 1.0" in reply.body
    done = taken.alice("reset", str(taken.gun), "--yes-reset", str(taken.gun))
    assert done.status == 0, done.err
    assert b"was converted to TUF 1.0" in by_notary("POST", "", body, kind).body
    closing = json.loads(by_notary("GET", "timestamp.json").body)
    assert closing["signed"]["meta"]["snapshot"]["hashes"]["sha256"] == "A" * 43 + "="
    assert by_notary("GET", f"snapshot.{'00' * 32}.json").status == 400


def test_of_two_at_once_one_is_taken(place: tuple[RunningService, Person, Person]) -> None:
    racing = made(place, "convert/racing")
    replies: list[Reply] = []
    threads = [
        threading.Thread(target=lambda: replies.append(racing.post(racing.tuf, racing.docker))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reply.status for reply in replies) == [200, 409, 409, 409]
    done = racing.alice("convert", str(racing.gun), "--to", "tuf")
    assert (done.status, "before" in done.out) == (0, True), done.err
    assert racing.alice("verify", f"{racing.gun}:v1").status == 0


def test_bare_keys_and_certificates_are_the_same_keys(scene: Scene) -> None:
    root = docker_files.read(scene.docker["root"], Root).signed
    bare = {key_of(root.keys[key_id]).canonical_id for key_id in root.roles["root"].keyids}
    new = tuf1.read(scene.tuf["root"], Root).signed
    assert {from_tuf(new.keys[key_id]).canonical_id for key_id in new.roles["root"].keyids} == bare


def test_the_last_files_without_the_first_ones_of_the_other_side(scene: Scene) -> None:
    """Through Notary's API: consumers would leave the collection for one that isn't there, and come back no more."""
    parts = [("files", (role, data, "application/octet-stream")) for role, data in scene.docker.items()]
    body, kind = urllib3.encode_multipart_formdata(parts)
    token = scene.alice.token(scene.service.host, f"repository:{scene.gun}:pull,push")
    path = f"/v2/{scene.gun}/_trust/tuf/"
    reply = ask(scene.service.host, "POST", path, body, token=token, content_type=kind)
    assert (reply.status, b"which trustkit convert alone" in reply.body) == (400, True), reply.body
    assert scene.ask("GET", "").json["format"] == "docker"
