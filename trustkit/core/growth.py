"""When a collection turns into hash bins, and into how many."""

from __future__ import annotations

from trustkit.core.records import dataclass

BITS = 10
"""1,024 bins: of 100,000 tags each has about 98, in 20 KB, and a snapshot that names them all has 37 KB."""


@dataclass(frozen=True, slots=True)
class Growth:
    """``above``: with more tags than this in one file, 0 for never.  There are 2 to the power of ``bits`` bins."""

    above: int = 1_000
    bits: int = BITS
