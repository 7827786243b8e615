"""Which of the keys that are here sign a draft, and the signed files (TRUST 4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tuf.api.metadata import Root, Targets

from trustkit.client.holding import lacking, usable
from trustkit.core.delegations import Kind
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import sign
from trustkit.core.growth import Growth
from trustkit.core.needs import Need
from trustkit.core.ports.keys import KeyInfo, KeyStore
from trustkit.errors import KeyProblem


@dataclass(frozen=True, slots=True)
class Missing:
    """What one need lacks: ``count`` more signatures by any of these keys."""

    need: Need
    count: int
    key_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignedDraft:
    """The files of a draft, as far as the keys here carry it; ``missing`` is empty where they carry all of it."""

    files: Mapping[str, bytes]
    missing: tuple[Missing, ...]


class Signing:
    """Signs drafts with the keys of one store.

    Args:
        growth: when what a signer says that it signed is put into bins.
    """

    def __init__(self, keys: KeyStore, growth: Growth | None = None) -> None:
        self._keys = keys
        self._growth = growth or Growth()

    def __call__(self, draft: Draft, *, spare: bool = False) -> SignedDraft:
        """Signs every changed file with as many of the keys here as it needs.

        A role that none of the keys here may sign is refused rather than left unsigned: nobody's signature would be
        on it, and nothing says that its other signers want it.

        Args:
            spare: leave the last signature of each file that takes several to somebody else.

        Raises:
            KeyMissing: no key of a role is here; says which paths the signers' keys that are here may sign.
            WrongKeyRole: one is here, and kept for something else.
            KeyProblem: as ``KeyStore.unlock``.
        """
        chosen: dict[str, dict[str, KeyInfo]] = {}
        missing: list[Missing] = []
        for role in [role for role in draft.changed if role not in draft.ready]:
            chosen[role] = {}
            for need in draft.needs(role):
                used = {key_id for infos in chosen.values() for key_id in infos}
                chosen[role] |= self._choose(draft, need, used, missing, spare=spare)
        self._attribute(draft, chosen)
        files = {role: self._sign(signed, chosen[role]) for role, signed in draft.changed.items() if role in chosen}
        return SignedDraft({**draft.ready, **files}, tuple(missing))

    def _choose(
        self, draft: Draft, need: Need, used: Collection[str], missing: list[Missing], *, spare: bool
    ) -> dict[str, KeyInfo]:
        """Keys for one need: those that sign another file of the draft anyway come first.

        A root gets the signatures of all its keys that are here: a pinned key id is met only by a root that this key
        has signed (TRUST 5.1).
        """
        here = sorted(usable(self._keys, need.role, need.keys), key=lambda info: info.id not in used)
        if not here:
            raise self._none_here(draft, need)
        most = max(need.threshold - 1, 1) if spare else need.threshold
        wanted = here if need.role == "root" and not spare else here[:most]
        picked = {info.id: info for info in wanted}
        if len(picked) < need.threshold:
            rest = tuple(key_id for key_id in need.keys if key_id not in picked)
            missing.append(Missing(need, need.threshold - len(picked), rest))
        return picked

    def _attribute(self, draft: Draft, chosen: dict[str, dict[str, KeyInfo]]) -> None:
        delegations = draft.delegations
        if delegations is None:
            return
        places = draft.places
        signing = [infos for role, infos in chosen.items() if places.granting(role) == delegations.releases.name]
        for key_id, info in {key_id: info for infos in signing for key_id, info in infos.items()}.items():
            chosen |= {role: {key_id: info} for role in draft.attribute(key_id, self._growth)}

    def _sign(self, signed: Root | Targets, chosen: Mapping[str, KeyInfo]) -> bytes:
        signers = {key_id: self._keys.unlock(info) for key_id, info in chosen.items()}
        return sign(signed, signers)

    def _none_here(self, draft: Draft, need: Need) -> KeyProblem:
        tags, role = draft.changed_tags(need.role), draft.places.granting(need.role)
        what = f"{', '.join(tags[:3])}{' and others' if len(tags) > 3 else ''} of {draft.gun}" if tags else draft.gun
        return lacking(
            self._keys,
            need.role,
            need.keys,
            f"Signing {what} takes {need.threshold} of the keys of {role}",
            rule=self._rule(draft),
            hint="Bring the key here with trustkit key import or restore, or have its holder sign.",
        )

    def _rule(self, draft: Draft) -> str:
        """What the signers' keys that are here may sign."""
        delegations = draft.delegations
        limited = [role for role in delegations.roles if role.kind is Kind.LIMITED] if delegations else []
        mine = [role for role in limited if self._keys.find(frozenset(role.key_ids))]
        return "".join(f" The key of {role.name} may sign {', '.join(role.paths)} only." for role in mine)
