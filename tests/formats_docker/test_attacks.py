"""Attacks on format docker: each with the rule that stops it, and where it is said, what notary makes of it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA224, SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.exceptions import UnverifiedSignatureError
from tuf.api.metadata import Root, TargetFile, Targets

from tests.formats_docker.forge import (
    GUN,
    NOW,
    RSA_2048,
    Forge,
    Pair,
    RawSigner,
    certified,
    ecdsa,
    eddsa,
    role_of,
    rsa_pss,
    sealed,
    tags,
)
from tests.formats_docker.stand import Attacker, Hosted, Notary
from trustkit.core.formats.docker import files as docker_files
from trustkit.core.formats.docker import signatures
from trustkit.core.formats.docker.certificates import check_root_key, root_certificate
from trustkit.core.formats.docker.evaluate import evaluate, evaluate_but_expiry
from trustkit.core.formats.docker.keys import DockerKey, from_certificates, from_public
from trustkit.core.formats.docker.pins import follow, issued_by, meets
from trustkit.core.formats.docker.roots import check_root, check_successor, check_threshold
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.remote import Pin
from trustkit.errors import (
    BadKeys,
    BadSignature,
    BadVersion,
    Expired,
    Garbage,
    KeyUnsupported,
    Malformed,
    NotTrusted,
    Rejected,
    SignatureInvalid,
    TooLarge,
    WrongCollection,
)

OTHER = Gun.parse("localhost:5000/team/other")
Value = dict[str, Any]


def listed(files: dict[str, bytes], attacker: Attacker, binary: Path, folder: Path) -> bool:
    """Whether notary lists v1."""
    attacker.hosted = Hosted(files, {1: files["root"]})
    ran = Notary(binary, folder, attacker.url, attacker.ca)("list", str(GUN))
    return ran.status == 0 and any(line.startswith("v1 ") for line in ran.output.splitlines())


# one key that wants to be two


def twice_certified() -> list[Pair]:
    private = ec.generate_private_key(ec.SECP256R1())
    return [certified(private), certified(private)]


def bare_and_certified() -> list[Pair]:
    private = ec.generate_private_key(ec.SECP256R1())
    return [(from_public(private.public_key()), RawSigner(private)), certified(private, "anybody")]


@pytest.mark.real
@pytest.mark.parametrize(
    ("role", "pairs"),
    [("root", twice_certified), ("targets", bare_and_certified), ("targets/releases", bare_and_certified)],
    ids=["two root certificates", "bare and in a certificate", "in a delegation"],
)
def test_one_key_is_never_two(
    role: str, pairs: Callable[[], list[Pair]], attacker: Attacker, notary_binary: Path, tmp_path: Path
):
    """TRUST 2.2.  Notary counts ids."""
    made, two = Forge(), pairs()
    if role == "targets/releases":
        made.delegate(role_of(role, *(key for key, _ in two), threshold=2), tags("v1"), *two)
    else:
        made.signers[role], made.thresholds[role] = two, 2
    files = made.files()
    assert listed(files, attacker, notary_binary, tmp_path)
    with pytest.raises(SignatureInvalid):
        evaluate(files, GUN, NOW)


def test_two_keys_are_two():
    two = [certified(), certified(RSA_2048)]
    made = Forge(signers={"root": two}, thresholds={"root": 2, "targets": 2})
    made.signers["targets"] = [ecdsa(), rsa_pss()]
    assert evaluate(made.files(), GUN, NOW).targets.keys() == {Tag("v1")}
    root = made.root
    one = docker_files.sign(root, two[:1])
    with pytest.raises(BadSignature):
        check_threshold(root, "root", docker_files.read(one, Root), one)


# keys


def test_a_key_under_another_id_is_refused():
    """TRUST 2.1."""
    key, other = ecdsa()[0], ecdsa()[0]
    with pytest.raises(KeyUnsupported, match="hashes to another id"):
        DockerKey.from_dict(key.keyid, other.to_dict())
    with pytest.raises(Malformed, match="private"):
        DockerKey.from_dict(key.keyid, {"keytype": "ecdsa", "keyval": {"private": "AA==", "public": "AA=="}})


def _ed25519(y: int) -> bytes:
    return y.to_bytes(32, "little")


@pytest.mark.parametrize(
    ("keytype", "public"),
    [
        ("ed25519", _ed25519(0)), ("ed25519", _ed25519(1)), ("ed25519", _ed25519(2**255 - 20)),
        ("ed25519", _ed25519(2**255 - 19 + 3)), ("ed25519", _ed25519(1 | 1 << 255)), ("ed25519", bytes(31)),
        ("ed25519", bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
        ("ed25519", bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")),
    ],
)  # fmt: skip
def test_keys_that_prove_nothing_are_refused(keytype: str, public: bytes):
    with pytest.raises(KeyUnsupported):
        DockerKey(keytype, public)


def _spki(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


POINT = ec.generate_private_key(ec.SECP256R1()).public_key()
COMPRESSED = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + POINT.public_bytes(
    Encoding.X962, PublicFormat.CompressedPoint
)


@pytest.mark.parametrize(
    ("keytype", "public"),
    [
        ("rsa", _spki(rsa.generate_private_key(65537, 1024).public_key())),
        ("ecdsa", _spki(ec.generate_private_key(ec.SECP224R1()).public_key())),
        ("ecdsa", _spki(ec.generate_private_key(ec.SECP256K1()).public_key())),
        ("ecdsa", _spki(RSA_2048.public_key())),
        ("rsa", _spki(POINT)),
        ("ecdsa", _spki(POINT) + b"\0"),
        ("ecdsa", COMPRESSED),
        ("ecdsa", POINT.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
        ("ecdsa-x509", _spki(POINT)),
        ("rsa-x509", certified()[0].certificates[0].public_bytes(Encoding.PEM)),
        ("ecdsa-x509", certified()[0].certificates[0].public_bytes(Encoding.DER)),
        ("ecdsa-x509", certified()[0].certificates[0].public_bytes(Encoding.PEM) + b"\n"),
        ("ecdsa-x509", b"a comment\n" + certified()[0].certificates[0].public_bytes(Encoding.PEM)),
        ("ecdsa-x509", certified()[0].certificates[0].public_bytes(Encoding.PEM).replace(b"\n", b"\r\n")),
        ("ecdsa-x509", certified()[0].certificates[0].public_bytes(Encoding.PEM) * 9),
        ("ECDSA", _spki(POINT)),
    ],
    ids=["RSA-1024", "P-224", "secp256k1", "RSA as ECDSA", "ECDSA as RSA", "byte after", "compressed", "PEM as DER",
         "no certificate", "ECDSA certificate as RSA", "DER as PEM", "line after", "text before", "CRLF",
         "nine", "capitals"],
)  # fmt: skip
def test_keys_of_another_kind_or_spelling_are_refused(keytype: str, public: bytes):
    with pytest.raises(KeyUnsupported):
        DockerKey(keytype, public)


# signatures


@pytest.mark.parametrize(
    "pair", [ecdsa(), ecdsa(ec.SECP384R1()), ecdsa(ec.SECP521R1()), eddsa(), rsa_pss(), certified()]
)
def test_signatures_of_each_type_verify_and_no_other(pair: Pair):
    key, signer = pair
    made = docker_files.signature_by(key, signer, b"payload")
    key.verify_signature(made, b"payload")
    value = bytes.fromhex(made.signature)
    half = len(value) // 2
    order = {32: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551}.get(half, 1 << (half * 8) - 1)
    wrong = [
        b"", value[:-1], value + b"\0", value[:half] + b"\0" + value[half:],
        bytes(len(value)), value[:half] + bytes(half), bytes(half) + value[half:],
        b"\xff" * len(value), value[half:] + value[:half],
        value[:half] + order.to_bytes(half, "big") if len(value) != 256 else value[::-1],
    ]  # fmt: skip
    for other in wrong:
        with pytest.raises(UnverifiedSignatureError):
            key.verify_signature(signatures.make(key.keyid, key.scheme, other), b"payload")
    for method in signatures.METHODS - {key.scheme} | {"rsapkcs1v15", "pycrypto-pkcs#1 pss", "", "ECDSA"}:
        with pytest.raises(UnverifiedSignatureError):
            key.verify_signature(signatures.make(key.keyid, method, value), b"payload")
    with pytest.raises(UnverifiedSignatureError):
        key.verify_signature(made, b"other payload")


def test_pkcs1_in_the_name_of_pss_is_refused():
    key = from_public(RSA_2048.public_key())
    value = RSA_2048.sign(b"payload", padding.PKCS1v15(), SHA256())
    for method in ("rsapss", "rsapkcs1v15"):
        with pytest.raises(UnverifiedSignatureError):
            key.verify_signature(signatures.make(key.keyid, method, value), b"payload")


@pytest.mark.parametrize("salt", [0, 20, 222])
def test_pss_with_another_salt_is_refused(salt: int):
    key = from_public(RSA_2048.public_key())
    value = RSA_2048.sign(b"payload", padding.PSS(padding.MGF1(SHA256()), salt), SHA256())
    with pytest.raises(UnverifiedSignatureError):
        key.verify_signature(signatures.make(key.keyid, "rsapss", value), b"payload")


def test_an_ed25519_signature_has_one_form():
    key, signer = eddsa()
    value = bytes.fromhex(docker_files.signature_by(key, signer, b"payload").signature)
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(value[32:], "little") + order
    other = value[:32] + s.to_bytes(32, "little")
    with pytest.raises(UnverifiedSignatureError):
        key.verify_signature(signatures.make(key.keyid, "eddsa", other), b"payload")


def test_a_signer_of_another_key_or_scheme_signs_nothing():
    key, _ = ecdsa()
    with pytest.raises(KeyUnsupported):
        docker_files.sign(Forge().roles["targets"], [(key, ecdsa()[1])])

    class Sha384(RawSigner):
        def sign(self, payload: bytes) -> Any:
            assert isinstance(self.private, ec.EllipticCurvePrivateKey)
            return signatures.make("", "", self.private.sign(payload, ec.ECDSA(SHA384())))

    private = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(KeyUnsupported, match="doesn't sign as Notary has it"):
        docker_files.sign(Forge().roles["targets"], [(from_public(private.public_key()), Sha384(private))])


# files in the place of others


def test_files_of_one_role_are_none_of_another():
    made = Forge()
    same = ecdsa()
    made.signers |= {"targets": [same], "snapshot": [same], "timestamp": [same]}  # so that signatures would do
    files = made.files()
    for role in ("root", "targets", "snapshot", "timestamp"):
        for other in {"root", "targets", "snapshot", "timestamp"} - {role}:
            with pytest.raises(Garbage, match="of type"):
                evaluate({**files, role: files[other]}, GUN, NOW)


def test_an_older_file_is_refused_beside_a_newer_snapshot():
    made = Forge()
    old = made.files()
    made.roles["targets"] = made.targets(tags("v1", "v2"), version=2)
    new = made.files()
    for role in ("targets", "snapshot"):
        with pytest.raises(Garbage, match="length or hash"):
            evaluate({**new, role: old[role]}, GUN, NOW)


def test_a_file_that_nobody_delegates_to_counts_for_nothing():
    made = Forge()
    files = made.files() | {"targets/releases": docker_files.sign(made.targets(tags("v9")), [ecdsa()])}
    assert evaluate(files, GUN, NOW).targets.keys() == {Tag("v1")}


def test_a_file_that_snapshot_does_not_name_counts_for_nothing():
    made, key = Forge(), ecdsa()
    made.delegate(role_of("targets/releases", key[0]), None, key)
    files = made.files() | {"targets/releases": docker_files.sign(made.targets(tags("v9")), [key])}
    assert evaluate(files, GUN, NOW).targets.keys() == {Tag("v1")}


@pytest.mark.parametrize("role", ["targets", "targets/alice"])
def test_a_delegation_only_to_direct_children(role: str):
    made, key = Forge(), ecdsa()
    made.delegate(role_of("targets/alice", key[0]), {}, key)
    above = made.roles[role].delegations
    assert above is not None
    assert above.roles is not None
    above.keys[key[0].keyid] = key[0]
    for name in ("targets/bob/deep", "targets/alice/a/b"):
        above.roles[name] = role_of(name, key[0])
        with pytest.raises(NotTrusted, match="not directly below"):
            evaluate(made.files(), GUN, NOW)
        del above.roles[name]


def test_paths_outside_the_parents_give_nothing():
    made, releases, deep = Forge(roles={"targets": Forge().targets({})}), ecdsa(), ecdsa()
    made.delegate(role_of("targets/releases", releases[0], paths=["v"]), tags("v1", "w1"), releases)
    made.delegate(role_of("targets/releases/deep", deep[0], paths=["", "w", "v2"]), tags("w1", "v2", "x"), deep)
    view = evaluate(made.files(), GUN, NOW)
    assert view.targets.keys() == {Tag("v1")}
    assert {role.name: role.paths for role in view.roles if "/" in role.name} == {
        "targets/releases": ("v",),
        "targets/releases/deep": ("v2",),
    }


def test_a_chain_of_delegations_without_end_is_refused():
    made, key, name = Forge(), ecdsa(), "targets"
    for _ in range(9):
        name += "/a"
        made.delegate(role_of(name, key[0]), {}, key)
    with pytest.raises(NotTrusted, match="levels"):
        evaluate(made.files(), GUN, NOW)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../b", "a//b", "a/", "./a", "..", ".", "", "a\\b", "a\x00b",
             "a\nb", "a\x7fb", "a" * 513]
)  # fmt: skip
def test_a_targets_name_can_leave_no_folder(name: str):
    made = Forge()
    entry = TargetFile(1, {"sha256": "ab" * 32}, name)
    with pytest.raises((Malformed, NotTrusted)):
        evaluate(
            made.files(
                {"targets": lambda data: docker_files.sign(made.targets({name: entry}), made.signers["targets"])}
            ),
            GUN,
            NOW,
        )


@pytest.mark.parametrize("path", ["../", "a/../", "a//b", "/", "./", "a\x00", "..", "a\\"])
def test_a_path_can_leave_no_folder(path: str):
    made, key = Forge(), ecdsa()
    made.delegate(role_of("targets/alice", key[0], paths=[path]), None, key)
    with pytest.raises((Malformed, NotTrusted)):
        evaluate(made.files(), GUN, NOW)


@pytest.mark.parametrize(
    "name", ["targets/../root", "targets/", "targets//a", "targets/A", "targets/a.b", "root", "targets", "targets/a/",
             "../targets/a", "targets/a\n", "targets/" + "a" * 248, "snapshot", "releases"]
)  # fmt: skip
def test_a_role_has_a_name_that_notary_takes(name: str):
    made = Forge()
    data = sealed(
        made.files()["targets"],
        made.signers["targets"],
        lambda value: value["delegations"]["roles"].append({"keyids": [], "name": name, "threshold": 1}),
    )
    with pytest.raises(Malformed, match=r"delegat|control"):
        docker_files.read(data, Targets)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda roles: roles.append(roles[0]), "twice"),
        (lambda roles: roles[0].update(paths=["v", "v"]), "path twice"),
        (lambda roles: roles[0].update(keyids=roles[0]["keyids"] * 2), "key id twice"),
        (lambda roles: roles[0].update(paths=[]), "empty"),
        (lambda roles: roles[0].update(terminating=True), "not known"),
    ],
    ids=["role", "path", "key id", "no path", "terminating"],
)
def test_a_delegation_says_each_thing_once(change: Callable[[list[Value]], Any], why: str):
    made, key = Forge(), ecdsa()
    made.delegate(role_of("targets/alice", key[0]), None, key)
    by = made.signers["targets"]
    data = sealed(made.files()["targets"], by, lambda value: change(value["delegations"]["roles"]))
    with pytest.raises(Malformed, match=why):
        docker_files.read(data, Targets)


# numbers


@pytest.mark.parametrize("version", [0, -1, 2**31, 2**53, 2**63, 10**14, 1.0, True, "1", None])
def test_versions_lie_between_1_and_2_31(version: Any):
    made = Forge()
    data = sealed(made.files()["targets"], made.signers["targets"], lambda value: value.update(version=version))
    with pytest.raises(Malformed):
        docker_files.read(data, Targets)


@pytest.mark.parametrize("length", [-1, 10**15, 2**63, 1.5, True, "1", None])
def test_lengths_are_whole_numbers_of_15_digits(length: Any):
    made = Forge()
    data = sealed(
        made.files()["targets"], made.signers["targets"], lambda value: value["targets"]["v1"].update(length=length)
    )
    with pytest.raises(Malformed):
        docker_files.read(data, Targets)


def test_what_is_no_manifest_by_its_length_is_no_tag():
    made = Forge()
    made.roles["targets"] = made.targets(tags("none", length=0) | tags("huge", length=10**12) | tags("v1"))
    assert evaluate(made.files(), GUN, NOW).targets.keys() == {Tag("v1")}


def test_what_is_too_large_or_too_deep_is_refused_before_it_is_read():
    with pytest.raises(TooLarge):
        docker_files.read(b"[" * 40, Targets)
    with pytest.raises(TooLarge):
        docker_files.read(b" " * (docker_files.MAX_BYTES["root"] + 1), Root)
    files = Forge().files()
    tail = json.loads(files["targets"])["signatures"] * 65
    for number, entry in enumerate(tail):
        tail[number] = entry | {"keyid": hashlib.sha256(bytes([number])).hexdigest()}
    data = files["targets"][: files["targets"].index(b',"signatures"')] + b',"signatures":'
    with pytest.raises(Malformed, match="more than 64"):
        docker_files.read(data + json.dumps(tail, separators=(",", ":")).encode() + b"}", Targets)


def test_two_signatures_by_one_key_are_refused():
    data = Forge().files()["targets"]
    head, _, entry = data[:-2].partition(b',"signatures":[')
    with pytest.raises(Malformed, match="two signatures"):
        docker_files.read(head + b',"signatures":[' + entry + b"," + entry + b"]}", Targets)


# root certificates


def _usage(*, signs: bool, ca: bool) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    """Makes the certificate one of another use."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        fresh = x509.CertificateBuilder(
            builder._issuer_name, builder._subject_name, builder._public_key, builder._serial_number,
            builder._not_valid_before, builder._not_valid_after,
        )  # fmt: skip
        use = x509.KeyUsage(signs, False, False, False, False, ca, False, False, False)
        return fresh.add_extension(use, critical=True).add_extension(x509.BasicConstraints(ca, None), critical=True)

    return change


def _over_sha224() -> Pair:
    private = ec.generate_private_key(ec.SECP256R1())
    builder = root_certificate(GUN, private.public_key(), now=NOW, serial=7)
    return from_certificates([builder.sign(private, SHA224())]), RawSigner(private)


def _with_another_leaf() -> Pair:
    key, signer = certified()
    return from_certificates([*key.certificates, *certified()[0].certificates]), signer


@dataclass(frozen=True)
class Certificate:
    """A root key that isn't one, what we say, and whether notary takes it."""

    name: str
    pair: Callable[[], Pair]
    ours: type[NotTrusted]
    notary: bool = False


BAD = [
    Certificate("of another collection", lambda: certified(gun=OTHER), WrongCollection),
    Certificate("of every collection", lambda: certified(gun="*"), WrongCollection, notary=True),
    Certificate("of a pattern", lambda: certified(gun="localhost:5000/team/*"), WrongCollection, notary=True),
    Certificate("of a longer name", lambda: certified(gun=f"{GUN}2"), WrongCollection),
    Certificate("of the name in capitals", lambda: certified(gun=str(GUN).upper()), WrongCollection),
    Certificate("an authority", lambda: certified(change=_usage(signs=True, ca=True)), SignatureInvalid),
    Certificate("two of them", _with_another_leaf, SignatureInvalid),
    Certificate(
        "for no signing", lambda: certified(change=_usage(signs=False, ca=False)), SignatureInvalid, notary=True
    ),
    Certificate("over SHA-224", _over_sha224, SignatureInvalid, notary=True),
    Certificate("expired", lambda: certified(now=NOW - timedelta(days=3651)), Expired),
    Certificate("of the future", lambda: certified(now=NOW + timedelta(days=2)), Expired),
    Certificate("none", ecdsa, SignatureInvalid),
]


@pytest.mark.real
@pytest.mark.parametrize("row", BAD, ids=lambda row: row.name)
def test_a_root_key_is_a_certificate_of_the_collection(
    row: Certificate, attacker: Attacker, notary_binary: Path, tmp_path: Path
):
    """TRUST 1.3."""
    made = Forge(signers={"root": [row.pair()]})
    files = made.files()
    assert listed(files, attacker, notary_binary, tmp_path) == row.notary
    with pytest.raises(row.ours) as raised:
        evaluate(files, GUN, NOW)
    assert type(raised.value) is row.ours


def test_a_certificate_counts_a_day_before_its_time_and_to_its_last_second():
    early = Forge(signers={"root": [certified(now=NOW + timedelta(hours=23))]})
    evaluate(early.files(), GUN, NOW)
    end = NOW + timedelta(days=30)
    late = Forge(signers={"root": [certified(now=end - timedelta(days=3650))]})
    view = evaluate(late.files(), GUN, NOW)
    assert view.expires == end
    with pytest.raises(Expired, match="certificates"):
        evaluate(late.files(), GUN, end + timedelta(seconds=1))
    assert evaluate_but_expiry(late.files(), GUN, end + timedelta(days=1), fresh=["targets"]).targets == view.targets
    with pytest.raises(Expired):
        evaluate_but_expiry(late.files(), GUN, NOW + timedelta(days=400), fresh=["targets"])


def test_an_expired_certificate_does_not_count_beside_a_valid_one():
    expired = certified(now=NOW - timedelta(days=3651))
    made = Forge(signers={"root": [certified(), expired]}, thresholds={"root": 2})
    with pytest.raises(Expired):
        evaluate(made.files(), GUN, NOW)
    made.thresholds["root"] = 1
    assert evaluate(made.files(), GUN, NOW).expires == made.expires


def test_two_certificates_of_one_key_are_one_beside_an_expired_one():
    expired = certified(now=NOW - timedelta(days=3651))
    made = Forge(signers={"root": [*twice_certified(), expired]}, thresholds={"root": 2})
    with pytest.raises(Expired):
        evaluate(made.files(), GUN, NOW)


def test_a_long_collection_has_a_long_common_name(recwarn: pytest.WarningsRecorder):
    gun = Gun.parse("registry.example.com/" + "a" * 200)
    assert evaluate(Forge(gun=gun).files(), gun, NOW).gun == gun
    assert not recwarn.list


# roots that follow


def _next(old: Forge, signers: list[Pair], by: list[Pair], version: int = 2) -> bytes:
    new = Forge(signers=old.signers | {"root": signers}, version=version)
    return docker_files.sign(new.root, by)


def test_a_root_follows_by_the_old_keys_and_its_own():
    old, new = Forge(), [certified()]
    first = old.files()["root"]
    both = [*old.signers["root"], *new]
    assert len(list(follow(first, [_next(old, new, both)], GUN))) == 1
    cases: list[tuple[list[Pair], list[Pair], int, type[Rejected]]] = [
        (new, new, 2, BadSignature),
        (new, old.signers["root"], 2, BadSignature),
        (new, both, 1, BadVersion),
        (new, both, 3, BadVersion),
        ([certified(gun=OTHER)], both, 2, Rejected),
        ([ecdsa()], both, 2, BadKeys),
    ]
    for signers, by, version, error in cases:
        data = _next(old, signers, by, version)
        with pytest.raises(error):
            check_successor(docker_files.read(first, Root), docker_files.read(data, Root), data, GUN)


def test_a_root_that_only_lists_a_pinned_key_does_not_meet_the_pin():
    """TRUST 5.1."""
    pinned, own = certified(), certified()
    made = Forge(signers={"root": [pinned, own]})
    pin = Pin(str(GUN), key_ids=(pinned[0].keyid,), threshold=1, format="docker")
    assert not meets(pin, GUN, docker_files.sign(made.root, [own]))
    assert meets(pin, GUN, docker_files.sign(made.root, [pinned]))
    assert not meets(pin, OTHER, docker_files.sign(made.root, [pinned]))


def test_a_threshold_of_root_keys_is_of_keys():
    two = twice_certified()
    made = Forge(signers={"root": [*two, certified()]}, thresholds={"root": 3})
    with pytest.raises(BadKeys, match="3 with 2 keys"):
        check_root(made.root, GUN)


# pins by authority


def _authority(
    name: str, by: tuple[x509.Certificate, Any] | None = None, **basic: Any
) -> tuple[x509.Certificate, Any]:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(by[0].subject if by else subject)
        .public_key(private.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=90))
        .add_extension(x509.BasicConstraints(**({"ca": True, "path_length": None} | basic)), critical=True)
        .sign(by[1] if by else private, SHA256())
    )  # fmt: skip
    return made, private


def _leaf(issuer: tuple[x509.Certificate, Any], *above: x509.Certificate) -> DockerKey:
    private = ec.generate_private_key(ec.SECP256R1())
    builder = root_certificate(GUN, private.public_key(), now=NOW, serial=7)
    builder._issuer_name = issuer[0].subject
    return from_certificates([builder.sign(issuer[1], SHA256()), *above])


def test_a_certificate_is_issued_by_a_pinned_authority_or_not():
    top, stranger = _authority("top"), _authority("top")
    middle = _authority("middle", top)
    assert issued_by(_leaf(top), [top[0]], NOW)
    assert issued_by(_leaf(middle, middle[0]), [stranger[0], top[0]], NOW)
    assert issued_by(_leaf(middle), [middle[0]], NOW)
    for key, authorities, now in (
        (_leaf(middle), [top[0]], NOW),
        (_leaf(top), [stranger[0]], NOW),
        (_leaf(stranger), [top[0]], NOW),
        (_leaf(middle, top[0]), [top[0]], NOW),
        (_leaf(top), [], NOW),
        (_leaf(top), [top[0]], NOW + timedelta(days=91)),
        (certified()[0], [top[0]], NOW),
        (ecdsa()[0], [top[0]], NOW),
    ):
        assert not issued_by(key, authorities, now)


def test_an_authority_may_issue():
    no_authority = _authority("top", ca=False)
    assert not issued_by(_leaf(no_authority), [no_authority[0]], NOW)
    short = _authority("top", path_length=0)
    middle = _authority("middle", short)
    assert issued_by(_leaf(short), [short[0]], NOW)
    assert not issued_by(_leaf(middle, middle[0]), [short[0]], NOW)


def test_what_is_printed_of_a_key_is_no_secret():
    key, _ = ecdsa()
    assert repr(key) == f"DockerKey(ecdsa, {key.keyid})"
    assert base64.b64decode(str(key.keyval["public"]))[:1] == b"0"


@pytest.mark.parametrize(
    "custom", [{"a": "<"}, {"&": 1}, [["\u2028"]], {"a": 1.5}, 10**15, -(10**14), {"a": "\n"}, {"a": "\ud800"}]
)
def test_custom_data_that_notary_could_not_sign_again_is_neither_read_nor_written(custom: Any):
    made = Forge()
    targets = made.targets(tags("v1"))
    targets.targets["v1"].unrecognized_fields["custom"] = custom
    with pytest.raises(Malformed):
        docker_files.sign(targets, made.signers["targets"])
    data = made.files()["targets"].replace(b'"hashes"', b'"custom":' + json.dumps(custom).encode() + b',"hashes"', 1)
    with pytest.raises(Malformed):
        docker_files.read(data, Targets)


def test_no_flipped_byte_of_a_certificate_is_a_crash():
    """cryptography says what is wrong with a certificate by exceptions that aren't ValueErrors, too."""
    (key, _), version_3 = certified(), bytes.fromhex("a003020102")
    der = key.certificates[0].public_bytes(Encoding.DER)
    assert der.count(version_3) == 1
    sent = [der.replace(version_3, version_3[:-1] + bytes([6]))]
    sent += [der[:at] + bytes([der[at] ^ bit]) + der[at + 1 :] for at in range(len(der)) for bit in (1, 4, 0x80)]
    refused = 0
    for each in sent:
        try:
            check_root_key(DockerKey("ecdsa-x509", pem_of(each)), GUN)
        except (Rejected, KeyUnsupported):
            refused += 1
    assert refused > 20
    with pytest.raises(KeyUnsupported, match="can't be read"):
        DockerKey("ecdsa-x509", pem_of(sent[0]))


def pem_of(der: bytes) -> bytes:
    body = base64.b64encode(der)
    lines = b"\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"\n-----END CERTIFICATE-----\n"
