"""The key-encryption key is opened and moved: whatever cuts a move short, a service starts with the same key."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.authority.chest import Chest
from trustkit.authority.keks import Keks
from trustkit.authority.wrappedkek import kek_id
from trustkit.core.ports.wrapping import KeyWrapper
from trustkit.errors import KeyUnavailable, StateError, TrustkitError
from trustkit.store.kek import KekFolder


def of(folder: Path, wrapper: KeyWrapper | None = None) -> Keks:
    return Keks(KekFolder(folder), wrapper)


def nothing_sealed(kek: bytes) -> None:
    """A check that each key passes."""


def sealed_under(kek: bytes) -> Callable[[bytes], None]:
    def check(found: bytes) -> None:
        if found != kek:
            raise StateError("A sealed private key doesn't open.")

    return check


def files(folder: Path) -> set[str]:
    """The files of the key, without the locks."""
    return {file.name for file in folder.iterdir() if file.suffix != ".lock"}


@pytest.fixture
def plain(tmp_path: Path) -> bytes:
    """The key of a service that was started without a device."""
    return of(tmp_path).open(create=True)


def test_wrapped_and_back_it_is_the_same_key_in_one_file(tmp_path: Path, plain: bytes) -> None:
    chest = Chest()
    moved = of(tmp_path, chest).wrap(sealed_under(plain))
    assert files(tmp_path) == {"kek.wrapped"}
    assert (moved.uri, moved.id, moved.how) == (chest.uri, kek_id(plain), "chest")
    assert (tmp_path / "kek.wrapped").stat().st_mode & 0o777 == 0o600
    assert plain not in (tmp_path / "kek.wrapped").read_bytes()
    assert plain.hex() not in (tmp_path / "kek.wrapped").read_text()
    assert of(tmp_path, chest).open(create=False) == plain
    assert [place.uri for place in of(tmp_path).places()] == [chest.uri]
    back = of(tmp_path, chest).unwrap(sealed_under(plain))
    assert files(tmp_path) == {"kek"}
    assert (back.uri, back.id) == ("", kek_id(plain))
    assert of(tmp_path).open(create=False) == plain


def test_the_device_is_let_go_after_each_act_also_a_failed_one(tmp_path: Path, plain: bytes) -> None:
    chest = Chest()
    keks = of(tmp_path, chest)
    for act in (lambda: keks.wrap(nothing_sealed), lambda: keks.open(create=False)):
        act()
        assert (chest.opened, chest.closed) == (0, 1)
        chest.closed = 0
    chest.key = secrets.token_bytes(32)
    with pytest.raises(StateError):
        keks.open(create=False)
    assert (chest.opened, chest.closed) == (0, 1)


def test_a_first_start_under_a_device_never_writes_the_key_in_the_clear(tmp_path: Path) -> None:
    chest = Chest()
    made = of(tmp_path, chest).open(create=True)
    assert files(tmp_path) == {"kek.wrapped"}
    assert of(tmp_path, chest).open(create=False) == made
    assert of(tmp_path, chest).open(create=True) == made


def test_a_device_that_doesnt_give_back_what_it_wrapped_is_found_out_before_anything_is_written(
    tmp_path: Path, plain: bytes
) -> None:
    class Broken(Chest):
        def unwrap(self, how: str, wrapped: bytes, context: object) -> bytes:
            return bytes(32)

    with pytest.raises(StateError):
        of(tmp_path, Broken()).wrap(nothing_sealed)
    assert files(tmp_path) == {"kek"}


def _wrapped(folder: Path, chest: Chest) -> None:
    of(folder, chest).wrap(nothing_sealed)


def _both(folder: Path, chest: Chest) -> None:
    kept = (folder / "kek").read_bytes()
    _wrapped(folder, chest)
    _put(folder / "kek", kept)


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


def _neither(folder: Path, chest: Chest) -> None:
    (folder / "kek").unlink()


def _only_plain(folder: Path, chest: Chest) -> None:
    """As it is."""


@pytest.mark.parametrize(
    ("state", "with_device", "said"),
    [
        (_only_plain, True, r"is in .*/kek, and not wrapped by chest:one"),
        (_wrapped, False, r"is wrapped by chest:one"),
        (_neither, True, r"no wrapped key-encryption key at .*/kek\.wrapped"),
        (_neither, False, r"no key-encryption key at .*/kek"),
    ],
    ids=["a URI, and a plain file", "no URI, and a wrapped file", "a URI, and nothing", "no URI, and nothing"],
)
def test_the_other_way_than_the_one_it_lies_in_is_refused_and_nothing_is_made(
    tmp_path: Path, plain: bytes, state: Callable[[Path, Chest], None], with_device: bool, said: str
) -> None:
    chest = Chest()
    state(tmp_path, chest)
    before = files(tmp_path)
    with pytest.raises(StateError, match=said) as refused:
        of(tmp_path, chest if with_device else None).open(create=False)
    assert refused.value.hint
    assert files(tmp_path) == before


@pytest.mark.parametrize("with_device", [True, False], ids=["a URI", "no URI"])
def test_a_first_start_makes_no_second_key_beside_one_of_the_other_way(
    tmp_path: Path, plain: bytes, with_device: bool
) -> None:
    chest = Chest()
    if not with_device:
        _wrapped(tmp_path, chest)
    before = files(tmp_path)
    with pytest.raises(StateError):
        of(tmp_path, chest if with_device else None).open(create=True)
    assert files(tmp_path) == before


@pytest.mark.parametrize("with_device", [True, False], ids=["a URI", "no URI"])
def test_both_files_start_with_a_warning_until_the_move_is_ended(
    tmp_path: Path, plain: bytes, caplog: pytest.LogCaptureFixture, with_device: bool
) -> None:
    chest = Chest()
    _both(tmp_path, chest)
    with caplog.at_level(logging.WARNING, "trustkit.kek"):
        assert of(tmp_path, chest if with_device else None).open(create=False) == plain
    assert "is there, too" in caplog.text
    assert len(of(tmp_path).places()) == 2
    of(tmp_path, chest).wrap(nothing_sealed)
    assert files(tmp_path) == {"kek.wrapped"}


def test_both_files_of_two_keys_are_never_put_together(tmp_path: Path, plain: bytes) -> None:
    chest = Chest()
    _wrapped(tmp_path, chest)
    other = of(tmp_path / "other").open(create=True)
    _put(tmp_path / "kek", (tmp_path / "other" / "kek").read_bytes())
    for move in ("wrap", "unwrap"):
        with pytest.raises(StateError, match="two different key-encryption keys"):
            getattr(of(tmp_path, chest), move)(nothing_sealed)
    assert {"kek", "kek.wrapped"} <= files(tmp_path)
    assert of(tmp_path).open(create=False) == other
    assert of(tmp_path, chest).open(create=False) == plain


@pytest.mark.parametrize("move", ["wrap", "unwrap"])
def test_a_key_that_isnt_this_services_is_not_moved(tmp_path: Path, plain: bytes, move: str) -> None:
    chest = Chest()
    if move == "unwrap":
        _wrapped(tmp_path, chest)
    before = files(tmp_path)
    with pytest.raises(StateError, match="doesn't open"):
        getattr(of(tmp_path, chest), move)(sealed_under(bytes(32)))
    assert files(tmp_path) == before


@pytest.mark.parametrize("move", ["wrap", "unwrap"])
def test_a_device_that_is_away_moves_nothing(tmp_path: Path, plain: bytes, move: str) -> None:
    chest = Chest()
    if move == "unwrap":
        _wrapped(tmp_path, chest)
    chest.away = True
    before = files(tmp_path)
    with pytest.raises(KeyUnavailable):
        getattr(of(tmp_path, chest), move)(nothing_sealed)
    assert files(tmp_path) == before
    if move == "unwrap":
        with pytest.raises(KeyUnavailable):
            of(tmp_path, chest).open(create=False)


def test_a_plain_file_that_is_a_link_is_not_taken_for_removed(tmp_path: Path, plain: bytes) -> None:
    """What it points to would stay, and open everything."""
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "kek").rename(elsewhere)
    (tmp_path / "kek").symlink_to(elsewhere)
    chest = Chest()
    with pytest.raises(StateError, match=f"a link to {elsewhere}"):
        of(tmp_path, chest).wrap(nothing_sealed)
    (tmp_path / "kek").unlink()
    elsewhere.unlink()
    assert of(tmp_path, chest).open(create=False) == plain


def test_a_wrapped_file_that_others_may_use_is_refused(tmp_path: Path, plain: bytes) -> None:
    chest = Chest()
    _wrapped(tmp_path, chest)
    (tmp_path / "kek.wrapped").chmod(0o644)
    with pytest.raises(StateError, match="read by others"):
        of(tmp_path, chest).open(create=False)


def test_a_plain_file_elsewhere_is_moved_as_well(tmp_path: Path) -> None:
    elsewhere, chest = tmp_path / "etc" / "secret", Chest()
    data = tmp_path / "data"
    kek = Keks(KekFolder(data, elsewhere)).open(create=True)
    Keks(KekFolder(data, elsewhere), chest).wrap(nothing_sealed)
    assert not elsewhere.exists()
    assert of(data, chest).open(create=False) == kek
    Keks(KekFolder(data, elsewhere), chest).unwrap(nothing_sealed)
    assert Keks(KekFolder(data, elsewhere)).open(create=False) == kek


# --- killed between any two steps


CHANGES = frozenset(
    {"open", "os.link", "os.remove", "os.mkdir", "fcntl.flock", "os.listdir", "os.scandir", "os.chmod"}
)
"""Python's audit events of what touches a file: one is raised before each such call."""


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Whether a process of its own was killed just before its ``step``-th touch of a file; False if the act ended."""
    child = os.fork()
    if not child:
        seen, status = 0, 1

        def watch(event: str, _: object) -> None:
            nonlocal seen
            if event in CHANGES:
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(watch)
            act()
            status = 0
        finally:
            os._exit(status)  # never back into the tests' own run
    _, ended = os.waitpid(child, 0)
    assert ended in (0, signal.SIGKILL), "the act failed by itself"
    return ended == signal.SIGKILL


def ways_to_start(folder: Path, chest: Chest) -> Iterator[bytes]:
    """The key, for each way in which a service starts now."""
    for wrapper in (None, chest):
        try:
            yield of(folder, wrapper).open(create=False)
        except TrustkitError:
            continue


@pytest.mark.parametrize("move", ["wrap", "unwrap"])
def test_killed_before_any_step_a_service_starts_and_the_move_can_be_ended_or_undone(
    tmp_path: Path, move: str
) -> None:
    undo = {"wrap": "unwrap", "unwrap": "wrap"}
    ended = {"wrap": {"kek.wrapped"}, "unwrap": {"kek"}}
    step, killed, seen, swept = 0, True, set(), 0
    while killed:
        step += 1
        folder, chest = tmp_path / str(step), Chest()
        kek = of(folder).open(create=True)
        if move == "unwrap":
            _wrapped(folder, chest)
        killed = killed_at(step, partial(getattr(of(folder, chest), move), sealed_under(kek)))
        left = {name for name in files(folder) if name.endswith(".new")}
        seen.add(frozenset(files(folder) - left))
        swept += len(left)
        found = list(ways_to_start(folder, chest))
        assert found, f"killed before step {step}: no service starts"
        assert set(found) == {kek}
        assert files(folder) in ({"kek"}, {"kek", "kek.wrapped"}, {"kek.wrapped"}), "a start sweeps what was left"
        for each in (move, undo[move]) if step % 2 else (undo[move], move):
            if (folder / "kek.wrapped").exists() or each == "wrap":
                getattr(of(folder, chest), each)(sealed_under(kek))
                assert files(folder) == ended[each]
                assert set(ways_to_start(folder, chest)) == {kek}
    assert step > 12
    assert swept > 1
    assert seen == {frozenset({"kek"}), frozenset({"kek", "kek.wrapped"}), frozenset({"kek.wrapped"})}


def test_killed_in_a_first_start_under_a_device_the_next_one_starts(tmp_path: Path) -> None:
    step, killed = 0, True
    while killed:
        step += 1
        folder, chest = tmp_path / str(step), Chest()
        killed = killed_at(step, partial(of(folder, chest).open, create=True))
        assert not (folder / "kek").exists()
        kek = of(folder, chest).open(create=True)
        assert of(folder, chest).open(create=False) == kek
        assert files(folder) == {"kek.wrapped"}
    assert step > 5
