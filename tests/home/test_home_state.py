"""The client's state: whole writes, locks, pins, metadata folders and tokens."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustkit.core.names import Gun
from trustkit.core.ports.remote import Pin
from trustkit.core.ports.tokens import AccessToken
from trustkit.errors import Conflict, InvalidName, InvalidSetting, NotFound, StateError, TrustkitError
from trustkit.home import Home
from trustkit.home.files import private_folder, read_bounded, write_atomically
from trustkit.home.locks import exclusive
from trustkit.home.metadata import gun_folder_name, pin_identity
from trustkit.home.pins import FilePinStore
from trustkit.home.policy import read_policy
from trustkit.home.tokens import FileTokenCache

KEY, OTHER = "a" * 64, "b" * 64
APP = Gun.parse("registry.example/team/app")


def keyed(pattern: str, *keys: str, threshold: int = 1, format_: str = "tuf") -> Pin:
    return Pin(pattern, key_ids=keys or (KEY,), threshold=threshold, format=format_)


def test_folders_are_made_for_us_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "home")
    assert home.pins.list() == []
    for folder in (home.path, home.keys, home.cache, home.metadata.metadata_folder(APP, keyed("h.x/*"))):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StateError, match="every user"):
        private_folder(tmp_path)


def test_folders_above_a_home_are_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    """Whoever may write above it puts a home of theirs, with their pins, in its place."""
    before = os.umask(0)
    try:
        home = Home(tmp_path / "a" / "b" / "home")
        assert home.pins.list() == []
    finally:
        os.umask(before)
    assert {folder.stat().st_mode & 0o777 for folder in (tmp_path / "a", tmp_path / "a" / "b", home.path)} == {0o700}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that is another user's")
def test_a_folder_of_another_user_is_refused() -> None:
    """Its pins would be theirs; root's folders are everybody's to trust."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.seteuid(54321)
        try:
            assert private_folder(folder) == folder
            os.seteuid(0)
            os.chown(folder, 54322, 0)
            os.seteuid(54321)
            with pytest.raises(StateError, match="another user"):
                private_folder(folder)
        finally:
            os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that is another user's")
@pytest.mark.parametrize("linked", [False, True], ids=["in it", "by a link in it"])
def test_a_folder_that_another_user_can_exchange_is_refused(*, linked: bool) -> None:
    """It is ours when we look, and theirs, with their pins, when we read: who has the folder above renames it."""
    with tempfile.TemporaryDirectory() as name:
        theirs, ours = Path(name) / "theirs", Path(name) / "ours"
        for folder, owner in ((Path(name), 0), (theirs, 54322), (ours, 54321)):
            folder.mkdir(exist_ok=True)
            os.chown(folder, owner, 0)
            folder.chmod(0o777 | stat.S_ISVTX if owner else 0o755)
        ours.chmod(0o700)
        os.seteuid(54321)
        try:
            home = theirs / "home"
            if linked:
                home.symlink_to(ours)
            with pytest.raises(StateError, match="theirs, which belongs to another user"):
                private_folder(home)
            assert private_folder(ours / "a" / "b")
            (ours / "link").symlink_to(theirs)
            with pytest.raises(StateError, match="another user"):
                private_folder(ours / "link" / "home")
        finally:
            os.seteuid(0)


def test_a_disk_that_fails_for_good_is_told_as_that(tmp_path: Path) -> None:
    """After an error Linux may let nothing be written any more, the removal of what was begun neither."""
    script = (
        "import os, sys; from pathlib import Path; from trustkit.errors import StateError\n"
        "from trustkit.home.files import write_atomically; from trustkit.keys import private, publicfile\n"
        "from trustkit.keys.keypairs import Algorithm, generate, public_half\n"
        "def failing(event, args):\n"
        "    if event == 'os.remove': raise OSError(30, 'Read-only file system')\n"
        "folder, key = Path(sys.argv[1]), public_half(generate(Algorithm.ED25519).public_key())\n"
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); sys.addaudithook(failing)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "for write in (write_atomically, private.create, private.write_new, lambda p, _: publicfile.write(p, key)):\n"
        "    try: write(folder / f'f{id(write)}', b'x' * 100)\n"
        "    except StateError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("can't be written")) == (0, 4), done.stdout + done.stderr


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_pins_and_policies_that_everybody_may_write_are_not_believed(tmp_path: Path, mode: int) -> None:
    """Whoever writes them says whom to trust; the folder that they lie in may be anybody's to enter."""
    pins, policy = FilePinStore(tmp_path / "pins.json"), tmp_path / "policy.toml"
    pins.add(keyed("registry.example/*"))
    policy.write_text('version = 1\n[[rule]]\npattern = "*"\n')
    policy.chmod(0o644)
    assert pins.find(APP)
    assert read_policy(policy).rule(APP)
    for path, read in ((tmp_path / "pins.json", pins.list), (policy, lambda: read_policy(policy))):
        path.chmod(mode)
        with pytest.raises(StateError, match="every user") as refused:
            read()
        assert f"chmod o-w {path}" in refused.value.hint


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(StateError):
        private_folder(tmp_path / "x" / "y")


def test_a_write_is_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for data in (b"one", b"two" * 100_000):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StateError):
        write_atomically(tmp_path / "none" / "f", b"")
    with pytest.raises(StateError, match="longer"):
        read_bounded(path, 10)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "kept").write_text("")
    with pytest.raises(StateError):
        write_atomically(tmp_path / "f", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_lock_excludes_threads_and_times_out(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "lock", [0], [0]

    def work() -> None:
        for _ in range(5):
            with exclusive(path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    with exclusive(path), pytest.raises(StateError, match="locked"), exclusive(path, timeout=0.05):
        pass


def _add(arguments: tuple[str, int]) -> None:
    folder, number = arguments
    Home(Path(folder)).pins.add(keyed(f"registry.example/app{number}"))


def test_sixteen_processes_pin_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(16) as pool:
        pool.map(_add, [(str(tmp_path), number) for number in range(48)], chunksize=1)
    assert len(Home(tmp_path).pins.list()) == 48


def test_the_most_specific_pin_counts(tmp_path: Path) -> None:
    pins = FilePinStore(tmp_path / "pins.json")
    for pattern in ("registry.example/*", "registry.example/team/*", "registry.example/team/app", "other.example/*"):
        pins.add(keyed(pattern))
    found = {
        name: pin.pattern if (pin := pins.find(Gun.parse(name))) else None
        for name in (
            "registry.example/team/app",
            "registry.example/team/b",
            "registry.example/x",
            "no.example/team/app",
        )
    }
    assert list(found.values()) == [
        "registry.example/team/app",
        "registry.example/team/*",
        "registry.example/*",
        None,
    ]


def test_a_pin_isnt_replaced_by_accident(tmp_path: Path) -> None:
    pins = FilePinStore(tmp_path / "pins.json")
    pins.add(keyed("registry.example/*"))
    pins.add(keyed("registry.example/*"))
    with pytest.raises(Conflict, match="another root"):
        pins.add(keyed("registry.example/*", OTHER))
    pins.add(keyed("registry.example/*", OTHER), replace=True)
    assert [pin.key_ids for pin in pins.list()] == [(OTHER,)]
    pins.remove("registry.example/*")
    assert pins.list() == []
    with pytest.raises(NotFound):
        pins.remove("registry.example/*")


def test_a_pin_of_format_tuf_gives_way_to_no_older_format(tmp_path: Path) -> None:
    """TRUST 5.4: who wants that has to remove it first; the other way is an ordinary replacement."""
    pins = FilePinStore(tmp_path / "pins.json")
    docker = keyed("registry.example/app", format_="docker")
    pins.add(keyed("registry.example/app"))
    for replace in (False, True):
        with pytest.raises(Conflict, match="not taken in format docker"):
            pins.add(docker, replace=replace)
    pins.remove("registry.example/app")
    pins.add(docker)
    with pytest.raises(Conflict, match="another root"):
        pins.add(keyed("registry.example/app"))
    pins.add(keyed("registry.example/app"), replace=True)
    assert [pin.format for pin in pins.list()] == ["tuf"]


def test_a_pin_follows_only_from_where_it_is(tmp_path: Path) -> None:
    """Whoever pinned otherwise meanwhile, or took the pin away, has the last word; a pattern stays for the others."""
    pins, gun = FilePinStore(tmp_path / "pins.json"), Gun.parse("registry.example/app")
    old = keyed("registry.example/*", format_="docker")
    new, other = keyed(str(gun)), keyed(str(gun), OTHER)
    assert pins.follow(old, new) is None
    assert pins.list() == []
    pins.add(old)
    assert pins.follow(old, new) == new
    assert sorted(pin.format for pin in pins.list()) == ["docker", "tuf"]
    assert pins.follow(old, other) == new
    pins.add(other, replace=True)
    assert pins.follow(old, new) == other == pins.find(gun)


def test_a_pin_by_authority_is_found_as_it_was(tmp_path: Path) -> None:
    pins, pin = FilePinStore(tmp_path / "pins.json"), Pin("registry.example/*", format="docker", authorities=PEM)
    pins.add(pin)
    pins.add(keyed("registry.example/app"))
    assert pins.find(Gun.parse("registry.example/other")) == pin
    assert pin_identity(pin) != pin_identity(Pin("registry.example/*", format="docker", authorities=PEM + b"\n"))
    entries = {entry["pattern"]: entry for entry in json.loads((tmp_path / "pins.json").read_text())["pins"]}
    assert entries["registry.example/*"]["authorities"] == PEM.decode()
    assert "authorities" not in entries["registry.example/app"]  # as versions without it read it


PEM = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
ROOT = b'{"signatures":[],"signed":{}}'
DOCKER_ROOT = b'{"signed":{"_type":"Root"},"signatures":[]}'


@pytest.mark.parametrize(
    ("pin", "leaf"),
    [
        (Pin("registry.example/app"), InvalidSetting),
        (Pin("registry.example/app", root=ROOT, key_ids=(KEY,), threshold=1), InvalidSetting),
        (Pin("registry.example/*", root=ROOT), InvalidSetting),
        (Pin("registry.example/app", root=b""), InvalidSetting),
        (Pin("registry.example/app", root="é".encode()), InvalidSetting),
        (keyed("registry.example/*", threshold=2), InvalidSetting),
        (keyed("registry.example/*", threshold=0), InvalidSetting),
        (keyed("registry.example/*", KEY, KEY, threshold=2), InvalidSetting),
        (keyed("registry.example/*", "A" * 64), InvalidSetting),
        (keyed("registry.example/*", format_="x"), InvalidSetting),
        (Pin("registry.example/app", root=DOCKER_ROOT), InvalidSetting),
        (Pin("registry.example/app", root=ROOT, format="docker"), InvalidSetting),
        (Pin("registry.example/*", authorities=PEM), InvalidSetting),
        (Pin("registry.example/*", authorities=b"", format="docker"), InvalidSetting),
        (Pin("registry.example/*", authorities=PEM * 2000, format="docker"), InvalidSetting),
        (Pin("registry.example/*", authorities=PEM, threshold=1, format="docker"), InvalidSetting),
        (Pin("registry.example/*", authorities=PEM, key_ids=(KEY,), threshold=1, format="docker"), InvalidSetting),
        (keyed("*"), InvalidName),
        (keyed("*/app"), InvalidName),
    ],
)
def test_pins_that_cant_be_met(tmp_path: Path, pin: Pin, leaf: type[TrustkitError]) -> None:
    with pytest.raises(leaf):
        FilePinStore(tmp_path / "pins.json").add(pin)
    assert list(tmp_path.iterdir()) == []


GOOD = {"pattern": "h.x/a", "format": "tuf", "root": None, "root_keys": [KEY], "threshold": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version":1}',
        '{"version":2,"pins":[]}',
        '{"version":1,"pins":[],"pins":[]}',
        json.dumps({"version": 1, "pins": [GOOD, GOOD]}),
        json.dumps({"version": 1, "pins": [{**GOOD, "extra": 1}]}),
        json.dumps({"version": 1, "pins": [{**GOOD, "threshold": True}]}),
        json.dumps({"version": 1, "pins": [{**GOOD, "root_keys": []}]}),
        json.dumps({"version": 1, "pins": [{**GOOD, "root_keys": "ab"}]}),
        json.dumps({"version": 1, "pins": [{**GOOD, "pattern": "*"}]}),
        json.dumps({"version": 1, "pins": [{**GOOD, "root": 7}]}),
        json.dumps({"version": 1, "pins": [{**GOOD, "authorities": None}]}),
        json.dumps({"version": 1, "pins": [{**GOOD, "authorities": "x"}]}),
    ],
)
def test_a_damaged_file_is_an_error_and_no_absence_of_pins(tmp_path: Path, text: str) -> None:
    (tmp_path / "pins.json").write_text(text)
    pins = FilePinStore(tmp_path / "pins.json")
    for act in (lambda: pins.find(APP), pins.list, lambda: pins.add(keyed("h.x/b")), lambda: pins.remove("h.x/a")):
        with pytest.raises(StateError):
            act()
    assert (tmp_path / "pins.json").read_text() == text


KEYS = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), min_size=1, max_size=4, unique=True)
ROOTS = st.text(st.characters(max_codepoint=127), min_size=1, max_size=100).map(str.encode)


@given(keys=KEYS, root=ROOTS)
def test_what_is_pinned_is_found(tmp_path_factory: pytest.TempPathFactory, keys: list[str], root: bytes) -> None:
    pins = FilePinStore(tmp_path_factory.mktemp("pins") / "pins.json")
    wanted = [keyed("h.x/*", *keys, threshold=len(keys)), Pin("h.x/app", root=root)]
    for pin in wanted:
        pins.add(pin)
    assert pins.list() == wanted
    assert pins.find(Gun.parse("h.x/app")) == wanted[1]


def test_metadata_folders_belong_to_one_gun_and_pin(tmp_path: Path) -> None:
    folders = Home(tmp_path).metadata
    names = ["h.x/a", "h.x/a-b", "h.x/a/b", "h.x:5000/a", "h.x/a.b", "h.x/a__b", "h.x/" + "a" * 200]
    guns = [Gun.parse(name) for name in names]
    pins = [keyed("h.x/*"), keyed("h.x/*", OTHER), keyed("h.x/*", KEY, OTHER), keyed("h.x/*", format_="docker")]
    pins += [Pin("h.x/*", authorities=PEM, format="docker")]
    pins += [keyed("h.x/*", KEY, OTHER, threshold=2), Pin("h.x/a", root=ROOT), Pin("h.x/a", root=ROOT + b" ")]
    made = {folders.metadata_folder(gun, pin) for gun in guns for pin in pins}
    assert len(made) == len(guns) * len(pins)
    assert pin_identity(keyed("h.x/a", KEY, OTHER)) == pin_identity(keyed("h.x/*", OTHER, KEY))
    assert all(len(gun_folder_name(gun)) <= 120 for gun in guns)


def test_a_gun_is_seen_once_its_timestamp_was_verified(tmp_path: Path) -> None:
    folders, pin = Home(tmp_path).metadata, keyed("registry.example/*")
    assert not folders.seen(APP)
    with folders.locked(APP, pin) as folder:
        assert not folders.seen(APP)
        (folder / "timestamp.json").write_text("{}")
        with pytest.raises(StateError), folders.locked(APP, pin, timeout=0.05):
            pass
    assert folders.seen(APP)
    assert not folders.seen(Gun.parse("registry.example/team"))
    folders.clear(APP, pin)
    assert not folders.seen(APP)


def test_tokens_that_cant_be_read_are_lost(tmp_path: Path) -> None:
    cache = FileTokenCache(tmp_path / "tokens")
    assert cache.get("k") is None
    cache.put("k", AccessToken("secret", 5.0))
    assert cache.get("k") == AccessToken("secret", 5.0)
    assert "secret" not in repr(cache.get("k"))
    (file,) = (tmp_path / "tokens").iterdir()
    for text in (
        "",
        "{",
        "[]",
        "[" * 60_000,
        '{"key":"other","token":"x","expires":1}',
        '{"key":"k","token":1,"expires":1}',
    ):
        file.write_text(text)
        assert cache.get("k") is None
    cache.drop("k")
    cache.drop("k")
    cache.put("k", AccessToken("x", 5.0))
    (tmp_path / "tokens" / f".{file.name}.abcd").write_text("what a crash left while it was written")
    cache.clear()
    assert list((tmp_path / "tokens").iterdir()) == []


def test_a_cache_that_cant_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("a file")
    cache = FileTokenCache(tmp_path / "tokens")
    cache.put("k", AccessToken("x", 5.0))
    assert cache.get("k") is None
