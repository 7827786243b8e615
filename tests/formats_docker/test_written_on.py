"""A collection that trustkit wrote, on the real notary-server, and that the real notary goes on writing, in turns."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer import Key
from tuf.api.metadata import Delegations, Role, Root, Targets

from tests.formats_docker.forge import NOW, Pair, RawSigner, certified, role_of, tags
from tests.formats_docker.stand import Notary, NotaryServer
from trustkit.core.formats.docker import files as docker_files
from trustkit.core.formats.docker.evaluate import evaluate, missing
from trustkit.core.formats.docker.keys import DockerKey, from_public
from trustkit.core.names import Gun, Tag

pytestmark = pytest.mark.real

GUN = Gun.parse("registry.example.com/ours")
DIGEST = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"
CUSTOM = {"x-trustkit": {"media_type": "application/vnd.oci.image.manifest.v1+json", "superseded": []}, "z": ['é"']}
BOUNDARY = "a-boundary"


@dataclass
class Ours:
    """A publisher of ours, with private keys that notary has too."""

    server: NotaryServer
    root: Pair
    targets: Pair
    alice: Pair

    def get(self, name: str) -> bytes:
        return self.server.get(f"/v2/{GUN}/_trust/tuf/{name}")

    def post(self, files: Mapping[str, bytes]) -> None:
        head = 'Content-Disposition: form-data; name="files"; filename="{}"\r\nContent-Type: {}\r\n\r\n'
        body = b"".join(
            f"--{BOUNDARY}\r\n{head.format(role, 'application/octet-stream')}".encode() + data + b"\r\n"
            for role, data in files.items()
        )
        request = urllib.request.Request(
            f"{self.server.url}/v2/{GUN}/_trust/tuf/",
            data=body + f"--{BOUNDARY}--\r\n".encode(),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        )
        context = ssl.create_default_context(cafile=str(self.server.ca))
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            assert answer.status == 200

    def files(self) -> dict[str, bytes]:
        """What is served now, as a client of ours asks for it."""
        found = {role: self.get(f"{role}.json") for role in ("root", "timestamp", "snapshot", "targets")}
        while wanted := missing(found, attributions=True):
            found |= {role: self.get(f"{role}.json") for role in wanted}
        return found

    def edit(self, role: str, added: Iterable[str], by: Pair) -> None:
        """Publishes the next version of a role's file, with more tags."""
        signed = docker_files.read(self.files()[role], Targets).signed
        signed.targets.update(tags(*added, digest=DIGEST))
        signed.version += 1
        self.post({role: docker_files.sign(signed, [by])})


def _import(notary: Notary, folder: Path, pair: Pair, *flags: str) -> None:
    file = folder / "key.pem"
    signer = pair[1]
    assert isinstance(signer, RawSigner)
    file.write_bytes(signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    notary.must("key", "import", str(file), *flags)


@pytest.fixture
def ours(notary_server: NotaryServer) -> Ours:
    """A collection of ours with the server's own snapshot and timestamp keys, as Docker makes one."""

    def online(role: str) -> DockerKey:
        value = json.loads(notary_server.get(f"/v2/{GUN}/_trust/tuf/{role}.key"))
        key = DockerKey(value["keytype"], base64.b64decode(value["keyval"]["public"]))
        return DockerKey.from_dict(key.keyid, value)

    def pair() -> Pair:
        private = ec.generate_private_key(ec.SECP256R1())
        return from_public(private.public_key()), RawSigner(private)

    made = Ours(notary_server, certified(gun=GUN), pair(), pair())
    keys: dict[str, Key] = {
        "root": made.root[0],
        "targets": made.targets[0],
        "snapshot": online("snapshot"),
        "timestamp": online("timestamp"),
    }
    end = NOW.replace(year=NOW.year + 3, day=1)
    root = Root(
        1, None, end, {key.keyid: key for key in keys.values()},
        {role: Role([key.keyid], 1) for role, key in keys.items()}, False,
    )  # fmt: skip
    alice = made.alice[0]
    delegations = Delegations({alice.keyid: alice}, {})
    assert delegations.roles is not None
    for name in ("targets/releases", "targets/alice"):
        delegations.roles[name] = role_of(name, alice)
    entries = tags("v1", digest=DIGEST) | tags("odd <&>é")
    entries["v1"].unrecognized_fields["custom"] = CUSTOM
    released = Targets(1, None, end, tags("v2", digest=DIGEST), Delegations({}, {}))
    made.post(
        {
            "root": docker_files.sign(root, [made.root]),
            "targets": docker_files.sign(Targets(1, None, end, entries, delegations), [made.targets]),
            "targets/releases": docker_files.sign(released, [made.alice]),
        }
    )
    return made


def test_notary_and_trustkit_write_in_turns(ours: Ours, notary_binary: Path, tmp_path: Path):
    notary = Notary(notary_binary, tmp_path / "trust", ours.server.url, ours.server.ca)
    _import(notary, tmp_path, ours.root, "-r", "root")
    _import(notary, tmp_path, ours.targets, "-r", "targets", "-g", str(GUN))
    _import(notary, tmp_path, ours.alice, "-r", "delegation")

    def seen() -> dict[str, str]:
        view = evaluate(ours.files(), GUN, datetime.now(UTC))
        return {tag.name: target.role for tag, target in view.targets.items()}

    def listed() -> dict[str, str]:
        lines = notary.must("list", str(GUN), "-r", "targets/releases", "-r", "targets").splitlines()
        return {line.split()[0]: line.split()[-1] for line in lines if DIGEST in line}

    expected = {"v1": "targets", "v2": "targets/releases"}
    assert seen() == listed() == expected
    for tag in ("v3", "v4"):
        both = {f"{tag}-ours": "targets", f"{tag}r-ours": "targets/releases"}
        notary.must("addhash", str(GUN), tag, "500", "--sha256", DIGEST, "-p")
        ours.edit("targets", [f"{tag}-ours"], ours.targets)
        notary.must("addhash", str(GUN), f"{tag}r", "500", "--sha256", DIGEST, "-r", "targets/releases", "-p")
        ours.edit("targets/releases", [f"{tag}r-ours"], ours.alice)
        expected |= both | {tag: "targets", f"{tag}r": "targets/releases"}
        assert seen() == listed() == expected
    target = evaluate(ours.files(), GUN, datetime.now(UTC)).targets[Tag("v1")]
    assert target.media_type == CUSTOM["x-trustkit"]["media_type"]  # notary has written the file again, and kept it
    entry = docker_files.read(ours.files()["targets"], Targets).signed.targets["v1"]
    assert entry.custom == CUSTOM

    notary.must("delegation", "purge", str(GUN), "--key", ours.alice[0].keyid, "-p")
    notary.must("remove", str(GUN), "v1", "-p")
    notary.must("key", "rotate", str(GUN), "targets")
    notary.must("key", "rotate", str(GUN), "root", answer="yes\n")
    files = ours.files()
    assert b"null" in files["targets"]
    assert set(json.loads(files["snapshot"])["signed"]["meta"]) >= {"root", "targets"}
    root = docker_files.read(files["root"], Root).signed
    assert (root.version, len(root.roles["root"].keyids)) == (3, 1)
    assert ours.root[0].keyid not in root.roles["root"].keyids
