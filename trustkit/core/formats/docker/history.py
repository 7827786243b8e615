"""The roots before the current one of a collection that comes from another server: one line, each link verified.

Clients that have seen it there hold some root of it, and walk on from that one.  So a collection that moves brings
its roots along, and none of them is taken for what its number says: each has to be signed by the keys of the one
before it, and by its own, for this collection, at the very next version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tuf.api.metadata import Metadata, Root

from trustkit.core.formats.docker.conversion import is_last
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.roots import check_root, check_successor, check_threshold
from trustkit.core.names import Gun
from trustkit.core.pinning import MAX_ROOTS
from trustkit.core.readings import Reader
from trustkit.errors import BadVersion, TooLarge, WrongFormat

MOST = MAX_ROOTS - 1
"""Roots before the current one: clients walk no further."""

_FORMER = re.compile(r"([1-9][0-9]{0,9})\.root\Z")


def split_upload(upload: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[int, bytes]]:
    """The files of an upload by role, and by version the former roots that it brings, named ``N.root``."""
    roles, roots = dict[str, bytes](), dict[int, bytes]()
    for name, data in upload.items():
        if found := _FORMER.match(name):
            roots[int(found[1])] = data
        else:
            roles[name] = data
    return roles, roots


def check_line(roots: Mapping[int, bytes], gun: Gun, *, reader: Reader = read) -> Metadata[Root]:
    """Holds former roots to one line; when their certificates and they themselves ended counts for nothing.

    Args:
        roots: by version as they are named; there is at least one.

    Returns:
        The last of them, which the current root has to follow.

    Raises:
        TooLarge: more than clients walk.
        BadVersion: one is missing between others, or has another version than its name says.
        BadKeys, WrongGun, BadSignature, Malformed: one that is no root of the collection, or can't follow.
        WrongFormat: one of them says that the collection was converted to format ``tuf``.
    """
    if len(roots) > MOST:
        raise TooLarge(f"{gun} has {len(roots)} roots before its current one; clients walk {MOST} at most.")
    versions = sorted(roots)
    if lacking := sorted(set(range(versions[0], versions[-1] + 1)) - set(versions)):
        raise BadVersion(f"The roots of {gun} are not one line: version {lacking[0]} is missing.", lacking=lacking)
    last: Metadata[Root] | None = None
    for version in versions:
        root = reader(roots[version], Root, f"{version}.root.json")
        if root.signed.version != version:
            raise BadVersion(f"{version}.root.json of {gun} has version {root.signed.version}.")
        if is_last(root.signed):
            raise WrongFormat(f"{version}.root.json of {gun} says that it went on in format tuf.", format="tuf")
        if last is None:
            check_root(root.signed, gun)
            check_threshold(root.signed, "root", root, roots[version])
        else:
            check_successor(last, root, roots[version], gun)
        last = root
    assert last is not None  # noqa: S101 - there is at least one
    return last
