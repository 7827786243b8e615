"""Pulling what is signed: the digest that was verified, never the tag (TRUST 4.4)."""

from __future__ import annotations

from trustkit.client.verify import Verify
from trustkit.core.names import ImageRef
from trustkit.core.ports.engines import Engine
from trustkit.core.view import SignedTarget


def pull(ref: ImageRef, verify: Verify, engine: Engine) -> SignedTarget:
    """Verifies a reference, has the engine pull its digest, and only then has it tagged.

    A tag that moves in between changes nothing: the engine is told the digest.

    Raises:
        NotTrusted and its leaves, NotAllowed; EngineFailed.
    """
    target = verify(ref)
    engine.pull(ImageRef(ref.gun, target.tag, target.digest))
    return target
