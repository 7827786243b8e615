"""The delegations of a collection as a tree, with Notary's rules of names and paths (tuf/tuf.go, tuf/data/roles.go).

Docker takes a tag from ``targets/releases`` where that has it, else from ``targets``; every other delegation says who
else signed it, and grants nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tuf.api.metadata import DelegatedRole, Metadata, Root, Targets

from trustkit.core.formats.docker.keys import key_of
from trustkit.core.formats.docker.roles import RELEASES, TARGETS, parent
from trustkit.core.readings import Reader
from trustkit.core.records import dataclass
from trustkit.errors import BadDelegation

MAX_DEPTH = 8
MAX_ROLES = 512


@dataclass(frozen=True, slots=True)
class Node:
    """One role of the tree.

    Attributes:
        paths: the prefixes that are left of its own after its parents' rules; empty means that it may sign nothing.
        file: as it was read; None where the collection has none of the role.
        canonical_ids: of a delegation's keys that its parent lists, as ``docker trust inspect`` shows signers' keys.
    """

    name: str
    key_ids: tuple[str, ...]
    threshold: int
    paths: tuple[str, ...]
    file: Metadata[Targets] | None
    canonical_ids: tuple[str, ...] = ()

    def allows(self, name: str) -> bool:
        """Whether the role may sign a target of this name."""
        return any(name.startswith(prefix) for prefix in self.paths)

    @property
    def grants(self) -> bool:
        """Whether Docker takes tags from the role."""
        return self.name in (TARGETS, RELEASES)


def check_delegations(role: str, targets: Targets) -> None:
    """Holds what a role's file delegates to its rules, whoever signs the delegated files.

    A role may have fewer keys than its threshold, or none: Notary leaves it so when a key is removed, and nobody can
    sign for it then.

    Raises:
        BadDelegation: to a role that isn't its direct child.
    """
    for name in (targets.delegations.roles or {}) if targets.delegations else {}:
        if parent(name) != role:
            raise BadDelegation(f"{role} can't delegate to {name}, which is not directly below it.")


def read_tree(files: Mapping[str, bytes], root: Root, targets: Metadata[Targets], reader: Reader) -> dict[str, Node]:
    """Every role from ``targets`` down, parents first, in the order of their delegations; nothing is verified.

    Args:
        files: bytes by role; what isn't delegated to counts for nothing.

    Raises:
        Malformed, BadDelegation: a file below can't be read, or delegates past its rules.
    """
    top = root.roles[TARGETS]
    tree = {TARGETS: Node(TARGETS, tuple(top.keyids), top.threshold, ("",), targets)}
    level = [tree[TARGETS]]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node, files, reader)]
        tree |= {node.name: node for node in level}
        if len(tree) > MAX_ROLES:
            raise BadDelegation(f"The collection has more than {MAX_ROLES} roles.")
    if level:
        raise BadDelegation(f"The collection delegates over more than {MAX_DEPTH - 1} levels.")
    return tree


def _children(node: Node, files: Mapping[str, bytes], reader: Reader) -> Iterator[Node]:
    if node.file is None or node.file.signed.delegations is None:
        return
    check_delegations(node.name, node.file.signed)
    for name, role in (node.file.signed.delegations.roles or {}).items():
        file = reader(files[name], Targets, f"{name}.json") if name in files else None
        keys = node.file.signed.delegations.keys
        listed = dict.fromkeys(key_of(keys[key_id]).canonical_id for key_id in role.keyids if key_id in keys)
        yield Node(name, tuple(role.keyids), role.threshold, _restricted(node, role), file, tuple(listed))


def _restricted(node: Node, role: DelegatedRole) -> tuple[str, ...]:
    """Those of a child's paths that its parent may sign: a path outside the parent's gives nothing."""
    return tuple(path for path in role.paths or () if node.allows(path))
