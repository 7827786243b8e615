"""Tags taken out of a file's bytes at once: each file is read, or refused, as by the reader of everything."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tuf.api.metadata import Metadata, Targets

from tests.formats_docker.forge import Forge, eddsa, role_of, tags
from trustkit.core.formats.docker import files as docker_files
from trustkit.core.formats.docker.plaintags import take
from trustkit.errors import Malformed, TooLarge

NAMES = ("latest", "v1", "v1.0", "v10", "v2")


def collection(*names: str) -> bytes:
    """Targets with these tags and a delegation, as docker has it."""
    made, alice = Forge(), eddsa()
    made.delegate(role_of("targets/alice", alice[0], paths=["v"]), tags("v2"), alice)
    made.roles["targets"].targets = tags(*names, digest="0f" * 32)
    return made.files()["targets"]


DATA = collection(*NAMES)
TAG = b'"v1":{"hashes":{"sha256":"Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8="},"length":500}'


def read_as(reader: Any, data: bytes) -> object:
    """All that a reader made of it, or what it said."""
    try:
        metadata: Metadata[Targets] = reader(data, Targets, "targets.json")
    except (Malformed, TooLarge) as error:
        return type(error), error.message, error.hint
    signed = metadata.signed
    entries = [(path, entry.path, entry.to_dict()) for path, entry in signed.targets.items()]
    return entries, docker_files.write(metadata), docker_files.covered(metadata, data), metadata.signatures


def same(data: bytes) -> None:
    assert read_as(docker_files.read, data) == read_as(docker_files._read, data)


@pytest.mark.parametrize("change", [(b'"v1":{', b'"v/1":{'), (b'{"hashes"', b'{"custom":{},"hashes"')], ids=str)
def test_what_docker_does_not_write_is_left_to_the_reader_of_everything(change: tuple[bytes, bytes]) -> None:
    data = DATA.replace(*change, 1)
    assert take(data) is None
    assert len(docker_files.read(data, Targets).signed.targets) == len(NAMES)
    same(data)


def test_the_tags_of_a_real_file_are_taken() -> None:
    taken = take(DATA)
    assert taken is not None
    assert list(taken.targets) == list(NAMES)
    assert re.sub(rb'("targets":\{)".*?(\},"version")', rb"\1\2", DATA) == taken.rest
    same(DATA)


@pytest.mark.parametrize(
    "change",
    [
        (b'"v1":{', b'"latest":{'),  # twice
        (b'"v1":{', b'"w":{'),  # another order
        (b'"length":500}', b'"length":0500}'),
        (b'"length":500}', b'"length":-1}'),
        (b'"length":500}', b'"length":1000000000000000}'),
        (b'"length":500}', b'"length":500.0}'),
        (b'"length":500}', b'"length":500 }'),
        (b'8="}', b'9="}'),  # bits that base64 drops
        (b'"v1":{', b'"..":{'),
        (b'"v1":{', b'"v\\u0031":{'),
        (TAG, TAG + b",".join([b"", TAG])),
        (TAG + b",", TAG + b",,"),
        (b'},"version"', b',},"version"'),
        (b',"targets":{', b',"targets":{},"targets":{'),
        (b',"targets":{', b',"targets":null,"targets":{'),
        (b'},"version"', b'},"targets":{},"version"'),
        (b'},"version"', b'},"targets":null,"version"'),
        (b'"version"', b'"x,\\"targets":{' + TAG + b'},"version"'),
        (b'"_type":"Targets"', b'"_type":"x,\\"targets\\":{}"'),
        (b'"_type":"Targets"', b'"_type":"Root"'),
        (b'"_type":"Targets",', b'"_type":"Targets","custom":{"a":1,"targets":{' + TAG + b"}},"),
        (b'"signatures":[', b'"signatures":[{},'),
        (b'{"signed"', b'\n{"signed"'),
        (b'"keyid"', b'"more":1,"targets":{' + TAG + b'},"keyid"'),
    ],
    ids=str,
)
def test_what_is_spelt_in_another_way_is_refused_with_the_same_words(change: tuple[bytes, bytes]) -> None:
    data = DATA.replace(*change, 1)
    assert data != DATA
    with pytest.raises((Malformed, TooLarge)):
        docker_files.read(data, Targets)
    same(data)


@given(st.integers(0, len(DATA) - 1), st.integers(0, len(DATA)), st.binary(max_size=6))
@example(DATA.index(b'"targets":{'), DATA.index(b'"targets":{') + 10, b"")
def test_any_stretch_may_be_another(begin: int, end: int, new: bytes) -> None:
    assume(begin <= end)
    same(DATA[:begin] + new + DATA[end:])


@given(st.sampled_from([*b'{}[],:"\\', *b"Aa1=/ "]), st.integers(0, len(DATA) - 1))
def test_any_byte_may_be_one_that_counts(byte: int, place: int) -> None:
    same(DATA[:place] + bytes([byte]) + DATA[place + 1 :])


PLAIN = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True) | st.sampled_from(["é", "a b", "a/b", "<"])


@given(st.lists(PLAIN, max_size=12, unique=True))
def test_names_of_all_kinds_come_out_as_they_went_in(names: list[str]) -> None:
    data = collection(*names)
    same(data)
    assert set(docker_files.read(data, Targets).signed.targets) == set(names)
