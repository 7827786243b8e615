"""Which of the keys that are here sign a conversion, on both of its sides."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from tuf.api.metadata import Root, Targets

from trustkit.client.docker_signing import SNAPSHOT, DockerSigning
from trustkit.client.holding import lacking, usable
from trustkit.core.convertbuild import Converted, delegations_of, freeze
from trustkit.core.convertplan import ConversionPlan
from trustkit.core.delegations import TARGETS
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.tuf1 import sign
from trustkit.core.ports.keys import KeyInfo, KeyStore


class ConvertSigning:
    """Signs with the keys of one home.

    Args:
        keys: has them by their ids in format ``tuf``.
        docker: signs with the same ones, by their other ids.
    """

    def __init__(self, keys: KeyStore, docker: DockerSigning) -> None:
        self._keys = keys
        self._docker = docker

    def holds(self, role: str, keys: Iterable[DockerKey]) -> bool:
        """As ``DockerSigning.holds``."""
        return self._docker.holds(role, keys)

    def require(self, draft: DockerDraft, plan: ConversionPlan) -> None:
        """Before a passphrase is asked for: both sides can be signed.

        Args:
            draft: of the present state; it is changed, and of no use afterwards.

        Raises:
            KeyMissing, WrongKeyRole.
        """
        needs: list[tuple[str, Collection[str], int]] = [
            ("root", plan.root_keys, plan.root_threshold),
            (TARGETS, plan.target_keys, plan.targets_threshold),
        ]
        found = delegations_of(plan)
        needs += [(role.name, role.key_ids, role.threshold) for role in (found.trusted if found else ())]
        for role, key_ids, threshold in needs:
            if len(usable(self._keys, role, key_ids)) < threshold:
                raise lacking(
                    self._keys,
                    role,
                    key_ids,
                    f"Converting {plan.gun} takes {threshold} of the keys of {role}",
                    hint="Bring it here (trustkit key import --docker DIR), name its folder with --trust-dir, or "
                    "have its holder convert the collection.",
                )
        freeze(draft, draft.now)
        self._docker.require(draft)

    def tuf(self, made: Converted) -> dict[str, bytes]:
        """The files in format ``tuf``; what a signer signed is attributed where the signer's own key is here.

        A root has the signatures of all its keys that are here: a pinned key id is met only by a root that this key
        has signed (TRUST 5.1).

        Raises:
            KeyProblem: as ``KeyStore.unlock``.
        """
        root = made.root.roles
        files = {"root": self._signed(made.root, usable(self._keys, "root", root["root"].keyids))}
        signers: dict[str, list[KeyInfo]] = {}
        for role, file in made.files.items():
            by = _signer_of(role, made)
            if by not in signers:
                named = made.delegations.get(by) if made.delegations else None
                key_ids = root[TARGETS].keyids if named is None else named.key_ids
                signers[by] = usable(self._keys, by, key_ids)[: (named or root[TARGETS]).threshold]
            files[role] = self._signed(file, signers[by])
        for role, file in made.attributions.items():
            assert made.delegations is not None  # noqa: S101 - it has the role
            own = made.delegations.get(made.said.get(role, role))
            here = usable(self._keys, role, own.key_ids if own else ())
            if here:
                files[role] = self._signed(file, here[:1])
        return files

    def docker(self, draft: DockerDraft, until: datetime) -> dict[str, bytes]:
        """The last files in format ``docker``, and a snapshot of them where its key is here; raises as ``tuf``."""
        files = self._docker(draft)
        if self.holds(SNAPSHOT, draft.keys(SNAPSHOT)):
            files[SNAPSHOT] = self._docker.snapshot(draft, files, until)
        return files

    def _signed(self, signed: Root | Targets, infos: Iterable[KeyInfo]) -> bytes:
        return sign(signed, {info.id: self._keys.unlock(info) for info in infos})


def _signer_of(role: str, made: Converted) -> str:
    """The role whose keys sign a file: a bin is signed by those of the role whose tags lie in it."""
    return made.bins.holder if made.bins is not None and role in made.bins else role
