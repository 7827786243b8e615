"""A collection that has outgrown one file: its tags are put into hash bins by whoever signs the next of them."""

from __future__ import annotations

from collections.abc import Callable

from trustkit.client.holding import usable
from trustkit.core.bins import holder_of
from trustkit.core.draft import Draft
from trustkit.core.growth import Growth
from trustkit.core.ports.keys import KeyStore


def grow(draft: Draft, keys: KeyStore, growth: Growth, say: Callable[[str], None]) -> None:
    """Puts too many tags into bins, where the keys here sign the file that holds them anyway, and suffice.

    Others' signatures are not asked for, a thousand of them least of all: where they are needed, the tags stay in one
    file until somebody has enough keys.
    """
    holder = holder_of(draft.delegations)
    if holder not in draft.changed or draft.places.bins is not None:
        return
    if any(len(usable(keys, need.role, need.keys)) < need.threshold for need in draft.needs(holder)):
        return
    if (bins := draft.grow(growth)) is not None:
        say(
            f"{draft.gun} has grown: its tags are put into {len(bins.names)} files, each signed once, so that from "
            "now on signing a tag uploads one of them."
        )
