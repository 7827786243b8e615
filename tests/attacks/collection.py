"""A simulated collection in all its versions, for a server that lies about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from datetime import UTC, datetime
from typing import Any, TypeVar

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from tests.simulator import Publisher, make_signer
from trustkit.core.build import next_timestamp
from trustkit.core.formats.tuf1 import meta_name, read, sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.images import ManifestBytes

ROLES = ("root", "timestamp", "snapshot", "targets")
KINDS: Mapping[str, type[Any]] = {"root": Root, "timestamp": Timestamp, "snapshot": Snapshot, "targets": Targets}
LIFE = Lifetimes().default

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


def now() -> datetime:
    """The real now, in the whole seconds that metadata has."""
    return datetime.now(UTC).replace(microsecond=0)


def reread(data: bytes, role: str) -> Metadata[Any]:
    """A file as python-tuf has it, signatures included."""
    metadata: Metadata[Any] = read(data, KINDS[role])
    return metadata


class Collection(Publisher):
    """A simulated collection at a moment of its own: the real now, unless a test turns it."""

    def __init__(self, gun: Gun, **keys: Signer) -> None:
        super().__init__(gun, **keys)
        self.moment = now()

    def found(self, *tags: str) -> None:
        """The first version, with these tags signed."""
        self.accept(self.first_upload(*tags, now=self.moment), self.moment)

    def release(self, tag: str, image: ManifestBytes) -> None:
        """One more version of targets, snapshot and timestamp."""
        self.accept(self.sign_upload(tag, image, self.moment), self.moment)

    def rotate(self, change: Callable[[Root], None], *signers: Signer) -> None:
        """One more root, unjudged; targets stay, and are signed again by the repository key of now."""
        self.install(self.change_root(change, *signers), self.moment)

    def rotate_online(self, *roles: str) -> None:
        """New keys for these of the online roles; versions go on."""
        old = {role: self.signer(role).public_key.keyid for role in roles}
        for role in roles:
            setattr(self, role, make_signer())

        def change(root: Root) -> None:
            for role, key_id in old.items():
                root.revoke_key(key_id, role)
                root.add_key(self.signer(role).public_key, role)

        self.rotate(change)

    def as_now(self) -> Collection:
        """The state of this moment, which later changes leave as it is; the keys are the same."""
        kept = copy(self)
        kept.files, kept.history = dict(self.files), dict(self.history)
        return kept

    def renew(self) -> None:
        """A new snapshot and timestamp, as the service makes them when the old ones grow old."""
        self.install({}, self.moment)

    def renew_timestamp(self) -> None:
        """A new timestamp alone."""
        timestamp = self.current("timestamp")
        following = next_timestamp(
            self.gun, timestamp, timestamp.snapshot_meta.version, now=self.moment, life=LIFE["timestamp"]
        )
        self.put(following, self.timestamp)

    def current(self, role: str) -> Any:
        """The payload that is served now, to be changed."""
        return read(self.files[role], KINDS[role]).signed

    def put(self, signed: Root | Timestamp | Snapshot | Targets, *signers: Signer) -> None:
        """Serves a payload, signed by whoever is named, and remembers it as its version."""
        data = self.by(signed, *signers)
        self.files[signed.type] = self.history[signed.type, signed.version] = data

    def by(self, signed: S, *signers: Signer) -> bytes:
        """A payload signed by whoever is named."""
        return sign(signed, self.signed(*signers))

    def forge_online(self, *, snapshot: int, timestamp: int, targets: int | None = None) -> None:
        """What a thief of the online keys can make: any versions of snapshot and timestamp, naming any targets."""
        listed: Snapshot = self.current("snapshot")
        listed.version = snapshot
        listed.expires = self.moment + LIFE["snapshot"]
        if targets is not None:
            listed.meta[meta_name("targets")] = MetaFile(targets)
        moment: Timestamp = self.current("timestamp")
        moment.version, moment.snapshot_meta = timestamp, MetaFile(snapshot)
        moment.expires = self.moment + LIFE["timestamp"]
        self.put(listed, self.snapshot)
        self.put(moment, self.timestamp)

    def signer(self, role: str) -> Signer:
        """The key of a role."""
        named = {"root": self.root, "targets": self.repository}
        return named[role] if role in named else {"snapshot": self.snapshot, "timestamp": self.timestamp}[role]

    def name(self, role: str) -> str:
        """The file name under which the current version of a role is asked for."""
        return "timestamp.json" if role == "timestamp" else f"{self.current(role).version}.{role}.json"
