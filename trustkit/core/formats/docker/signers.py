"""Signers of a collection in format ``docker``, as ``docker trust signer`` has them (TRUST 4)."""

from __future__ import annotations

from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.docker.roles import RELEASES, TARGETS, check_role
from trustkit.core.names import SignerName
from trustkit.errors import Conflict, NotFound, UsageError


def role_of(name: SignerName) -> str:
    """The delegation of a signer; raises InvalidName, and UsageError for ``releases``, which is everybody's."""
    role = check_role(f"{TARGETS}/{name}")
    if role == RELEASES:
        raise UsageError("releases is the role that all signers share; no signer can have the name.")
    return role


def add_signer(draft: DockerDraft, name: SignerName, key: DockerKey) -> None:
    """Lets a key sign every tag: in a role of its own, and in ``targets/releases``.

    Raises:
        Conflict: the name or its key signs already.
    """
    role = role_of(name)
    if role in draft.delegated:
        raise Conflict(f"{name} signs {draft.gun} already.", hint="Give it another key with --replace.")
    shared = [] if RELEASES not in draft.delegated else draft.keys(RELEASES)
    if key.canonical_id in {one.canonical_id for one in shared}:
        raise Conflict(f"The key {key.canonical_id[:16]} signs {draft.gun} already, under another name.")
    draft.delegate(role, [key])
    draft.delegate(RELEASES, [*shared, key])
    draft.tell(f"{name}, with the key {key.keyid}, signs every tag from now on")


def end_signer(draft: DockerDraft, name: SignerName, new: DockerKey | None, *, resign: bool) -> None:
    """Ends what a signer's key may do, and gives the signer another one, if there is one.

    What nobody else attests is withdrawn, unless ``resign`` says to keep it.  A ``targets/releases`` that
    only the old key had signed is signed anew by a key that is here: another signer's, or else the repository key,
    which then stands among its keys.  Where no signer is left, what stays goes back to ``targets``.

    Raises:
        NotFound: no signer of this name.
    """
    role = role_of(name)
    if role not in draft.delegated:
        raise NotFound(f"{draft.gun} has no signer {name}.", hint=f"See: trustkit signer list {draft.gun}")
    gone = {key.canonical_id for key in draft.keys(role)}
    lost = set() if resign else _alone(draft, role)
    shared = draft.keys(RELEASES) if RELEASES in draft.delegated else []
    kept = [key for key in shared if key.canonical_id not in gone]
    if new is None:
        draft.withdraw(role)
        draft.tell(f"{name} signs nothing any more")
    else:
        draft.delegate(role, [new])
        kept.append(new)
        _renew_own(draft, role, new)
        draft.tell(f"{name} signs with the key {new.keyid} from now on")
    if RELEASES not in draft.delegated:
        return
    _settle_releases(draft, kept, lost)


def _settle_releases(draft: DockerDraft, kept: list[DockerKey], lost: set[str]) -> None:
    file = draft.files.get(RELEASES)
    left = {path: entry for path, entry in file.targets.items() if path not in lost} if file else {}
    hidden = {path for path in (file.targets if file else {}) if path in lost}
    for path in hidden & set(draft.files[TARGETS].targets):
        del draft.files[TARGETS].targets[path]  # or what the tag was before signers came would be trusted again
    signers = [key for name in draft.delegated if name != RELEASES for key in draft.keys(name)]
    if not signers:
        draft.withdraw(RELEASES)
        draft.files[TARGETS].targets |= left
        return
    draft.delegate(RELEASES, kept)
    if file is None or (not hidden and draft.still_signed(RELEASES)):
        return
    if not draft.holds(RELEASES, kept):
        draft.delegate(RELEASES, [*kept, *draft.keys(TARGETS)])
    file.targets = left
    draft.changed.add(RELEASES)


def _alone(draft: DockerDraft, role: str) -> set[str]:
    """The released tags that nobody else attests for their digest: no other signer, and not the repository key.

    What the signer's own role says of them counts for nothing: a thief of the key need not have written there.
    """
    others = [file for name, file in draft.files.items() if name not in (RELEASES, role)]
    return {
        path
        for path, (granted, entry) in draft.entries().items()
        if granted == RELEASES
        and not any(
            path in file.targets and file.targets[path].hashes.get("sha256") == entry.hashes.get("sha256")
            for file in others
        )
    }


def _renew_own(draft: DockerDraft, role: str, new: DockerKey) -> None:
    if role in draft.files and draft.holds(role, [new]):
        draft.changed.add(role)
    elif role in draft.files:
        draft.forget(role)
