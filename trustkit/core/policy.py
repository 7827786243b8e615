"""What a consumer accepts from where: rules for patterns of GUNs, and the mirrors that it pulls from.

The most specific rule that matches a GUN counts, alone; what no rule matches is denied, so that an empty policy
denies everything.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum

from trustkit.core.names import Gun, ImageRef, SignerName
from trustkit.core.patterns import GunPattern
from trustkit.core.ports.remote import Pin
from trustkit.core.records import dataclass
from trustkit.errors import InvalidSetting, PolicyDenies, SignersMissing

MAX_SIGNERS = 32
EVERYTHING = "*"
"""The pattern of every GUN of every host."""


@dataclass(frozen=True, slots=True)
class Demand:
    """So many of these signers have to have signed every tag of the GUNs of a pattern."""

    pattern: GunPattern | None
    signers: tuple[SignerName, ...]
    count: int

    def __post_init__(self) -> None:
        """Raises InvalidSetting for a demand that is empty, or can't be met."""
        names = {signer.name for signer in self.signers}
        if len(names) != len(self.signers) or not 1 <= self.count <= len(names) <= MAX_SIGNERS:
            raise InvalidSetting(
                f"The policy for {self.pattern or EVERYTHING} asks for {self.count} of {len(names)} signers, each "
                f"named once, at most {MAX_SIGNERS}."
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
            f"{ref} is signed, and the policy for {self.pattern or EVERYTHING} wants {self.count} of "
            f"{', '.join(map(str, self.signers))}: not signed by {', '.join(missing)}.",
            hint="They sign it with: trustkit sign. See trustkit policy show.",
            missing=missing,
            pattern=str(self.pattern or EVERYTHING),
        )


class Mode(StrEnum):
    """What a rule takes."""

    TRUST_ONLY = "trust-only"
    """Signed tags, and digests that a signed tag stands for."""
    DIGEST_ONLY = "digest-only"
    """References that name a digest.  Nobody is asked whether it is signed: who wrote the digest answers for it."""
    UNSAFE_ALLOW_UNSIGNED = "unsafe_allow_unsigned"
    """Anything, unasked."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is taken of the GUNs of one pattern.

    Attributes:
        pattern: None for every GUN.
        root_keys: the ids of root keys that are accepted; empty where the home's pins decide.
        root_threshold: how many of them have to have signed a root.
        root: the bytes of a root file, in the place of ids.
        authorities: the certificates of those who have to have issued the root keys', in PEM, in the place of ids.
        format: of the collections that those are for.
        signers: who has to have signed a tag, beyond a valid signature.
        max_staleness: how old a verified state may be while the service can't be reached, counted from when the
            service signed it; none of its expiries is waived (TRUST 6.3).
        digests: whether a reference may name a digest alone, of what is signed.
        detect: say what would have been refused, and don't refuse it.
    """

    pattern: GunPattern | None
    mode: Mode = Mode.TRUST_ONLY
    root_keys: tuple[str, ...] = ()
    root_threshold: int = 0
    root: bytes | None = None
    signers: tuple[SignerName, ...] = ()
    signers_needed: int = 0
    max_staleness: timedelta = timedelta(0)
    digests: bool = True
    detect: bool = False
    format: str = "tuf"
    authorities: bytes | None = None

    @property
    def name(self) -> str:
        """The pattern as it is written."""
        return str(self.pattern or EVERYTHING)

    @property
    def demand(self) -> Demand | None:
        """The demand for signers, where there is one."""
        return Demand(self.pattern, self.signers, self.signers_needed) if self.signers else None

    @property
    def words(self) -> str:
        """What it asks for, for people."""
        if self.mode is not Mode.TRUST_ONLY:
            return "any digest" if self.mode is Mode.DIGEST_ONLY else "anything, unsigned"
        parts = [f"{self.root_threshold} of {len(self.root_keys)} root keys" if self.root_keys else ""]
        parts += ["a root file" if self.root is not None else ""]
        parts += ["root keys of authorities" if self.authorities is not None else ""]
        parts += ["" if self.format == "tuf" else f"in format {self.format}"]
        parts += [f"signed by {self.signers_needed} of {', '.join(map(str, self.signers))}" if self.signers else ""]
        parts += ["" if self.digests else "no digests alone"]
        return "; ".join(part for part in parts if part) or "any valid signature, by the home's pins"

    def as_json(self) -> dict[str, object]:
        """The members of the file, those that are the default included."""
        return {
            "pattern": self.name,
            "mode": str(self.mode),
            "root_keys": list(self.root_keys),
            "root_threshold": self.root_threshold,
            "root_file": self.root is not None,
            "ca_file": self.authorities is not None,
            "format": self.format,
            "signers": [str(signer) for signer in self.signers],
            "signers_needed": self.signers_needed,
            "max_staleness": int(self.max_staleness.total_seconds()),
            "digests": "signed" if self.digests else "refuse",
            "detect": self.detect,
        }

    def matches(self, gun: Gun) -> bool:
        """Whether this rule is about a GUN."""
        return self.pattern is None or self.pattern.matches(gun)

    @property
    def specificity(self) -> tuple[int, int]:
        """Orders rules that match one GUN; the larger is the more specific, and no two are equal."""
        return (-1, 0) if self.pattern is None else self.pattern.specificity

    def pin(self, gun: Gun) -> Pin | None:
        """The pin for a GUN that it matches; None where the home's own pins decide."""
        if self.root is not None:
            return Pin(str(gun), root=self.root, format=self.format)
        if self.authorities is not None:
            return Pin(str(gun), authorities=self.authorities, format=self.format)
        if self.root_keys:
            return Pin(str(gun), key_ids=self.root_keys, threshold=self.root_threshold, format=self.format)
        return None


@dataclass(frozen=True, slots=True)
class Mirror:
    """A place that images are pulled from, for the names that they are signed under.

    Both are ``HOST`` or ``HOST/prefix``; what comes after the one, comes after the other.
    """

    location: str
    home: str

    def home_of(self, gun: Gun) -> Gun | None:
        """The name under which something at the mirror is signed; None for what isn't at this mirror."""
        name = str(gun)
        if not name.startswith(f"{self.location}/"):
            return None
        return Gun.parse(f"{self.home}{name[len(self.location) :]}")


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules and mirrors of one file.

    Attributes:
        origin: the file, for people.
    """

    rules: tuple[Rule, ...]
    mirrors: tuple[Mirror, ...] = ()
    origin: str = "the policy"

    def home(self, ref: ImageRef) -> ImageRef:
        """The same image under the name that it is signed by; the longest mirror that matches counts."""
        homes = [(len(mirror.location), mirror.home_of(ref.gun)) for mirror in self.mirrors]
        found = max((pair for pair in homes if pair[1] is not None), default=None, key=lambda pair: pair[0])
        return ref if found is None or found[1] is None else replace(ref, gun=found[1])

    def rule(self, gun: Gun) -> Rule:
        """The most specific rule for a GUN.

        Raises:
            PolicyDenies: none matches it.
        """
        matching = [rule for rule in self.rules if rule.matches(gun)]
        if not matching:
            raise PolicyDenies(
                f"No rule of {self.origin} is about {gun}, and what no rule is about is denied.",
                hint="Who keeps the policy adds one: see trustkit policy check.",
                gun=str(gun),
            )
        return max(matching, key=lambda rule: rule.specificity)
