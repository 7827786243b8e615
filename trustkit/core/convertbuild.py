"""The files of a conversion, unsigned: the first ones in format ``tuf``, and the last ones in format ``docker``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Targets

from trustkit.core.bins import Bins, holder_keys, holder_of, next_prefix, prefix_of
from trustkit.core.build import first_targets, new_root
from trustkit.core.convertplan import CarriedTag, ConversionPlan
from trustkit.core.delegations import ANY_PATH, RELEASES, TARGETS, Delegation, Delegations, Kind, write_delegations
from trustkit.core.formats.docker.conversion import mark_last
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.growth import Growth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.saidbins import SAID_BITS, may_divide, prefixes_in
from trustkit.core.targets import write_target

MOST_ATTRIBUTED = 10_000
"""Tags of one signer: what says who signed has to fit one file."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A collection in format ``tuf`` to be signed.

    Attributes:
        files: ``targets``, the delegated roles that grant trust, and the hash bins, by name.
        attributions: those that say who signed what, by name; each goes only where its key is here.
        said: by bin among those the role that it is of.
        delegations: None where there are no signers.
    """

    root: Root
    files: Mapping[str, Targets]
    attributions: Mapping[str, Targets]
    delegations: Delegations | None
    bins: Bins | None = None
    said: Mapping[str, str] = field(default_factory=dict)


def build_conversion(
    plan: ConversionPlan,
    online: Mapping[str, Key],
    *,
    now: datetime,
    lifetimes: Lifetimes,
    last: Mapping[str, int],
    growth: Growth,
) -> Converted:
    """Makes it.

    Args:
        online: the service's new keys by role.
        last: by role a version that was used before, where the collection was once in format ``tuf``.
        growth: when the tags lie in hash bins from the beginning.
    """
    life = lifetimes.default
    root = new_root(
        plan.gun,
        root=plan.root_keys.values(),
        targets=plan.target_keys.values(),
        online=online,
        now=now,
        life=life["root"],
        version=last.get("root", 0) + 1,
    )
    root.roles["root"].threshold = plan.root_threshold
    root.roles[TARGETS].threshold = plan.targets_threshold

    def first(role: str, tags: Mapping[str, CarriedTag]) -> Targets:
        used, name = last.get(role, 0), role if prefix_of(role) else None
        made = first_targets(plan.gun, now=now, life=life["targets"], version=used + 1, hash_bin=name)
        made.targets = {name: write_target(tag.target, tag.custom) for name, tag in sorted(tags.items())}
        return made

    found = delegations_of(plan)
    if found is None:
        whole = {TARGETS: first(TARGETS, plan.tags)}
        return Converted(root, whole, {}, None, _binned(whole, root, None, first, last, growth))
    targets = first(TARGETS, {})
    targets.delegations = write_delegations(found.roles, found.keys)
    held: dict[str, dict[str, CarriedTag]] = {role.name: {} for role in found.trusted}
    for name, tag in plan.tags.items():
        held[found.owner(name).name][name] = tag
    files = {TARGETS: targets} | {role: first(role, tags) for role, tags in held.items()}
    bins = _binned(files, root, found, first, last, growth)
    attributing: dict[str, Targets] = {}
    said: dict[str, str] = {}
    for role in found.attributions.values():
        theirs = {name: tag for name, tag in held[RELEASES].items() if role.name in tag.signers}
        used = [*last, *files, *attributing]
        if theirs and bins is not None and may_divide(len(theirs), growth, prefixes_in(used)):
            own = {key_id: found.keys[key_id] for key_id in role.key_ids}
            theirs_in = Bins(role.name, next_prefix(used), min(growth.bits, SAID_BITS), own, 1)
            attributing[role.name] = first(role.name, {})
            attributing[role.name].delegations = theirs_in.write()
            parts: dict[str, dict[str, CarriedTag]] = {}
            for name, tag in theirs.items():
                parts.setdefault(theirs_in.of(name), {})[name] = tag
            attributing |= {name: first(name, tags) for name, tags in parts.items()}
            said |= dict.fromkeys(parts, role.name)
        elif 0 < len(theirs) <= MOST_ATTRIBUTED:
            attributing[role.name] = first(role.name, theirs)
    return Converted(root, files, attributing, found, bins, said)


def _binned(
    files: dict[str, Targets],
    root: Root,
    delegations: Delegations | None,
    first: Callable[[str, Mapping[str, CarriedTag]], Targets],
    last: Mapping[str, int],
    growth: Growth,
) -> Bins | None:
    """Puts too many tags for one file into bins, as whoever signs the next tag would (``Draft.grow``)."""
    holder = holder_of(delegations)
    entries = files[holder].targets
    if not 0 < growth.above < len(entries):
        return None
    bins = Bins(holder, next_prefix(last), growth.bits, *holder_keys(delegations, root))
    files[holder].targets, files[holder].delegations = {}, bins.write()
    files |= {name: first(name, {}) for name in bins.names}
    for path, entry in entries.items():
        files[bins.of(path)].targets[path] = entry
    return bins


def delegations_of(plan: ConversionPlan) -> Delegations | None:
    """The signers' roles as ``core.signers`` makes them: the repository key stands beside each, where it is enough.

    Where targets take more signatures than one, a single repository key must not be enough for any tag either.
    """
    if not plan.signers:
        return None
    repository = tuple(plan.target_keys) if plan.targets_threshold == 1 else ()
    limited = [signer for signer in plan.signers if signer.paths]
    others = [signer for signer in plan.signers if not signer.paths]
    releasing = (*repository, *(signer.key.keyid for signer in others)) or tuple(plan.target_keys)
    threshold = plan.releases_threshold if others else plan.targets_threshold
    roles = [Delegation(one.name, Kind.LIMITED, (one.key.keyid, *repository), 1, one.paths) for one in limited]
    roles.append(Delegation(RELEASES, Kind.RELEASES, releasing, threshold, (ANY_PATH,)))
    roles += [Delegation(one.name, Kind.ATTRIBUTION, (one.key.keyid,), 1, (ANY_PATH,)) for one in others]
    keys = {**plan.target_keys, **{signer.key.keyid: signer.key for signer in plan.signers}}
    used = {key_id for role in roles for key_id in role.key_ids}
    return Delegations(tuple(roles), {key_id: key for key_id, key in keys.items() if key_id in used})


def freeze(draft: DockerDraft, until: datetime) -> None:
    """Gives root, targets and every delegation whose key is here a last version, which ends then.

    The root says that it is the last one, so that no client of ours believes this side once it has seen it.

    Args:
        until: of whole seconds.
    """
    held = [role for role in draft.delegated if role in draft.files and draft.holds(role, draft.keys(role))]
    draft.changed.update(("root", TARGETS, *held))
    draft.settle()
    mark_last(draft.root)
    for role in draft.changed:
        (draft.root if role == "root" else draft.files[role]).expires = until
