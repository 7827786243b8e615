"""Docker's delegations as the signers of format ``tuf`` (TRUST 4.1, 4.2): who goes on signing, and who can't.

In format ``docker`` a tag is trusted from ``targets/releases`` and ``targets`` alone, so a key that isn't in one of
them grants nothing, whatever role of its own it has.  It grants nothing afterwards either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from securesystemslib.signer import Key

from trustkit.core.delegations import ANY_PATH, MAX_LIMITED, MAX_PATHS, MAX_ROLES, check_path_pattern
from trustkit.core.formats.docker.bare import as_tuf
from trustkit.core.formats.docker.keys import DockerKey, key_of
from trustkit.core.formats.docker.roles import RELEASES, TARGETS, parent
from trustkit.core.formats.docker.tree import Node
from trustkit.core.names import SignerName, shown
from trustkit.core.signers import overlapping
from trustkit.errors import InvalidName, KeyUnsupported


@dataclass(frozen=True, slots=True)
class CarriedSigner:
    """A signer that is kept.

    Attributes:
        key: its own.
        role: the delegation in format ``docker`` that it comes from; empty where its key stood in
            ``targets/releases`` alone.
        paths: the patterns of tags that it may sign, and nobody else; empty for one of ``releases``.
    """

    name: str
    key: Key
    role: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """Something that isn't carried over, and why.  ``consent``: somebody loses by it."""

    what: str
    name: str
    why: str
    consent: bool = False


def carried_signers(
    tree: Mapping[str, Node], *, root: Mapping[str, Key], repository: Mapping[str, Key], problems: list[str]
) -> tuple[tuple[CarriedSigner, ...], list[Left]]:
    """The signers, those that are limited to paths first, and what of the delegations is left behind.

    Args:
        root, repository: the publisher's keys in format ``tuf``, by id.
        problems: gets a sentence for each thing that has to be mended first.
    """
    return _Signers(tree, root, repository, problems)()


class _Signers:
    def __init__(
        self, tree: Mapping[str, Node], root: Mapping[str, Key], repository: Mapping[str, Key], problems: list[str]
    ) -> None:
        self._tree = tree
        self._root, self._repository = root, repository
        self._problems = problems
        self._left: list[Left] = []
        self._found: list[CarriedSigner] = []
        self._releases = {key.canonical_id: key for key in _keys(tree, RELEASES)}

    def __call__(self) -> tuple[tuple[CarriedSigner, ...], list[Left]]:
        self._check_releases()
        for node in self._tree.values():
            if node.name in (TARGETS, RELEASES):
                continue
            if parent(node.name) != TARGETS:
                self._leave(node.name, "format tuf has no delegations of delegations", consent=True)
                continue
            if node.threshold > 1:
                self._problems.append(f"{node.name} takes {node.threshold} signatures, which a signer can't.")
            for key in _keys(self._tree, node.name):
                self._role(node, key)
        taken = {signer.key.keyid for signer in self._found} | set(self._repository)
        for key in self._releases.values():
            self._unnamed(key, taken)
        limited = [signer for signer in self._found if signer.paths]
        if len(limited) > MAX_LIMITED or len(self._found) + 1 > MAX_ROLES:
            self._problems.append(
                f"There are {len(self._found)} signers, {len(limited)} of them limited to paths; format tuf has "
                f"{MAX_ROLES - 1} and {MAX_LIMITED} at most."
            )
        return (*limited, *(signer for signer in self._found if not signer.paths)), self._left

    def _check_releases(self) -> None:
        node = self._tree.get(RELEASES)
        if node is None:
            return
        if "" not in node.paths and self._releases:
            self._problems.append(
                f"{RELEASES} may sign {_named(node.paths)} only, and releases in format tuf is for every tag: its "
                f"signers could sign more than now.  First give it every path, or end it: "
                f"notary delegation add GUN {RELEASES} --all-paths"
            )
        if node.threshold > len(self._releases):
            self._leave(RELEASES, f"it takes {node.threshold} signatures and has {len(self._releases)} keys")
            self._releases = {}

    def _role(self, node: Node, key: DockerKey) -> None:
        """One key of one of Docker's signers."""
        if key.canonical_id not in self._releases:
            self._leave(node.name, f"its key {key.canonical_id[:16]} isn't in {RELEASES}, so it grants no tag",
                        consent=True)  # fmt: skip
            return
        carried = self._carried(node.name, key)
        if carried is None:
            return
        if any(signer.key.keyid == carried.keyid for signer in self._found):
            self._leave(node.name, f"its key {key.canonical_id[:16]} is another signer's, too")
            return
        paths: tuple[str, ...] = ()
        if "" not in node.paths:
            paths = tuple(self._patterns(node))
            if not paths:
                self._leave(node.name, f"no tag can begin with {_named(node.paths)}", consent=True)
                return
            if other := self._rival(paths):
                self._leave(
                    node.name, f"its paths are {other}'s, too, and one signer answers for a tag", consent=True
                )
                return
        self._found.append(CarriedSigner(self._name(node.name.removeprefix(f"{TARGETS}/"), key), carried, node.name,
                                         paths))  # fmt: skip

    def _carried(self, name: str, key: DockerKey) -> Key | None:
        """The key in format ``tuf``; None, and said so, where it can't be a signer's there."""
        try:
            made = as_tuf(key)
        except KeyUnsupported as error:
            self._leave(name, f"{error.message}  {error.hint}", consent=True)
            return None
        if made.keyid in self._repository:
            self._leave(name, "its key is the repository key, which signs everything anyway")
            return None
        if made.keyid in self._root:
            self._leave(name, f"its key {made.keyid[:16]} is a root key, and a signer has its own", consent=True)
            return None
        return made

    def _unnamed(self, key: DockerKey, taken: set[str]) -> None:
        """A key that signs for ``targets/releases``, and is nobody's by name."""
        try:
            if as_tuf(key).keyid in taken:
                return
        except KeyUnsupported:
            pass
        if any(key.canonical_id in node.canonical_ids for node in self._tree.values() if _is_signer(node)):
            return  # its signer was left behind, and that was said
        carried = self._carried(f"key {key.canonical_id[:16]}", key)
        if carried is not None:
            self._found.append(CarriedSigner(self._name("", key), carried, ""))

    def _patterns(self, node: Node) -> Iterator[str]:
        """Its prefixes as patterns that match the same tags; of a prefix that no tag has, none is made."""
        for prefix in node.paths:
            try:
                pattern = "" if set(prefix) & set("*?") else check_path_pattern(f"{prefix}{ANY_PATH}")
            except InvalidName:
                pattern = ""
            if not pattern:
                self._leave(f"{node.name}, path {shown(prefix)}", "no tag begins so")
            else:
                yield pattern
        if len(node.paths) > MAX_PATHS:
            self._problems.append(f"{node.name} has {len(node.paths)} paths; a signer has {MAX_PATHS} at most.")

    def _rival(self, paths: tuple[str, ...]) -> str:
        for signer in self._found:
            if any(overlapping(mine, theirs) for mine in paths for theirs in signer.paths):
                return signer.name
        return ""

    def _name(self, wanted: str, key: DockerKey) -> str:
        """A signer's name in format ``tuf``: its own, or one made of its key's id."""
        taken = {signer.name for signer in self._found}
        try:
            if SignerName.parse(wanted).name not in taken:
                return wanted
        except InvalidName:
            pass
        return f"signer-{key.canonical_id[:16]}"

    def _leave(self, name: str, why: str, *, consent: bool = False) -> None:
        self._left.append(Left("delegation", name, why, consent))


def _keys(tree: Mapping[str, Node], role: str) -> list[DockerKey]:
    """A role's keys that its parent lists, each bare key once."""
    node, above = tree.get(role), tree.get(parent(role))
    delegations = above.file.signed.delegations if above and above.file else None
    if node is None or delegations is None:
        return []
    found = [key_of(delegations.keys[key_id]) for key_id in node.key_ids if key_id in delegations.keys]
    return list({key.canonical_id: key for key in found}.values())


def _is_signer(node: Node) -> bool:
    return node.name not in (TARGETS, RELEASES) and parent(node.name) == TARGETS


def _named(paths: tuple[str, ...]) -> str:
    return ", ".join(map(shown, paths)) or "nothing"
