"""Pulling what is signed: the digest that was verified, never the tag (TRUST 4.4)."""

from __future__ import annotations

from trustkit.client.verify import Trusted, Verify
from trustkit.core.names import ImageRef
from trustkit.core.ports.engines import Engine


def pull(ref: ImageRef, verify: Verify, engine: Engine) -> Trusted:
    """Verifies a reference, has the engine pull its digest, and only then has it tagged.

    A tag that moves in between changes nothing: the engine is told the digest.  A child of an index gets no tag.

    Raises:
        NotTrusted and its leaves, NotAllowed; EngineFailed.
    """
    trusted = verify(ref)
    engine.pull(trusted.ref)
    return trusted
