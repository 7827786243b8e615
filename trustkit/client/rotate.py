"""Replacing keys: root, repository and signer keys, each in one atomic publish a collection (TRUST 2.3, 3.9).

The order keeps anything from being lost: the new key is on disk and noted first, then the metadata that names it is
published and read back as a consumer would, and only then is the old key done with.  What is interrupted goes on with
the same new key when the command is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from securesystemslib.signer import Key
from tuf.api.metadata import Root

from trustkit.client.holding import lacking, usable
from trustkit.client.publish import Publisher
from trustkit.client.successors import Successors
from trustkit.client.trust import Current
from trustkit.core.delegations import TARGETS
from trustkit.core.difference import Difference
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.core.ports.rotation import Begun, Rotations
from trustkit.core.rotation import key_to_replace, rotate_repository, rotate_root, rotate_signer, withdraw
from trustkit.core.view import SignedView
from trustkit.errors import Conflict, NoCollection, NotFound

Agree = Callable[[Difference], None]
_OF_ROOT = {KeyRole.ROOT: "root", KeyRole.REPOSITORY: TARGETS}


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation came to: the ids of the key that went and of the one that came.

    Attributes:
        here: the key that went, where its private half is still here.
        resumed: nothing was published now; an earlier run that was interrupted had got through.
    """

    gun: Gun
    role: KeyRole
    old: str
    new: str
    here: KeyInfo | None
    resumed: bool = False


class Rotate:
    """The use cases of ``trustkit key rotate`` and ``trustkit root rotate``.

    Args:
        say: says one line to whoever rotates.
    """

    def __init__(
        self,
        publisher: Publisher,
        keys: KeyStore,
        rotations: Rotations,
        *,
        say: Callable[[str], None],
    ) -> None:
        self._publisher = publisher
        self._keys = keys
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
        """Puts a repository key in the place of another, in the root and wherever it is delegated to.

        Args:
            new: the new key, whose private half is here; made, or taken from an interrupted run, unless given.
            old: the beginning of the old one's id, where there are several.
            revoke: tags to withdraw in the same publish, so that the new key never signs them.

        Raises:
            KeyMissing, WrongKeyRole: the root key isn't here, and nothing was made: a ceremony changes the root then.
            Conflict: somebody else rotated meanwhile.
            everything that ``Publisher.apply`` raises.
        """

        def edit(draft: Draft, gone: str, comes: Key) -> None:
            withdraw(draft, revoke)
            rotate_repository(draft, gone, comes)

        return self._rotate(gun, KeyRole.REPOSITORY, edit, new, old, agree)[0]

    def root(self, gun: Gun, *, new: Key | None = None, old: str | None = None, agree: Agree) -> Rotated:
        """Puts a root key in the place of another; the new root is signed by the old and the new keys.

        Without ``new`` one key is made for all collections that this object rotates.  The pin that this home has for
        the collection moves to the new root, once that is published and read back.

        Raises:
            as ``repository``.
        """
        done, current = self._rotate(gun, KeyRole.ROOT, rotate_root, new, old, agree)
        if self._publisher.follow(gun, current, {done.old}, [done.new]):
            self._say(f"The pin of {gun} here is the new root now.")
        return done

    def signer(self, gun: Gun, name: SignerName, *, new: Key | None = None, agree: Agree) -> Rotated:
        """Gives a signer another key; what the old one signed stays signed, by the keys here.

        Without ``new`` one key is made for all collections in which this object rotates the signer.

        Raises:
            NotFound: no signer of this name.
            KeyMissing, WrongKeyRole: the repository key isn't here; nothing was made.
            Conflict: somebody else gave it another key meanwhile.
            everything that ``Publisher.apply`` raises.
        """
        self._publisher.require(gun)
        current = self._current(gun)
        role = next((role for role in current.view.roles if role.paths and role.name == name.name), None)
        own = [key_id for key_id in role.key_ids if key_id not in current.view.target_keys] if role else []
        if role is None or not own:
            raise NotFound(f"{gun} has no signer {name}.", hint=f"See: trustkit signer list {gun}")
        noted, version = f"signer/{name}", current.view.versions[TARGETS]
        begun = self._new.begun(gun, noted)
        if begun and new is None and begun.new in own:
            self._new.end(gun, noted)
            return Rotated(gun, KeyRole.SIGNER, begun.old, begun.new, self._new.here(begun.old), resumed=True)
        self._require_repository_keys(gun, name, current.view)
        left = begun if begun and begun.version == version else None
        if new is None:
            self._open(usable(self._keys, TARGETS, current.view.target_keys)[:1])
        comes = new or self._new.new(gun, KeyRole.SIGNER, left, name).public
        self._new.begin(Begun(gun, noted, own[0], comes.keyid, version), begun)
        signs_here = self._new.here(comes.keyid) is not None

        def edit(draft: Draft) -> None:
            rotate_signer(draft, name, own[0], comes, signs_here=signs_here)

        self._publisher.apply(gun, edit, agree=agree, base=current)
        self._new.end(gun, noted)
        return Rotated(gun, KeyRole.SIGNER, own[0], comes.keyid, self._new.here(own[0]))

    def _require_repository_keys(self, gun: Gun, name: SignerName, view: SignedView) -> None:
        if not usable(self._keys, TARGETS, view.target_keys):
            raise lacking(
                self._keys,
                TARGETS,
                view.target_keys,
                f"Another key for {name} in {gun} takes a key of {TARGETS}, its repository key",
                hint="Give the public half of your new key to who has it: trustkit signer add --replace.",
            )

    def _rotate(
        self,
        gun: Gun,
        role: KeyRole,
        edit: Callable[[Draft, str, Key], None],
        given: Key | None,
        wanted: str | None,
        agree: Agree,
    ) -> tuple[Rotated, Current]:
        """What came of it, and the state that is served now."""
        self._publisher.require(gun)
        current = self._current(gun)
        root = read(current.files["root"], Root).signed
        begun = self._new.begun(gun, role)
        if begun and given is None and _got_through(root, role, begun):
            self._new.end(gun, role)
            return Rotated(gun, role, begun.old, begun.new, self._new.here(begun.old), resumed=True), current
        old = key_to_replace(root, _OF_ROOT[role], wanted, gun)
        self._require_root_keys(gun, root)
        if given is None:
            self._open(usable(self._keys, "root", root.roles["root"].keyids))
        left = begun if begun and begun.version == root.version else None
        new = given or self._new.new(gun, role, left).public
        self._new.begin(Begun(gun, role, old, new.keyid, root.version), begun)
        current = self._publisher.apply(
            gun,
            lambda draft: edit(draft, old, new),
            check=lambda _, view: _check(view, role, old, new.keyid),
            agree=agree,
            base=current,
        )
        self._new.end(gun, role)
        return Rotated(gun, role, old, new.keyid, self._new.here(old)), current

    def _current(self, gun: Gun) -> Current:
        current = self._publisher.current(gun)
        if current is None:
            raise NoCollection(f"Nothing is signed under {gun}, so there is no key to rotate.")
        return current

    def _require_root_keys(self, gun: Gun, root: Root) -> None:
        """Before anything is made: a root is changed by its own keys."""
        role = root.roles["root"]
        if len(usable(self._keys, "root", role.keyids)) < role.threshold:
            raise lacking(
                self._keys,
                "root",
                role.keyids,
                f"A new root of {gun} takes {role.threshold} of its root keys",
                hint="Where root keys are kept offline or by others: trustkit root propose, and a ceremony.",
            )

    def _open(self, infos: Collection[KeyInfo]) -> None:
        """Before a key is made: where the passphrase is wrong, the new one would be kept under the same wrong one."""
        for info in infos:
            self._keys.unlock(info)


def _got_through(root: Root, role: KeyRole, begun: Begun) -> bool:
    there = root.roles[_OF_ROOT[role]].keyids
    return begun.new in there and begun.old not in there


def _check(view: SignedView, role: KeyRole, old: str, new: str) -> None:
    there = view.root_keys if role is KeyRole.ROOT else view.target_keys
    if new not in there or old in there:
        raise Conflict(
            f"The rotation of {view.gun} was published, and is not what is served: its {role} keys are "
            f"{', '.join(key_id[:16] for key_id in there)}.",
            hint="Somebody else changed them since; look before you rotate again.",
        )
