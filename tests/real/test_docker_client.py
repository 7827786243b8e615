"""Collections that the real docker and notary signed, on the real notary-server, read by trustkit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.conftest import Need
from tests.formats_docker.forge import NOW, Forge, ecdsa
from tests.formats_docker.stand import PASSPHRASE, Attacker, DockerTrust, Hosted, Notary, NotaryServer
from tests.hooks.node import OTHER, Image, flags, run
from tests.hooks.webhook import Webhook, patched, pod, review
from tests.real.parts import Docker
from tests.service import Person, Result
from trustkit.core.names import Gun
from trustkit.keys.dockercrypt import seal
from trustkit.keys.dockerpem import render

pytestmark = pytest.mark.real

OLD, NEW = "0d" * 32, "1e" * 32


@dataclass(frozen=True)
class Stand:
    """A real trust server and who signs there; the server itself is the host of the names."""

    server: NotaryServer
    notary: Notary
    docker: DockerTrust
    folder: Path

    def gun(self, repository: str) -> str:
        return f"localhost:{self.server.port}/{repository}"

    def consumer(self, name: str) -> Person:
        return Person(name, self.folder / name, {"SSL_CERT_FILE": str(self.server.ca)})

    def inspected(self, gun: str) -> dict[str, Any]:
        """What ``docker trust inspect`` says."""
        ran = self.docker("trust", "inspect", gun)
        assert ran.status == 0, ran.output
        found: dict[str, Any] = json.loads(ran.output)[0]
        return found

    def root_key(self, gun: str) -> str:
        """The id of the root key as ``docker trust inspect`` shows it."""
        keys = {row["Name"]: row["Keys"] for row in self.inspected(gun)["AdministrativeKeys"]}
        return str(keys["Root"][0]["ID"])

    def found(self, repository: str, **signed: str) -> str:
        """A new collection that signs these tags for these digests."""
        gun = self.gun(repository)
        self.notary.must("init", "-p", gun)
        for tag, digest in signed.items():
            self.sign(gun, tag, digest)
        return gun

    def sign(self, gun: str, tag: str, digest: str, *roles: str) -> None:
        options = [word for role in roles for word in ("-r", role)]
        self.notary.must("addhash", gun, tag, "500", "--sha256", digest, *options, "-p")

    def signer(self, gun: str, *roles: str) -> None:
        """Delegates every path to a new key, which notary gets."""
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=300))
            .sign(private, SHA256())
        )
        file, key = self.folder / f"{roles[0].replace('/', '-')}.crt", self.folder / "signer.key"
        file.write_bytes(certificate.public_bytes(Encoding.PEM))
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.notary.must("key", "import", str(key))
        for role in roles:
            self.notary.must("delegation", "add", gun, role, str(file), "--all-paths", "-p")


@pytest.fixture(scope="module")
def stand(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("docker-client")
    (folder / "server").mkdir()
    with NotaryServer(need("notary-server", "notary"), folder / "server") as server:
        notary = Notary(need("notary", "notary"), folder / "notary", server.url, server.ca)
        yield Stand(server, notary, DockerTrust(need("docker", "docker.io"), folder, server.url, server.ca), folder)


def trusts(who: Person, gun: str, tag: str, digest: str) -> None:
    done = who("verify", f"{gun}:{tag}")
    assert (done.status, done.out) == (0, f"{gun}:{tag}@sha256:{digest}\n"), done.err


def refuses(who: Person, reference: str, status: int, slug: str) -> Result:
    done = who("verify", reference)
    assert (done.status, done.slug, done.out) == (status, slug, ""), done.err
    return done


def pinned(who: Person, gun: str, *how: str) -> Person:
    done = who("pin", "add", gun, "--format", "docker", *how)
    assert done.status == 0, done.err
    return who


def test_by_each_way_to_pin(stand: Stand) -> None:
    gun = stand.found("pins", v1=OLD)
    file = stand.folder / "root.json"
    file.write_bytes(stand.notary.cached(gun)["root"])
    keys = (stand.notary.folder / "private").glob("*.key")
    (key,) = [path.stem for path in keys if b"role: root" in path.read_bytes()]
    ways = {
        "by docker's id": ("--root-key", stand.root_key(gun)),
        "by the id of the key file": ("--root-key", key),
        "by the root file": ("--root", str(file)),
    }
    for name, way in ways.items():
        who = pinned(stand.consumer(name), gun, *way)
        trusts(who, gun, "v1", OLD)
        refuses(who, f"{gun}:v2", 3, "unsigned")
    stranger = pinned(stand.consumer("stranger"), gun, "--root-key", "ab" * 32)
    refuses(stranger, f"{gun}:v1", 3, "wrong-root")
    nobody = stand.consumer("nobody")
    refuses(nobody, f"{gun}:v1", 3, "no-pin")
    assert nobody("pin", "add", gun, "--root-key", key).slug == "wrong-format"


def test_a_root_certificate_of_an_authority(stand: Stand) -> None:
    """As notary's own ``trust_pinning`` by authority, which takes what that issued and refuses a stranger's."""
    gun = stand.gun("issued")
    private, issuer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ours")])
    ours = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, gun)])

    def issued(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, authority: bool) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=300))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(issuer, SHA256())
        )
        return made.public_bytes(Encoding.PEM)

    certificate, key, ca = (stand.folder / f"issued.{kind}" for kind in ("crt", "key", "ca"))
    certificate.write_bytes(issued(ours, private.public_key(), authority=False))
    key.write_bytes(render({"role": "root"}, seal(private, PASSPHRASE.encode(), rounds=2048)))
    ca.write_bytes(issued(name, issuer.public_key(), authority=True))
    stand.notary.must("init", gun, "--rootkey", str(key), "--rootcert", str(certificate), "-p")
    stand.sign(gun, "v1", OLD)
    who = pinned(stand.consumer("by-authority"), f"localhost:{stand.server.port}/*", "--ca", str(ca))
    trusts(who, gun, "v1", OLD)
    refuses(who, f"{stand.found('of-nobody', v1=OLD)}:v1", 3, "wrong-root")
    config = stand.folder / "notary.json"
    pins = {"ca": {f"localhost:{stand.server.port}/": str(ca)}, "disable_tofu": True}
    config.write_text(json.dumps({"trust_pinning": pins}), encoding="ascii")
    notary = replace(stand.notary, folder=stand.folder / "by-authority-notary")
    assert OLD in notary.must("-c", str(config), "lookup", gun, "v1")
    assert notary("-c", str(config), "lookup", stand.gun("of-nobody"), "v1").status == 1


def test_what_is_shown_is_what_docker_shows(stand: Stand) -> None:
    gun = stand.found("shown", v1=OLD)
    stand.signer(gun, "targets/releases", "targets/alice")
    stand.signer(gun, "targets/bob")
    stand.sign(gun, "v2", NEW, "targets/releases", "targets/alice")
    stand.sign(gun, "v3", NEW, "targets/releases")
    stand.sign(gun, "v4", NEW, "targets/bob")
    who = pinned(stand.consumer("shown"), gun, "--root-key", stand.root_key(gun))
    for tag, digest in {"v1": OLD, "v2": NEW, "v3": NEW}.items():
        trusts(who, gun, tag, digest)
    refuses(who, f"{gun}:v4", 3, "unsigned")
    shown = json.loads(who("inspect", gun, "--format", "json").out)[0]
    docker = stand.inspected(gun)
    shown["Signers"].sort(key=lambda row: str(row["Name"]))
    docker["Signers"].sort(key=lambda row: str(row["Name"]))
    assert shown["Format"] == "docker"
    assert {name: shown[name] for name in docker} == docker
    rows = json.loads(who("signer", "list", gun, "--format", "json").out)
    assert {row["name"] for row in rows} == {"alice", "bob"}
    status = json.loads(who("status", gun, "--format", "json").out)[0]
    assert (status["grade"], status["trusted"]) == ("fine", True)
    assert "root certificate" in [role["name"] for role in status["roles"]]
    assert who("doctor", gun).status == 0


def test_a_policy_with_signers(stand: Stand) -> None:
    gun = stand.found("policy", v1=OLD)
    stand.signer(gun, "targets/releases", "targets/alice")
    stand.sign(gun, "v2", NEW, "targets/releases", "targets/alice")
    policy = stand.folder / "policy.toml"
    rule = f'version = 1\n[[rule]]\npattern = "{gun}"\nformat = "docker"\nroot_keys = ["{stand.root_key(gun)}"]\n'
    who = stand.consumer("policy")
    policy.write_text(f'{rule}signers = ["alice"]\n')
    allowed = who("policy", "check", str(policy), f"{gun}:v2")
    assert (allowed.status, f"signed as {gun}:v2@sha256:{NEW}" in allowed.out) == (0, True), allowed.err
    assert who("policy", "check", str(policy), f"{gun}:v1").status == 3
    policy.write_text(f'{rule}signers = ["bob"]\n')
    assert who("policy", "check", str(policy), f"{gun}:v2").status == 3


def test_the_hooks_judge_by_collections_of_docker(stand: Stand, tmp_path: Path) -> None:
    gun = stand.found("hooks", v1=OLD)
    key = stand.root_key(gun)
    node = pinned(stand.consumer("node"), gun, "--root-key", key)
    image = Image(gun, f"sha256:{OLD}", 500)
    status, reason = run(node, *flags(f"{gun}:v1", image.digest), feed=image.descriptor())
    assert (status, f"signed as {gun}:v1@sha256:{OLD}" in reason) == (0, True), reason
    status, reason = run(node, *flags(f"{gun}:v1", OTHER), feed=image.descriptor(digest=OTHER))
    assert (status, "[tag-moved]" in reason) == (1, True), reason
    policy = f'version = 1\n[[rule]]\npattern = "{gun}"\nformat = "docker"\nroot_keys = ["{key}"]\n'
    webhook = Webhook(tmp_path / "webhook", policy, environ={"SSL_CERT_FILE": str(stand.server.ca)}).start()
    try:
        asked = review("Pod", pod(f"{gun}:v1"))
        spec = patched(asked, webhook.mutate(asked).response)["spec"]
        assert spec == pod(f"{gun}:v1@sha256:{OLD}")
        assert "is not signed" in webhook.mutate(review("Pod", pod(f"{gun}:v2"))).message
    finally:
        assert webhook.stop() == 0


def test_rotated_keys_are_followed(stand: Stand) -> None:
    gun = stand.found("rotated", v1=OLD)
    key = stand.root_key(gun)
    warm = pinned(stand.consumer("warm"), gun, "--root-key", key)
    trusts(warm, gun, "v1", OLD)
    stand.notary.must("key", "rotate", gun, "targets")
    stand.notary.must("key", "rotate", gun, "snapshot", "-r")
    stand.notary.must("key", "rotate", gun, "root", answer="yes\n")
    stand.notary.must("key", "rotate", gun, "timestamp", "-r")
    stand.sign(gun, "v1", NEW)
    assert stand.root_key(gun) != key
    trusts(warm, gun, "v1", NEW)
    trusts(pinned(stand.consumer("cold"), gun, "--root-key", key), gun, "v1", NEW)
    trusts(pinned(stand.consumer("newest"), gun, "--root-key", stand.root_key(gun)), gun, "v1", NEW)


def test_a_withdrawn_tag_and_a_deleted_collection(stand: Stand) -> None:
    gun = stand.found("deleted", v1=OLD, v2=OLD)
    key = stand.root_key(gun)
    who = pinned(stand.consumer("deleted"), gun, "--root-key", key)
    trusts(who, gun, "v1", OLD)
    stand.notary.must("remove", gun, "v1", "-p")
    refuses(who, f"{gun}:v1", 3, "unsigned")
    stand.notary.must("delete", gun, "--remote")
    refuses(who, f"{gun}:v2", 4, "collection-gone")
    refuses(pinned(stand.consumer("late"), gun, "--root-key", key), f"{gun}:v2", 3, "no-collection")
    stand.found("deleted", v1=OLD)
    assert "Owner may have reset" in refuses(who, f"{gun}:v1", 3, "wrong-root").err


CANNOT = {
    "root show": ("root", "show", "{gun}"),
    "threshold show": ("threshold", "show", "{gun}"),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_done_says_so(stand: Stand, case: str) -> None:
    gun = stand.gun("cannot")
    if stand.notary("list", gun).status != 0:
        stand.found("cannot", v1=OLD)
    who = pinned(stand.consumer("cannot"), gun, "--root-key", stand.root_key(gun))
    done = who(*(word.format(gun=gun) for word in CANNOT[case]))
    assert (done.status, done.slug) == (1, "wrong-format"), done.err


CHANGES: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "flipped targets": lambda files: {**files, "targets": files["targets"].replace(b"v1", b"v2")},
    "no timestamp": lambda files: {role: data for role, data in files.items() if role != "timestamp"},
    "no snapshot": lambda files: {role: data for role, data in files.items() if role != "snapshot"},
    "a page": lambda files: {**files, "timestamp": b"<html>"},
    "other targets": lambda files: {**files, "targets": files["timestamp"]},
    "no signature": lambda files: {**files, "timestamp": re.sub(rb"\[\{.keyid.*", b"[]}", files["timestamp"])},
}


@pytest.fixture(scope="module")
def attacker(stand: Stand) -> Iterator[Attacker]:
    (stand.folder / "attacker").mkdir()
    with Attacker(stand.folder / "attacker") as server:
        yield server


@pytest.mark.parametrize("case", CHANGES)
def test_what_notary_refuses_is_refused(stand: Stand, attacker: Attacker, case: str, tmp_path: Path) -> None:
    gun = Gun.parse(f"{attacker.url.removeprefix('https://')}/app")
    forge = Forge(gun, signers={"timestamp": [ecdsa()]})
    files = forge.files()
    notary = Notary(stand.notary.binary, tmp_path / "notary", attacker.url, attacker.ca)
    who = Person("consumer", tmp_path, {"SSL_CERT_FILE": str(attacker.ca)})
    pinned(who, str(gun), "--root-key", forge.signers["root"][0][0].keyid)
    attacker.hosted = Hosted(CHANGES[case](files), {1: files["root"]})
    assert notary("lookup", str(gun), "v1").status == 1
    assert who("verify", f"{gun}:v1").status in (3, 4)
    attacker.hosted = Hosted(files, {1: files["root"]})
    assert "ab" * 32 in notary.must("lookup", str(gun), "v1")
    trusts(who, str(gun), "v1", "ab" * 32)


def test_an_older_state_is_refused_by_both(stand: Stand, attacker: Attacker, tmp_path: Path) -> None:
    gun = Gun.parse(f"{attacker.url.removeprefix('https://')}/older")
    forge = Forge(gun)
    root = forge.files()["root"]
    older = forge.files({"root": lambda _: root})
    forge.versions = {"root": 1, "snapshot": 2, "timestamp": 2}
    newer = forge.files({"root": lambda _: root})
    notary = Notary(stand.notary.binary, tmp_path / "notary", attacker.url, attacker.ca)
    who = pinned(
        Person("consumer", tmp_path, {"SSL_CERT_FILE": str(attacker.ca)}),
        str(gun),
        "--root-key",
        forge.signers["root"][0][0].keyid,
    )
    attacker.hosted = Hosted(newer, {1: root})
    notary.must("lookup", str(gun), "v1")
    trusts(who, str(gun), "v1", "ab" * 32)
    attacker.hosted = Hosted(older, {1: root})
    assert notary("lookup", str(gun), "v1").status == 1
    refuses(who, f"{gun}:v1", 3, "rolled-back")


def test_docker_pushes_and_trustkit_pulls(
    stand: Stand, docker: Docker, start_docker_registry: Callable[..., str], tmp_path: Path
) -> None:
    """The registry is one host and the trust server another, as with DOCKER_CONTENT_TRUST_SERVER."""
    registry = start_docker_registry().replace("127.0.0.1", "localhost")
    repository = f"{registry}/team/app"
    configuration = stand.folder / "docker"
    stand.docker("version")
    publisher = {
        "DOCKER_CONFIG": str(configuration),
        "DOCKER_CONTENT_TRUST": "1",
        "DOCKER_CONTENT_TRUST_SERVER": stand.server.url,
        "DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE": PASSPHRASE,
        "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE": PASSPHRASE,
    }
    docker.make(f"{repository}:v1", "one")
    pushed = docker(publisher, "push", f"{repository}:v1")
    assert pushed.status == 0, pushed.err
    digest = str(re.findall(r"sha256:([0-9a-f]{64})", pushed.out)[-1])
    key = stand.root_key(repository)
    server = {"TRUSTKIT_TRUST_SERVERS": f"{registry}={stand.server.url}"}
    who = Person("puller", tmp_path, {"SSL_CERT_FILE": str(stand.server.ca), **server})
    pinned(who, repository, "--root-key", key)
    trusts(who, repository, "v1", digest)
    docker.forget(f"{repository}:v1")
    pulled = who("pull", f"{repository}:v1", environ={"DOCKER_HOST": docker.host})
    assert pulled.status == 0, pulled.err
    assert f"{repository}@sha256:{digest}" in docker.digests(f"{repository}:v1")
    by_dockers = Person("docker-variable", tmp_path / "2", {"SSL_CERT_FILE": str(stand.server.ca)})
    by_dockers.environ["DOCKER_CONTENT_TRUST_SERVER"] = stand.server.url
    trusts(pinned(by_dockers, repository, "--root-key", key), repository, "v1", digest)
    elsewhere = Person("elsewhere", tmp_path / "3", {"SSL_CERT_FILE": str(stand.server.ca)})
    pinned(elsewhere, repository, "--root-key", key)
    asked = refuses(elsewhere, f"{repository}:v1", 4, "garbage")
    assert "TRUSTKIT_TRUST_SERVERS" in asked.err
    revoked = docker(publisher, "trust", "revoke", f"{repository}:v1")
    assert revoked.status == 0, revoked.err
    refuses(who, f"{repository}:v1", 3, "unsigned")
