"""Pages of sorted names (distribution specification 1.1, "Listing tags")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from trustkit.gateway.problems import Code, Refused

MAX_PAGE = 10_000
_NUMBER = re.compile(r"[0-9]{1,9}\Z")


def page(
    names: Sequence[str], parameters: Mapping[str, str], *, path: str
) -> tuple[Sequence[str], list[tuple[str, str]]]:
    """The names after ``last``, at most ``n`` of them, and the Link header to the next page where there is one.

    Raises:
        Refused: ``n`` is not a number.
    """
    number = parameters.get("n", "")
    if number and not _NUMBER.match(number):
        raise Refused(Code.PAGINATION_NUMBER_INVALID, "The page size n is not a number.")
    limit = min(int(number), MAX_PAGE) if number else MAX_PAGE
    last = parameters.get("last", "")
    rest = [name for name in names if name > last]
    chosen = rest[:limit]
    if not chosen or len(chosen) == len(rest):
        return chosen, []
    query = urlencode({"n": limit, "last": chosen[-1]})
    return chosen, [("link", f'<{path}?{query}>; rel="next"')]
