"""A root ceremony's file: what the next root would be, against what it is, and the signatures so far (TRUST 3.3, 5).

It goes between machines that may not be trusted alike.  So whoever reads one believes nothing in it: the current
root has to be whole, the proposed one has to follow it and may change only what a ceremony changes, and each
signature has to be a root key's over the very payload that is shown.  There is no second copy of the payload that
could differ: what is signed is computed from what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, Signature
from tuf.api.metadata import Metadata, Root

from trustkit.core.formats.tuf1 import guns, payload, payload_digest, read
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.roots import ONLINE, check_gun, check_root_keys, check_threshold
from trustkit.core.strictjson import parse, serialise
from trustkit.errors import BadCeremony, Rejected, TrustkitError, UsageError

VERSION = 1
KIND = "trustkit-root-ceremony"
SIGNATURE_KIND = "trustkit-root-signature"
MAX_FILE = 2_000_000
MAX_SIGNATURES = 64
_MEMBERS = {KIND, "gun", "current", "proposed", "signatures"}
_SIGNATURE_MEMBERS = {SIGNATURE_KIND, "gun", "version", "sha256", "signatures"}


@dataclass(frozen=True, slots=True)
class Ceremony:
    """A ceremony as read and checked.

    Attributes:
        current: the root file that the proposed one follows, exactly as published.
        proposed: the next root.
        signatures: in hex, by the id of a root key of the current or the proposed root.
    """

    gun: Gun
    current: bytes = field(repr=False)
    proposed: Root = field(repr=False)
    signatures: Mapping[str, str] = field(default_factory=dict)

    @property
    def old(self) -> Root:
        """The current root."""
        return read(self.current, Root).signed

    @property
    def payload(self) -> bytes:
        """What each holder signs: the canonical JSON of the proposed root."""
        return payload(self.proposed)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of what is signed; holders compare it by another channel."""
        return payload_digest(self.proposed)

    @property
    def base(self) -> str:
        """SHA-256, in hex, of what is signed of the current root."""
        return payload_digest(self.old)

    @property
    def holders(self) -> Mapping[str, Key]:
        """The root keys whose signatures count: those of the current and of the proposed root."""
        return {**_keys(self.old), **_keys(self.proposed)}

    @property
    def missing(self) -> list[str]:
        """What lacks, a sentence for each side; empty where the root can be published."""
        sides = {"the current root": self.old, "the proposed root": self.proposed}
        return [sentence for words, root in sides.items() for sentence in self._missing(words, root)]

    def _missing(self, words: str, root: Root) -> Iterator[str]:
        role = root.roles["root"]
        rest = [key_id for key_id in role.keyids if key_id not in self.signatures]
        if (count := role.threshold - (len(role.keyids) - len(rest))) > 0:
            yield f"{count} of the keys of {words} still {_has(count)} to sign: {', '.join(rest)}"

    @property
    def signed(self) -> bytes:
        """The proposed root with the signatures so far, as it is published."""
        signatures = {key_id: Signature(key_id, self.signatures[key_id]) for key_id in sorted(self.signatures)}
        return serialise(Metadata(self.proposed, signatures).to_dict())

    def render(self) -> bytes:
        """The file; the inverse of ``read_ceremony``."""
        document = {
            KIND: VERSION,
            "gun": str(self.gun),
            "current": parse(self.current, max_bytes=MAX_FILE, what="The current root"),
            "proposed": self.proposed.to_dict(),
            "signatures": _listed(self.signatures),
        }
        return serialise(document) + b"\n"

    def render_signatures(self, key_ids: Iterable[str]) -> bytes:
        """A file of some of the signatures alone; ``merged`` takes it."""
        document = {
            SIGNATURE_KIND: VERSION,
            "gun": str(self.gun),
            "version": self.proposed.version,
            "sha256": self.fingerprint,
            "signatures": _listed({key_id: self.signatures[key_id] for key_id in key_ids}),
        }
        return serialise(document) + b"\n"

    def with_signatures(self, signatures: Mapping[str, str]) -> Ceremony:
        """With these, too; raises BadCeremony for one that is no root key's over what is proposed."""
        _check_signatures(self.proposed, self.holders, signatures)
        return replace(self, signatures={**self.signatures, **signatures})

    def merged(self, data: bytes, what: str) -> Ceremony:
        """With the signatures of another file: a copy of the ceremony, or one of signatures alone.

        Raises:
            BadCeremony: it is none, or is for another root.
        """
        document = _parse(data, what)
        if SIGNATURE_KIND not in document:
            other = read_ceremony(data, what)
            if (other.gun, other.fingerprint) != (self.gun, self.fingerprint):
                raise BadCeremony(f"{what} is a ceremony for another root: {other.fingerprint}.")
            return self.with_signatures(other.signatures)
        if document.keys() != _SIGNATURE_MEMBERS or document[SIGNATURE_KIND] != VERSION:
            raise BadCeremony(f"{what} has other members than a file of signatures, or another version.")
        said = (document["gun"], document["version"], document["sha256"])
        if said != (str(self.gun), self.proposed.version, self.fingerprint):
            raise BadCeremony(f"The signatures in {what} are for another root: {ascii(said)[:200]}.")
        return self.with_signatures(_read_signatures(document["signatures"], what))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a ceremony shall change; nothing of it is a renewal, a new expiry alone.

    Attributes:
        add, remove: root keys; those to remove by the beginnings of their ids.
        repository: the new repository keys, in the place of all that are there; none for no change.
    """

    add: Sequence[Key] = ()
    remove: Sequence[str] = ()
    threshold: int | None = None
    repository: Sequence[Key] = ()
    repository_threshold: int | None = None


def propose(gun: Gun, current: bytes, wanted: Wanted, *, now: datetime, life: timedelta) -> Ceremony:
    """A ceremony, unsigned, for the next root after ``current``.

    Raises:
        UsageError: a key to remove that isn't there, thresholds that can't be met, keys of two purposes.
    """
    old = read(current, Root).signed
    root = deepcopy(old)
    root.version += 1
    root.expires = (now + life).replace(microsecond=0)
    for start in wanted.remove:
        root.revoke_key(_one(old, start, gun), "root")
    for key in wanted.add:
        root.add_key(key, "root")
    if wanted.repository:
        comes = {key.keyid for key in wanted.repository}
        for key_id in [key_id for key_id in root.roles["targets"].keyids if key_id not in comes]:
            root.revoke_key(key_id, "targets")
        for key in wanted.repository:
            root.add_key(key, "targets")
    root.roles["root"].threshold = wanted.threshold or root.roles["root"].threshold
    root.roles["targets"].threshold = wanted.repository_threshold or root.roles["targets"].threshold
    made = Ceremony(gun, current, root)
    try:
        _check(made)
    except TrustkitError as error:
        raise UsageError(f"This root can't be: {error.message}", hint=error.hint) from error
    return made


def read_ceremony(data: bytes, what: str) -> Ceremony:
    """Reads a ceremony file; see the module for what holds afterwards.

    Raises:
        BadCeremony: anything else than a ceremony that may be signed.
    """
    document = _parse(data, what)
    if document.keys() != _MEMBERS:
        raise BadCeremony(f"{what} is no root ceremony.", hint="trustkit root propose makes one.")
    if document[KIND] != VERSION or type(document[KIND]) is not int:
        raise BadCeremony(f"{what} is a root ceremony of another version.")
    try:
        current = serialise(document["current"])
        proposed = read(serialise({"signatures": [], "signed": document["proposed"]}), Root, "The proposed root")
        ceremony = Ceremony(Gun.parse(document["gun"]), current, proposed.signed)
        _check(ceremony)
    except (TrustkitError, AttributeError, TypeError) as error:
        raise BadCeremony(f"{what} can't be used: {getattr(error, 'message', error)}") from error
    return ceremony.with_signatures(_read_signatures(document["signatures"], what))


def check_expiry(ceremony: Ceremony, now: datetime, lifetimes: Lifetimes) -> None:
    """Raises BadCeremony where the proposed root expires at once, or later than any service takes."""
    expires = ceremony.proposed.expires
    if not now + lifetimes.shortest <= expires <= now + lifetimes.longest["root"]:
        raise BadCeremony(
            f"The proposed root of {ceremony.gun} expires {expires:%Y-%m-%d %H:%M}; it is {now:%Y-%m-%d %H:%M} now.",
            hint=f"A root lives {lifetimes.shortest} to {lifetimes.longest['root'].days} days. Check this clock.",
        )


def _check(ceremony: Ceremony) -> None:
    """Raises Rejected where the current root isn't whole, or the proposed one isn't one that a ceremony makes."""
    current = read(ceremony.current, Root, "The current root")
    old, new = current.signed, ceremony.proposed
    for root in (old, new):
        check_gun(root, ceremony.gun)
        check_root_keys(root)
    check_threshold(old, "root", current)
    if new.version != old.version + 1:
        raise BadCeremony(f"Version {new.version} can't follow version {old.version}.")
    if guns(new) != guns(old) or new.spec_version != old.spec_version:
        raise BadCeremony("It changes which collection the root is for, or the version of its format.")
    for role in ONLINE:
        if new.roles[role] != old.roles[role]:
            raise BadCeremony(f"It changes the service's {role} key.", hint="A ceremony never does.")
    for key_id in {*new.roles["root"].keyids} & {*new.roles["targets"].keyids}:
        raise BadCeremony(f"The key {key_id[:16]} would be a root key and a repository key.")


def _check_signatures(proposed: Root, holders: Mapping[str, Key], signatures: Mapping[str, str]) -> None:
    covered = payload(proposed)
    for key_id, signature in signatures.items():
        if key_id not in holders:
            raise BadCeremony(f"A signature is by {key_id[:64]!r}, which is no root key of it.")
        try:
            holders[key_id].verify_signature(Signature(key_id, signature), covered)
        except (UnverifiedSignatureError, VerificationError, ValueError) as error:
            raise BadCeremony(f"The signature by {key_id[:16]} is not one over the root that is proposed.") from error


def _parse(data: bytes, what: str) -> dict[str, Any]:
    try:
        return parse(data, max_bytes=MAX_FILE, what=what)
    except Rejected as error:
        raise BadCeremony(error.message) from error


def _read_signatures(listed: object, what: str) -> dict[str, str]:
    entries: list[Any] = listed if isinstance(listed, list) else [None]
    if len(entries) > MAX_SIGNATURES or not all(
        isinstance(entry, dict)
        and entry.keys() == {"keyid", "sig"}
        and all(isinstance(value, str) for value in entry.values())
        for entry in entries
    ):
        raise BadCeremony(f"The signatures in {what} are no list of signatures.")
    found = {entry["keyid"]: entry["sig"] for entry in entries}
    if len(found) != len(entries):
        raise BadCeremony(f"A key has signed twice in {what}.")
    return found


def _listed(signatures: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"keyid": key_id, "sig": signatures[key_id]} for key_id in sorted(signatures)]


def _keys(root: Root) -> dict[str, Key]:
    return {key_id: root.keys[key_id] for key_id in root.roles["root"].keyids}


def _one(root: Root, start: str, gun: Gun) -> str:
    found = [key_id for key_id in root.roles["root"].keyids if key_id.startswith(start)]
    if len(found) != 1 or not start:
        raise UsageError(
            f"{len(found)} root keys of {gun} begin with {start!r}.", hint=f"See: trustkit root show {gun}"
        )
    return found[0]


def _has(count: int) -> str:
    return "has" if count == 1 else "have"
