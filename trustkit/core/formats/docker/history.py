"""What a collection brings along that comes from another server: its roots, and how far that one's own files were.

Clients that have seen it there hold some root of it, and walk on from that one.  So a collection that moves brings
its roots along, and none of them is taken for what its number says: each has to be signed by the keys of the one
before it, and by its own, for this collection, at the very next version.

They hold a snapshot and a timestamp, too.  Stock clients never take a lower version than they have, whoever's key has
signed it (tried), so the service's go on from those of the other server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, Root, Timestamp

from trustkit.core.formats.docker.conversion import is_last
from trustkit.core.formats.docker.files import read, role_kind
from trustkit.core.formats.docker.roots import check_root, check_successor, check_threshold
from trustkit.core.names import Gun
from trustkit.core.pinning import MAX_ROOTS
from trustkit.core.readings import Reader
from trustkit.errors import BadVersion, Malformed, TooLarge, WrongFormat

MOST = MAX_ROOTS - 1
"""Roots before the current one: clients walk no further."""

AHEAD = 1000
"""Versions of snapshot and timestamp that are left to the other server, which may go on for a while."""

HIGHEST = 2**30
"""No server has signed so often: a version beyond leaves none for the service."""

Former = Mapping[str, Mapping[int, bytes]]
"""By role, ``root``, ``snapshot`` and ``timestamp``, and by version what the other server had."""

ROOT, SNAPSHOT, TIMESTAMP = "root", "snapshot", "timestamp"
_FORMER = re.compile(r"([1-9][0-9]{0,9})\.(root|snapshot|timestamp)\Z")


def split_upload(upload: Mapping[str, bytes]) -> tuple[dict[str, bytes], Former]:
    """The files of an upload by role, and what it brings of another server, named ``N.root`` and so on."""
    roles, former = dict[str, bytes](), dict[str, dict[int, bytes]]()
    for name, data in upload.items():
        if found := _FORMER.match(name):
            former.setdefault(found[2], {})[int(found[1])] = data
        else:
            roles[name] = data
    return roles, former


def versions_left(former: Former) -> dict[str, int]:
    """The versions that the service's snapshot and timestamp begin after, of what ``check_former`` has accepted."""
    return {role: max(former[role]) + AHEAD for role in (SNAPSHOT, TIMESTAMP)}


def check_former(former: Former, gun: Gun, *, reader: Reader = read) -> Metadata[Root]:
    """Holds what comes along to its rules.

    Returns:
        The last of the former roots, which the current one has to follow.

    Raises:
        Malformed, BadSignature, BadVersion: the snapshot and the timestamp aren't one each, by the last root's keys,
            the one naming the other; and as ``check_line``.
    """
    root = check_line(former.get(ROOT, {}), gun, reader=reader)
    ours = dict[str, bytes]()
    for role in (SNAPSHOT, TIMESTAMP):
        if len(former.get(role, {})) != 1:
            raise Malformed(f"{gun} comes from another server without the one last {role} of that.")
        ((version, data),) = former[role].items()
        file: Metadata[Any] = reader(data, role_kind(role), f"{version}.{role}.json")
        check_threshold(root.signed, role, file, data)
        if file.signed.version != version or version > HIGHEST:
            raise BadVersion(f"{version}.{role}.json of {gun} has version {file.signed.version}.", role=role)
        ours[role] = data
    try:
        reader(ours[TIMESTAMP], Timestamp).signed.snapshot_meta.verify_length_and_hashes(ours[SNAPSHOT])
    except LengthOrHashMismatchError as error:
        raise Malformed(f"The former timestamp of {gun} names another snapshot than the one beside it.") from error
    return root


def check_line(roots: Mapping[int, bytes], gun: Gun, *, reader: Reader = read) -> Metadata[Root]:
    """Holds former roots to one line; when their certificates and they themselves ended counts for nothing.

    Args:
        roots: by version as they are named.

    Returns:
        The last of them, which the current root has to follow.

    Raises:
        Malformed: there is none.
        TooLarge: more than clients walk.
        BadVersion: one is missing between others, or has another version than its name says.
        BadKeys, WrongGun, BadSignature, Malformed: one that is no root of the collection, or can't follow.
        WrongFormat: one of them says that the collection was converted to format ``tuf``.
    """
    if not roots:
        raise Malformed(f"{gun} comes from another server without a root of that.")
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
