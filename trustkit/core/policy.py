"""What a consumer demands beyond a valid signature: that named signers have signed."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Protocol

from trustkit.core.names import Gun, ImageRef, SignerName
from trustkit.core.patterns import GunPattern
from trustkit.errors import InvalidSetting, SignersMissing

MAX_SIGNERS = 32


@dataclass(frozen=True, slots=True)
class Demand:
    """So many of these signers have to have signed every tag of the GUNs of a pattern."""

    pattern: GunPattern
    signers: tuple[SignerName, ...]
    count: int

    def __post_init__(self) -> None:
        """Raises InvalidSetting for a demand that is empty, or can't be met."""
        names = {signer.name for signer in self.signers}
        if len(names) != len(self.signers) or not 1 <= self.count <= len(names) <= MAX_SIGNERS:
            raise InvalidSetting(
                f"The policy for {self.pattern} asks for {self.count} of {len(names)} signers, each named once, at "
                f"most {MAX_SIGNERS}."
            )

    def met(self, signed: Set[str]) -> bool:
        """Whether enough of the signers have signed.

        Args:
            signed: the names of those who have, as ``attributions`` finds them.
        """
        return sum(signer.name in signed for signer in self.signers) >= self.count

    def missing(self, ref: ImageRef, signed: Set[str]) -> SignersMissing:
        """The refusal of what too few have signed; ``signed`` as for ``met``."""
        missing = [signer.name for signer in self.signers if signer.name not in signed]
        return SignersMissing(
            f"{ref} is signed, and the policy for {self.pattern} wants {self.count} of "
            f"{', '.join(map(str, self.signers))}: not signed by {', '.join(missing)}.",
            hint="They sign it with: trustkit sign. See trustkit policy list.",
            missing=missing,
            pattern=str(self.pattern),
        )


class PolicyStore(Protocol):
    """The demands of one TRUSTKIT_HOME.  The most specific pattern that matches a GUN wins."""

    def find(self, gun: Gun) -> Demand | None: ...
    def list(self) -> list[Demand]: ...

    def add(self, demand: Demand, *, replace: bool = False) -> None:
        """Raises Conflict where the pattern has another demand and ``replace`` is False."""
        ...

    def remove(self, pattern: GunPattern) -> None:
        """Raises NotFound."""
        ...
