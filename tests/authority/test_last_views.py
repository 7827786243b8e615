"""What the last publish came to: remembered for exactly its bytes, and within bounds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from trustkit.authority.lastviews import LARGEST_PART, Last, LastViews
from trustkit.core.names import Gun
from trustkit.core.view import SignedView

GUN, OTHER = Gun.parse("localhost:5000/team/app"), Gun.parse("localhost:5000/team/other")
FILES = {"root": b"r" * 10, "timestamp": b"t" * 10}


def view(gun: Gun) -> SignedView:
    return SignedView(gun=gun, targets={}, expires=datetime.now(UTC), issued=None, versions={}, root_keys=(),
                      target_keys=(), format="docker")  # fmt: skip


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(FILES | {"root": b"r" * 9 + b"x"}, id="another byte"),
        pytest.param(FILES | {"targets/alice": b"a"}, id="a file more"),
        pytest.param({"root": FILES["root"]}, id="a file less"),
        pytest.param({}, id="none"),
    ],
)
def test_only_the_very_same_files_say_the_same(files: dict[str, bytes]) -> None:
    views, made = LastViews(), view(GUN)
    views.keep(GUN, FILES, made, {"targets"})
    assert views.find(GUN, dict(FILES)) == Last(FILES, made, {"targets"})
    assert views.find(GUN, files) is None
    assert views.find(OTHER, FILES) is None


def test_it_stays_small() -> None:
    views = LastViews(limit=20 * LARGEST_PART)
    guns = [Gun.parse(f"localhost:5000/team/app{number}") for number in range(LARGEST_PART + 1)]
    for gun in guns:
        views.keep(gun, FILES, view(gun))
        views.keep(gun, FILES, view(gun))
    assert [views.find(gun, FILES) is not None for gun in guns] == [False] + [True] * LARGEST_PART
    assert views.bytes == 20 * LARGEST_PART
    large = FILES | {"root": b"r" * 11}
    views.keep(guns[1], large, view(guns[1]))
    assert views.find(guns[1], large) is None
    assert views.find(guns[1], FILES) is None
    assert views.bytes == 20 * (LARGEST_PART - 1)
