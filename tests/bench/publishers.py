"""Who publishes: uploads signed beforehand, sent one after the other, and what is served afterwards.

``Client`` has a collection in format ``tuf`` at the service.  ``DockerClient`` has one in format ``docker``, there or
at a notary-server: it uploads what stock clients do, ``root`` and ``targets`` first and ``targets`` from then on, and
leaves the snapshot to the server.  Both sign the same tags for the same images.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Key, Signer
from tuf.api.metadata import TargetFile, Targets

from tests.formats_docker.forge import certified, ecdsa
from tests.simulator import LIFE, OCI
from trustkit.core.build import first_targets, new_root, next_targets
from trustkit.core.formats.docker import build, files
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.tuf1 import sign
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.targets import make_target

BOUNDARY = "d41d8cd98f00b204e9800998ecf8427e"
Upload = dict[str, bytes]
"""Files by role."""


def body(upload: Upload) -> bytes:
    """A publish as multipart/form-data."""
    head = '--{0}\r\nContent-Disposition: form-data; name="files"; filename="{1}.json"\r\n\r\n'
    parts = b"".join(head.format(BOUNDARY, role).encode() + data + b"\r\n" for role, data in upload.items())
    return parts + f"--{BOUNDARY}--\r\n".encode()


def images() -> Iterator[tuple[Tag, ManifestBytes]]:
    """Tags and what they are signed for."""
    number = 0
    while True:
        data = json.dumps({"schemaVersion": 2, "number": number}).encode()
        yield Tag(f"v{number}"), ManifestBytes(Digest.of(data), OCI, data)
        number += 1


@dataclass(frozen=True)
class Client:
    """Who publishes to which collection, over TLS where there is a context for it.

    Args:
        address: HOST:PORT of the server, where the collection's name doesn't begin with it.
    """

    gun: str
    token: str = ""
    tls: ssl.SSLContext | None = None
    address: str = ""

    @property
    def _path(self) -> str:
        return f"/v2/{self.gun}/_trust/metadata"

    def connect(self) -> http.client.HTTPConnection:
        """A connection that stays open."""
        host = self.address or self.gun.partition("/")[0]
        if self.tls is None:
            return http.client.HTTPConnection(host, timeout=60)
        return http.client.HTTPSConnection(host, timeout=60, context=self.tls)

    def ask(self, connection: http.client.HTTPConnection, path: str, sent: bytes | None = None) -> bytes:
        """One request, which has to be answered with 200."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if sent is not None:
            headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
        connection.request("GET" if sent is None else "POST", path, sent, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {said[:300]!r}")
        return said

    def prepare(self, count: int) -> list[bytes]:
        """Publishes the collection's first state; returns ``count`` further uploads."""
        first, *others = self._uploads(self.connect(), count)
        self.publish([first])
        return others

    def publish(self, bodies: list[bytes]) -> tuple[float, float]:
        """One after the other, on one connection; when that began and ended, by the clock of the machine."""
        connection = self.connect()
        began = time.monotonic()
        for data in bodies:
            self.ask(connection, self._path, data)
        return began, time.monotonic()

    def look(self, sent: bytes) -> None:
        """Reads back as far as consumers do; raises where what is served isn't what was sent last."""
        connection = self.connect()
        timestamp = json.loads(self.ask(connection, f"{self._path}/timestamp.json"))["signed"]
        snapshot = timestamp["meta"]["snapshot.json"]["version"]
        named = json.loads(self.ask(connection, f"{self._path}/{snapshot}.snapshot.json"))["signed"]["meta"]
        targets = named["targets.json"]["version"]
        self._compare(self.ask(connection, f"{self._path}/{targets}.targets.json"), sent)

    def _compare(self, served: bytes, sent: bytes) -> None:
        if body({"targets": served}) != sent:
            raise RuntimeError(f"{self.gun}: what is served isn't what was published")

    def founding(self, connection: http.client.HTTPConnection, signed: Mapping[Tag, ManifestBytes]) -> bytes:
        """The upload of a first state that signs these tags."""
        root, targets, key = self._first(connection)
        for tag, image in signed.items():
            targets.targets[str(tag)] = make_target(tag, image, None, now=datetime.now(UTC), keep=timedelta(days=30))
        return body({"root": root, "targets": sign(targets, {key.public_key.keyid: key})})

    def _first(self, connection: http.client.HTTPConnection) -> tuple[bytes, Targets, Signer]:
        """A root, targets without tags, and the key of these."""
        gun = Gun.parse(self.gun)
        found = json.loads(self.ask(connection, f"/v2/{gun}/_trust/online-keys"))
        online = {role: Key.from_dict(members.pop("keyid"), members) for role, members in found.items()}
        root_key, key = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
        now, life = datetime.now(UTC), LIFE.default
        of_root, of_targets = [root_key.public_key], [key.public_key]
        root = new_root(gun, root=of_root, targets=of_targets, online=online, now=now, life=life["root"])
        targets = first_targets(gun, now=now, life=life["targets"])
        return sign(root, {root_key.public_key.keyid: root_key}), targets, key

    def _uploads(self, connection: http.client.HTTPConnection, count: int) -> Iterator[bytes]:
        root, targets, key = self._first(connection)
        signers, now = {key.public_key.keyid: key}, datetime.now(UTC)
        yield body({"root": root, "targets": sign(targets, signers)})
        for _, (tag, image) in zip(range(count), images(), strict=False):
            entry = make_target(tag, image, None, now=now, keep=timedelta(days=30))
            targets = next_targets(targets, put=[entry], now=now, life=LIFE.default["targets"])
            yield body({"targets": sign(targets, signers)})


class DockerClient(Client):
    """Who publishes as stock clients do."""

    @property
    def _path(self) -> str:
        return f"/v2/{self.gun}/_trust/tuf/"

    def look(self, sent: bytes) -> None:
        """As ``Client``; by hashes, as stock clients read."""
        connection = self.connect()
        file = self.ask(connection, f"{self._path}timestamp.json")
        for role in ("snapshot", "targets"):
            sha256 = base64.b64decode(json.loads(file)["signed"]["meta"][role]["hashes"]["sha256"])
            file = self.ask(connection, f"{self._path}{role}.{sha256.hex()}.json")
            if Digest.of(file).hex != sha256.hex():
                raise RuntimeError(f"{self.gun}: another {role} is served than the one that is named")
        self._compare(file, sent)

    def _uploads(self, connection: http.client.HTTPConnection, count: int) -> Iterator[bytes]:
        online = {role: self._key(connection, role) for role in ("snapshot", "timestamp")}
        root_key, key = certified(gun=Gun.parse(self.gun)), ecdsa()
        expires = (datetime.now(UTC) + LIFE.default["targets"]).replace(microsecond=0)
        keys = {role: [online_key] for role, online_key in online.items()}
        root = build.new_root({**keys, "root": [root_key[0]], "targets": [key[0]]}, version=1, expires=expires)
        entries: dict[str, TargetFile] = {}
        first = build.new_targets(entries, version=1, expires=expires)
        yield body({"root": files.sign(root, [root_key]), "targets": files.sign(first, [key])})
        for number, (tag, image) in zip(range(count), images(), strict=False):
            entries[tag.name] = TargetFile(len(image.data), {"sha256": image.digest.hex}, tag.name)
            following = build.new_targets(entries, version=number + 2, expires=expires)
            yield body({"targets": files.sign(following, [key])})

    def _key(self, connection: http.client.HTTPConnection, role: str) -> DockerKey:
        found = json.loads(self.ask(connection, f"{self._path}{role}.key"))
        return DockerKey(found["keytype"], base64.b64decode(found["keyval"]["public"]))


def processor_seconds(pid: int, *, ended: bool = False) -> float:
    """What a process has used so far, in user and system mode (proc(5)); on demand with its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15] if ended else fields[11:13])) / os.sysconf("SC_CLK_TCK")


def processor_seconds_of_all(pid: int) -> float:
    """As ``processor_seconds``, with all the children of the process: PostgreSQL has one a connection."""
    total = 0.0
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended just now, and counts as one that has
            total += processor_seconds(int(child))
    return total + processor_seconds(pid, ended=True)
