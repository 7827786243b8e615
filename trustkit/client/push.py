"""Pushing an image: by digest, signed where that is wanted, and the tag last, so that it never moves unsigned."""

from __future__ import annotations

from collections.abc import Callable

from trustkit.client.sign import Sign
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import ImageSource
from trustkit.core.ports.remote import ImageRegistry
from trustkit.errors import TagMoved, TrustkitError


def push(source: ImageSource, ref: ImageRef, registry: ImageRegistry) -> Digest:
    """Pushes an image, and moves the tag to it.

    Args:
        ref: with a tag; where it has a digest, the image has to have it.

    Returns:
        The digest that the registry's tag has now.

    Raises:
        InvalidReference: no tag.
        everything that ``ImageSource.push`` and ``ImageRegistry.put_manifest`` raise.
    """
    tag = ref.required_tag
    manifest = source.push(ref.gun, ref.digest)
    registry.put_manifest(ref.gun, tag, manifest)
    return manifest.digest


def push_signed(
    source: ImageSource,
    ref: ImageRef,
    registry: ImageRegistry,
    sign: Sign,
    *,
    say: Callable[[str], None],
    root_key: str | None = None,
    recursive: bool = False,
) -> Digest | None:
    """Pushes an image by digest, signs it, and only then moves the tag to it.

    The rights to push and to sign are checked before anything is sent (TRUST 8.1).  A signature that is refused
    leaves the registry's tag, and what it was signed for, as they were.  Where the tag can't be moved afterwards,
    it is signed for the new digest already, which is what every verifier goes by; the same again moves it.  Where
    somebody else has signed the tag for another digest meanwhile, it isn't moved back.

    Args:
        recursive: record the manifests below an index as its children.

    Returns:
        The digest that the tag is signed for, and that the registry's tag has; None where a proposal was left, which
        moves no tag.

    Raises:
        TagMoved: somebody else signed the tag for another digest while this was done.
        As ``push`` and ``Sign.sign``.
    """
    tag = ref.required_tag
    sign.require(ref.gun)
    manifest = source.push(ref.gun, ref.digest)
    name, pushed = f"{ref.gun}:{tag}", f"{ref.gun}@{manifest.digest}"
    try:
        signed = sign.sign([ImageRef(ref.gun, tag, manifest.digest)], root_key=root_key, recursive=recursive)
    except TrustkitError:
        say(f"The image is in the registry as {pushed} only; {name} was not moved to it.")
        raise
    if not signed:
        say(f"{name} stays as it was until that is approved; the image is in the registry as {pushed}.")
        return None
    try:
        _check_current(sign, ref.gun, tag, manifest.digest, moved=False)
        registry.put_manifest(ref.gun, tag, manifest)
    except TagMoved:
        raise
    except TrustkitError:
        say(f"{name} is signed for {manifest.digest}, but the registry's own tag was not moved to it.")
        say("Run the same command again to move it; who verifies gets the signed digest meanwhile.")
        raise
    _check_current(sign, ref.gun, tag, manifest.digest, moved=True)
    return manifest.digest


def _check_current(sign: Sign, gun: Gun, tag: Tag, digest: Digest, *, moved: bool) -> None:
    """Raises TagMoved where the tag is not signed for this digest any more."""
    now = sign.signed(gun, tag)
    if now == digest:
        return
    what = f"is meanwhile signed for {now}" if now else "was meanwhile revoked"
    where = "and the registry's own tag may still be" if moved else "so the registry's own tag was not moved to"
    raise TagMoved(
        f"{gun}:{tag} {what} by somebody else, {where} {digest}.",
        hint="Agree with them which one it shall be, and push that one again.",
        signed=str(now or ""),
        pushed=str(digest),
    )
