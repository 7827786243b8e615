"""May this image be used here?  The one question that every door asks: commands, hooks, admission."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from trustkit.client.verify import Trusted
from trustkit.core.names import Digest, ImageRef
from trustkit.core.policy import Mode, Policy, Rule
from trustkit.core.records import dataclass
from trustkit.errors import DigestMismatch, PolicyDenies, TagMoved, TrustkitError

_EVERYTHING_SIGNED = Rule(None)
"""Where there is no policy: signed tags, by the home's pins."""


class Verifies(Protocol):
    """The verify use case."""

    def __call__(self, ref: ImageRef, *, superseded: bool = False) -> Trusted: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of a reference.

    Attributes:
        ref: as it was asked about.
        allowed: whether it may be used.
        rule: the pattern of the rule that says so.
        image: what to use: at the place that was asked for, by digest where one is known; None where refused.
        trusted: the signed tag behind it; None where nobody was asked, or it isn't trusted.
        error: why it isn't trusted, also where it may be used for all that (``detected``).
    """

    ref: ImageRef
    allowed: bool
    rule: str
    image: ImageRef | None = None
    trusted: Trusted | None = None
    error: TrustkitError | None = None

    @property
    def detected(self) -> bool:
        """Whether it would have been refused, and the rule only detects."""
        return self.allowed and self.error is not None

    @property
    def expires(self) -> datetime | None:
        """Until when the answer counts at most; None where no signature is behind it."""
        return self.trusted.expires if self.trusted else None

    @property
    def digest(self) -> Digest | None:
        """The digest to use, where one is known."""
        return self.image.digest if self.image else None

    @property
    def reason(self) -> str:
        """One line that names the image, the rule, the cause and the next step."""
        if self.error is not None:
            said = "would be refused" if self.detected else "is refused"
            hint = f" {self.error.hint}" if self.error.hint else ""
            words = f"{self.ref} {said} by the rule {self.rule}: {self.error.message} [{self.error.slug}]{hint}"
        elif self.trusted is not None:
            words = f"{self.ref} is allowed by the rule {self.rule}: signed as {self.trusted}"
        else:
            words = f"{self.ref} is allowed by the rule {self.rule}, and nobody was asked whether it is signed"
        return " ".join(words.split())


class Enforce:
    """The enforce use case.

    Args:
        verify: the verify use case, under the policy's pins and demands.
        policy: None where the home's pins alone decide: signed tags, then, and nothing else.
        superseded: whether a digest counts that a signed tag had before, until the date that its publisher set.
        together: makes the same use case anew, asking for each collection once; what ``together`` gives.
    """

    def __init__(
        self,
        verify: Verifies,
        policy: Policy | None = None,
        *,
        superseded: bool = True,
        together: Callable[[], Enforce] | None = None,
    ) -> None:
        self._verify = verify
        self._policy = policy
        self._superseded = superseded
        self._together = together

    def together(self) -> Enforce:
        """The same, for questions that are asked together: a collection is asked for once, and judged each time."""
        return self if self._together is None else self._together()

    def __call__(self, ref: ImageRef, *, length: int | None = None, found: Digest | None = None) -> Verdict:
        """The verdict; never raises for what can go wrong in finding it, which is an error in the verdict.

        Args:
            ref: with a tag, a digest, or both, as a person or a manifest names it.
            length: of the manifest that is about to be used, in bytes, where it is known.
            found: the digest of that manifest, where somebody has asked a registry already; a registry's word puts no
                digest into a reference that names none.
        """
        home = ref if self._policy is None else self._policy.home(ref)
        try:
            rule = self._rule(ref)
        except PolicyDenies as error:
            return Verdict(ref, allowed=False, rule="none", error=error)
        try:
            verdict = self._judge(rule, ref, home, length if found is None else None)
        except TrustkitError as error:
            return _refused(rule, ref, error)
        return verdict if found is None else self.held_to(verdict, found, length)

    def held_to(self, verdict: Verdict, found: Digest, length: int | None) -> Verdict:
        """A verdict on a reference, where a registry has sent this for it; the policy that it is of is this one's."""
        if not verdict.allowed or verdict.error is not None:
            return verdict
        try:
            return _found(verdict, found, length)
        except TrustkitError as error:
            return _refused(self._rule(verdict.ref), verdict.ref, error)

    def _rule(self, ref: ImageRef) -> Rule:
        return _EVERYTHING_SIGNED if self._policy is None else self._policy.rule(self._policy.home(ref).gun)

    def trusted(self, ref: ImageRef) -> Trusted:
        """The signed tag behind a reference that may be used.

        Raises:
            PolicyDenies: the policy takes it, and nobody was asked whether it is signed.
            TrustkitError: why it isn't trusted, also where the rule only detects.
        """
        verdict = self(ref)
        if verdict.trusted is None:
            raise verdict.error or PolicyDenies(
                f"The rule {verdict.rule} takes {ref} unsigned, and here it has to be signed.",
                hint="Give it a rule of its own in the policy.",
            )
        return verdict.trusted

    def _judge(self, rule: Rule, ref: ImageRef, home: ImageRef, length: int | None) -> Verdict:
        if rule.mode is Mode.UNSAFE_ALLOW_UNSIGNED:
            return Verdict(ref, allowed=True, rule=rule.name, image=ref)
        if rule.mode is Mode.DIGEST_ONLY:
            if ref.digest is None:
                raise PolicyDenies(
                    f"{ref} names no digest, and only digests are taken.", hint="Write NAME@sha256:..."
                )
            return Verdict(ref, allowed=True, rule=rule.name, image=ref)
        if ref.tag is None and not rule.digests:
            raise PolicyDenies(f"{ref} names no tag, and digests alone are not taken.", hint="Write NAME:TAG.")
        trusted = self._verify(home, superseded=self._superseded)
        _check_length(ref, trusted, length)
        image = replace(ref, tag=None if trusted.is_other else ref.tag, digest=trusted.digest)
        return Verdict(ref, allowed=True, rule=rule.name, image=image, trusted=trusted)


def _refused(rule: Rule, ref: ImageRef, error: TrustkitError) -> Verdict:
    """A refusal, which a rule that only detects lets through."""
    return Verdict(ref, rule.detect, rule.name, image=ref if rule.detect else None, error=error)


def _found(verdict: Verdict, found: Digest, length: int | None) -> Verdict:
    """The same, where what a registry has sent is what is allowed; raises TagMoved, DigestMismatch."""
    if verdict.digest is not None and verdict.digest != found:
        raise TagMoved(
            f"{verdict.ref} has to be {verdict.digest}, and is about to be used as {found}.",
            hint="Pull it again. If that stays so, the registry's tag is not what is signed: tell its publisher.",
        )
    _check_length(verdict.ref, verdict.trusted, length)
    return verdict


def _check_length(ref: ImageRef, trusted: Trusted | None, length: int | None) -> None:
    if length is not None and trusted is not None and not trusted.is_other and length != trusted.by.length:
        raise DigestMismatch(
            f"{ref} is signed with {trusted.by.length} bytes, and is said to have {length}.",
            hint="Whoever says so is wrong; pull again, and tell the registry's operator.",
        )
