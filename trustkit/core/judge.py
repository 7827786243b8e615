"""The judge: may this upload become the collection's next state?  Pure; the caller has the transaction (TRUST 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from tuf.api.metadata import Metadata, Root, Targets

from trustkit.core.bins import Bins, check_named, holder_of, prefix_of
from trustkit.core.delegations import RELEASES, TARGETS, Delegations, Kind, read_delegations
from trustkit.core.formats.tuf1 import payload_digest, read
from trustkit.core.judged import FOUNDING as FOUNDING
from trustkit.core.judged import Accepted as Accepted
from trustkit.core.judged import State as State
from trustkit.core.judged import check_roles, lacks_of
from trustkit.core.judgedtags import check_owned, judge_entries, no_file
from trustkit.core.judgesaid import Said, judge_said
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.places import Places, read_places
from trustkit.core.readings import Reader
from trustkit.core.roots import ONLINE, check_gun, check_root_keys, check_threshold
from trustkit.core.saidbins import attributing
from trustkit.core.versions import check_next
from trustkit.core.view import SignedTarget
from trustkit.errors import BadDelegation, BadExpiry, NoCollection, Rejected, WrongOnlineKeys


def judge(
    state: State, upload: Mapping[str, bytes], *, now: datetime, lifetimes: Lifetimes, reader: Reader = read
) -> Accepted:
    """Holds an upload against the stored state.

    Args:
        upload: bytes by role.
        reader: reads the files, where the caller has one that knows some of them.

    Raises:
        Rejected: a leaf for each rule broken; nothing may be stored.
        Conflict: a version that somebody else has taken; the context has the current ones.
    """
    return _Judging(state, upload, now, lifetimes, reader)()


def judge_start(
    state: State, upload: Mapping[str, bytes], *, now: datetime, lifetimes: Lifetimes, reader: Reader = read
) -> Accepted:
    """As ``judge``, where uploaded files may have too few signatures, but one of a key that counts (TRUST 3.10).

    Such an upload may be proposed, never stored: ``lacks`` says what is missing.

    Raises:
        NoCollection: a first root and what comes with it can't be proposed.
    """
    if not state.files:
        raise NoCollection(f"{state.gun} has no collection yet, and a first root can't be proposed.")
    return _Judging(state, upload, now, lifetimes, reader, start=True)()


class _Judging:
    """One judgement: what is stored, what comes, and what they make together."""

    def __init__(
        self, state: State, upload: Mapping[str, bytes], now: datetime, lifetimes: Lifetimes, reader: Reader, *,
        start: bool = False,
    ) -> None:  # fmt: skip
        self._start = start
        self._read = reader
        self._state = state
        self._upload = upload
        self._now = now
        self._lifetimes = lifetimes
        check_roles(state, upload)
        self._stored_files: dict[str, Metadata[Targets]] = {}
        self._jumped: set[str] = set()
        self._old_root = self._read(state.files["root"], Root) if state.files else None
        self._old_targets = self._stored("targets")

    def __call__(self) -> Accepted:
        root, targets = self._root(), self._targets()
        self._check_signatures(root.signed, "targets", targets)
        before = self._before()
        delegations = read_delegations(targets.signed, root.signed)
        delegated = self._delegated(delegations)
        after = read_places(root.signed, {TARGETS: targets.signed, **{r: f.signed for r, f in delegated.items()}})
        moved = before != after
        said = self._said(after, delegated)
        delegated |= self._binned(before, after, said, moved=moved)
        for role, metadata in delegated.items():
            delegator = said.delegator(role) or (delegated.get(RELEASES) if after.granting(role) != role else None)
            self._check_signatures((delegator or targets).signed, role, metadata)
        for role in after.files if after.bins or after.delegations else ():
            if role in delegated and (moved or role in self._upload):
                check_owned(role, delegated[role].signed, after)
        changed = self._changed(before, after, targets, delegated, moved=moved)
        accepted = Accepted(
            root,
            targets,
            delegated,
            frozenset(self._upload),
            changed,
            founding=self._old_root is None,
            jumped=frozenset(self._jumped),
            holders=said.by,
        )
        if not self._start:
            return accepted
        assert self._old_root is not None  # noqa: S101 - judge_start saw to it
        return replace(accepted, lacks=lacks_of(accepted, self._old_root.signed, self._upload))

    def _check_signatures(
        self, delegator: Root | Targets, role: str, file: Metadata[Root] | Metadata[Targets]
    ) -> None:
        """Of a start, uploaded files are counted by ``_lacks``; nobody could mend those that stay."""
        if not self._start or role not in self._upload:
            check_threshold(delegator, role, file, self._upload.get(role) or self._state.files.get(role))

    def _root(self) -> Metadata[Root]:
        if "root" not in self._upload:
            assert self._old_root is not None  # noqa: S101 - check_roles saw to it
            return self._old_root
        root = self._read(self._upload["root"], Root)
        self._check_version("root", root)
        check_gun(root.signed, self._state.gun)
        check_root_keys(root.signed)
        self._check_expiry("root", root.signed.expires)
        for role in ONLINE:
            self._check_online(role, root.signed)
        if self._old_root is not None:
            self._check_signatures(self._old_root.signed, "root", root)
        self._check_signatures(root.signed, "root", root)
        return root

    def _check_online(self, role: str, root: Root) -> None:
        named = root.roles[role]
        ours = [keys[role].keyid for keys in (self._state.online, self._state.pending) if role in keys]
        if named.threshold != 1 or len(named.keyids) != 1 or named.keyids[0] not in ours:
            raise WrongOnlineKeys(
                f"The root does not name exactly the service's {role} key.", hint="Fetch the online keys again."
            )

    def _targets(self) -> Metadata[Targets]:
        if "targets" not in self._upload:
            assert self._old_targets is not None  # noqa: S101 - check_roles saw to it
            return self._old_targets
        targets = self._read(self._upload["targets"], Targets)
        self._check_targets_file("targets", targets)
        return targets

    def _delegated(self, after: Delegations | None) -> dict[str, Metadata[Targets]]:
        """The files of all roles that grant trust, and the uploaded ones of those that attribute; no bins."""
        named = {role.name: role.kind for role in after.roles} if after else {}
        bins = {role for role in self._upload if prefix_of(role)}
        if strange := sorted(set(self._upload) - FOUNDING - set(named) - bins):
            raise BadDelegation(f"targets.json does not delegate to {strange[0][:64]!r}.")
        found: dict[str, Metadata[Targets]] = {}
        for role, kind in named.items():
            if role in self._upload:
                found[role] = self._uploaded(role, further=role == holder_of(after) or kind is Kind.ATTRIBUTION)
            elif kind is Kind.ATTRIBUTION:
                continue
            elif stored := self._stored(role):
                found[role] = stored
            else:
                raise no_file("targets", role)
        return found

    def _said(self, after: Places, delegated: Mapping[str, Metadata[Targets]]) -> Said:
        """The bins in which signers say what they signed, where the upload has any, or may make some."""
        theirs = attributing(after, self._upload)
        if after.delegations is None or not theirs:
            return Said()
        stored = {role.name: self._stored(role.name) for role in after.delegations.attributions.values()}
        given, bins = {role: delegated[role] for role in theirs & stored.keys()}, theirs - stored.keys()
        return judge_said(self._state, after, stored, given, bins, self._now)

    def _binned(self, before: Places, after: Places, said: Said, *, moved: bool) -> dict[str, Metadata[Targets]]:
        """The files of the bins: the uploaded ones, and all with tags where who signs or may hold these is new.

        A bin that isn't read was judged when it was stored, by the rules that are in force still.
        """
        bins = after.bins
        found: dict[str, Metadata[Targets]] = {}
        for role in sorted(role for role in self._upload if prefix_of(role) and (not bins or role not in bins)):
            found[role] = self._uploaded(role, head=said.holder(role))
            said.check_owned(role, found[role].signed)
        if bins is None:
            return found
        if moved:
            assert self._state.whole  # noqa: S101 - a programming error: see ``State.whole``
            self._check_epoch(bins, before.bins)
        for role in bins.names if moved else sorted(set(self._upload) & set(bins.names)):
            if role in self._upload:
                found[role] = self._uploaded(role)
            elif stored := self._stored(role):
                found[role] = stored
            else:
                raise no_file(bins.holder, role)
        return found

    def _check_epoch(self, bins: Bins, before: Bins | None) -> None:
        """Names of bins are used for one number of them, once: clients keep what they know of a name (TRUST 4.3)."""
        used = {prefix_of(role) for role in self._state.files} | {prefix_of(role) for role in self._state.last}
        if not bins.same_files(before) and bins.prefix in used:
            raise BadDelegation(f"The name {bins.prefix} was in use for other bins before.")

    def _uploaded(self, role: str, *, further: bool = False, head: str = "") -> Metadata[Targets]:
        file = self._read(self._upload[role], Targets, f"{role}.json")
        self._check_targets_file(role, file, head)
        if file.signed.delegations is not None and not further:
            raise BadDelegation(f"{role}.json delegates further.")
        return file

    def _check_targets_file(self, role: str, new: Metadata[Targets], head: str = "") -> None:
        self._check_version(role, new, head)
        check_gun(new.signed, self._state.gun)
        check_named(role, new.signed)
        self._check_expiry(role, new.signed.expires)

    def _changed(
        self,
        before: Places,
        after: Places,
        targets: Metadata[Targets],
        delegated: Mapping[str, Metadata[Targets]],
        *,
        moved: bool,
    ) -> dict[str, SignedTarget | None]:
        """What became of each tag; entries that stay as they are were judged when they were stored."""
        granting = set(after.files)
        for role in set(self._upload) & set(delegated) - granting:
            judge_entries(role, delegated[role].signed, {}, self._now)
        olds = self._old_files(before, None if moved else self._upload)
        news = {TARGETS: targets.signed, **{role: file.signed for role, file in delegated.items()}}
        now_there = [role for role in news if role in granting and (moved or role in self._upload)]
        old_entries = {path: entry for file in olds for path, entry in file.targets.items()}
        changed: dict[str, SignedTarget | None] = {}
        for role in now_there:
            changed |= judge_entries(after.granting(role), news[role], old_entries, self._now)
        kept = {path for role in now_there for path in news[role].targets}
        return changed | dict.fromkeys(path for path in old_entries if path not in kept)

    def _old_files(self, before: Places, only: Mapping[str, bytes] | None) -> list[Targets]:
        """The stored files that granted trust, or those of them that are uploaded anew."""
        if self._old_targets is None:
            return []
        stored = [self._stored(role) for role in before.files if only is None or role in only]
        return [file.signed for file in stored if file is not None]

    def _before(self) -> Places:
        """The stored places; none before the first publish."""
        if self._old_root is None or self._old_targets is None:
            return Places(None, None)
        root, files = self._old_root.signed, {TARGETS: self._old_targets.signed}
        holder = holder_of(read_delegations(files[TARGETS], root))
        held = self._stored(holder)
        return read_places(root, files | ({holder: held.signed} if held else {}))

    def _stored(self, role: str) -> Metadata[Targets] | None:
        """The stored file of a role that holds tags, read once."""
        if role not in self._stored_files and role in self._state.files:
            self._stored_files[role] = self._read(self._state.files[role], Targets, f"{role}.json")
        return self._stored_files.get(role)

    def _check_version(self, role: str, metadata: Metadata[Root] | Metadata[Targets], head: str = "") -> None:
        """The version first: who makes the very file anew that was dropped is told of the next one (TRUST 3.10).

        A signer's bin that was made after the backup from which the database came jumps along with its ``head``.
        """
        used = max(self._stored_version(role), self._state.last.get(role, 0))
        if role == "root":
            check_next(self._state.gun, role, metadata.signed.version, used)
        else:
            used = max(used, self._state.consumed.get(role, 0))
            ceiling = self._state.ceilings.get(role if used else head or role, 0)
            if check_next(self._state.gun, role, metadata.signed.version, used, ceiling):
                self._jumped.add(role)
        if self._state.dropped and payload_digest(metadata.signed) in self._state.dropped:
            raise Rejected(f"This {role} was proposed, and the proposal was dropped.", hint="Propose it anew.")

    def _stored_version(self, role: str) -> int:
        if role == "root":
            return self._old_root.signed.version if self._old_root else 0
        stored = self._stored(role)
        return stored.signed.version if stored else 0

    def _check_expiry(self, role: str, expires: datetime) -> None:
        longest = self._lifetimes.longest["root" if role == "root" else "targets"]
        if not self._now + self._lifetimes.shortest <= expires <= self._now + longest:
            raise BadExpiry(
                f"{role}.json expires at {expires:%Y-%m-%d %H:%M}; the service takes {self._lifetimes.shortest} to "
                f"{longest.days} days from now.",
                hint="Check the clocks of this machine and of the service.",
            )
