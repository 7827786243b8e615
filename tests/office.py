"""Three people who sign for one collection, each at a desk of their own, and all of their keys in one drawer.

Whoever plays with them does what people do through the desks, and what thieves do with the drawer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from tests.inprocess import Desk, LocalService
from tests.simulator import DAY, GUN, LIFE, NOW, manifest
from trustkit.authority.publish import Requester
from trustkit.core.build import first_targets, new_root
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import payload_digest, read, role_kind, sign
from trustkit.core.names import PrincipalName, Tag
from trustkit.core.ports.keys import KeyRole
from trustkit.core.ports.remote import Pin
from trustkit.core.targets import make_target

PEOPLE = ("alice", "bob", "dora")
Files = Mapping[str, bytes]


class Office:
    """A collection with two root and two repository keys, alice's and bob's; dora has the keys of the signers.

    Args:
        folder: where everything is kept.
        template: as for ``LocalService``.
        keys: where new keys come from.
        tags: what bob's repository key signs at first.
        signers: names of signers that dora gets a key for each; they may not sign yet.

    Attributes:
        keys: every key that ever was made, by id.
        signers: by name the key of each signer.
    """

    def __init__(
        self,
        folder: Path,
        template: Path,
        keys: Iterator[CryptoSigner],
        *,
        tags: Iterable[str],
        signers: Iterable[str],
    ) -> None:
        self.service = LocalService(folder, template, *PEOPLE)
        self.keys: dict[str, CryptoSigner] = {}
        self._spare = keys
        own = {name: (self._new(), self._new()) for name in ("alice", "bob")}
        pin = Pin(str(GUN), root=self._found(own, tags))
        self.desks = {name: Desk(self.service, name, folder / name, pin) for name in PEOPLE}
        for name, (root, repository) in own.items():
            self.desks[name].keys.put(KeyRole.ROOT, root)
            self.desks[name].keys.put(KeyRole.REPOSITORY, repository)
        self.signers = {name: self.new_key("dora", KeyRole.SIGNER) for name in signers}

    def new_key(self, who: str, role: KeyRole) -> CryptoSigner:
        """A key more in somebody's desk."""
        made = self._new()
        self.desks[who].keys.put(role, made)
        return made

    def key_of(self, who: str, role: KeyRole) -> str:
        """The id of the root or repository key of somebody that counts now."""
        named = "root" if role is KeyRole.ROOT else "targets"
        there = read(self.service.look()["root"], role_kind("root")).signed.roles[named].keyids
        return next(info.id for info in self.desks[who].keys.list() if info.id in there)

    def draft(self, floors: Mapping[str, int] | None = None) -> Draft:
        """The next state, unedited."""
        return Draft(GUN, self.service.look(), now=NOW, lifetimes=LIFE, floors=floors)

    def signed(self, role: str, data: bytes, signers: Iterable[CryptoSigner]) -> bytes:
        """A role's file with signatures of these keys alone."""
        return sign(read(data, role_kind(role)).signed, by_id(signers))

    def approval(self, who: str, files: Files) -> Files:
        """Those of a proposal's files that somebody's keys may sign, with these signatures alone."""
        draft = self.draft()
        given = {role: read(data, role_kind(role)).signed for role, data in files.items()}
        draft.take(given.get("root"), {role: file for role, file in given.items() if role != "root"})
        own = [self.keys[info.id] for info in self.desks[who].keys.list()]
        upload = {}
        for role, data in files.items():
            may = {key_id for need in draft.needs(role) for key_id in need.keys}
            if mine := [key for key in own if key.public_key.keyid in may]:
                upload[role] = self.signed(role, data, mine)
        return upload

    def _new(self) -> CryptoSigner:
        made = next(self._spare)
        self.keys[made.public_key.keyid] = made
        return made

    def _found(self, own: Mapping[str, tuple[CryptoSigner, CryptoSigner]], tags: Iterable[str]) -> bytes:
        who = Requester(PrincipalName("bob"), "192.0.2.1")
        roots, repository = ([pair[index] for pair in own.values()] for index in (0, 1))
        root = new_root(
            GUN,
            root=[key.public_key for key in roots],
            targets=[key.public_key for key in repository],
            online=self.service.run(self.service.publishing.online_keys(GUN, who)),
            now=NOW,
            life=LIFE.default["root"],
        )
        targets = first_targets(GUN, now=NOW, life=LIFE.default["targets"])
        for tag in tags:
            targets.targets[tag] = make_target(Tag(tag), manifest(tag), None, now=NOW, keep=30 * DAY)
        upload = {"root": sign(root, by_id(roots)), "targets": sign(targets, by_id(repository[1:]))}
        self.service.run(self.service.publishing.publish(GUN, upload, who))
        self.service.look()
        return upload["root"]


def by_id(signers: Iterable[CryptoSigner]) -> dict[str, CryptoSigner]:
    """The keys by their ids."""
    return {signer.public_key.keyid: signer for signer in signers}


def payload_of(role: str, data: bytes) -> str:
    """What the signatures of a file cover."""
    return payload_digest(read(data, role_kind(role)).signed)
