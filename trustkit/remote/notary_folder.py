"""What was verified of a collection in format ``docker``, in a folder of its own, whose lock the caller has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tuf.api.metadata import Root

from trustkit.core.formats.docker.files import role_kind
from trustkit.core.formats.docker.roles import RELEASES
from trustkit.core.readings import Reader
from trustkit.errors import Rejected
from trustkit.remote.source import anchor_file
from trustkit.remote.updater import put, unreadable

TOP = ("root", "timestamp", "snapshot", "targets")


def keep(folder: Path, files: Mapping[str, bytes], kept: Mapping[str, bytes]) -> None:
    """Puts a verified state into a folder.  The timestamp comes last: what it names is there once it is.

    Args:
        files, kept: by role, what is verified now, and what lies there.
    """
    order = sorted(set(files), key=lambda role: (role in TOP, role == "timestamp", role))
    for role in order:
        if kept.get(role) != files[role]:
            put(folder / f"{role}.json", files[role])
    for role in set(kept) - set(files):
        if role == RELEASES or role.startswith(f"{RELEASES}/"):
            (folder / f"{role}.json").unlink()  # what isn't delegated to any more may begin anew


def files_of(folder: Path, reader: Reader) -> dict[str, bytes]:
    """What was verified into a folder, by role.

    Raises:
        StateError: something else lies there; nothing says then what was seen before.
    """
    found = {role: folder / f"{role}.json" for role in TOP}
    below = (folder / "targets").rglob("*.json")
    found |= {path.relative_to(folder).as_posix().removesuffix(".json"): path for path in below}
    try:
        files = {role: path.read_bytes() for role, path in found.items() if path.exists()}
        for role, data in files.items():
            reader(data, role_kind(role), f"{role}.json")
    except (OSError, Rejected) as error:
        raise unreadable(folder, error) from error
    return files


def kept_roots(folder: Path) -> list[bytes]:
    """The roots that were verified into a folder: the first and the newest, where there are any."""
    return [path.read_bytes() for path in (anchor_file(folder), folder / "root.json") if path.exists()]


def version_of(root: bytes, reader: Reader) -> int:
    """The version of a root; raises Rejected."""
    version: int = reader(root, Root).signed.version
    return version
