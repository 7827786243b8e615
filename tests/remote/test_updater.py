"""The one module over python-tuf's updater: the clock it sets, the folder it leaves, the walk it ends (TRUST 6.1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.simulator import DAY, LIFE, NOW, Publisher
from trustkit.errors import Expired, Garbage, NotFound, ServerFailed, StateError
from trustkit.remote.updater import open_updater, refresh_folder

ALL = ("root", "timestamp", "snapshot", "targets")


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    return made


def serving(publisher: Publisher) -> Callable[[str, int], bytes]:
    """A fetch of what a publisher has, by the names that a TUF client asks for."""

    def fetch(name: str, max_length: int) -> bytes:
        *version, role, _ = name.split(".")
        try:
            return publisher.history[role, int(version[0])] if version else publisher.files[role]
        except KeyError:
            raise NotFound(f"no {name}") from None

    return fetch


def test_the_private_clock_that_is_set_is_the_one_that_decides(publisher: Publisher, tmp_path: Path) -> None:
    root, fetch = publisher.files["root"], serving(publisher)
    end = NOW + LIFE.default["timestamp"]
    for number, now in enumerate((end - timedelta(seconds=1), end)):
        folder = tmp_path / str(number)
        folder.mkdir()
        if now < end:
            refresh_folder(folder, fetch, bootstrap=root, now=now)
            assert {role: (folder / f"{role}.json").read_bytes() for role in ALL} == publisher.files
        else:
            with pytest.raises(Expired):
                refresh_folder(folder, fetch, bootstrap=root, now=now)


def test_without_a_clock_of_ours_the_wall_clock_counts(publisher: Publisher, tmp_path: Path) -> None:
    old = Publisher(publisher.gun)
    old.install(old.first_upload("v1", now=datetime.now(UTC) - 60 * DAY), datetime.now(UTC) - 60 * DAY)
    with pytest.raises(Expired):
        refresh_folder(tmp_path, serving(old), bootstrap=old.files["root"], now=None)


def test_a_python_tuf_that_keeps_its_clock_elsewhere_is_refused(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Moved:
        reference_time = None

    monkeypatch.setattr(
        "trustkit.remote.updater.Updater", lambda *args, **options: type("U", (), {"_trusted_set": Moved})()
    )
    with pytest.raises(StateError, match="python-tuf"):
        open_updater(tmp_path, None, bootstrap=publisher.files["root"], now=NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("missing", "error", "raised"),
    [
        ("2.root.json", NotFound("no such file"), None),
        ("2.root.json", ServerFailed("broken"), ServerFailed),
        ("timestamp.json", NotFound("no such file"), Garbage),
        ("1.snapshot.json", NotFound("no such file"), Garbage),
        ("1.targets.json", NotFound("no such file"), Garbage),
    ],
)
def test_only_a_root_that_is_not_there_ends_the_walk(
    publisher: Publisher, tmp_path: Path, missing: str, error: Exception, raised: type[Exception] | None
) -> None:
    honest = serving(publisher)

    def fetch(name: str, max_length: int) -> bytes:
        if name == missing:
            raise error
        return honest(name, max_length)

    def refresh() -> None:
        refresh_folder(tmp_path, fetch, bootstrap=publisher.files["root"], now=NOW)

    if raised is None:
        refresh()
    else:
        with pytest.raises(raised):
            refresh()
