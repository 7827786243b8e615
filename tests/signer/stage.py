"""Whoever took a service over: it has the service's certificate, and asks the signer for whatever it likes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key
from tuf.api.metadata import MetaFile, Signed, Snapshot, Targets, Timestamp

from tests.simulator import LIFE, Publisher, manifest
from trustkit.core.build import next_snapshot, next_targets, next_timestamp
from trustkit.core.formats.tuf1 import payload, read, sign
from trustkit.core.names import Gun, Tag
from trustkit.core.onlinejudge import signed_file
from trustkit.core.targets import make_target
from trustkit.server.signer_client import RemoteSigner

Bend = Callable[[dict[str, Any]], None]
_NUMBERS = itertools.count(1)


def unbent(_: dict[str, Any]) -> None:
    """What an honest service asks for."""


class Intruder:
    """A collection with keys at a signer, at version 1 of everything, and somebody who speaks for the service.

    Attributes:
        files: the current state, as the service stores it.
    """

    def __init__(self, signer: RemoteSigner) -> None:
        self.signer = signer
        self.gun = Gun.parse(f"registry.example.com/team/app{next(_NUMBERS)}")
        self.keys: Mapping[str, Key] = signer.make(self.gun)
        online = dict(self.keys)
        self.publisher = type("Bound", (Publisher,), {"online": property(lambda _: online)})(self.gun)
        self.files: dict[str, bytes] = {}
        self.advance(self.publisher.first_upload("v1", now=_now()))

    def upload(self, tag: str = "v2") -> dict[str, bytes]:
        """The next targets, by their publisher."""
        current = read(self.files["targets"], Targets).signed
        entry = make_target(Tag(tag), manifest(tag), None, now=_now(), keep=timedelta(days=30))
        following = next_targets(current, put=[entry], now=_now(), life=LIFE.default["targets"])
        return {"targets": sign(following, self.publisher.signed(self.publisher.repository))}

    def advance(self, upload: dict[str, bytes]) -> None:
        """A publish, as an honest service makes it."""
        snapshot = self.snapshot(upload)
        file = self.ask_snapshot(snapshot)
        timestamp = self.timestamp(read(file, Snapshot).signed.version)
        files = {**upload, "snapshot": file}
        signature = self.signer.sign(self.gun, "timestamp", timestamp, files)
        self.files |= files | {"timestamp": signed_file(timestamp, self.keys["timestamp"].keyid, signature)}

    def snapshot(self, upload: Mapping[str, bytes] = {}, bend: Bend = unbent) -> bytes:
        """The payload of the next snapshot for this upload."""
        old = read(self.files["snapshot"], Snapshot).signed if self.files else None
        versions = {role: read(data, Targets).signed.version for role, data in upload.items() if role != "root"}
        return bent(next_snapshot(self.gun, old, versions, now=_now(), life=LIFE.default["snapshot"]), bend)

    def timestamp(self, snapshot: int, bend: Bend = unbent) -> bytes:
        """The payload of the next timestamp, naming this version of snapshot."""
        old = read(self.files["timestamp"], Timestamp).signed if "timestamp" in self.files else None
        made = next_timestamp(self.gun, old, snapshot, now=_now(), life=LIFE.default["timestamp"])
        return bent(made, bend)

    def ask_snapshot(self, data: bytes) -> bytes:
        """The signed file."""
        return signed_file(data, self.keys["snapshot"].keyid, self.signer.sign(self.gun, "snapshot", data, {}))

    def ask_timestamp(self, data: bytes, files: Mapping[str, bytes] = {}) -> str:
        return self.signer.sign(self.gun, "timestamp", data, files)


def bent(signed: Signed, bend: Bend) -> bytes:
    """The payload with its JSON changed, canonical again."""
    value = signed.to_dict()
    bend(value)
    return encode_canonical(value).encode() if bend is not unbent else payload(signed)


def named(**versions: int) -> Bend:
    """Puts these versions in the place of what a snapshot names."""

    def bend(value: dict[str, Any]) -> None:
        value["meta"] = {f"{role}.json": MetaFile(version).to_dict() for role, version in versions.items()}

    return bend


def member(name: str, value: object) -> Bend:
    """Sets a member."""
    return lambda payload: payload.__setitem__(name, value)


def expires(**after: float) -> Bend:
    """Sets the expiry to this long after now."""

    def bend(value: dict[str, Any]) -> None:
        value["expires"] = f"{_now() + timedelta(**after):%Y-%m-%dT%H:%M:%SZ}"

    return bend


def _now() -> datetime:
    return datetime.now(UTC)
