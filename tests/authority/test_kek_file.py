"""Attacks on the file of a wrapped key-encryption key: each byte changed, members swapped, files of others."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.authority.chest import Chest
from tests.authority.conftest import NOW
from trustkit.authority.keks import Keks
from trustkit.authority.sealing import Sealer
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.authority.wrappedkek import MAX_BYTES, WrappedKek, kek_id
from trustkit.errors import StateError
from trustkit.server.kek import require_ours
from trustkit.store.database import SqlStore
from trustkit.store.kek import KekFolder

CHEST = Chest()
KEK = secrets.token_bytes(32)
MADE = WrappedKek.make(KEK, CHEST)
FILE = MADE.render()


def opened(data: bytes, chest: Chest = CHEST) -> bytes:
    return WrappedKek.parse(data).open(chest)


def test_it_opens_to_what_was_wrapped_and_says_nothing_about_it() -> None:
    assert opened(FILE) == KEK
    said = json.loads(FILE)
    assert list(said) == ["form", "id", "uri", "how", "wrapped", "mac"]
    for text in (KEK.hex(), base64.b64encode(KEK).decode()):
        assert text not in FILE.decode()
    assert kek_id(KEK) == said["id"]
    assert kek_id(secrets.token_bytes(32)) != said["id"]


@given(at=st.integers(0, len(FILE) - 1), bit=st.integers(0, 7))
def test_a_bit_changed_anywhere_is_refused(at: int, bit: int) -> None:
    with pytest.raises(StateError):
        opened(FILE[:at] + bytes([FILE[at] ^ (1 << bit)]) + FILE[at + 1 :])


def test_each_byte_cut_off_is_refused() -> None:
    for length in range(len(FILE)):
        with pytest.raises(StateError):
            opened(FILE[:length])


def resigned(**members: str) -> bytes:
    """As somebody writes it who can write the file, but not open the key: the old MAC, or one of their own."""
    return json.dumps({**json.loads(FILE), **members}, indent=2).encode("ascii") + b"\n"


OTHER = WrappedKek.make(secrets.token_bytes(32), CHEST)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"uri": "chest:two"}, "was wrapped by chest:two, not by chest:one"),
        ({"how": "another-way"}, "was changed"),
        ({"id": "0" * 32}, "was changed"),
        ({"mac": "0" * 64}, "was changed"),
        ({"wrapped": base64.b64encode(OTHER.wrapped).decode()}, "was changed"),
        ({"wrapped": base64.b64encode(OTHER.wrapped).decode(), "id": OTHER.id}, "was changed"),
        ({"wrapped": base64.b64encode(OTHER.wrapped).decode(), "mac": OTHER.mac}, "was changed"),
        ({"form": "trustkit wrapped key-encryption key, version 2"}, "of a version that this trustkit can't read"),
        ({"uri": "chest:\x1b[2Jone"}, "It is damaged"),
        ({"uri": ""}, "It is damaged"),
        ({"uri": "c" * 2049}, "It is damaged"),
        ({"how": "a\nb"}, "It is damaged"),
        ({"id": "0" * 31}, "It is damaged"),
        ({"mac": "0" * 63 + "G"}, "It is damaged"),
        ({"wrapped": ""}, "It is damaged"),
        ({"wrapped": "*"}, "It is damaged"),
        ({"more": "members"}, "It is damaged"),
    ],
)
def test_a_member_changed_is_refused_and_nothing_of_it_reaches_a_terminal_raw(
    members: dict[str, str], said: str
) -> None:
    with pytest.raises(StateError, match=said) as refused:
        opened(resigned(**members))
    assert f"{refused.value}{refused.value.hint}".isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        FILE + b"\n",
        FILE.replace(b"\n  ", b""),
        FILE.replace(b'"how"', b'"how": "x", "how"'),
        b'{"form": ' * 5000,
        b" " * (MAX_BYTES + 1),
        FILE.replace(b'"mac": "' + MADE.mac.encode() + b'"', b'"mac": 1'),
    ],
    ids=["empty", "list", "null", "binary", "more", "other spelling", "twice", "deep", "large", "a number"],
)
def test_what_isnt_such_a_file_is_refused(data: bytes) -> None:
    with pytest.raises(StateError, match="wrapped key-encryption key") as refused:
        opened(data)
    assert "backup" in refused.value.hint


def test_another_device_doesnt_open_it() -> None:
    with pytest.raises(StateError, match="doesn't open under the chest"):
        opened(FILE, Chest(key=secrets.token_bytes(32)))
    with pytest.raises(StateError, match="was wrapped by chest:one, not by chest:two") as refused:
        opened(FILE, Chest(uri="chest:two", key=CHEST.key))
    assert "unwrap" in refused.value.hint


def test_a_key_of_another_length_doesnt_pass() -> None:
    """A device that unwraps whatever it is given, say another purpose's key."""
    short = CHEST.wrap(bytes(16), {})[1]
    with pytest.raises(StateError, match="was changed"):
        opened(resigned(wrapped=base64.b64encode(short).decode()))


Attack = Callable[[Path, Path], None]


def _file_of_another_service(mine: Path, theirs: Path) -> None:
    """Wrapped by the same key on the same token, whole and with its own MAC."""
    (mine / "kek.wrapped").write_bytes((theirs / "kek.wrapped").read_bytes())


def _database_of_another_service(mine: Path, theirs: Path) -> None:
    for name in ("trustkit.db", "trustkit.db-wal", "trustkit.db-shm"):
        (mine / name).unlink(missing_ok=True)
        if (theirs / name).exists():
            (mine / name).write_bytes((theirs / name).read_bytes())


async def _founded(folder: Path, chest: Chest) -> None:
    kek = Keks(KekFolder(folder), chest).open(create=True)
    store = await SqlStore.open(folder / "trustkit.db")
    try:
        await TokenKeys.open(store, Sealer(kek), issuer="registry.example.com", now=NOW)
    finally:
        await store.close()


@pytest.mark.parametrize("attack", [_file_of_another_service, _database_of_another_service])
def test_a_whole_file_of_another_service_under_the_same_device_opens_nothing(tmp_path: Path, attack: Attack) -> None:
    """The file passes by itself; what was sealed under another key doesn't open, and the service doesn't start."""
    chest = Chest()
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs):
        asyncio.run(_founded(folder, chest))
    kek = Keks(KekFolder(mine), chest).open(create=False)
    asyncio.run(require_ours(mine, kek))
    attack(mine, theirs)

    def check(found: bytes) -> None:
        asyncio.run(require_ours(mine, found))

    found = Keks(KekFolder(mine), chest).open(create=False)
    with pytest.raises(StateError, match="A sealed private key doesn't open"):
        check(found)
    with pytest.raises(StateError, match="A sealed private key doesn't open"):
        Keks(KekFolder(mine), chest).unwrap(check)
    assert not (mine / "kek").exists()
