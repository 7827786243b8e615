"""Which of the keys that may sign are in this home, and the error where these are too few."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.errors import KeyMissing, KeyProblem, WrongKeyRole

_KINDS = {"root": (KeyRole.ROOT,), "targets": (KeyRole.REPOSITORY,)}
_OF_DELEGATIONS = (KeyRole.SIGNER, KeyRole.REPOSITORY)
"""Whose key signs where several could: a signer's own before the repository key, so that the file says who it was."""


def usable(keys: KeyStore, role: str, key_ids: Collection[str]) -> list[KeyInfo]:
    """Those of these keys that are here and kept for what has to be signed, a signer's own first.

    Args:
        role: what has to be signed: ``root``, ``targets`` or a delegation.
    """
    kinds = _KINDS.get(role, _OF_DELEGATIONS)
    here = [info for info in keys.find(frozenset(key_ids)) if info.role in kinds]
    return sorted(here, key=lambda info: kinds.index(info.role))


def lacking(
    keys: KeyStore, role: str, key_ids: Iterable[str], what: str, *, rule: str = "", hint: str = ""
) -> KeyProblem:
    """The error where too few keys of a role can be used; it names the keys, the role and the folder looked in.

    Args:
        what: what takes which of the keys, the beginning of a sentence.
        rule: more sentences, about keys that are here.
        hint: where the keys may be had from.

    Returns:
        WrongKeyRole where one of them is here and kept for something else; otherwise KeyMissing.
    """
    ids = list(key_ids)
    good = {info.id for info in usable(keys, role, ids)}
    wrong = next((info for info in keys.find(frozenset(ids)) if info.id not in good), None)
    start = f"{what} ({', '.join(key_id[:16] for key_id in ids)})"
    if wrong is not None:
        return WrongKeyRole(
            f"{start}. The key {wrong.id[:16]} in {keys.place} is one of them, and is kept as a {wrong.role} key.",
            hint="A key is used for what it was made for only. See trustkit key list.",
            key_ids=ids,
            role=role,
            place=keys.place,
        )
    count = "none of them is" if not good else f"{len(good)} of them {'is' if len(good) == 1 else 'are'}"
    return KeyMissing(f"{start}; {count} in {keys.place}.{rule}", hint=hint, key_ids=ids, role=role, place=keys.place)
