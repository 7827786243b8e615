"""What a service asks of a conversion besides what both judges ask of the files (TRUST 5.4).

Whoever stands between two formats may lose nothing and add nothing: the same root keys, the same tags for the same
digests, and last files in the old format that say what they said before, and end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from tuf.api.metadata import Root, Targets

from trustkit.core.formats.docker.bare import all_as_tuf
from trustkit.core.formats.docker.conversion import is_last
from trustkit.core.formats.docker.judge import SNAPSHOT
from trustkit.core.formats.docker.judge import Accepted as FormerAccepted
from trustkit.core.formats.docker.roles import TARGETS
from trustkit.core.judged import Accepted
from trustkit.core.names import Gun, Tag
from trustkit.core.readings import Reader
from trustkit.core.view import SignedTarget, SignedView
from trustkit.errors import BadExpiry, BadKeys, Conflict, Malformed

ROOT = "root"


def check_last(stored: Mapping[str, bytes], last: FormerAccepted, reader: Reader) -> datetime:
    """Holds the last files in format ``docker`` to the stored ones.

    Returns:
        The final expiry: that of every file that a publisher signed.

    Raises:
        Malformed: root or targets is missing, or a file says something else than before.
        BadExpiry: they end at different times.
    """
    if lacking := {ROOT, TARGETS} - last.uploaded:
        raise Malformed(f"The conversion has no last {' and no last '.join(sorted(lacking))} in format docker.")
    if last.dropped:
        raise Malformed(f"The conversion would end {', '.join(sorted(last.dropped))} in format docker.")
    root, until = reader(stored[ROOT], Root).signed, last.root.signed.expires
    if (root.keys, root.roles) != (last.root.signed.keys, last.root.signed.roles):
        raise _other(ROOT)
    if not is_last(last.root.signed):
        raise Malformed("The last root in format docker doesn't say that it is the last one.")
    for role in sorted(last.uploaded - {ROOT, SNAPSHOT}):
        old, new = (reader(files[role], Targets).signed for files in (stored, last.files))
        if (old.targets, old.delegations) != (new.targets, new.delegations):
            raise _other(role)
        if new.expires != until:
            raise BadExpiry(f"The last {role} in format docker ends at another time than the root.", role=role)
    return until


def _other(role: str) -> Malformed:
    return Malformed(f"The last {role} in format docker says something else than the one before.", role=role)


def check_kept(gun: Gun, old: Root, before: SignedView, made: Accepted) -> None:
    """Holds the new collection to the one that it comes from.

    Args:
        old: the stored root in format ``docker``.
        before: what its files say.
        made: the new collection, as its judge accepted it: with every tag, as it is the first one.

    Raises:
        BadKeys: other root keys, or another threshold.
        Conflict: other tags, or others' digests: somebody has signed meanwhile, or they were made up.
    """
    role = old.roles[ROOT]
    keys = all_as_tuf(old.keys[key_id] for key_id in role.keyids)
    new = made.root.signed.roles[ROOT]
    if set(new.keyids) != set(keys) or new.threshold != role.threshold:
        raise BadKeys(
            f"The root in format tuf has to have the root keys of {gun}, and their threshold of {role.threshold}.",
            hint="Rotate keys before the conversion or after it.",
        )
    after = {target.tag: target for target in made.changed.values() if target is not None}
    wrong = sorted(_different(before.targets, after))
    if wrong:
        names = ", ".join(map(str, wrong[:5])) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise Conflict(
            f"The conversion would change what is signed under {gun}: {names}.",
            hint="Run it again, on what is signed now.",
        )


def _different(before: Mapping[Tag, SignedTarget], after: Mapping[Tag, SignedTarget]) -> Iterable[Tag]:
    for tag in {*before, *after}:
        old, new = before.get(tag), after.get(tag)
        if old is None or new is None or not _same(old, new):
            yield tag


def _same(old: SignedTarget, new: SignedTarget) -> bool:
    """Whether nothing else may be pulled by the new one; less by digest is no harm."""
    fewer = set(new.superseded) <= set(old.superseded) and set(new.children) <= set(old.children)
    return fewer and (old.digest, old.length) == (new.digest, new.length)
