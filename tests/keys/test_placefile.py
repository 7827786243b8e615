"""The file that stands for a key elsewhere: strict, under its own id, beside the others in the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.keys.conftest import ENVIRON
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.errors import KeyFileInvalid, UsageError
from trustkit.keys import keypairs, private
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.placefile import MAX_BYTES, PlaceFile
from trustkit.keys.store import FileKeyStore
from trustkit.keys.uris import parse_uri

GUN = Gun.parse("registry.example.com/app")
URI = parse_uri("pkcs11:token=ceremony;object=app")


def made() -> PlaceFile:
    public = keypairs.public_half(keypairs.generate(Algorithm.P256).public_key())
    return PlaceFile.of(KeyInfo(public.keyid, KeyRole.REPOSITORY, public, GUN), URI)


def put(store: FileKeyStore, file: PlaceFile) -> Path:
    path = Path(store.place) / f"{file.info.id}.uri"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(file.render())
    path.chmod(0o600)
    return path


def test_it_says_where_the_key_is_and_reads_as_it_was_written() -> None:
    file = made()
    assert PlaceFile.parse(file.render()) == file
    assert (file.info.uri, file.info.gun) == (str(URI), GUN)
    assert json.loads(file.render())["uri"] == str(URI)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda said: said.update(id="0" * 64), "filed as"),
        (lambda said: said.update(public=keypairs.public_pem(made().info.public)), "filed as"),
        (lambda said: said.update(public="nonsense"), "can't be read"),
        (lambda said: said.update(role="targets"), "damaged"),
        (lambda said: said.update(role="root"), "no GUN"),
        (lambda said: said.update(gun=None), "needs the GUN"),
        (lambda said: said.update(gun="no gun"), "."),
        (lambda said: said.update(uri=None), "damaged"),
        (lambda said: said.update(uri="pkcs11:token=t?pin-value=1234"), "refused"),
        (lambda said: said.update(uri="pkcs11:object=app;token=ceremony"), "spelt"),
        (lambda said: said.update(form="trustkit key place, version 2"), "version"),
        (lambda said: said.update(pin="1234"), "damaged"),
        (lambda said: said.pop("name"), "damaged"),
    ],
)
def test_anything_else_is_refused(change: Callable[[dict[str, Any]], object], said: str) -> None:
    members = json.loads(made().render())
    change(members)
    with pytest.raises(KeyFileInvalid, match=said):
        PlaceFile.parse(json.dumps(members, indent=2).encode() + b"\n")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"{" + b" " * MAX_BYTES + b"}", made().render() + b" ", b"\xff"])
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(KeyFileInvalid):
        PlaceFile.parse(data)


def test_a_store_lists_finds_and_resolves_it_beside_key_files(store: FileKeyStore) -> None:
    root = store.generate(KeyRole.ROOT)
    file = made()
    path = put(store, file)
    assert store.list() == [root, file.info]
    assert store.find(frozenset({file.info.id})) == [file.info]
    assert store.resolve(file.info.id[:8]) == file.info
    assert store.path(file.info.id) == path
    store.remove(file.info)
    assert store.list() == [root]


def test_its_private_half_is_not_to_be_had_from_a_store(store: FileKeyStore) -> None:
    file = made()
    put(store, file)
    for attempt in (store.export, lambda info: store.change_passphrase(info, PassphraseSource(environ=ENVIRON))):
        with pytest.raises(UsageError, match="stays there"):
            attempt(file.info)


def test_a_file_under_another_id_readable_by_others_or_for_a_key_that_is_here_too(store: FileKeyStore) -> None:
    file = made()
    path = put(store, file)
    other = path.with_name(f"{'0' * 64}.uri")
    path.rename(other)
    with pytest.raises(KeyFileInvalid, match="not the one of its name"):
        store.list()
    other.rename(path)
    path.chmod(0o644)
    with pytest.raises(KeyFileInvalid, match="chmod 600"):
        store.list()
    path.chmod(0o600)
    private.remove(path)
    here = store.generate(KeyRole.ROOT, algorithm=Algorithm.P256)
    put(store, PlaceFile.of(here, URI))
    for attempt in (store.list, lambda: store.resolve(here.id[:8])):
        with pytest.raises(KeyFileInvalid, match="twice"):
            attempt()
