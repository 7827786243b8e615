"""Garbage collection of one repository of the embedded registry: what nothing needs any more.

Nothing is removed that ``index.json`` reaches, that is in use, that is younger than the grace period, or that can't
be read: whatever looks like a digest in a manifest counts as one that it needs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trustkit.core.names import Digest
from trustkit.errors import InvalidName
from trustkit.gateway.index import Entry, Index

_HEX = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Rules:
    """What one collection removes.

    Attributes:
        in_use: manifests that stay whatever ``index.json`` says of them.
        before: only what was last written or asked for before this moment, in seconds since the epoch.
        untagged: remove manifests as well that have no tag, and that nothing which stays needs.
        dry_run: remove nothing.
    """

    in_use: Collection[Digest]
    before: float
    untagged: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be: manifests, all other blobs, unfinished uploads, and their bytes together."""

    manifests: tuple[Digest, ...] = ()
    blobs: tuple[Digest, ...] = ()
    uploads: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Marked:
    """What stays: the manifests, and every digest that they or ``index.json`` name."""

    manifests: frozenset[Digest]
    digests: frozenset[Digest]


def mark(index: Index, rules: Rules, folder: Path) -> Marked:
    """Finds out what stays.

    Args:
        folder: the blobs, by hex digest.
    """
    there = index.manifests
    foreign = {digest for item in index.descriptors for digest in digests_in(json.dumps(item).encode())}
    starts = [*(entry.digest for entry in index.tags.values()), *rules.in_use]
    starts += [digest for digest in there if not rules.untagged or _young(folder / digest.hex, rules.before)]
    referrers = _referrers(there.values())
    kept, named, todo = set[Digest](), foreign - there.keys(), list(starts)
    while todo:
        digest = todo.pop()
        if digest in kept:
            continue
        kept.add(digest)
        found = set(digests_in(_read(folder / digest.hex)))
        named |= found
        todo += [child for child in found if child in there]
        todo += referrers.get(digest, ())
    return Marked(frozenset(kept & there.keys()), frozenset(named | kept))


def unmarked(marked: Marked, rules: Rules, folder: Path) -> Iterator[Path]:
    """The files of blobs that go."""
    keep = {digest.hex for digest in marked.digests}
    for path in sorted(folder.iterdir()):
        if _HEX.fullmatch(path.name) and path.name not in keep and not _young(path, rules.before):
            yield path


def remove(path: Path, rules: Rules) -> None:
    """Removes a blob, unless somebody has asked for it since."""
    if not _young(path, rules.before):
        path.unlink(missing_ok=True)


def old_files(folder: Path, before: float) -> Iterator[Path]:
    """The uploads, and what a killed process left of a file, that nobody has written to since."""
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if not _young(path, before))


def digests_in(data: bytes) -> Iterator[Digest]:
    """Everything in a document that a client could read as a digest, however it is spelled."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = _DIGEST.findall(data.decode("utf-8", "replace"))
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            todo += [*item.values(), *item]
        elif isinstance(item, list):
            todo += item
        elif isinstance(item, str) and item.startswith("sha256:"):
            with suppress(InvalidName):
                yield Digest.parse(item)


def _referrers(entries: Iterable[Entry]) -> Mapping[Digest, list[Digest]]:
    found: dict[Digest, list[Digest]] = {}
    for entry in entries:
        if entry.subject is not None:
            found.setdefault(entry.subject, []).append(entry.digest)
    return found


def _young(path: Path, before: float) -> bool:
    try:
        return os.lstat(path).st_mtime >= before
    except FileNotFoundError:
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
