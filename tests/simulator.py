"""A publisher and a service in memory, on the real core: what tests start from, and what attacks bend."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from trustkit.core.build import first_targets, new_root, next_snapshot, next_targets, next_timestamp
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.judge import Accepted, State, judge
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.publickeys import key_id
from trustkit.core.strictjson import serialise
from trustkit.core.targets import make_target, read_target

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GUN = Gun.parse("registry.example.com/team/app")
OCI = "application/vnd.oci.image.manifest.v1+json"
LIFE = Lifetimes()
DAY = timedelta(days=1)


def make_signer() -> CryptoSigner:
    signer = CryptoSigner.generate_ed25519()
    assert signer.public_key.keyid == key_id(signer.public_key)
    return signer


def manifest(text: str = "one") -> ManifestBytes:
    data = json.dumps({"schemaVersion": 2, "note": text}).encode()
    return ManifestBytes(Digest.of(data), OCI, data)


class Publisher:
    """A collection with its keys; each method returns the bytes it would publish or serve."""

    def __init__(self, gun: Gun = GUN, *, root: Signer | None = None, repository: Signer | None = None) -> None:
        self.gun = gun
        self.root = root or make_signer()
        self.repository = repository or make_signer()
        self.snapshot = make_signer()
        self.timestamp = make_signer()
        self.files: dict[str, bytes] = {}
        self.history: dict[tuple[str, int], bytes] = {}

    @property
    def online(self) -> dict[str, Any]:
        return {"snapshot": self.snapshot.public_key, "timestamp": self.timestamp.public_key}

    @property
    def state(self) -> State:
        stored = {role: data for role, data in self.files.items() if role not in ("snapshot", "timestamp")}
        return State(self.gun, stored, self.online, snapshot=self.files.get("snapshot"))

    def signed(self, *signers: Signer) -> dict[str, Signer]:
        return {signer.public_key.keyid: signer for signer in signers}

    def first_upload(self, *tags: str, now: datetime = NOW) -> dict[str, bytes]:
        root = new_root(
            self.gun,
            root=[self.root.public_key],
            targets=[self.repository.public_key],
            online=self.online,
            now=now,
            life=LIFE.default["root"],
        )
        targets = first_targets(self.gun, now=now, life=LIFE.default["targets"])
        for tag in tags:
            targets.targets[tag] = make_target(Tag(tag), manifest(tag), None, now=now, keep=30 * DAY)
        return {
            "root": sign(root, self.signed(self.root)),
            "targets": sign(targets, self.signed(self.repository)),
        }

    def sign_upload(self, tag: str, image: ManifestBytes, now: datetime = NOW) -> dict[str, bytes]:
        current = read(self.files["targets"], Targets).signed
        before = current.targets.get(tag)
        previous = read_target(tag, before, "targets") if before else None
        entry = make_target(Tag(tag), image, previous, now=now, keep=30 * DAY)
        following = next_targets(current, put=[entry], now=now, life=LIFE.default["targets"])
        return {"targets": sign(following, self.signed(self.repository))}

    def change_root(self, change: Callable[[Root], None], *signers: Signer) -> dict[str, bytes]:
        root = read(self.files["root"], Root).signed
        root.version += 1
        change(root)
        return {"root": sign(root, self.signed(*(signers or (self.root,))))}

    def change(self, edit: Callable[[Draft], None], *signers: Signer, now: datetime = NOW) -> dict[str, bytes]:
        """What a draft's edit makes; of these keys, by default the owner's, each file is signed by those it needs."""
        draft = Draft(self.gun, self.files, now=now, lifetimes=LIFE)
        edit(draft)
        draft.settle()
        upload = {}
        for role, signed in draft.changed.items():
            wanted = {key_id for need in draft.needs(role) for key_id in need.keys}
            by_id = self.signed(*(signers or (self.root, self.repository)))
            upload[role] = sign(signed, {key_id: signer for key_id, signer in by_id.items() if key_id in wanted})
        return upload

    def accept(self, upload: dict[str, bytes], now: datetime = NOW) -> Accepted:
        accepted = judge(self.state, upload, now=now, lifetimes=LIFE)
        self.install(upload, now)
        return accepted

    def install(self, upload: dict[str, bytes], now: datetime = NOW) -> None:
        """Stores an upload unjudged, with a snapshot and timestamp that name it."""
        self.files |= upload
        versions = {
            role: json.loads(data)["signed"]["version"]
            for role, data in self.files.items()
            if role == "targets" or role in set(upload) - {"root", "snapshot", "timestamp"}
        }
        old_snapshot = read(self.files["snapshot"], Snapshot).signed if "snapshot" in self.files else None
        snapshot = next_snapshot(self.gun, old_snapshot, versions, now=now, life=LIFE.default["snapshot"])
        self.files["snapshot"] = sign(snapshot, self.signed(self.snapshot))
        old = read(self.files["timestamp"], Timestamp).signed if "timestamp" in self.files else None
        timestamp = next_timestamp(self.gun, old, snapshot.version, now=now, life=LIFE.default["timestamp"])
        self.files["timestamp"] = sign(timestamp, self.signed(self.timestamp))
        for role, data in self.files.items():
            self.history[role, json.loads(data)["signed"]["version"]] = data


def edited(
    data: bytes, change: Callable[[dict[str, Any]], None], *, resign: dict[str, Signer] | None = None
) -> bytes:
    """A file with its JSON changed, signed again where keys are given."""
    value = json.loads(data)
    change(value)
    if resign is not None:
        from securesystemslib.formats import encode_canonical

        covered = encode_canonical(value["signed"]).encode()
        value["signatures"] = [
            {"keyid": key, "sig": signer.sign(covered).signature} for key, signer in sorted(resign.items())
        ]
    return serialise(value)
