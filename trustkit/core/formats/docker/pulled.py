"""What Docker would pull for each tag of a collection, by files that were verified."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from tuf.api.metadata import TargetFile

from trustkit.core.formats.docker.roles import RELEASES, TARGETS
from trustkit.core.formats.docker.tree import Node
from trustkit.core.names import Digest, Tag
from trustkit.core.ports.images import MAX_MANIFEST
from trustkit.core.targets import CUSTOM, read_target
from trustkit.core.view import SignedTarget
from trustkit.errors import InvalidName


def pulled(
    tree: Mapping[str, Node], wanted: Collection[str] | None, said: Mapping[str, SignedTarget]
) -> Iterator[SignedTarget]:
    """Every tag, or those that are wanted, with what Docker would pull for it.

    What is no tag, has no sha256 or is no manifest by its length can't be pulled; it still hides what ``targets``
    says of the same name, as it does from Docker.

    Args:
        tree: all roles.
        said: by name what was read of it before; it is taken for an entry that says the same.
    """
    taken = set[str]()
    releases = tree.get(RELEASES)
    if releases is not None and releases.file is not None:
        for path, entry in releases.file.signed.targets.items():
            if releases.allows(path):
                taken.add(path)
                if wanted is None or path in wanted:
                    yield from _tag(path, entry, RELEASES, said.get(path))
    taken |= _shadowed(tree)
    top = tree[TARGETS].file
    for path, entry in top.signed.targets.items() if top is not None else ():
        if path not in taken and (wanted is None or path in wanted):
            yield from _tag(path, entry, TARGETS, said.get(path))


def _shadowed(tree: Mapping[str, Node]) -> set[str]:
    """The names below ``targets/releases``: Docker finds them before those of ``targets``, and refuses them."""
    below = (node for node in tree.values() if node.name.startswith(f"{RELEASES}/") and node.file)
    return {path for node in below for path in (node.file.signed.targets if node.file else ()) if node.allows(path)}


def _tag(path: str, entry: TargetFile, role: str, known: SignedTarget | None) -> Iterator[SignedTarget]:
    if known is not None and not entry.unrecognized_fields and _says(entry, role, known):
        yield known
        return
    try:
        tag = Tag.parse(path)
    except InvalidName:
        return  # a collection of Notary's holds files of any name
    if "sha256" not in entry.hashes or not 1 <= entry.length <= MAX_MANIFEST:
        return
    if isinstance(custom := entry.custom, dict) and CUSTOM in custom:
        hashes, ours = {"sha256": entry.hashes["sha256"]}, {"custom": {CUSTOM: custom[CUSTOM]}}
        yield read_target(path, TargetFile(entry.length, hashes, path, ours), role)
    else:
        yield SignedTarget(tag, Digest.from_hex(entry.hashes["sha256"]), entry.length, "", role)


def _says(entry: TargetFile, role: str, known: SignedTarget) -> bool:
    """Whether an entry without custom data, of the same name, comes to what is known."""
    plain = not known.media_type and not known.superseded and not known.children
    return plain and (entry.length, entry.hashes.get("sha256"), role) == (known.length, known.digest.hex, known.role)
