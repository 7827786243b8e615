"""Replacing keys of collections in format ``docker``, in one atomic publish each (TRUST 2.3, 3.9).

The new key is on disk and noted first, then what names it is published and read back; no key is ever removed here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from securesystemslib.signer import Key

from trustkit.client.docker_publish import Agree, DockerPublisher
from trustkit.client.docker_signing import SNAPSHOT
from trustkit.client.rotate import Rotated
from trustkit.client.successors import Successors
from trustkit.client.trust import Current
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.keys import DockerKey, from_tuf
from trustkit.core.formats.docker.roles import RELEASES, TARGETS
from trustkit.core.formats.docker.signers import end_signer, role_of
from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.core.ports.rotation import Begun, Rotations
from trustkit.errors import Conflict, KeyMissing, NoCollection, NotFound, UsageError

_OF_ROOT = {KeyRole.ROOT: "root", KeyRole.REPOSITORY: TARGETS}


class DockerRotate:
    """As ``Rotate``, and the hand-over of the service's roles.

    Args:
        keys: the publisher's own store.
    """

    def __init__(
        self,
        publisher: DockerPublisher,
        keys: KeyStore,
        rotations: Rotations,
        *,
        clock: Callable[[], datetime],
        say: Callable[[str], None],
    ) -> None:
        self._publisher = publisher
        self._keys = keys
        self._clock = clock
        self._say = say
        self._new = Successors(keys, rotations, say)

    def repository(
        self,
        gun: Gun,
        *,
        new: Key | None = None,
        old: str | None = None,
        revoke: Collection[str] = (),
        agree: Agree,
    ) -> Rotated:
        """Puts a repository key in the place of another, and signs ``targets`` anew; raises as ``Rotate``."""

        def edit(draft: DockerDraft, gone: DockerKey, comes: DockerKey) -> None:
            if revoke:
                draft.drop(revoke)
            draft.name_root_keys(TARGETS, _instead(draft.keys(TARGETS), gone, comes))
            draft.changed.add(TARGETS)
            shared = draft.keys(RELEASES) if RELEASES in draft.delegated else []
            if gone.canonical_id in {key.canonical_id for key in shared}:
                draft.delegate(RELEASES, _instead(shared, gone, comes))
                if not draft.still_signed(RELEASES):
                    draft.changed.add(RELEASES)

        return self._of_root(gun, KeyRole.REPOSITORY, edit, new, old, agree)[0]

    def root(self, gun: Gun, *, new: Key | None = None, old: str | None = None, agree: Agree) -> Rotated:
        """Puts a root certificate in the place of another; the old and the new key sign the new root."""

        def edit(draft: DockerDraft, gone: DockerKey, comes: DockerKey) -> None:
            draft.name_root_keys("root", _instead(draft.keys("root"), gone, comes))

        done, current = self._of_root(gun, KeyRole.ROOT, edit, new, old, agree)
        gone = [done.old, *([done.here.id] if done.here else [])]  # pins name the certificate, or its key
        if self._publisher.follow(gun, current, gone, [done.new]):
            self._say(f"This home's pin of {gun} names the new root key now.")
        return done

    def signer(self, gun: Gun, name: SignerName, *, new: Key | None = None, agree: Agree) -> Rotated:
        """Gives a signer another key; what the old one signed stays signed, by the keys here."""
        self._publisher.require(gun)
        current = self._current(gun)
        noted = f"signer/{name}"
        role = next((role for role in current.view.roles if role.name == role_of(name)), None)
        if role is None or not role.key_ids:
            raise NotFound(f"{gun} has no signer {name}.", hint=f"See: trustkit signer list {gun}")
        begun = self._new.begun(gun, noted)
        if begun and new is None and begun.new in role.key_ids:
            self._new.end(gun, noted)
            return Rotated(gun, KeyRole.SIGNER, begun.old, begun.new, self._new.here(begun.old), resumed=True)
        version = current.view.versions[TARGETS]
        left = begun if begun and begun.version == version else None
        if new is None:
            self._require(gun, TARGETS, current.view.target_keys, current)
        comes = from_tuf(new) if new else self._opened(self._new.new(gun, KeyRole.SIGNER, left, name))
        self._new.begin(Begun(gun, noted, role.key_ids[0], comes.canonical_id, version), begun)
        self._publisher.change(
            gun, lambda draft: end_signer(draft, name, comes, resign=True), agree=agree, base=current
        )
        self._new.end(gun, noted)
        return Rotated(gun, KeyRole.SIGNER, role.key_ids[0], comes.canonical_id, self._new.here(role.key_ids[0]))

    def online(self, gun: Gun, roles: Collection[str], agree: Agree) -> Mapping[str, tuple[str, str]]:
        """Has the service make new keys for these roles, and a new root name them.

        A snapshot key that was a publisher's is the service's from then on.

        Returns:
            By role the ids of the key that went and of the one that came.
        """
        self._publisher.require(gun)
        current = self._current(gun)
        self._require(gun, "root", current.view.root_keys, current)
        made = {role: self._publisher.service.key(gun, role, new=True) for role in sorted(roles)}
        went: dict[str, str] = {}

        def edit(draft: DockerDraft) -> None:
            for role, key in made.items():
                (went[role], *_) = [old.keyid for old in draft.keys(role)]
                draft.name_root_keys(role, [key])
                draft.tell(f"the service signs {role} with the key {key.keyid} from now on")

        managed = True if SNAPSHOT in roles else None
        self._publisher.change(gun, edit, agree=agree, base=current, managed=managed)
        return {role: (went[role], key.keyid) for role, key in made.items()}

    def _of_root(
        self,
        gun: Gun,
        role: KeyRole,
        edit: Callable[[DockerDraft, DockerKey, DockerKey], None],
        given: Key | None,
        wanted: str | None,
        agree: Agree,
    ) -> tuple[Rotated, Current]:
        self._publisher.require(gun)
        current = self._current(gun)
        draft = self._publisher.draft(gun, current)
        there, version = draft.keys(_OF_ROOT[role]), draft.root.version
        begun = self._new.begun(gun, role)
        if begun and given is None and begun.new in {key.canonical_id for key in there}:
            self._new.end(gun, role)
            return Rotated(gun, role, begun.old, begun.new, self._new.here(begun.old), resumed=True), current
        gone = _to_replace(there, wanted, gun)
        self._require(gun, "root", current.view.root_keys, current)
        left = begun if begun and begun.version == version else None
        comes = from_tuf(given) if given else self._opened(self._new.new(gun, role, left))
        info = self._new.here(comes.canonical_id)
        if info is None:
            raise KeyMissing(f"The new {role} key {comes.canonical_id[:16]} is not in {self._keys.place}.")
        self._new.begin(Begun(gun, role, gone.canonical_id, comes.canonical_id, version), begun)
        if role is KeyRole.ROOT:
            comes = self._publisher.sign.certificate(gun, info, self._clock())
        current = self._publisher.change(
            gun, lambda draft: edit(draft, gone, comes), agree=agree, base=current
        ).current
        self._new.end(gun, role)
        return Rotated(gun, role, _shown(role, gone), _shown(role, comes), self._new.here(gone.canonical_id)), current

    def _current(self, gun: Gun) -> Current:
        current = self._publisher.current(gun)
        if current is None:
            raise NoCollection(f"Nothing is signed under {gun}, so there is no key to rotate.")
        return current

    def _require(self, gun: Gun, role: str, shown: Collection[str], current: Current) -> None:
        """Before anything is made: a key of the role is here, and opens."""
        draft = self._publisher.draft(gun, current)
        found = self._publisher.sign.here(role, draft.keys(role))
        if len(found) < draft.threshold(role):
            draft.changed.add(role)
            self._publisher.sign.require(draft)
            raise KeyMissing(f"A key of {role} of {gun} is needed ({', '.join(key[:16] for key in shown)}).")
        for info in found:
            self._keys.unlock(info)

    def _opened(self, info: KeyInfo) -> DockerKey:
        self._keys.unlock(info)
        return self._publisher.sign.opened(info)


def _instead(keys: Collection[DockerKey], gone: DockerKey, comes: DockerKey) -> list[DockerKey]:
    left = {key.canonical_id: key for key in keys}
    if gone.canonical_id not in left:
        raise Conflict(f"The key {gone.canonical_id[:16]} was replaced by somebody else meanwhile.")
    return [comes if key.canonical_id == gone.canonical_id else key for key in keys]


def _to_replace(keys: Collection[DockerKey], wanted: str | None, gun: Gun) -> DockerKey:
    fits = [
        key for key in keys if wanted is None or key.keyid.startswith(wanted) or key.canonical_id.startswith(wanted)
    ]
    if len(fits) != 1:
        ids = ", ".join(key.keyid[:16] for key in keys)
        raise UsageError(f"Of the keys of {gun} ({ids}) one has to be named.", hint="Say which with --replace ID.")
    return fits[0]


def _shown(role: KeyRole, key: DockerKey) -> str:
    """Of a root key the id of its certificate, which pins name; of others that of the file."""
    return key.keyid if role is KeyRole.ROOT else key.canonical_id
