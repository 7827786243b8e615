"""What a collection in format ``docker`` takes along from another trust server, planned from its verified state.

Signed files go as they are.  The root gets a successor that names the new service's snapshot and timestamp keys.
What the service would refuse is signed anew where its key is here, or named with whoever has to mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from trustkit.core.formats.docker.conversion import is_last
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.keys import DockerKey, key_of
from trustkit.core.formats.docker.roles import RELEASES, TARGETS, parent
from trustkit.core.formats.docker.roots import check_root_at, check_threshold
from trustkit.core.formats.docker.tree import Node, read_tree
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.records import dataclass
from trustkit.errors import BadSignature, Expired

Holds = Callable[[str, Iterable[DockerKey]], bool]


@dataclass(frozen=True, slots=True)
class Signing:
    """A role that is signed anew on the way, and why."""

    role: str
    why: str


@dataclass(frozen=True, slots=True)
class Left:
    """A role whose file stays behind, and why.

    Attributes:
        mend: what somebody can do before, so that it comes along; empty where nothing can be.
    """

    role: str
    why: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What comes along.

    Attributes:
        root: the version of the root there; the next one is signed here.
        first: the oldest root that comes along.
        kept: the roles whose files go as they are.
        signed: those that are signed anew, the root not among them.
        left: those that stay behind.
        problems: what has to be mended first.
        stale: the files of the server there that have expired: it may be an old state.
        certificate: whether the root key gets a new certificate.
        snapshot: the keys of the snapshot there, which count no more.
        timestamp: those of the timestamp.
        tags: how many names are signed.
    """

    gun: Gun
    root: int
    first: int
    kept: tuple[str, ...]
    signed: tuple[Signing, ...]
    left: tuple[Left, ...]
    problems: tuple[str, ...]
    stale: tuple[str, ...]
    certificate: bool
    snapshot: tuple[str, ...]
    timestamp: tuple[str, ...]
    tags: int

    @property
    def lacking(self) -> int:
        """How many of the oldest roots aren't to be had."""
        return self.first - 1

    @property
    def losses(self) -> tuple[Left, ...]:
        """What stays behind and could come along."""
        return tuple(left for left in self.left if left.mend)


def plan_migration(
    gun: Gun,
    files: Mapping[str, bytes],
    first: int,
    *,
    tags: int,
    now: datetime,
    lifetimes: Lifetimes,
    holds: Holds,
) -> MigrationPlan:
    """What of a verified state comes along.

    Args:
        files: bytes by role, verified in all but expiry; every delegation's that there is.
        first: the oldest root that is to be had, verified up to the current one.
        tags: how many it signs.
        holds: whether a key that may sign a role is here.
    """
    root = read(files["root"], Root)
    signed = root.signed
    tree = read_tree(files, signed, read(files[TARGETS], Targets), read)
    counting = dict(_counting(tree, signed, files))
    signings, left, problems = list[Signing](), list[Left](), list[str]()
    for role, (node, keys) in counting.items():
        why = _refused(node, now, lifetimes)
        if not why:
            continue
        if parent(role) in ("", TARGETS) and holds(role, keys):
            signings.append(Signing(role, why))
        elif role in (TARGETS, RELEASES):
            problems.append(f"{role} {why}, and its key is not here: {_mend(gun, role, keys)}.")
        else:
            left.append(Left(role, why, _mend(gun, role, keys)))
    ended = _certificate_ends(root, files["root"], now + lifetimes.shortest)
    root_keys = [key_of(signed.keys[key_id]) for key_id in signed.roles["root"].keyids]
    if ended and not any(certifies_itself(key) and holds("root", [key]) for key in root_keys):
        problems.append(
            "The certificate of its root key has ended, and no key here makes a new one: that takes ECDSA on P-256, "
            "and none that an authority has issued. A root key with a new certificate has to come first: notary key "
            f"rotate {gun} root."
        )
    again = {each.role for each in signings} | {each.role for each in left}
    left += _behind(tree, files, counting)
    if is_last(signed):
        problems.append("Its root says that it was converted to format tuf.")
    return MigrationPlan(
        gun,
        signed.version,
        first,
        kept=tuple(role for role in counting if role not in again),
        signed=tuple(signings),
        left=tuple(left),
        problems=tuple(problems),
        stale=tuple(_stale(files, now)),
        certificate=ended,
        snapshot=tuple(signed.roles["snapshot"].keyids),
        timestamp=tuple(signed.roles["timestamp"].keyids),
        tags=tags,
    )


def certifies_itself(key: DockerKey) -> bool:
    """Whether a root key's certificate is one that the key makes for itself, as Notary's are."""
    is_p256 = isinstance(key.loaded, ec.EllipticCurvePublicKey) and isinstance(key.loaded.curve, ec.SECP256R1)
    return is_p256 and len(key.certificates) == 1


def counting_files(plan: MigrationPlan, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Root, snapshot, timestamp, and of the roles below those that come along."""
    roles = {"root", "snapshot", "timestamp", *plan.kept, *(each.role for each in plan.signed)}
    return {role: data for role, data in files.items() if role in roles}


def entries(data: bytes) -> dict[str, object]:
    """What a file of ``targets`` or of a delegation says of each name, to be compared."""
    return {path: entry.to_dict() for path, entry in read(data, Targets).signed.targets.items()}


def _counting(
    tree: Mapping[str, Node], root: Root, files: Mapping[str, bytes]
) -> Iterator[tuple[str, tuple[Node, list[DockerKey]]]]:
    """The roles whose files are signed as their parents say, parents first, with the keys that may sign them."""
    good = set[str]()
    for node in tree.values():
        above = tree.get(parent(node.name))
        delegator: Root | Targets = root
        if node.name != TARGETS:
            if above is None or above.file is None or above.name not in good:
                continue
            delegator = above.file.signed
        if node.file is None or not _is_signed(delegator, node.name, node.file, files[node.name]):
            continue
        good.add(node.name)
        yield node.name, (node, _keys(delegator, node))


def _is_signed(delegator: Root | Targets, role: str, file: Metadata[Targets], data: bytes) -> bool:
    try:
        check_threshold(delegator, role, file, data)
    except BadSignature:
        return False
    return True


def _keys(delegator: Root | Targets, node: Node) -> list[DockerKey]:
    if isinstance(delegator, Root):
        return [key_of(delegator.keys[key_id]) for key_id in node.key_ids]
    listed = delegator.delegations.keys if delegator.delegations else {}
    return [key_of(listed[key_id]) for key_id in node.key_ids if key_id in listed]


def _refused(node: Node, now: datetime, lifetimes: Lifetimes) -> str:
    """Why the service would refuse a file for its expiry; empty where it wouldn't."""
    assert node.file is not None  # noqa: S101 - it counts
    ends = node.file.signed.expires
    if ends <= now:
        return f"expired at {ends:%Y-%m-%d %H:%M} UTC"
    if ends - now < lifetimes.shortest:
        return f"expires at {ends:%Y-%m-%d %H:%M} UTC, within the hour"
    if ends - now > lifetimes.longest[TARGETS] + timedelta(days=1):
        return f"expires at {ends:%Y-%m-%d} only, over {lifetimes.longest[TARGETS].days} days from now"
    return ""


def _mend(gun: Gun, role: str, keys: Iterable[DockerKey]) -> str:
    ids = ", ".join(key.canonical_id[:16] for key in keys)
    return f"whoever has the key {ids} signs it anew at the server there: notary witness {gun} {role} -p"


def _behind(tree: Mapping[str, Node], files: Mapping[str, bytes], counting: Mapping[str, object]) -> Iterator[Left]:
    """What the snapshot names and counts for nobody."""
    named = {name.removesuffix(".json") for name in read(files["snapshot"], Snapshot).signed.meta}
    for role in sorted((named | set(files)) - {"root", "snapshot", "timestamp"} - set(counting)):
        if role not in tree:
            yield Left(role, "nobody delegates to it")
        elif role not in files:
            yield Left(role, "the server has no such file as its snapshot names")
        else:
            yield Left(role, "too few of its keys have signed it, or its parent")


def _stale(files: Mapping[str, bytes], now: datetime) -> Iterator[str]:
    if read(files["timestamp"], Timestamp).signed.expires <= now:
        yield "timestamp"
    if read(files["snapshot"], Snapshot).signed.expires <= now:
        yield "snapshot"


def _certificate_ends(root: Metadata[Root], data: bytes, until: datetime) -> bool:
    try:
        return check_root_at(root, data, until) <= until
    except Expired:
        return True
