"""What the real notary and notary-server wrote: read, verified, and written again byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tuf.api.metadata import Root, Targets

from tests.formats_docker.forge import NOW, RSA_2048, Private
from tests.formats_docker.stand import Attacker, DockerTrust, Hosted, Notary, NotaryServer
from trustkit.core.formats.docker.evaluate import TOP, attributions, check_received, evaluate, missing
from trustkit.core.formats.docker.files import covered, meta_of, payload, read, role_kind, write
from trustkit.core.formats.docker.keys import key_of
from trustkit.core.formats.docker.pins import anchor, follow, meets
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.remote import Pin
from trustkit.errors import Expired, NotTrusted, Rejected, WrongCollection, WrongRoot

pytestmark = pytest.mark.real

GUN = Gun.parse("registry.example.com:5000/team/app")
OTHER = Gun.parse("registry.example.com:5000/team/other")
DIGEST = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"
SHA512 = "ab" * 64


@dataclass(frozen=True)
class Stage:
    """The files of a collection after one step."""

    name: str
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Sample:
    """A collection that the real tools made, step by step; ``roots`` are all versions that were served."""

    stages: tuple[Stage, ...]
    roots: tuple[bytes, ...]
    notary: Notary
    root_keys: tuple[str, ...]

    @property
    def last(self) -> Mapping[str, bytes]:
        return self.stages[-1].files

    def at(self, name: str) -> Mapping[str, bytes]:
        return next(stage.files for stage in self.stages if stage.name == name)


def _key(notary: Notary, folder: Path, name: str, private: Private) -> tuple[Path, Path]:
    """Imports a private key for delegations; its certificate and its bare public key."""
    file = folder / f"{name}-key.pem"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    notary.must("key", "import", str(file), "-r", "delegation")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(private.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365)).sign(private, SHA256())
    )  # fmt: skip
    certificate, bare = folder / f"{name}.pem", folder / f"{name}-public.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    bare.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return certificate, bare


@pytest.fixture(scope="module")
def sample(notary_server: NotaryServer, notary_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    notary = Notary(notary_binary, folder / "trust", notary_server.url, notary_server.ca)
    gun, stages = str(GUN), list[Stage]()

    def stage(name: str) -> None:
        notary("list", gun)
        stages.append(Stage(name, notary.cached(gun)))

    def add(target: str, *more: str) -> None:
        notary.must("addhash", gun, target, "527", "--sha256", DIGEST, *more, "-p")

    notary.must("init", gun, "-p")
    stage("init")
    add("v1")
    add("v2")
    add("odd <&>\u2028é\U0001f600 name")
    add("dir/file.tar")
    notary.must("addhash", gun, "v512", "527", "--sha512", SHA512, "-p")
    stage("targets")
    rsa_certificate, _ = _key(notary, folder, "rsa", RSA_2048)
    ecdsa_certificate, bare = _key(notary, folder, "ecdsa", ec.generate_private_key(ec.SECP256R1()))
    p384, _ = _key(notary, folder, "p384", ec.generate_private_key(ec.SECP384R1()))
    notary.must("delegation", "add", gun, "targets/releases", str(rsa_certificate), str(p384), "--all-paths", "-p")
    notary.must("delegation", "add", gun, "targets/alice", str(bare), "--all-paths", "-p")
    notary.must("delegation", "add", gun, "targets/limited", str(ecdsa_certificate), "--paths", "v2", "-p")
    stage("delegations without files")
    custom = folder / "custom.json"
    custom.write_text('{"a":[1,-2,null,true,{"é":"\\\\\\""}],"b":{}}', encoding="utf-8")
    add("v3", "-r", "targets/releases", "--custom", str(custom))
    add("v2", "-r", "targets/releases")
    add("v2", "-r", "targets/alice")
    add("v2", "-r", "targets/limited")
    stage("delegations")
    notary.must("delegation", "add", gun, "targets/alice/deep", str(rsa_certificate), "--paths", "v", "-p")
    add("v1", "-r", "targets/alice/deep")
    stage("nested")
    notary.must("key", "rotate", gun, "targets")
    notary.must("key", "rotate", gun, "snapshot", "-r")
    notary.must("key", "rotate", gun, "timestamp", "-r")
    stage("rotated online")
    notary.must("key", "rotate", gun, "root", answer="yes\n")
    stage("rotated root")
    notary.must("delegation", "remove", gun, "targets/alice/deep", "-y", "-p")
    alice = read(notary.cached(gun)["targets"], Targets).signed.delegations
    (alice_key,) = alice.roles["targets/alice"].keyids
    notary.must("delegation", "remove", gun, "targets/alice", alice_key, "-p")
    stage("without keys")
    latest = read(stages[-1].files["root"], Root).signed.version
    roots = tuple(notary_server.get(f"/v2/{gun}/_trust/tuf/{version}.root.json") for version in range(1, latest + 1))
    ids = tuple(read(data, Root).signed.roles["root"].keyids[0] for data in roots)
    return Sample(tuple(stages), roots, notary, ids)


def test_every_file_is_read_and_written_as_it_was(sample: Sample):
    seen = 0
    for stage in sample.stages:
        for role, data in [*stage.files.items(), *(("root", data) for data in sample.roots)]:
            metadata = read(data, role_kind(role), role)
            assert write(metadata) == data, (stage.name, role)
            assert covered(metadata, data) == payload(metadata.signed)
            check_received(role, data, GUN)
            seen += 1
    methods = {
        entry["method"]
        for stage in sample.stages
        for data in stage.files.values()
        for entry in json.loads(data)["signatures"]
    }
    assert methods == {"ecdsa", "eddsa", "rsapss"}
    assert seen > 40


def test_what_the_view_says_is_what_notary_lists(sample: Sample):
    for stage in sample.stages:
        view = evaluate(stage.files, GUN, datetime.now(UTC))
        assert view.targets == {} or {target.digest.hex for target in view.targets.values()} == {DIGEST}
    view = evaluate(sample.at("nested"), GUN, datetime.now(UTC))
    tags = {tag.name: target.role for tag, target in view.targets.items()}
    assert tags == {"v1": "targets", "v2": "targets/releases", "v3": "targets/releases"}
    listed = sample.notary.must("list", str(GUN), "-r", "targets/releases", "-r", "targets")  # as Docker asks
    for tag, role in tags.items():
        (line,) = [line for line in listed.splitlines() if line.startswith(f"{tag} ")]
        assert line.split()[1:] == [DIGEST, "527", role]


def test_who_else_signed_a_tag(sample: Sample):
    now, files = datetime.now(UTC), sample.at("nested")
    found = attributions(files, evaluate(files, GUN, now), now)
    assert found == {Tag("v2"): {"alice", "limited"}, Tag("v1"): {"alice/deep"}}
    files = sample.at("without keys")
    assert attributions(files, evaluate(files, GUN, now), now) == {Tag("v2"): {"limited"}}


def test_collections_that_docker_made_are_read(notary_server: NotaryServer, docker_cli: Path, tmp_path: Path):
    docker, gun = (
        DockerTrust(docker_cli, tmp_path, notary_server.url, notary_server.ca),
        Gun.parse("localhost:5000/made"),
    )

    def must(*arguments: str) -> None:
        ran = docker("trust", *arguments)
        assert ran.status == 0, ran.output

    must("key", "generate", "--dir", str(tmp_path), "alice")
    bob = tmp_path / "bob.pub"
    bob.write_bytes(RSA_2048.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    seen = []
    for arguments in (
        ("signer", "add", "--key", str(tmp_path / "alice.pub"), "alice", str(gun)),
        ("signer", "add", "--key", str(bob), "bob", str(gun)),
    ):
        must(*arguments)
        must("inspect", str(gun))
        files = docker.cached(gun)
        for role, data in files.items():
            assert write(read(data, role_kind(role), role)) == data, role
        view = evaluate(files, gun, datetime.now(UTC))
        assert view.targets == {}
        seen.append([role.name.removeprefix("targets/") for role in view.roles if "/" in role.name])
    assert seen == [["alice", "releases"], ["alice", "releases", "bob"]]


def test_null_lists_are_kept(sample: Sample):
    targets = sample.at("without keys")["targets"]
    assert b'"keyids":null' in targets
    assert b'"roles":null' in sample.at("without keys")["targets/alice"]


def test_files_that_are_needed_are_asked_for(sample: Sample):
    files = sample.at("nested")
    top = {role: files[role] for role in TOP}
    assert missing({}) == set(TOP)
    assert missing(top) == {"targets/releases"}
    assert missing(top, attributions=True) == {"targets/releases", "targets/alice", "targets/limited"}
    more = top | {role: files[role] for role in missing(top, attributions=True)}
    assert missing(more, attributions=True) == {"targets/alice/deep"}
    assert missing(files, attributions=True) == set()
    with pytest.raises(NotTrusted, match="targets/releases"):
        evaluate(top, GUN, datetime.now(UTC))


def test_the_chain_of_roots_is_followed(sample: Sample):
    first, *newer = sample.roots
    assert list(follow(first, newer, GUN)) == newer
    with pytest.raises(Rejected, match="can't follow"):
        list(follow(first, newer[1:], GUN))
    with pytest.raises(Rejected, match=str(GUN)):
        list(follow(first, newer, OTHER))


def test_a_pin_is_the_id_that_notary_shows_or_that_of_the_key(sample: Sample):
    certificate = sample.root_keys[0]
    key = key_of(read(sample.roots[0], Root).signed.keys[certificate])
    assert key.canonical_id in sample.notary.must("key", "list")
    for key_id in (certificate, key.canonical_id):
        pin = Pin(str(GUN), key_ids=(key_id,), threshold=1, format="docker")
        assert anchor(pin, GUN, iter(sample.roots)) == sample.roots[0]
        assert not meets(pin, OTHER, sample.roots[0])
    both = Pin(str(GUN), key_ids=(certificate, key.canonical_id), threshold=2, format="docker")
    assert not meets(both, GUN, sample.roots[0])  # one key, whatever its names
    stranger = Pin(str(GUN), key_ids=("ab" * 32,), threshold=1, format="docker")
    with pytest.raises(WrongRoot, match="None of the"):
        anchor(stranger, GUN, iter(sample.roots))
    file = Pin(str(GUN), root=sample.roots[1], format="docker")
    assert anchor(file, GUN, iter(())) == sample.roots[1]
    with pytest.raises(WrongCollection):
        anchor(Pin(str(OTHER), root=sample.roots[1], format="docker"), OTHER, iter(()))


def test_a_rotated_root_is_signed_by_the_old_key_too(sample: Sample):
    old, new = sample.root_keys[0], sample.root_keys[-1]
    assert old != new
    for key_id in (old, new):  # notary signs a rotation with both; only the new one is a root key
        pin = Pin(str(GUN), key_ids=(key_id,), threshold=1, format="docker")
        assert meets(pin, GUN, sample.last["root"]) == (key_id == new)


def test_what_expires_is_told_by_name(sample: Sample):
    now = datetime.now(UTC)
    for days, role in ((15, "timestamp"), (3660, "root")):
        with pytest.raises(Expired, match=role):
            evaluate(sample.last, GUN, now + timedelta(days=days))
    view = evaluate(sample.last, GUN, now)
    with pytest.raises(Expired):
        evaluate(sample.last, GUN, view.expires)
    assert evaluate(sample.last, GUN, view.expires - timedelta(seconds=1)) == view


def test_another_collections_files_are_none_of_this_one(sample: Sample, notary_server: NotaryServer, tmp_path: Path):
    sample.notary.must("init", str(OTHER), "-p")  # with the same root key
    sample.notary.must("list", str(OTHER))
    other = sample.notary.cached(OTHER)
    with pytest.raises(WrongCollection, match=f"is for .*{OTHER.repository}"):
        evaluate(other, GUN, datetime.now(UTC))
    for role in TOP[1:]:
        with pytest.raises(NotTrusted):
            evaluate({**sample.last, role: other[role]}, GUN, datetime.now(UTC))


def _at(position: float) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[int(position * (len(data) - 1))] ^= 1
        return bytes(changed)

    return change


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_one_changed_bit_of_a_real_file_is_refused(
    sample: Sample, role: str, attacker: Attacker, notary_binary: Path, tmp_path: Path
):
    for position in (0.3, 0.999):
        files = {**sample.last, role: _at(position)(sample.last[role])}
        attacker.hosted = Hosted(files, dict(enumerate(sample.roots, 1)))
        ran = Notary(notary_binary, tmp_path / str(position), attacker.url, attacker.ca)("list", str(GUN))
        assert ran.status != 0, ran.output
        with pytest.raises(NotTrusted):
            evaluate(files, GUN, datetime.now(UTC))
    for step in range(1, 60):
        files = {**sample.last, role: _at(step / 60)(sample.last[role])}
        with pytest.raises(NotTrusted):
            evaluate(files, GUN, datetime.now(UTC))


def test_what_is_named_of_a_file_is_what_notary_names(sample: Sample):
    """Lengths and hashes that we would name are those that Notary names."""
    snapshot = json.loads(sample.last["snapshot"])["signed"]["meta"]
    for role in ("root", "targets"):
        ours = meta_of(sample.last[role])
        assert ours.length == snapshot[role]["length"]
        assert set(ours.hashes or {}) == set(snapshot[role]["hashes"])
