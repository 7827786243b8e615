"""Pulling what may be used: the digest that was verified, never the tag (TRUST 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trustkit.client.enforce import Verdict
from trustkit.core.names import ImageRef
from trustkit.core.ports.engines import Engine
from trustkit.core.ports.remote import ImageRegistry
from trustkit.errors import PolicyDenies


def pull(ref: ImageRef, enforce: Callable[[ImageRef], Verdict], engine: Engine, registry: ImageRegistry) -> Verdict:
    """Asks whether a reference may be used, has the engine pull its digest, and only then has it tagged.

    A tag that moves in between changes nothing: the engine is told the digest.  What isn't the tag's own digest gets
    no tag.  Where a policy takes something unsigned, the digest is what the registry's tag points at just now.

    Raises:
        NotTrusted and its leaves, NotAllowed; EngineFailed; what the registry raises for an unsigned tag.
    """
    verdict = enforce(ref)
    image = verdict.image
    if image is None:
        raise verdict.error or PolicyDenies(f"{ref} is refused.")
    if image.digest is None:
        found = registry.manifest(image.gun, image.required_tag, registry_view=False)
        image = replace(image, digest=found.digest)
        verdict = replace(verdict, image=image)
    if verdict.trusted is not None and image.tag is None and not verdict.trusted.is_other:
        image = replace(image, tag=verdict.trusted.by.tag)
    engine.pull(image)
    return verdict
