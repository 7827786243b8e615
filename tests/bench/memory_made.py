"""Ten thousand collections of both formats, made for real: by the service's own use cases, on its own tables.

Each is founded as a client does it: the service makes its keys, the publisher signs a root and targets that name
them, and the upload is judged, re-signed and stored with its audit row.  Only HTTP is left out.  The clock of all of
it stands a day back, so that whatever serves the folder afterwards finds every timestamp due.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from tests.admission import _Once
from tests.bench.publishers import body
from tests.formats_docker.forge import Forge, certified, ecdsa
from tests.formats_docker.stand import tls
from tests.service import PASSWORD
from tests.simulator import LIFE, OCI
from trustkit.authority.login import REFRESH_LIFE, REFRESH_PREFIX
from trustkit.authority.means import Means
from trustkit.authority.notary import Notary
from trustkit.authority.notary_publish import NotaryPublishing
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.passwords import Passwords
from trustkit.authority.principals import Operator, Principals
from trustkit.authority.publish import Publishing, Requester
from trustkit.authority.reset import Resetting
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.core.access import Assignment, Role
from trustkit.core.build import first_targets, new_root, next_targets
from trustkit.core.draft import Draft
from trustkit.core.formats.docker import files as docker
from trustkit.core.formats.tuf1 import sign
from trustkit.core.growth import Growth
from trustkit.core.names import Digest, Gun, PrincipalName, Tag
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.service import RefreshRecord
from trustkit.core.targets import make_target
from trustkit.server.database import DatabaseSource
from trustkit.server.kek import KekSource
from trustkit.store.opening import OpenStore

NAME = "trust.example:5443"
"""The service's public name, whatever port it has."""
ALICE = PrincipalName("alice")
BACK = timedelta(hours=25)
PRINCIPALS = 200
SMALL, MIDDLE, LARGE = 2, 100, 1_500
"""Tags of most collections, of two in a hundred and of every two-thousandth, which is in hash bins."""
PRESIGNED_EVERY, PRESIGNED = 20, 8
"""Every twentieth collection has so many further uploads, which were signed with it."""
EMPTY = b"{}"


def gun_of(number: int) -> Gun:
    """The name of a collection; those with even numbers are in format ``tuf``, the others in ``docker``."""
    return Gun.parse(f"{NAME}/team{number % 97}/app{number}")


def is_docker(number: int) -> bool:
    """Of which format it is."""
    return bool(number % 2)


def tags_of(number: int) -> int:
    """How many tags it has."""
    return LARGE if number % 2000 == 0 else MIDDLE if number % 100 < 2 else SMALL


def image(number: int, tag: int) -> ManifestBytes:
    """A manifest that a registry takes once it has the blob ``{}``."""
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": str(Digest.of(EMPTY)), "size": len(EMPTY)}
    about = {"org.example.image": f"{number}/{tag}"}
    value = {"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [], "annotations": about}
    data = json.dumps(value).encode()
    return ManifestBytes(Digest.of(data), OCI, data)


@dataclass(frozen=True, slots=True)
class Made:
    """A folder with a service's data and what the load needs besides.

    Attributes:
        folder: holds ``service``, a TLS certificate with its key, ``next`` and ``refresh.json``.
        collections: how many there are.
    """

    folder: Path
    collections: int

    @property
    def data(self) -> Path:
        """The service's data folder."""
        return self.folder / "service"

    def presigned(self, number: int) -> list[bytes]:
        """Further uploads of a collection, in order; of most there are none."""
        folder = self.folder / "next" / str(number)
        return [path.read_bytes() for path in sorted(folder.glob("*"))]

    def refresh_tokens(self) -> list[str]:
        """One for each principal."""
        return list(map(str, json.loads((self.folder / "refresh.json").read_text())))

    @property
    def context(self) -> ssl.SSLContext:
        """What a client that knows the certificate has."""
        context = ssl.create_default_context(cafile=self.folder / "server.crt")
        context.check_hostname = False
        return context


def make(folder: Path, collections: int) -> Made:
    """Makes what isn't there yet; prints what it took."""
    made, done = Made(folder, collections), folder / "made.json"
    if done.exists():
        if json.loads(done.read_text())["collections"] != collections:
            raise SystemExit(f"{folder} has another number of collections; give an empty folder.")
        return made
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    certificate, _ = tls(folder)
    certificate.rename(folder / "server.crt")
    asyncio.run(_people(made))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_found_all, [made] * 2, [range(first, collections, 2) for first in range(2)]))
    done.write_text(json.dumps({"collections": collections}) + "\n")
    print(f"{collections} collections made in {time.perf_counter() - began:.0f} s")
    return made


def _now() -> datetime:
    return datetime.now(UTC) - BACK


async def _people(made: Made) -> None:
    """Principals who may do everything, each logged in; one password for all, since argon2 is no part of this."""
    store = await DatabaseSource().of(made.data).open()
    try:
        await TokenKeys.open(store, KekSource().of(made.data).sealer(create=True), issuer=NAME, now=_now())
        tokens = [await admitted(store, name) for name in (str(ALICE), *(f"p{n}" for n in range(PRINCIPALS)))]
    finally:
        await store.close()
    (made.folder / "refresh.json").write_text(json.dumps(tokens) + "\n")


async def admitted(store: OpenStore, name: str, hasher: _Once | None = None) -> str:
    """Adds a principal; returns a refresh token as a login leaves it."""
    parsed, text = PrincipalName.parse(name), REFRESH_PREFIX + secrets.token_urlsafe(32)
    operator = Operator("operator:bench", "local")
    principals = Principals(store, Passwords(hasher or _Once()), operator=operator, clock=lambda: datetime.now(UTC))
    await principals.add(parsed, PASSWORD)
    for role in (Role.ACR_PUSH, Role.ACR_IMAGE_SIGNER):
        await principals.assign(parsed, Assignment(role, RepositoryPattern.parse("*")))
    async with store.write() as tx:
        record = await tx.identities.get(parsed)
        if record is None:
            raise SystemExit(f"{name} was not added.")
        hashed, until = hashlib.sha256(text.encode("ascii")).digest(), datetime.now(UTC) + REFRESH_LIFE
        await tx.identities.add_refresh(RefreshRecord(hashed, parsed, NAME, record.epoch, until))
    return text


def _found_all(made: Made, numbers: range) -> None:
    asyncio.run(_Founding(made).all(numbers))


class _Founding:
    """A publisher and the service in one process."""

    def __init__(self, made: Made) -> None:
        self._made = made
        self._who = Requester(ALICE, "192.0.2.1")
        self._pair = ecdsa()
        self._root, self._key = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()

    async def all(self, numbers: range) -> None:
        """Founds these."""
        store = await DatabaseSource().of(self._made.data).open()
        try:
            keys = OnlineKeys(KekSource().of(self._made.data).sealer(create=False))
            means = Means(store, keys, LIFE, _now)
            tuf, notary = Publishing(means), NotaryPublishing(means)
            asked = Notary(store, keys, Resetting(means), clock=_now)
            for number in numbers:
                made = self._docker(number, asked) if is_docker(number) else self._tuf(number, tuf)
                publishing = notary if is_docker(number) else tuf
                first, *others = [upload async for upload in made]
                await publishing.publish(gun_of(number), first, self._who)
                self._keep(number, others)
                if tags_of(number) == LARGE:
                    await tuf.publish(gun_of(number), await self._grown(number, store), self._who)
        finally:
            await store.close()

    def _keep(self, number: int, uploads: list[Mapping[str, bytes]]) -> None:
        folder = self._made.folder / "next" / str(number)
        for place, upload in enumerate(uploads):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{place:03}").write_bytes(body(dict(upload)))

    async def _tuf(self, number: int, publishing: Publishing) -> AsyncIterator[dict[str, bytes]]:
        gun, now = gun_of(number), _now()
        online = await publishing.online_keys(gun, self._who)
        ours = {"root": [self._root.public_key], "targets": [self._key.public_key]}
        root = new_root(gun, **ours, online=online, now=now, life=LIFE.default["root"])
        targets = first_targets(gun, now=now, life=LIFE.default["targets"])
        for tag in range(SMALL if tags_of(number) == LARGE else tags_of(number)):
            targets.targets[f"v{tag}"] = make_target(Tag(f"v{tag}"), image(number, tag), None, now=now, keep=BACK)
        by = {self._key.public_key.keyid: self._key}
        yield {
            "root": sign(root, {self._root.public_key.keyid: self._root}),
            "targets": sign(targets, by),
        }
        for tag in _presigned(number):
            entry = make_target(Tag(f"v{tag}"), image(number, tag), None, now=now, keep=BACK)
            targets = next_targets(targets, put=[entry], now=now, life=LIFE.default["targets"])
            yield {"targets": sign(targets, by)}

    async def _grown(self, number: int, store: OpenStore) -> dict[str, bytes]:
        """What puts more tags into a collection than one file is for."""
        gun, now = gun_of(number), _now()
        async with store.read() as tx:
            files = {role: file.data for role, file in (await tx.collections.current(gun)).items()}
        draft = Draft(gun, files, now=now, lifetimes=LIFE)
        draft.put(make_target(Tag(f"v{t}"), image(number, t), None, now=now, keep=BACK) for t in range(SMALL, LARGE))
        draft.grow(Growth())
        draft.settle()
        by = {self._key.public_key.keyid: self._key}
        return {role: sign(signed, by) for role, signed in draft.changed.items()}

    async def _docker(self, number: int, asked: Notary) -> AsyncIterator[dict[str, bytes]]:
        gun, now = gun_of(number), _now()
        signers = {"root": [certified(gun=gun, now=now)], "targets": [self._pair]}
        for role in ("timestamp", "snapshot"):
            signers[role] = [(await asked.key(gun, role, self._who), self._pair[1])]
        forge = Forge(gun, signers, expires=(now + timedelta(days=1000)).replace(microsecond=0))
        targets = forge.roles["targets"]
        targets.targets = {f"v{tag}": _entry(number, tag) for tag in range(tags_of(number))}
        yield {
            "root": docker.sign(forge.root, forge.signers["root"]),
            "targets": docker.sign(targets, forge.signers["targets"]),
        }
        for tag in _presigned(number):
            targets.version += 1
            targets.targets[f"v{tag}"] = _entry(number, tag)
            yield {"targets": docker.sign(targets, forge.signers["targets"])}


def _presigned(number: int) -> Iterator[int]:
    """The tags that are signed later, one an upload; not of those in hash bins, which would be put together anew."""
    if number % PRESIGNED_EVERY in (2, 3) and tags_of(number) < LARGE:
        yield from range(tags_of(number), tags_of(number) + PRESIGNED)


def _entry(number: int, tag: int) -> TargetFile:
    made = image(number, tag)
    return TargetFile(len(made.data), {"sha256": made.digest.hex}, f"v{tag}")
