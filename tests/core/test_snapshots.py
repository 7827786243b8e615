"""Snapshots of many versions are read in another way, and as strictly as every other file."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.metadata import Metadata, Snapshot

from tests.simulator import GUN, NOW, make_signer
from trustkit.core.build import next_snapshot
from trustkit.core.formats.snapshots import without_versions
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.strictjson import serialise
from trustkit.errors import Malformed, TooLarge

KEY = make_signer()
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)


def snapshot(versions: dict[str, int]) -> bytes:
    made = next_snapshot(GUN, None, versions, now=NOW, life=timedelta(days=14))
    return sign(made, {KEY.public_key.keyid: KEY})


FILE = snapshot({"targets": 7, "releases": 2, "bins-1-0": 2, "bins-1-1": 10})


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.integers(1, 2**31 - 1), min_size=1, max_size=40))
def test_it_says_what_python_tuf_reads(versions: dict[str, int]) -> None:
    data = snapshot(versions)
    taken = without_versions(data)
    assert taken is not None
    assert b'"meta":{}' in taken[0]
    ours, theirs = read(data, Snapshot), Metadata[Snapshot].from_bytes(data)
    assert ours.signed.to_dict() == theirs.signed.to_dict()
    assert ours.signatures == theirs.signatures
    assert serialise(ours.to_dict()) == data


def _replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode(), 1)

    return change


ONE = '"bins-1-0.json":{"version":2}'
CASES: dict[str, Callable[[bytes], bytes]] = {
    "unsorted": _replaced(f'{ONE},"bins-1-1.json":{{"version":10}}', f'"bins-1-1.json":{{"version":10}},{ONE}'),
    "a name twice": _replaced(ONE, f"{ONE},{ONE}"),
    "a name twice, two versions": _replaced(ONE, f'"bins-1-0.json":{{"version":1}},{ONE}'),
    "a space": _replaced(ONE, ONE.replace(":2", ": 2")),
    "a leading zero": _replaced(ONE, ONE.replace(":2", ":02")),
    "version 0": _replaced(ONE, ONE.replace(":2", ":0")),
    "a negative version": _replaced(ONE, ONE.replace(":2", ":-2")),
    "a float": _replaced(ONE, ONE.replace(":2", ":2.0")),
    "true": _replaced(ONE, ONE.replace(":2", ":true")),
    "a text": _replaced(ONE, ONE.replace(":2", ':"2"')),
    "16 digits": _replaced(ONE, ONE.replace(":2", ":1000000000000000")),
    "a member more in an entry": _replaced(ONE, ONE.replace(":2}", ':2,"x":1}')),
    "no version": _replaced(ONE, '"bins-1-0.json":{}'),
    "a comma too many": _replaced(ONE, f"{ONE},"),
    "a comma at the end": _replaced('"targets.json":{"version":7}', '"targets.json":{"version":7},'),
    "an escaped letter": _replaced('"bins-1-0', '"\\u0062ins-1-0'),
    "a byte outside ASCII": _replaced('"bins-1-0', '"\xe4ins-1-0'),
    "meta twice": _replaced('"meta":', f'"meta":{{{ONE}}},"meta":'),
    "meta twice, the second one empty": _replaced('},"spec_version"', '},"meta":{},"spec_version"'),
    "meta twice, the first one empty": _replaced('"meta":', '"meta":{},"meta":'),
    "meta beside signed": _replaced('{"signatures"', f'{{"meta":{{{ONE}}},"signatures"'),
    "meta elsewhere, and none in its place": lambda d: _replaced('{"signatures"', f'{{"meta":{{{ONE}}},"signatures"')(
        d.replace(d[d.index(b'"meta"') : d.index(b',"spec_version"')], b'"meta":{}')
    ),
    "meta after a text": _replaced('"meta":', '"x""meta":'),
    "meta in another member": _replaced('"meta":', f'"a":{{"meta":{{{ONE}}}}},"meta":'),
    "something behind": lambda d: d + b"x",
    "cut off": lambda d: d[:-1],
    "ten thousand of them": _replaced('"meta":', f'"meta":{{{ONE}}},' * 10_000 + '"meta":'),
}


@pytest.mark.parametrize("case", CASES)
def test_another_spelling_is_refused(case: str) -> None:
    assert read(FILE, Snapshot).signed.version == 1
    with pytest.raises(Malformed):
        read(CASES[case](FILE), Snapshot)


def test_a_large_one_is_refused_before_it_is_looked_into() -> None:
    with pytest.raises(TooLarge):
        read(FILE.replace(b"{", b"{" + b" " * 2_000_000, 1), Snapshot)


def test_entries_that_say_more_are_read_as_ever() -> None:
    value = json.loads(FILE)
    value["signed"]["meta"]["bins-1-0.json"]["length"] = 5
    data = serialise(value)
    assert without_versions(data) is None
    assert read(data, Snapshot).signed.meta["bins-1-0.json"].length == 5
