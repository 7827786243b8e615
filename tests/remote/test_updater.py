"""The one module over python-tuf's updater: the clock it sets, the folder it leaves, the walk it ends (TRUST 6.1)."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Root

from tests.simulator import DAY, LIFE, NOW, Publisher, make_signer, manifest
from trustkit.core.readings import Readings
from trustkit.errors import Expired, Garbage, NotFound, ServerFailed, SignatureInvalid, StateError
from trustkit.remote.updater import open_updater, refresh_folder

ALL = ("root", "timestamp", "snapshot", "targets")


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    return made


def as_it_is(publisher: Publisher) -> Publisher:
    """What a mirror that stands still has."""
    still = copy.copy(publisher)
    still.files, still.history = dict(publisher.files), dict(publisher.history)
    return still


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
        "trustkit.remote.updater._Updater", lambda *args, **options: type("U", (), {"_trusted_set": Moved})()
    )
    with pytest.raises(StateError, match="python-tuf"):
        open_updater(tmp_path, None, bootstrap=publisher.files["root"], now=NOW)  # type: ignore[arg-type]


def test_a_python_tuf_that_reads_its_files_elsewhere_is_refused(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "trustkit.remote.updater._Updater",
        lambda *args, **options: type("U", (), {"_trusted_set": type("T", (), {"reference_time": NOW})()})(),
    )
    with pytest.raises(StateError, match="python-tuf"):
        refresh_folder(tmp_path, serving(publisher), bootstrap=publisher.files["root"], now=NOW)


def test_the_reader_that_is_set_reads_what_lies_there_once_and_signatures_are_checked_each_time(
    publisher: Publisher, tmp_path: Path
) -> None:
    """What was verified lies in the folder and is known; under a root with another key for it, it is refused."""
    known = Readings()
    asked: list[tuple[str, bool]] = []

    def reader(data: bytes, kind: type[Any], what: str = "") -> Metadata[Any]:
        before = len(known)
        metadata = known(data, kind, what)
        asked.append((what, len(known) > before))
        return metadata

    def refresh() -> None:
        refresh_folder(tmp_path, serving(publisher), bootstrap=publisher.files["root"], now=NOW, reader=reader)

    refresh()
    assert ("targets.json", True) in asked
    asked.clear()
    refresh()
    assert ("targets.json", False) in asked
    assert not [what for what, new in asked if new]

    first = publisher.files["root"]
    other = make_signer()

    def replace(root: Root) -> None:
        root.revoke_key(publisher.repository.public_key.keyid, "targets")
        root.add_key(other.public_key, "targets")

    publisher.install(publisher.change_root(replace))
    with pytest.raises(SignatureInvalid, match="targets"):
        refresh_folder(tmp_path, serving(publisher), bootstrap=first, now=NOW, reader=reader)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "another spelling": lambda data: data.replace(b'"signed":{', b'"signed":{"version":1,', 1),
    "another role's": lambda data: data.replace(b'"_type":', b'"_typ":', 1),
}
"""What a power failure or a disk leaves of a file."""


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_targets_are_fetched_again(publisher: Publisher, tmp_path: Path, damage: str) -> None:
    """The snapshot says which they are."""
    root, fetch = publisher.files["root"], serving(publisher)
    refresh_folder(tmp_path, fetch, bootstrap=root, now=NOW)
    kept = tmp_path / "targets.json"
    kept.write_bytes(DAMAGE[damage](kept.read_bytes()))
    refresh_folder(tmp_path, fetch, bootstrap=root, now=NOW)
    assert kept.read_bytes() == publisher.files["targets"]


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "root_history/2.root.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_no_older_state_counts_where_what_was_seen_is_damaged(
    publisher: Publisher, tmp_path: Path, name: str, damage: str
) -> None:
    """python-tuf passes over what it can't read, as if nothing had been seen: a mirror could go back then."""
    first, old = publisher.files["root"], serving(as_it_is(publisher))
    publisher.accept(publisher.change_root(lambda _: None))
    publisher.accept(publisher.sign_upload("v1", manifest("another")))
    refresh_folder(tmp_path, serving(publisher), bootstrap=first, now=NOW)
    kept = tmp_path / name
    kept.write_bytes(DAMAGE[damage](kept.read_bytes()))
    before = standing(tmp_path)
    for fetch in (old, serving(publisher)):
        with pytest.raises(StateError, match="can't be read") as raised:
            refresh_folder(tmp_path, fetch, bootstrap=first, now=NOW)
        assert str(tmp_path) in raised.value.hint
        assert standing(tmp_path)[name] == before[name]
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    refresh_folder(tmp_path, serving(publisher), bootstrap=first, now=NOW)


def test_no_older_root_counts_where_one_of_those_that_were_seen_is_gone(publisher: Publisher, tmp_path: Path) -> None:
    """python-tuf would ask for it, and a mirror that stands still says that there is none."""
    first, old = publisher.files["root"], serving(as_it_is(publisher))
    for _ in range(3):
        publisher.accept(publisher.change_root(lambda _: None))
    refresh_folder(tmp_path, serving(publisher), bootstrap=first, now=NOW)
    for version in (3, 2):
        (tmp_path / "root_history" / f"{version}.root.json").unlink()
        with pytest.raises(StateError, match="is gone"):
            refresh_folder(tmp_path, old, bootstrap=first, now=NOW)


def test_what_tells_of_older_versions_is_on_the_disk_before_it_counts(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noting(descriptor: int) -> None:
        done.append(f"synced {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        sync(descriptor)

    def moved(self: Path, target: Path) -> Path:
        done.append(f"there is {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(Path, "replace", moved)
    folder = tmp_path / "cache"
    folder.mkdir()
    refresh_folder(folder, serving(publisher), bootstrap=publisher.files["root"], now=NOW)
    lasting = [("1.root", "root_history"), ("timestamp", "cache"), ("snapshot", "cache")]
    expected = [
        step for name, at in lasting for step in (f"synced {name}.new", f"there is {name}.json", f"synced {at}")
    ]
    assert done == [*expected, "there is targets.json"]
    done.clear()
    refresh_folder(folder, serving(publisher), bootstrap=publisher.files["root"], now=NOW)
    assert done == []


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


def standing(folder: Path) -> dict[str, tuple[int, int]]:
    """What lies there: a file or link that is written anew is another one."""
    found = {path: path.lstat() for path in sorted(folder.rglob("*"))}
    return {path.relative_to(folder).as_posix(): (seen.st_ino, seen.st_ctime_ns) for path, seen in found.items()}


def test_a_refresh_that_finds_nothing_new_writes_nothing(publisher: Publisher, tmp_path: Path) -> None:
    root, fetch = publisher.files["root"], serving(publisher)
    refresh_folder(tmp_path, fetch, bootstrap=root, now=NOW)
    before = standing(tmp_path)
    assert {"root.json", "root_history/1.root.json", "timestamp.json"} <= set(before)
    refresh_folder(tmp_path, fetch, bootstrap=root, now=NOW)
    assert standing(tmp_path) == before


def _other_bytes(folder: Path) -> None:
    (folder / "root_history" / "1.root.json").write_bytes(b"{}")


def _no_link(folder: Path) -> None:
    (folder / "root.json").unlink()
    (folder / "root.json").write_bytes(b"{}")


def _link_elsewhere(folder: Path) -> None:
    (folder / "root.json").unlink()
    (folder / "root.json").symlink_to("timestamp.json")


@pytest.mark.parametrize("spoil", [_other_bytes, _no_link, _link_elsewhere])
def test_a_root_that_does_not_stand_there_as_it_should_is_put_there(
    spoil: Callable[[Path], None], publisher: Publisher, tmp_path: Path
) -> None:
    """python-tuf writes it at each start; ours only then.  What lies there decides nothing: the anchor does."""
    root, fetch = publisher.files["root"], serving(publisher)
    refresh_folder(tmp_path, fetch, bootstrap=root, now=NOW)
    spoil(tmp_path)
    refresh_folder(tmp_path, fetch, bootstrap=root, now=NOW)
    assert (tmp_path / "root.json").is_symlink()
    assert (tmp_path / "root.json").read_bytes() == (tmp_path / "root_history" / "1.root.json").read_bytes() == root
