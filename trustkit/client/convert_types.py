"""The media types of manifests that Docker signed: its format doesn't say them, the registry does."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from trustkit.client.resolve import WORKERS
from trustkit.core.convertplan import ConversionPlan
from trustkit.core.names import Digest, Gun
from trustkit.core.ports.remote import ImageRegistry
from trustkit.errors import TimedOut, TrustkitError, Unreachable


def media_types(registry: ImageRegistry, gun: Gun, plan: ConversionPlan) -> Mapping[str, str]:
    """By tag, of those whose manifest the registry has, with the digest and length that are signed.

    What can't be had stays unknown, as it was in format ``docker``; a registry that can't be reached isn't asked
    again.

    Args:
        registry: safe to use from several threads.
    """
    wanted = {tag.target.digest: tag.target.length for tag in plan.tags.values() if not tag.target.media_type}
    down: list[TrustkitError] = []

    def one(digest: Digest) -> str:
        if down:
            return ""
        try:
            found = registry.manifest(gun, digest, registry_view=True)
        except (Unreachable, TimedOut) as error:
            down.append(error)
            return ""
        except TrustkitError:
            return ""
        return found.media_type if len(found.data) == wanted[digest] else ""

    with ThreadPoolExecutor(WORKERS) as pool:
        types = dict(zip(wanted, pool.map(one, wanted), strict=True))
    return {name: types[tag.target.digest] for name, tag in plan.tags.items() if types.get(tag.target.digest)}
