"""Roots of collections in format docker: listed and not signed, another collection's, withheld, of a thief."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.attacks.dockers import DockerStage, Published, named
from tests.formats_docker.forge import NOW, Forge, Pair, RawSigner, certified, ecdsa, role_of, tags
from trustkit.core.formats.docker import files
from trustkit.core.formats.docker.certificates import LIFETIME, root_certificate
from trustkit.core.formats.docker.keys import from_certificates
from trustkit.core.names import Gun

OLD, NEW = "0d" * 32, "1e" * 32


def test_a_strangers_root(docker_stage: DockerStage, cache: str) -> None:
    docker_stage.meet(cache)
    docker_stage.serve(Published(docker_stage.gun).publish())
    docker_stage.refuses(3, "wrong-root")
    docker_stage.recovers()


def test_a_root_that_lists_the_pinned_certificate_and_is_signed_by_another(docker_stage: DockerStage) -> None:
    """It meets its own threshold, and the pin asks for a signature (TRUST 5.1)."""
    stranger, pinned = certified(gun=docker_stage.gun), docker_stage.honest.forge.signers["root"][0]
    forge = Forge(docker_stage.gun, signers={"root": [stranger, pinned]})
    root = files.sign(forge.root, [stranger])
    docker_stage.serve(named(forge.files({"root": lambda _: root})))
    assert "is signed by the pinned keys" in docker_stage.refuses(3, "wrong-root").err


def test_a_root_of_another_collection_by_the_same_root_key(docker_stage: DockerStage, cache: str) -> None:
    """Docker shares a root key between collections, each with a certificate of its own: the key's id is no name."""
    docker_stage.meet(cache)
    private = docker_stage.honest.forge.signers["root"][0][1].private  # type: ignore[attr-defined]  # a RawSigner
    other = Published(Gun.parse(f"{docker_stage.gun.host}/other"))
    other.forge.signers["root"] = [certified(private, other.gun)]
    by_key = docker_stage.honest.forge.signers["root"][0][0].canonical_id
    victim = docker_stage.other_victim()
    docker_stage.pin(victim, by_key)
    docker_stage.trusts(victim)
    docker_stage.serve(other.publish())
    docker_stage.refuses(3, "wrong-root", victim)
    docker_stage.refuses(3, "wrong-root")
    fresh = docker_stage.other_victim()
    docker_stage.pin(fresh, by_key)
    docker_stage.refuses(3, "wrong-root", fresh)
    docker_stage.recovers()


def test_a_rotation_is_followed_from_the_pin(docker_stage: DockerStage, cache: str) -> None:
    docker_stage.meet(cache)
    for _ in range(3):
        docker_stage.honest.rotate_root()
    docker_stage.serve(docker_stage.honest.names)
    docker_stage.trusts()
    assert "4.root.json" in docker_stage.server.seen


def test_a_new_root_that_the_old_root_keys_did_not_sign(docker_stage: DockerStage, cache: str) -> None:
    docker_stage.meet(cache)
    before, signers = docker_stage.honest.names, dict(docker_stage.honest.forge.signers)
    docker_stage.serve(docker_stage.honest.rotate_root(signed_by=()))
    assert "not signed by the root keys before it" in docker_stage.refuses(3, "wrong-root").err
    docker_stage.honest.names, docker_stage.honest.forge.signers = before, signers
    docker_stage.recovers()


def test_a_version_of_root_is_left_out(docker_stage: DockerStage, cache: str) -> None:
    """Version 3 under the name of version 2: numbers don't jump."""
    docker_stage.meet(cache)
    docker_stage.honest.rotate_root()
    docker_stage.serve(docker_stage.honest.rotate_root())
    docker_stage.server.lies["2.root.json"] = docker_stage.honest.names["3.root.json"]
    docker_stage.refuses(3, "rolled-back")
    docker_stage.recovers()


def test_the_newest_root_is_hidden(docker_stage: DockerStage, cache: str) -> None:
    """The files are signed under it, so nothing of them fits the root that is shown."""
    docker_stage.meet(cache)
    docker_stage.serve(docker_stage.honest.rotate_root())
    docker_stage.server.lies["2.root.json"] = None
    assert "hides the new root" in docker_stage.refuses(4, "garbage").err
    docker_stage.recovers()


def test_files_signed_by_a_key_that_a_hidden_root_took_away(docker_stage: DockerStage) -> None:
    """Whoever has seen the new root doesn't go back with a thief who has the old online keys."""
    honest = docker_stage.honest
    old = dict(honest.forge.signers)
    honest.forge.signers |= {"targets": [ecdsa()], "snapshot": [ecdsa()], "timestamp": [ecdsa()]}
    honest.forge.cosigners = {"root": old["root"]}
    honest.forge.roles["targets"].version += 1
    new, root = honest.publish(root=True), honest.names["1.root.json"]
    honest.forge.cosigners = {}
    docker_stage.serve(new)
    docker_stage.trusts()
    thief = Forge(docker_stage.gun, signers=old, version=9)
    thief.versions = {"root": 1}
    docker_stage.serve(named(thief.files({"root": lambda _: root})))
    docker_stage.refuses(3, "rolled-back")
    docker_stage.recovers()


def authority_named(name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    private = ec.generate_private_key(ec.SECP256R1())
    named_ = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(named_)
        .issuer_name(named_)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, SHA256())
    )
    return made, private


def issued(gun: Gun, authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> Pair:
    certificate, issuer = authority
    private = ec.generate_private_key(ec.SECP256R1())
    builder = root_certificate(gun, private.public_key(), now=NOW, serial=x509.random_serial_number() >> 33)
    builder._issuer_name = certificate.subject
    return from_certificates([builder.sign(issuer, SHA256())]), RawSigner(private)


def __pin_authority(stage: DockerStage, authority: x509.Certificate) -> None:
    file = stage.folder / "authority.crt"
    file.write_bytes(authority.public_bytes(Encoding.PEM))
    pattern = f"{stage.gun.host}/*"
    done = stage.victim("pin", "add", pattern, "--format", "docker", "--ca", str(file), "--replace")
    assert done.status == 0, done.err


def test_a_pin_by_authority_takes_what_that_issued_for_this_very_name(docker_stage: DockerStage) -> None:
    authority, stranger = authority_named("ours"), authority_named("ours")
    honest = docker_stage.honest
    docker_stage.serve(honest.rotate_root(issued(docker_stage.gun, authority)))
    assert docker_stage.victim("pin", "remove", str(docker_stage.gun)).status == 0
    __pin_authority(docker_stage, stranger[0])
    assert "pinned authorities" in docker_stage.refuses(3, "wrong-root").err
    __pin_authority(docker_stage, authority[0])
    docker_stage.trusts()
    docker_stage.serve(honest.rotate_root(issued(docker_stage.gun, stranger)))
    assert "not issued by the pinned authorities" in docker_stage.refuses(3, "wrong-root").err
    docker_stage.serve(honest.rotate_root(issued(docker_stage.gun, authority)))
    docker_stage.trusts()
    docker_stage.victim.clock = lambda: NOW + LIFETIME * 2
    docker_stage.refuses(3, "wrong-root")


def test_an_authority_does_not_vouch_for_another_name(docker_stage: DockerStage) -> None:
    authority = authority_named("ours")
    other = Published(Gun.parse(f"{docker_stage.gun.host}/other"))
    other.forge.signers["root"] = [issued(other.gun, authority)]
    docker_stage.serve(other.publish())
    assert docker_stage.victim("pin", "remove", str(docker_stage.gun)).status == 0
    __pin_authority(docker_stage, authority[0])
    docker_stage.refuses(3, "wrong-root")


def test_a_signers_file_of_another_collection(docker_stage: DockerStage) -> None:
    """A signer's key is shared between collections, and no file of this format names its collection.

    Who only has the server can't use that: snapshot names every file by hash.  Who has the online keys can, which
    ``docs/explanation/threat-model.md`` says.
    """
    alice = ecdsa()
    other = Published(Gun.parse(f"{docker_stage.gun.host}/other"))
    for collection, digest in ((docker_stage.honest, NEW), (other, OLD)):
        collection.forge.delegate(role_of("targets/releases", alice[0]), tags("v1", digest=digest), alice)
        collection.forge.roles["targets"].version += 1
        collection.publish()
    docker_stage.serve(docker_stage.honest.names)
    docker_stage.server.lies["targets/releases.json"] = other.forge.files()["targets/releases"]
    assert "has not the length or hash" in docker_stage.refuses(4, "garbage").err
    docker_stage.recovers()
