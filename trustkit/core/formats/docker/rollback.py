"""Whether a collection's files are older than what was seen before (TRUST 3.4, 6.3; Notary's client/tufclient.go).

Snapshot and timestamp of this format name no versions, so nothing but one's own memory tells of an older file.  As
with Notary, what was seen counts as long as it still verifies under the keys of now: after a key was rotated because
a thief drove versions up, numbers may begin anew (TRUST 3.7).
"""

from __future__ import annotations

from collections.abc import Mapping

from tuf.api.metadata import Root, Targets

from trustkit.core.formats.docker.files import read, role_kind
from trustkit.core.formats.docker.roles import RELEASES, TARGETS
from trustkit.core.formats.docker.roots import check_threshold
from trustkit.core.names import Gun
from trustkit.core.readings import Reader
from trustkit.errors import Rejected, RolledBack

_ROLES = ("timestamp", "snapshot", TARGETS, RELEASES)


def check_not_older(
    files: Mapping[str, bytes], before: Mapping[str, bytes], gun: Gun, *, reader: Reader = read
) -> None:
    """Holds files that ``evaluate`` has accepted against those that it accepted before.

    Args:
        files: bytes by role, as now.
        before: bytes by role, as they were verified last; empty where nothing was.

    Raises:
        RolledBack: a file of now has a lower version; the role and both versions are in the context.  Or
            ``targets/releases`` is hidden, though it is delegated to as before.
    """
    root, targets = reader(files["root"], Root).signed, reader(files[TARGETS], Targets).signed
    pairs: list[tuple[str, int, int]] = []
    if "root" in before:
        pairs.append(("root", reader(before["root"], Root).signed.version, root.version))
    for role in _ROLES:
        if role not in before:
            continue
        seen = reader(before[role], role_kind(role), f"{role}.json")
        try:
            check_threshold(targets if role == RELEASES else root, role, seen, before[role])
        except Rejected:
            continue
        if role not in files:
            raise RolledBack(
                f"{gun}: {role} is still delegated to and was seen here before, and isn't served any more.",
                hint="Somebody hides it, so that older tags count again; ask the service's operator.",
                role=role,
                seen=seen.signed.version,
            )
        pairs.append((role, seen.signed.version, reader(files[role], role_kind(role), f"{role}.json").signed.version))
    for role, old, new in pairs:
        if new < old:
            raise RolledBack(
                f"{gun}: {role} is served in version {new}, and version {old} was seen here before.",
                hint="Somebody serves an old state, or the service was restored from a backup; ask its operator.",
                role=role,
                seen=old,
                served=new,
            )
