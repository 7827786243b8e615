"""What becomes of a collection in format ``docker`` that is converted to ``tuf``, before anything is made.

Its publisher's keys stay the same ones.  Tags are those that docker would pull, and nothing else; nobody may sign
more afterwards than before; and what the layout of format ``tuf`` can't hold (TRUST 4) is named, never widened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Targets

from trustkit.core.convertsigners import CarriedSigner, Left, carried_signers
from trustkit.core.formats.docker.bare import as_tuf
from trustkit.core.formats.docker.evaluate import attributions
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.keys import key_of
from trustkit.core.formats.docker.roles import RELEASES, TARGETS
from trustkit.core.formats.docker.tree import Node, read_tree
from trustkit.core.names import Gun, Tag, shown
from trustkit.core.targets import CUSTOM
from trustkit.core.view import SignedTarget, SignedView
from trustkit.errors import KeyUnsupported


@dataclass(frozen=True, slots=True)
class CarriedTag:
    """A tag that is kept: what it is signed for, what its publisher says of it, and who signed it besides."""

    target: SignedTarget
    custom: Mapping[str, object] = field(default_factory=dict)
    signers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """What a conversion keeps, and what it doesn't.

    Attributes:
        root_keys, target_keys: by id in format ``tuf``, in their order.
        root_threshold, targets_threshold: as in the root in format ``docker``.
        releases_threshold: that of ``targets/releases``, 1 where there is none.
        signers: who signs afterwards, those that are limited to paths first.
        tags: by name.
        left: what isn't carried over.
        problems: what has to be mended first; nothing can be converted while there is one.
    """

    gun: Gun
    root_keys: Mapping[str, Key]
    target_keys: Mapping[str, Key]
    root_threshold: int
    targets_threshold: int
    releases_threshold: int
    signers: tuple[CarriedSigner, ...]
    tags: Mapping[str, CarriedTag]
    left: tuple[Left, ...]
    problems: tuple[str, ...]

    @property
    def losses(self) -> tuple[Left, ...]:
        """What is lost by it, so that somebody has to agree."""
        return tuple(left for left in self.left if left.consent)

    def typed(self, media_types: Mapping[str, str]) -> ConversionPlan:
        """The plan with the media types of tags, by name, where they were found out."""
        tags = {
            name: replace(tag, target=replace(tag.target, media_type=media_types[name]))
            if name in media_types and not tag.target.media_type
            else tag
            for name, tag in self.tags.items()
        }
        return replace(self, tags=tags)


def plan_conversion(files: Mapping[str, bytes], view: SignedView, now: datetime) -> ConversionPlan:
    """Plans it.

    Args:
        files: the verified files of the collection, every delegation's among them.
        view: what ``evaluate`` made of them.
    """
    root = read(files["root"], Root).signed
    tree = read_tree(files, root, read(files[TARGETS], Targets), read)
    problems: list[str] = []
    keys = {role: _publishers(root, role, problems) for role in ("root", TARGETS)}
    signers, left = carried_signers(tree, root=keys["root"], repository=keys[TARGETS], problems=problems)
    names = {signer.role: signer.name for signer in signers if signer.role}
    tags = dict(_tags(tree, view, _signed_by(files, view, now, names)))
    return ConversionPlan(
        view.gun,
        root_keys=keys["root"],
        target_keys=keys[TARGETS],
        root_threshold=root.roles["root"].threshold,
        targets_threshold=root.roles[TARGETS].threshold,
        releases_threshold=tree[RELEASES].threshold if RELEASES in tree else 1,
        signers=signers,
        tags=tags,
        left=(*left, *_lost_tags(tree, view), *_lost_custom(tree, tags)),
        problems=tuple(problems),
    )


def _publishers(root: Root, role: str, problems: list[str]) -> dict[str, Key]:
    """A role's keys, the same one under two certificates once."""
    found: dict[str, Key] = {}
    for key_id in root.roles[role].keyids:
        try:
            key = as_tuf(root.keys[key_id])
        except KeyUnsupported as error:
            what = "repository" if role == TARGETS else role
            problems.append(
                f"The {what} key {key_of(root.keys[key_id]).canonical_id[:16]} can't be one of format tuf: "
                f"{error.message}  First: trustkit key rotate GUN --role {what}"
            )
        else:
            found[key.keyid] = key
    return found


def _signed_by(
    files: Mapping[str, bytes], view: SignedView, now: datetime, names: Mapping[str, str]
) -> Mapping[Tag, frozenset[str]]:
    """By tag the carried signers that docker shows for it."""
    shown_by = attributions(files, view, now)
    return {
        tag: frozenset(names[f"{TARGETS}/{name}"] for name in found if f"{TARGETS}/{name}" in names)
        for tag, found in shown_by.items()
    }


def _tags(
    tree: Mapping[str, Node], view: SignedView, signers: Mapping[Tag, frozenset[str]]
) -> Iterator[tuple[str, CarriedTag]]:
    for tag, target in sorted(view.targets.items()):
        custom = _custom(tree, target)
        kept = {name: value for name, value in custom.items() if name != CUSTOM} if isinstance(custom, dict) else {}
        yield tag.name, CarriedTag(target, kept, signers.get(tag, frozenset()))


def _custom(tree: Mapping[str, Node], target: SignedTarget) -> object:
    node = tree.get(target.role)
    entry = node.file.signed.targets.get(target.tag.name) if node and node.file else None
    return entry.custom if entry is not None else None


def _lost_tags(tree: Mapping[str, Node], view: SignedView) -> Iterator[Left]:
    """What stands in files, and docker pulls nothing by."""
    trusted = {tag.name: target.digest.hex for tag, target in view.targets.items()}
    for node in tree.values():
        for path, entry in sorted(node.file.signed.targets.items()) if node.file else ():
            digest = entry.hashes.get("sha256", "")
            if path not in trusted:
                why = (
                    "docker pulls nothing by it" if node.grants else "released by nobody, so docker doesn't trust it"
                )
                yield Left("tag", _named(path), f"in {node.name} alone: {why}")
            elif not node.grants and digest != trusted[path]:
                yield Left("tag", _named(path), f"{node.name} signed another digest of it, {digest[:16]}")


def _lost_custom(tree: Mapping[str, Node], tags: Mapping[str, CarriedTag]) -> Iterable[Left]:
    for name, tag in tags.items():
        custom = _custom(tree, tag.target)
        if custom is not None and not isinstance(custom, dict):
            yield Left("custom", name, "its custom data is no JSON object", consent=True)


def _named(path: str) -> str:
    """A name in a collection, which may be any text."""
    return path if path.isascii() and path.isprintable() and len(path) <= 128 else shown(path)
