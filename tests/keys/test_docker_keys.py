"""Private keys that the real notary and docker made, read here; and written here, used by them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tuf.api.metadata import Metadata, Root

from tests.conftest import Need
from tests.formats_docker.stand import PASSPHRASE, DockerTrust, Notary, NotaryServer
from trustkit.core.formats.docker import files as docker_files
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.docker.signatures import from_securesystemslib
from trustkit.core.formats.tuf1 import sign as sign_tuf
from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.errors import KeyExists, KeyUnsupported, NoPassphrase, WrongPassphrase
from trustkit.keys import dockerkeys, keypairs
from trustkit.keys.dockerexport import export
from trustkit.keys.dockerfolder import Place, look
from trustkit.keys.dockerimport import DockerImport, Outcome, Taken
from trustkit.keys.dockerstore import ClosedKey, DockerIds, DockerKeyStore
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.store import FileKeyStore

pytestmark = pytest.mark.real

GUN = Gun.parse("localhost:5000/team/app")
DIGEST = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"
ENVIRON = {
    f"TRUSTKIT_{kind}_PASSPHRASE": "a passphrase of the home" for kind in ("ROOT", "REPOSITORY", "SIGNER")
}  # fmt: skip
NOTARYS = {f"NOTARY_{role}_PASSPHRASE": PASSPHRASE for role in ("ROOT", "TARGETS", "SNAPSHOT", "DELEGATION")}
DOCKERS = {f"DOCKER_CONTENT_TRUST_{kind}_PASSPHRASE": PASSPHRASE for kind in ("ROOT", "REPOSITORY")}


@dataclass(frozen=True)
class Made:
    """What the real tools made: Notary's trust folder with a published collection, and Docker's with a signer."""

    server: NotaryServer
    notary: Notary
    docker: DockerTrust
    alice: Path

    @property
    def trust(self) -> Path:
        return self.docker.folder / "docker" / "trust"


@pytest.fixture(scope="module")
def made(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("tools")
    notary, docker, openssl = need("notary", "notary"), need("docker", "docker.io"), need("openssl", "openssl")
    for name in ("server", "docker"):
        (folder / name).mkdir()
    with NotaryServer(need("notary-server", "notary"), folder / "server") as server:
        stock = Notary(notary, folder / "notary", server.url, server.ca)
        stock.must("init", str(GUN), "--publish")
        rsa = folder / "rsa.pem"
        subprocess.run([openssl, "genrsa", "-traditional", "-out", rsa, "2048"], capture_output=True, check=True)
        stock.must("key", "import", str(rsa), "--role", "delegation")
        trust = DockerTrust(docker, folder / "docker", server.url, server.ca)
        done = trust("trust", "key", "generate", "alice", "--dir", str(folder))
        assert done.status == 0, done.output
        yield Made(server, stock, trust, folder / "alice.pub")


@pytest.fixture
def home(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "home", PassphraseSource(environ=ENVIRON))


def taken(home: FileKeyStore, folder: Path, environ: dict[str, str], **how: bool) -> list[Taken]:
    return list(DockerImport(home, PassphraseSource(environ=environ))(folder, **how))


@pytest.fixture(scope="module")
def notarys_keys(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with Notary's keys, each under the passphrase that it had."""
    folder = tmp_path_factory.mktemp("taken-in") / "keys"
    assert len(taken(FileKeyStore(folder, PassphraseSource(environ={})), made.notary.folder, NOTARYS)) == 4
    return folder


@pytest.fixture
def ours(notarys_keys: Path, tmp_path: Path) -> FileKeyStore:
    shutil.copytree(notarys_keys, tmp_path / "ours")
    return FileKeyStore(tmp_path / "ours", PassphraseSource(environ=dict.fromkeys(ENVIRON, PASSPHRASE)))


@pytest.fixture(scope="module")
def exported(notarys_keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trust folder with those keys, written here."""
    ours = FileKeyStore(notarys_keys, PassphraseSource(environ=dict.fromkeys(ENVIRON, PASSPHRASE)))
    folder = tmp_path_factory.mktemp("exported") / "trust"
    paths = export(ours, ours.list(), folder, PassphraseSource(environ=NOTARYS))
    assert {oct(path.stat().st_mode & 0o777) for path in paths} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in (folder, folder / "private")} == {"0o700"}
    return folder


def listed(notary: Notary, folder: Path) -> dict[str, str]:
    """By id the role, as the real notary lists a folder."""
    other = Notary(notary.binary, folder, notary.server, notary.ca)
    lines = other.must("key", "list").splitlines()
    found = {match[1]: line.split()[0] for line in lines if (match := re.search(r"\b([0-9a-f]{64})\b", line))}
    assert found, lines
    return found


def test_what_notary_made_is_taken_in(made: Made, home: FileKeyStore) -> None:
    before = {path: path.read_bytes() for path in made.notary.folder.rglob("*.key")}
    done = taken(home, made.notary.folder, NOTARYS)
    assert [found.error for found in done] == [None] * 4
    assert {found.docker_id for found in done} == set(listed(made.notary, made.notary.folder))
    assert [(info.role, info.gun, str(info.name or "")) for info in home.list()] == [
        (KeyRole.ROOT, None, ""),
        (KeyRole.REPOSITORY, GUN, ""),
        (KeyRole.SNAPSHOT, GUN, ""),
        (KeyRole.SIGNER, None, "delegation"),
    ]
    again = taken(home, made.notary.folder, {})
    assert {found.outcome for found in again} == {Outcome.HERE}
    assert {path: path.read_bytes() for path in made.notary.folder.rglob("*.key")} == before


def test_what_docker_made_is_taken_in_with_dockers_variables(made: Made, home: FileKeyStore) -> None:
    (found,) = taken(home, made.trust / "private", DOCKERS)
    assert found.info is not None
    assert (found.info.role, str(found.info.name)) == (KeyRole.SIGNER, "alice")
    kept = FileKeyStore(Path(home.place), PassphraseSource(environ=DOCKERS))
    assert kept.unlock(found.info).public_key.keyid == found.info.id  # under the passphrase that it had


def test_a_look_asks_for_nothing_and_changes_nothing(made: Made, home: FileKeyStore) -> None:
    before = {path: path.read_bytes() for path in made.notary.folder.rglob("*.key")}
    done = taken(home, made.notary.folder, {}, dry_run=True)
    assert {found.outcome for found in done} == {Outcome.WOULD}
    assert not home.list()
    assert {path: path.read_bytes() for path in made.notary.folder.rglob("*.key")} == before


def test_what_cannot_be_opened_keeps_no_other_from_its_turn(made: Made, home: FileKeyStore) -> None:
    environ = {**NOTARYS, "NOTARY_ROOT_PASSPHRASE": "not the one"}
    del environ["NOTARY_SNAPSHOT_PASSPHRASE"]
    errors = {found.purpose.role: found.error for found in taken(home, made.notary.folder, environ) if found.purpose}
    assert isinstance(errors[KeyRole.ROOT], WrongPassphrase)
    assert "NOTARY_ROOT_PASSPHRASE" in str(errors[KeyRole.ROOT])
    assert isinstance(errors[KeyRole.SNAPSHOT], NoPassphrase)
    assert "not the one" not in "".join(repr(error) for error in errors.values())
    assert {info.role for info in home.list()} == {KeyRole.REPOSITORY, KeyRole.SIGNER}


def test_every_passphrase_that_a_source_gives_is_tried(made: Made, home: FileKeyStore) -> None:
    environ = {**NOTARYS, "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE": "that of another tool"}
    assert {found.error for found in taken(home, made.trust, environ)} == {None}


def test_what_was_typed_once_is_tried_on_the_next_key(
    made: Made, home: FileKeyStore, typist: Callable[..., Callable[[str], str]]
) -> None:
    prompt = typist("a slip", PASSPHRASE)
    source = PassphraseSource(environ={}, interactive=True, prompt=prompt)
    assert {found.outcome for found in DockerImport(home, source)(made.notary.folder)} == {Outcome.IMPORTED}


def test_the_prompt_is_tried_three_times_and_the_next_key_has_its_turn(
    made: Made, home: FileKeyStore, typist: Callable[..., Callable[[str], str]]
) -> None:
    prompt = typist("1", "2", "3", PASSPHRASE)
    source = PassphraseSource(environ={}, interactive=True, prompt=prompt)
    outcomes = [found.outcome for found in DockerImport(home, source)(made.notary.folder)]
    assert outcomes == [Outcome.FAILED, *[Outcome.IMPORTED] * 3]


def test_a_root_key_of_notarys_signs_format_tuf(ours: FileKeyStore) -> None:
    info = next(info for info in ours.list() if info.role is KeyRole.ROOT)
    root = Root()
    root.add_key(info.public, "root")
    signed = sign_tuf(root, {info.id: ours.unlock(info)})
    read = Metadata[Root].from_bytes(signed)
    read.signed.verify_delegate("root", read.signed_bytes, read.signatures)


def published(made: Made, folder: Path, tag: str) -> None:
    """Notary signs and publishes a tag with the keys of this folder, and the first Notary reads it."""
    second = Notary(made.notary.binary, folder, made.server.url, made.server.ca)
    second.must("addhash", str(GUN), tag, "100", "--sha256", DIGEST, "--publish")
    assert DIGEST in made.notary.must("lookup", str(GUN), tag)


def test_what_is_written_here_signs_in_notary(made: Made, exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "out")
    assert listed(made.notary, tmp_path / "out") == listed(made.notary, made.notary.folder)
    published(made, tmp_path / "out", "exported")


def test_what_is_written_here_goes_through_an_export_and_import_of_notarys(
    made: Made, home: FileKeyStore, tmp_path: Path
) -> None:
    info = home.generate(KeyRole.SIGNER, name=SignerName.parse("bob"), algorithm=Algorithm.RSA, rsa_bits=2048)
    other = home.generate(KeyRole.SIGNER, name=SignerName.parse("carol"), algorithm=Algorithm.P384)
    third = home.generate(KeyRole.SIGNER, name=SignerName.parse("dave"))
    export(home, [info, other, third], tmp_path / "out", PassphraseSource(environ=NOTARYS))
    first = Notary(made.notary.binary, tmp_path / "out", made.server.url, made.server.ca)
    second = Notary(made.notary.binary, tmp_path / "again", made.server.url, made.server.ca)
    first.must("key", "export", "-o", str(tmp_path / "bundle.pem"))
    second.must("key", "import", str(tmp_path / "bundle.pem"))
    assert sorted(listed(made.notary, tmp_path / "again").values()) == ["bob", "carol", "dave"]
    for key_id in listed(made.notary, tmp_path / "again"):
        changed(made, second.folder, key_id)
    elsewhere = FileKeyStore(tmp_path / "elsewhere", PassphraseSource(environ={}))
    assert {found.error for found in taken(elsewhere, tmp_path / "again", NOTARYS)} == {None}
    assert {found.id for found in elsewhere.list()} == {info.id, other.id, third.id}


def test_what_is_written_here_signs_in_docker(made: Made, exported: Path, tmp_path: Path) -> None:
    stranger = DockerTrust(made.docker.binary, tmp_path / "stranger", made.server.url, made.server.ca)
    shutil.copytree(exported, tmp_path / "stranger" / "docker" / "trust")
    done = stranger("trust", "signer", "add", "--key", str(made.alice), "alice", str(GUN))
    assert done.status == 0, done.output
    assert "targets/alice" in made.notary.must("delegation", "list", str(GUN))


def test_docker_loads_what_openssl_opens_of_an_export(made: Made, home: FileKeyStore, tmp_path: Path) -> None:
    """``docker trust key load`` takes a key that isn't encrypted; openssl opens what is written here."""
    info = home.generate(KeyRole.SIGNER, name=SignerName.parse("erin"), algorithm=Algorithm.P256)
    (path,) = export(home, [info], tmp_path / "out", PassphraseSource(environ=DOCKERS))
    body = path.read_text().replace("role: erin\n\n", "")
    plain = subprocess.run(
        ["openssl", "pkey", "-passin", f"pass:{PASSPHRASE}"], input=body, capture_output=True, text=True, check=True
    )
    (tmp_path / "plain.pem").write_text(plain.stdout)
    (tmp_path / "plain.pem").chmod(0o600)
    done = made.docker("trust", "key", "load", "--name", "erin", str(tmp_path / "plain.pem"))
    assert "Successfully imported" in done.output
    assert (made.trust / "private" / path.name).is_file()  # under the id that was written here
    (made.trust / "private" / path.name).unlink()


def test_nothing_is_written_over(made: Made, home: FileKeyStore, tmp_path: Path) -> None:
    first = home.generate(KeyRole.REPOSITORY, gun=GUN, algorithm=Algorithm.P256)
    second = home.generate(KeyRole.REPOSITORY, gun=GUN, algorithm=Algorithm.P256)
    (path,) = export(home, [second], tmp_path, PassphraseSource(environ=DOCKERS))
    before = path.read_bytes()
    with pytest.raises(KeyExists, match="never overwritten"):
        export(home, [first, second], tmp_path, PassphraseSource(environ=DOCKERS))
    assert [found.read_bytes() for found in (tmp_path / "private").iterdir()] == [before]


def test_docker_gets_no_root_key_that_it_cannot_use(home: FileKeyStore, tmp_path: Path) -> None:
    info = home.generate(KeyRole.ROOT)
    with pytest.raises(KeyUnsupported, match="Ed25519"):
        export(home, [info], tmp_path / "out", PassphraseSource(environ=DOCKERS))
    assert not (tmp_path / "out").exists()


def test_dockers_folder_is_a_key_store(made: Made) -> None:
    used: list[KeyInfo] = []
    store = DockerKeyStore(made.notary.folder, PassphraseSource(environ=NOTARYS), on_use=used.append)
    root = docker_files.read(made.notary.cached(GUN)["root"], Root)
    repository = [key for key in root.signed.keys.values() if isinstance(key, DockerKey)]
    wanted = {key.canonical_id for key in repository}
    here = {info.id: info for info in store.find(frozenset(wanted))}
    assert {info.role for info in here.values()} == {KeyRole.ROOT, KeyRole.REPOSITORY, KeyRole.SNAPSHOT}
    assert len(here) == 3  # the timestamp's is the server's
    assert all(isinstance(info.public, ClosedKey) for info in here.values())
    for key in repository:
        if key.canonical_id in here:
            signer = store.unlock(here[key.canonical_id])
            signature = from_securesystemslib(key.loaded, signer.sign(b"what is signed"), key.keyid, key.scheme)
            key.verify_signature(signature, b"what is signed")
    assert len(used) == 3
    store.unlock(next(iter(here.values())))
    assert len(used) == 3  # each is asked for once
    assert {type(info.public) for info in store.list() if info.id in here} == {DockerKey}


def test_a_key_made_in_dockers_folder_is_dockers(made: Made, tmp_path: Path) -> None:
    store = DockerKeyStore(tmp_path / "trust", PassphraseSource(environ=DOCKERS))
    assert not store.list()
    info = store.generate(KeyRole.SIGNER, name=SignerName.parse("frank"))
    assert listed(made.notary, tmp_path / "trust") == {info.id: "frank"}
    again = DockerKeyStore(tmp_path / "trust", PassphraseSource(environ=DOCKERS))
    (found,) = again.list()
    assert (found.id, str(found.name)) == (info.id, "frank")
    assert again.unlock(found).public_key == store.unlock(info).public_key


def test_a_homes_keys_by_the_ids_of_docker(made: Made, ours: FileKeyStore) -> None:
    store = DockerIds(ours)
    ids = frozenset(listed(made.notary, made.notary.folder))
    assert {info.id for info in store.find(ids)} == ids
    for info in store.list():
        signature = store.unlock(info).sign(b"what is signed")
        assert isinstance(info.public, DockerKey)
        info.public.verify_signature(
            from_securesystemslib(info.public.loaded, signature, info.id, info.public.scheme), b"what is signed"
        )


@pytest.mark.parametrize(
    ("place", "role", "gun", "expected"),
    [
        ("root_keys/{id}_root.key", "", "", (KeyRole.ROOT, None)),
        ("root_keys/{id}.key", "root", "", (KeyRole.ROOT, None)),
        ("tuf_keys/localhost:5000/team/app/{id}_targets.key", "", "", (KeyRole.REPOSITORY, GUN)),
        ("tuf_keys/localhost:5000/team/app/{id}.key", "snapshot", "", (KeyRole.SNAPSHOT, GUN)),
        ("{id}_targets.key", "", str(GUN), (KeyRole.REPOSITORY, GUN)),
    ],
)
def test_the_layouts_and_encryption_before_0_4(
    made: Made, home: FileKeyStore, tmp_path: Path, place: str, role: str, gun: str, expected: tuple[KeyRole, Gun]
) -> None:
    """Made by openssl in the form that notary 0.1 and 0.3 wrote, and read by the real notary as well."""
    pem = subprocess.run(
        "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -aes256 -passout env:PASS",
        shell=True, env={**os.environ, "PASS": PASSPHRASE}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    private = dockerkeys.DockerKeyFile.parse(pem.encode()).open(PASSPHRASE.encode())
    key_id = dockerkeys.docker_key(private).canonical_id
    lines = [f"{name}: {value}" for name, value in (("gun", gun), ("role", role)) if value]
    text = re.sub(r"(DEK-Info: .*\n)", lambda match: match[1] + "".join(f"{line}\n" for line in lines), pem)
    path = tmp_path / "old" / "private" / place.format(id=key_id)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o600)
    (found,) = taken(home, tmp_path / "old", NOTARYS)
    assert found.error is None
    assert found.info is not None
    assert (found.info.role, found.info.gun) == expected
    if "_keys/" in place:  # which notary moves where it looks for them today
        assert set(listed(made.notary, tmp_path / "old")) == {key_id}
        (moved,) = look(tmp_path / "old" / "private")
        assert isinstance(moved, Place)
        assert moved.purpose().role is expected[0]


@pytest.mark.parametrize("algorithm", [Algorithm.RSA, Algorithm.ED25519])
def test_traditional_files_of_each_kind(made: Made, tmp_path: Path, algorithm: Algorithm) -> None:
    """Encrypted by openssl, and opened by the real notary as by us."""
    private = keypairs.generate(algorithm, rsa_bits=2048)
    iv = os.urandom(16).hex()
    if isinstance(private, rsa.RSAPrivateKey):
        label = "RSA"
        plain = private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    else:
        label = "ED25519"
        raw = keypairs.private_der(private)[-32:]
        public = bytes.fromhex(str(keypairs.public_half(private.public_key()).keyval["public"]))
        plain = public + raw + public
    key = re.search(
        rb"key=([0-9A-F]{64})",
        openssl("enc", "-aes-256-cbc", "-md", "md5", "-S", iv[:16], "-pass", f"pass:{PASSPHRASE}", "-P"),
    )
    assert key
    body = openssl("enc", "-aes-256-cbc", "-K", key[1].decode(), "-iv", iv, feed=plain)
    key_id = dockerkeys.docker_key(private).canonical_id
    head = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,{iv}\nrole: erin\n\n"
    text = f"-----BEGIN {label} PRIVATE KEY-----\n{head}{base64.encodebytes(body).decode()}"
    path = tmp_path / "old" / "private" / f"{key_id}.key"
    path.parent.mkdir(parents=True)
    path.write_text(f"{text}-----END {label} PRIVATE KEY-----\n")
    path.chmod(0o600)
    opened = dockerkeys.DockerKeyFile.parse(path.read_bytes()).open(PASSPHRASE.encode(), stated=key_id)
    assert keypairs.private_der(opened) == keypairs.private_der(private)
    changed(made, tmp_path / "old", key_id)  # notary opens it, and writes it in today's form
    again = dockerkeys.DockerKeyFile.parse(path.read_bytes())
    assert again.sealed is not None
    assert keypairs.private_der(again.open(PASSPHRASE.encode(), stated=key_id)) == keypairs.private_der(private)


def openssl(*arguments: str, feed: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=feed, capture_output=True, check=True).stdout


def changed(made: Made, folder: Path, key_id: str) -> None:
    """The real notary opens a key, and writes it again under the same passphrase."""
    ran = subprocess.run(
        [made.notary.binary, "-d", folder, "key", "passwd", key_id],
        env={**os.environ, **NOTARYS}, capture_output=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout


def test_ids_are_the_hashes_of_public_keys(made: Made) -> None:
    """Held against a function of our own: the canonical JSON of the bare key, in Notary's order."""
    store = DockerKeyStore(made.notary.folder, PassphraseSource(environ=NOTARYS))
    for info in store.list():
        store.unlock(info)
    for info in store.list():
        value = json.dumps(
            {"keytype": info.public.keytype, "keyval": dict(info.public.keyval)},
            sort_keys=True,
            separators=(",", ":"),
        )
        assert hashlib.sha256(value.encode()).hexdigest() == info.id
