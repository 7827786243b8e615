"""Seeing and setting how many signatures a role takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trustkit.client.outcome import Outcome
from trustkit.client.publish import Publisher
from trustkit.core.delegations import RELEASES
from trustkit.core.difference import Difference
from trustkit.core.draft import Draft
from trustkit.core.names import Gun
from trustkit.core.thresholds import set_threshold
from trustkit.core.view import SignedView

ROLES = ("root", "targets", RELEASES)


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """One role that can sign: how many of which keys it takes."""

    role: str
    threshold: int
    key_ids: tuple[str, ...]


class Thresholds:
    """The use cases of ``trustkit threshold``."""

    def __init__(self, publisher: Publisher, *, say: Callable[[str], None]) -> None:
        self._publisher = publisher
        self._say = say

    def set(
        self, gun: Gun, role: str, number: int, agree: Callable[[Difference], None], *, withdraw: bool = False
    ) -> Outcome:
        """Sets a threshold; where others have to sign for it, a proposal is left and nothing is lost meanwhile.

        Raises:
            UsageError: the role has fewer keys.
            everything that ``Publisher.change`` raises.
        """
        self._publisher.require(gun)
        done = self._publisher.change(
            gun, lambda draft: set_threshold(draft, role, number, withdraw=withdraw), agree=agree
        )
        if done.proposal is not None and withdraw:
            self._say("Even a file without tags takes these signatures: until then the tags stay trusted.")
        self._warn(done.view, role, number)
        return done

    def preview(self, gun: Gun, role: str, number: int, *, withdraw: bool) -> Difference:
        """What ``set`` would change, once everybody who has to has signed."""

        def edit(draft: Draft) -> None:
            set_threshold(draft, role, number, withdraw=withdraw)

        return self._publisher.preview(gun, edit)

    def _warn(self, view: SignedView, role: str, number: int) -> None:
        known = {row.role: row for row in threshold_rows(view)}
        if role == RELEASES and number > known["targets"].threshold:
            few = known["targets"].threshold
            holder = "a repository key" if few == 1 else f"{few} repository keys"
            self._say(
                f"targets of {view.gun} takes {few} signature{'' if few == 1 else 's'}: whoever has {holder} can "
                "change who signs. With more repository keys than that, raise it, too."
            )


def threshold_rows(view: SignedView) -> list[ThresholdRow]:
    """The roles of a verified collection that people's keys sign, the top ones first."""
    rows = [role for role in view.roles if role.name not in ("snapshot", "timestamp") and role.grants]
    return [ThresholdRow(role.name, role.threshold, role.key_ids) for role in rows]
