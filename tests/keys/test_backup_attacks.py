"""Backups that somebody else made, and whose passphrase they gave away: nothing in them is taken on trust."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trustkit.core import strictjson
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.errors import KeyFileInvalid
from trustkit.keys.backup import Backup, read
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.sealed import Sealed
from trustkit.keys.store import FileKeyStore

SECRET = "a backup's own"
SOURCE = PassphraseSource(environ={"TRUSTKIT_BACKUP_PASSPHRASE": SECRET})


def holding(**files: str) -> bytes:
    """The content of a backup as anybody can write it who knows a passphrase."""
    document = {"version": 1, "created": "2026-01-02T03:04:05Z", "keys": files, "pins": None}
    return strictjson.serialise(document)


def hostile(info: KeyInfo, text: str) -> dict[str, bytes]:
    """What a backup may hold that somebody else made and named its passphrase with."""
    name = f"{info.id}.pem"
    good = holding(**{name: text})
    return {
        "a path upwards": holding(**{f"../{name}": text}),
        "an absolute path": holding(**{f"/tmp/{name}": text}),
        "a NUL": holding(**{f"{name}\0": text}),
        "a line feed": holding(**{f"{name}\n": text}),
        "a file that is no key": holding(**{"pins.json": "{}"}),
        "a hidden file": holding(**{f".{name}": text}),
        "a key under another's id": holding(**{f"{'0' * 64}.pem": text}),
        "a key under a place's name": holding(**{f"{info.id}.uri": text}),
        "a damaged key": holding(**{name: text[:-2] + "\n"}),
        "a key that isn't encrypted": holding(**{name: text.replace("ENCRYPTED ", "")}),
        "the same entry twice": good.replace(b'"keys":{', b'"keys":{' + json.dumps(name).encode() + b':"",'),
        "a key that is a number": good.replace(json.dumps(text).encode(), b"1"),
        "another spelling": good.replace(b'"created"', b' "created"'),
        "a version from the future": good.replace(b'"version":1', b'"version":2'),
        "a member too many": good.replace(b'"pins":null', b'"pins":null,"run":"rm"'),
        "a member too few": good.replace(b',"pins":null', b""),
        "pins that are a list": good.replace(b'"pins":null', b'"pins":[]'),
        "keys that are a list": holding().replace(b'"keys":{}', b'"keys":[]'),
        "a time that is none": good.replace(b"2026-01-02T", b"2026-13-02T"),
        "a time with a zone": good.replace(b"05Z", b"05+01:00"),
        "a list": b"[]",
        "nothing": b"",
        "deep nesting": b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}",
    }


CASES = list(hostile(KeyInfo("0" * 64, KeyRole.ROOT, None), ""))  # type: ignore[arg-type] # only the names of the cases


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_backup_is_refused(case: str, store: FileKeyStore, tmp_path: Path) -> None:
    root = store.generate(KeyRole.ROOT)
    content = hostile(root, store.path(root.id).read_text())[case]
    with pytest.raises(KeyFileInvalid):
        Backup.unpack(content)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys"]


def test_the_refusal_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(Sealed.seal(holding(**{"../x.pem": ""}), SECRET.encode()).render())
    with pytest.raises(KeyFileInvalid, match=rf"The backup {tmp_path}/b can't be used\. It holds a file"):
        read(tmp_path / "b", SOURCE)
