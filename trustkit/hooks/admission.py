"""What the API server is answered: allowed, changed or denied, once each image has a verdict.  Pure.

A Pod's tags are replaced by NAME:TAG@sha256:...: the tag stays for people and for rules that want one, and a runtime
pulls by the digest alone.  Templates are judged, not changed: what is in their repository stays what is in the
cluster, and their Pods are changed when they are made.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from trustkit.client.enforce import Verdict
from trustkit.core.names import shown
from trustkit.errors import TrustkitError
from trustkit.hooks.admission_review import API_VERSION, KIND, Image, Review

FORBIDDEN = 403
MAX_SHOWN = 20
"""Images that one answer tells about."""
MAX_WORDS = 1000
"""Characters about each of them."""
MAX_ANNOTATION = 4000

Finding: TypeAlias = Verdict | TrustkitError
"""A verdict, or why there is none."""

_NEXT = "See whether the trust service can be reached and answers, then try again."


class Phase(StrEnum):
    """Which webhook asks."""

    MUTATE = "mutate"
    """Images may be replaced."""
    VALIDATE = "validate"
    """After every other webhook: nothing changes any more, so a Pod's image has to name its digest."""


class Result(StrEnum):
    """How a review ended, as metrics count it."""

    ALLOWED = "allowed"
    PINNED = "pinned"
    SKIPPED = "skipped"
    DETECTED = "detected"
    DENIED = "denied"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """The response, as JSON, with how it ended.

    Attributes:
        refused: what was, or in detection mode would have been, refused; a line each.
    """

    body: bytes
    result: Result
    refused: tuple[str, ...] = ()


def answer(review: Review, findings: Mapping[Image, Finding], *, phase: Phase, detect: bool = False) -> Answer:
    """The answer to a review.

    Args:
        findings: for each of the review's images.
        detect: refuse nothing and change nothing; warn of what would be refused.
    """
    refused, warned, patch, pinned = [], [], [], []
    for image in review.images:
        found = findings[image]
        if words := _refusal(image, found, must_pin=review.pod and phase is Phase.VALIDATE):
            refused.append(f"{image.container}: {words}"[:MAX_WORDS])
        elif isinstance(found, Verdict):
            if found.detected:
                warned.append(f"{image.container}: {found.reason}"[:MAX_WORDS])
            elif found.image is not None and str(found.image) != image.text:
                pinned.append(f"{image.container}: {found.image}")
                patch.append({"op": "replace", "path": image.pointer, "value": str(found.image)})
    if refused and not detect:
        return denied(review.uid, refused, notes={"skipped": review.skipped})
    changes = review.pod and phase is Phase.MUTATE and not detect
    notes = {"skipped": review.skipped, "detected": (*refused, *warned), "pinned": pinned if changes else ()}
    response: dict[str, Any] = {"uid": review.uid, "allowed": True}
    if changes and patch:
        response |= {
            "patchType": "JSONPatch",
            "patch": base64.b64encode(json.dumps(patch, separators=(",", ":")).encode()).decode(),
        }
    if refused or warned:
        response["warnings"] = list(_few([*refused, *warned]))
        return _sent(response, notes, Result.DETECTED, (*refused, *warned))
    if not review.images:
        return _sent(response, notes, Result.SKIPPED)
    return _sent(response, notes, Result.PINNED if changes and patch else Result.ALLOWED)


def denied(
    uid: str,
    reasons: list[str],
    *,
    result: Result = Result.DENIED,
    notes: Mapping[str, tuple[str, ...] | list[str]] | None = None,
) -> Answer:
    """A refusal, with its reasons for whoever asked for the object."""
    status = {"code": FORBIDDEN, "reason": "Forbidden", "message": "\n".join(_few(reasons))}
    response = {"uid": uid, "allowed": False, "status": status}
    return _sent(response, {"refused": reasons, **(notes or {})}, result, tuple(reasons))


def undecided(uid: str, reason: str, *, result: Result, detect: bool) -> Answer:
    """The answer to what can't be judged at all: a refusal, or in detection mode a warning."""
    if not detect:
        return denied(uid, [reason], result=result)
    response = {"uid": uid, "allowed": True, "warnings": [reason]}
    return _sent(response, {"detected": [reason]}, result, (reason,))


def _refusal(image: Image, found: Finding, *, must_pin: bool) -> str:
    """Why an image may not be used; empty where it may."""
    if isinstance(found, TrustkitError):
        words = f"{shown(image.text)} is refused by the rule none: {found.message} [{found.slug}] {found.hint}"
        return " ".join(words.split())
    if not found.allowed:
        return found.reason if found.error is None or found.error.hint else f"{found.reason} {_NEXT}"
    if must_pin and not found.detected and found.trusted is not None and found.ref.digest is None:
        return (
            f"{found.ref} is refused by the rule {found.rule}: it is signed, and names no digest although it was "
            f"past the webhook that writes one. Another webhook changes it later: let {Phase.MUTATE} be called again "
            f"(reinvocationPolicy: IfNeeded), or write {found.image}."
        )
    return ""


def _sent(
    response: dict[str, Any],
    notes: Mapping[str, tuple[str, ...] | list[str]],
    result: Result,
    refused: tuple[str, ...] = (),
) -> Answer:
    annotations = {name: "; ".join(_few(lines))[:MAX_ANNOTATION] for name, lines in notes.items() if lines}
    if annotations:
        response["auditAnnotations"] = annotations
    body = {"apiVersion": API_VERSION, "kind": KIND, "response": response}
    return Answer(json.dumps(body, separators=(",", ":")).encode(), result, refused)


def _few(lines: tuple[str, ...] | list[str]) -> Iterator[str]:
    yield from lines[:MAX_SHOWN]
    if len(lines) > MAX_SHOWN:
        yield f"and {len(lines) - MAX_SHOWN} more"
