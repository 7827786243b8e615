"""A copy of the embedded registry's images, while they are pushed and deleted."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trustkit.errors import StateError
from trustkit.folders import sync_folder
from trustkit.gateway.durable import make_folder, write_whole
from trustkit.gateway.index import Index
from trustkit.gateway.layout import LAYOUT, disk_errors

_PIECE = 1 << 20
_ATTEMPTS = 5
"""Looks at one layout from which manifests are being deleted."""
_BLOB = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Images:
    """What a copy has: repositories, and the blobs that were new to it."""

    repositories: int
    blobs: int
    size: int


def copy_images(root: Path, target: Path) -> Images:
    """Copies every layout below ``root``, each at its place below ``target``; what is there is not copied again.

    An index is read first and written last: it names what was on the disk before, so the copy has it.  Each blob's
    bytes are hashed on the way.  Blobs that were deleted since a copy before stay in the copy, and do no harm.

    Raises:
        StateError: the disk, or a blob whose bytes are not its digest's.
    """
    repositories, copied = 0, list[int]()
    with disk_errors():
        make_folder(target)
        for layout in _layouts(root):
            copied += _copy_layout(layout, target / layout.relative_to(root))
            repositories += 1
    return Images(repositories, len(copied), sum(copied))


def _copy_layout(layout: Path, place: Path) -> list[int]:
    """Copies one layout; gives the sizes of the blobs that were new."""
    blobs, copied = place / "blobs" / "sha256", list[int]()
    make_folder(blobs)
    for _ in range(_ATTEMPTS):
        data = (layout / "index.json").read_bytes()
        copied += [size for blob in _blobs(layout) if (size := _copy(blob, blobs / blob.name)) is not None]
        missing = [digest for digest in Index.parse(data).manifests if not (blobs / digest.hex).exists()]
        if not missing:
            sync_folder(blobs)
            write_whole(place / "oci-layout", (layout / "oci-layout").read_bytes(), scratch=place)
            write_whole(place / "index.json", data, scratch=place)
            return copied
    raise StateError(
        f"{layout} names {missing[0]}, and has no such blob.",
        hint="Look after the disk; try again while nothing is deleted.",
    )


def _blobs(layout: Path) -> list[Path]:
    folder = layout / "blobs" / "sha256"
    return [path for path in sorted(folder.iterdir()) if _BLOB.fullmatch(path.name)] if folder.is_dir() else []


def _layouts(root: Path) -> Iterator[Path]:
    for folder, folders, _ in os.walk(root):
        if LAYOUT in folders and (Path(folder, LAYOUT) / "index.json").is_file():
            yield Path(folder, LAYOUT)
        folders[:] = sorted(name for name in folders if not name.startswith("_"))


def _copy(blob: Path, place: Path) -> int | None:
    """Copies a blob; None where it is there already, or was deleted in this moment."""
    if place.exists():
        return None  # it was hashed when it came here, and has had its name since
    beside = place.parent.parent / f"tmp-{secrets.token_hex(16)}"
    digest, size = hashlib.sha256(), 0
    try:
        with blob.open("rb") as source, beside.open("xb") as copy:
            while data := source.read(_PIECE):
                digest.update(data)
                size += copy.write(data)
            copy.flush()
            os.fsync(copy.fileno())
        if digest.hexdigest() != blob.name:
            raise StateError(f"The bytes of {blob} are not its digest's.", hint="Look after the disk.")
        beside.replace(place)
    except FileNotFoundError:
        return None
    finally:
        beside.unlink(missing_ok=True)
    return size
