"""Pages of sorted names (distribution specification 1.1, "Listing tags")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode

from trustkit.gateway.problems import Code, Refused

MAX_PAGE = 10_000
REFERRERS = 1_000
"""Descriptors of a page of referrers: well below what clients read of an index, 4 MiB."""

_NUMBER = re.compile(r"[0-9]{1,9}\Z")


def page(
    names: Sequence[str],
    parameters: Mapping[str, str],
    *,
    path: str,
    most: int = MAX_PAGE,
    keep: Iterable[str] = (),
) -> tuple[Sequence[str], list[tuple[str, str]]]:
    """The names after ``last``, at most ``n`` of them, and the Link header to the next page where there is one.

    Args:
        names: in order.
        most: as many at most, whatever ``n`` says.
        keep: parameters of the request that the next page's has, too.

    Raises:
        Refused: ``n`` is not a number.
    """
    number = parameters.get("n", "")
    if number and not _NUMBER.match(number):
        raise Refused(Code.UNSUPPORTED, "The page size n is not a number.", status=400)
    limit = min(int(number), most) if number else most
    last = parameters.get("last", "")
    rest = [name for name in names if name > last]
    chosen = rest[:limit]
    if not chosen or len(chosen) == len(rest):
        return chosen, []
    kept = {name: parameters[name] for name in keep if name in parameters}
    query = urlencode({**kept, "n": limit, "last": chosen[-1]})
    return chosen, [("link", f'<{path}?{query}>; rel="next"')]
