"""Reading format tuf: whatever arrives is a file in its one spelling, or Malformed or TooLarge."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import SerializationError
from tuf.api.serialization.json import CanonicalJSONSerializer

from tests.simulator import GUN, LIFE, NOW, Publisher, edited, manifest
from trustkit.core.build import first_targets
from trustkit.core.formats.tuf1 import (
    GUNS,
    ISSUED,
    MAX_BYTES,
    covered,
    guns,
    issued,
    meta_version,
    payload,
    read,
    read_time,
    sign,
    write_time,
)
from trustkit.core.strictjson import serialise
from trustkit.errors import Malformed, TooLarge, TrustkitError

KINDS: dict[str, type[Any]] = {"root": Root, "targets": Targets, "snapshot": Snapshot, "timestamp": Timestamp}


def _publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1", "v2"))
    made.accept(made.sign_upload("v1", manifest("newer")))
    return made


PUBLISHER = _publisher()
FILES = PUBLISHER.files
Change = Callable[[dict[str, Any]], None]


def _at(*path: Any, to: Any) -> Change:
    def change(value: dict[str, Any]) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


def _key(member: str, to: Any) -> Change:
    return lambda value: next(iter(value["signed"]["keys"].values())).update({member: to})


def _role(member: str, make: Callable[[list[str]], Any]) -> Change:
    def change(value: dict[str, Any]) -> None:
        role = value["signed"]["roles"]["root"]
        role[member] = make(role["keyids"])

    return change


def _signature(**members: Any) -> Change:
    return lambda value: value["signatures"][0].update(members)


def _twice(value: dict[str, Any]) -> None:
    value["signatures"].append(dict(value["signatures"][0]))


def _many(value: dict[str, Any]) -> None:
    value["signatures"] = [{"keyid": f"{n:064x}", "sig": "00"} for n in range(65)]


ODD: dict[str, tuple[str, Change]] = {
    **{f"{role}: version true": (role, _at("signed", "version", to=True)) for role in KINDS},
    **{f"{role}: version as text": (role, _at("signed", "version", to="1")) for role in KINDS},
    **{f"{role}: version null": (role, _at("signed", "version", to=None)) for role in KINDS},
    **{f"{role}: version 0": (role, _at("signed", "version", to=0)) for role in KINDS},
    **{f"{role}: version 2^31": (role, _at("signed", "version", to=2**31)) for role in KINDS},
    **{f"{role}: version 10^15": (role, _at("signed", "version", to=10**15)) for role in KINDS},
    **{f"{role}: version 1.0": (role, _at("signed", "version", to=1.0)) for role in KINDS},
    **{f"{role}: unknown member": (role, _at("signed", "x", to=1)) for role in KINDS},
    **{f"{role}: unknown envelope member": (role, _at("x", to=1)) for role in KINDS},
    **{f"{role}: type is a list": (role, _at("signed", "_type", to=[])) for role in KINDS},
    **{f"{role}: type in capitals": (role, _at("signed", "_type", to=role.upper())) for role in KINDS},
    **{f"{role}: type of another": (role, _at("signed", "_type", to="mirrors")) for role in KINDS},
    **{f"{role}: signed is a list": (role, _at("signed", to=[])) for role in KINDS},
    **{f"{role}: signed is null": (role, _at("signed", to=None)) for role in KINDS},
    **{f"{role}: spec version 2": (role, _at("signed", "spec_version", to="2.0.0")) for role in KINDS},
    **{f"{role}: spec version a number": (role, _at("signed", "spec_version", to=1)) for role in KINDS},
    "expires without zeros": ("root", _at("signed", "expires", to="2027-1-1T0:0:0Z")),
    "expires with an offset": ("root", _at("signed", "expires", to="2027-01-01T00:00:00+00:00")),
    "expires in other digits": ("root", _at("signed", "expires", to="٢٠٢٧-01-01T00:00:00Z")),
    "expires in year 999": ("root", _at("signed", "expires", to="0999-01-01T00:00:00Z")),
    "expires on February 30": ("root", _at("signed", "expires", to="2027-02-30T00:00:00Z")),
    "expires at second 61": ("root", _at("signed", "expires", to="2027-02-03T00:00:61Z")),
    "expires is a number": ("root", _at("signed", "expires", to=1798761600)),
    "consistent_snapshot null": ("root", _at("signed", "consistent_snapshot", to=None)),
    "consistent_snapshot gone": ("root", lambda value: value["signed"].pop("consistent_snapshot")),
    "consistent_snapshot 1": ("root", _at("signed", "consistent_snapshot", to=1)),
    "consistent_snapshot as text": ("root", _at("signed", "consistent_snapshot", to="false")),
    "keys is a list": ("root", _at("signed", "keys", to=[])),
    "keys is null": ("root", _at("signed", "keys", to=None)),
    "roles is a list": ("root", _at("signed", "roles", to=[])),
    "a fifth role": ("root", _at("signed", "roles", "mirrors", to={"keyids": [], "threshold": 1})),
    "a role gone": ("root", lambda value: value["signed"]["roles"].pop("targets")),
    "a role is null": ("root", _at("signed", "roles", "root", to=None)),
    "a role with more": ("root", _at("signed", "roles", "root", "x", to=1)),
    "threshold true": ("root", _at("signed", "roles", "root", "threshold", to=True)),
    "threshold 0": ("root", _at("signed", "roles", "root", "threshold", to=0)),
    "threshold -1": ("root", _at("signed", "roles", "root", "threshold", to=-1)),
    "threshold null": ("root", _at("signed", "roles", "root", "threshold", to=None)),
    "threshold as text": ("root", _at("signed", "roles", "root", "threshold", to="1")),
    "keyids is an object": ("root", _role("keyids", lambda ids: dict.fromkeys(ids, 1))),
    "keyids is text": ("root", _role("keyids", lambda ids: "0123")),
    "keyids is null": ("root", _role("keyids", lambda ids: None)),
    "keyids twice": ("root", _role("keyids", lambda ids: ids * 2)),
    "keyids with a number": ("root", _role("keyids", lambda ids: [*ids, 1])),
    "keyids with a list": ("root", _role("keyids", lambda ids: [*ids, []])),
    "keyids with null": ("root", _role("keyids", lambda ids: [*ids, None])),
    "keyids in capitals": ("root", _role("keyids", lambda ids: [ids[0].upper() + "A"])),
    "keyids short": ("root", _role("keyids", lambda ids: [ids[0][:8]])),
    "keyids with an escape": ("root", _role("keyids", lambda ids: ["\x1b]0;owned\x07"])),
    "a key under text": ("root", lambda v: v["signed"]["keys"].update(x=next(iter(v["signed"]["keys"].values())))),
    "keytype null": ("root", _key("keytype", None)),
    "keytype a list": ("root", _key("keytype", [])),
    "scheme an object": ("root", _key("scheme", {})),
    "keyval null": ("root", _key("keyval", None)),
    "keyval text": ("root", _key("keyval", "public")),
    "keyval a list": ("root", _key("keyval", ["public"])),
    "keyval without public": ("root", _key("keyval", {})),
    "keyval a number": ("root", _key("keyval", {"public": 1})),
    "keyval null inside": ("root", _key("keyval", {"public": None})),
    "a key with more": ("root", _key("keyid_hash_algorithms", ["sha256"])),
    "targets is a list": ("targets", _at("signed", "targets", to=[])),
    "targets is null": ("targets", _at("signed", "targets", to=None)),
    "a target is null": ("targets", _at("signed", "targets", "v1", to=None)),
    "length true": ("targets", _at("signed", "targets", "v1", "length", to=True)),
    "length float": ("targets", _at("signed", "targets", "v1", "length", to=5.0)),
    "length text": ("targets", _at("signed", "targets", "v1", "length", to="5")),
    "length null": ("targets", _at("signed", "targets", "v1", "length", to=None)),
    "length -1": ("targets", _at("signed", "targets", "v1", "length", to=-1)),
    "hashes empty": ("targets", _at("signed", "targets", "v1", "hashes", to={})),
    "hashes a list": ("targets", _at("signed", "targets", "v1", "hashes", to=["sha256"])),
    "hash a number": ("targets", _at("signed", "targets", "v1", "hashes", "sha256", to=1)),
    "hash null": ("targets", _at("signed", "targets", "v1", "hashes", "sha256", to=None)),
    "delegations null": ("targets", _at("signed", "delegations", to=None)),
    "delegations a list": ("targets", _at("signed", "delegations", to=[])),
    "delegations empty": ("targets", _at("signed", "delegations", to={})),
    "delegations of a TUF role": (
        "targets",
        _at(
            "signed",
            "delegations",
            to={
                "keys": {},
                "roles": [{"name": "root", "keyids": [], "threshold": 1, "terminating": True, "paths": ["*"]}],
            },
        ),
    ),
    "issued outside timestamp": ("targets", _at("signed", ISSUED, to=write_time(NOW))),
    "meta a list": ("snapshot", _at("signed", "meta", to=[])),
    "meta version true": ("snapshot", _at("signed", "meta", "targets.json", "version", to=True)),
    "meta version 0": ("snapshot", _at("signed", "meta", "targets.json", "version", to=0)),
    "meta length null": ("snapshot", _at("signed", "meta", "targets.json", "length", to=None)),
    "meta length true": ("snapshot", _at("signed", "meta", "targets.json", "length", to=True)),
    "meta hashes null": ("snapshot", _at("signed", "meta", "targets.json", "hashes", to=None)),
    "meta hashes empty": ("snapshot", _at("signed", "meta", "targets.json", "hashes", to={})),
    "meta with more": ("snapshot", _at("signed", "meta", "targets.json", "x", to=1)),
    "a second file in timestamp": ("timestamp", _at("signed", "meta", "targets.json", to={"version": 1})),
    "timestamp's version true": ("timestamp", _at("signed", "meta", "snapshot.json", "version", to=True)),
    "no snapshot in timestamp": ("timestamp", _at("signed", "meta", to={})),
    "signatures an object": ("root", _at("signatures", to={})),
    "signatures text": ("root", _at("signatures", to="")),
    "signatures null": ("root", _at("signatures", to=None)),
    "signatures with null": ("root", _at("signatures", to=[None])),
    "signatures gone": ("root", lambda value: value.pop("signatures")),
    "65 signatures": ("root", _many),
    "a key signs twice": ("root", _twice),
    "sig no hex": ("root", _signature(sig="zz")),
    "sig in capitals": ("root", _signature(sig="AB" * 64)),
    "sig empty": ("root", _signature(sig="")),
    "sig null": ("root", _signature(sig=None)),
    "sig a number": ("root", _signature(sig=7)),
    "sig endless": ("root", _signature(sig="a" * 100_000)),
    "sig with more": ("root", _signature(x=1)),
    "keyid of a signature null": ("root", _signature(keyid=None)),
    "keyid of a signature a list": ("root", _signature(keyid=[])),
    "keyid of a signature 1": ("root", _signature(keyid=1)),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_values_are_malformed(case: str) -> None:
    role, change = ODD[case]
    with pytest.raises(Malformed) as refusal:
        read(edited(FILES[role], change), KINDS[role])
    assert refusal.value.message.isprintable()
    assert refusal.value.message.isascii()
    assert len(refusal.value.message) < 400


@pytest.mark.parametrize("role", KINDS)
def test_good_files_are_read_back_to_their_bytes(role: str) -> None:
    metadata = read(FILES[role], KINDS[role])
    assert serialise(metadata.to_dict()) == FILES[role]
    assert guns(metadata.signed) == (GUN,)


@pytest.mark.parametrize("role", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_a_file_is_only_read_as_its_own_type(role: str, other: str) -> None:
    if role != other:
        with pytest.raises(Malformed, match=f"is of type {role}"):
            read(FILES[role], KINDS[other])


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "a newline at the end": lambda data: data + b"\n",
    "a space": lambda data: data.replace(b":", b": ", 1),
    "indented": lambda data: json.dumps(json.loads(data), indent=1).encode(),
    "members in another order": lambda data: json.dumps(
        dict(reversed(json.loads(data).items())), separators=(",", ":")
    ).encode(),
    "an escape that isn't needed": lambda data: data.replace(b'"signed"', b'"\\u0073igned"'),
    "an escaped slash": lambda data: data.replace(b"/team", b"\\/team"),
    "an escape in capitals": lambda data: data.replace(b'"signed":{', b'"signed":{"\\u00E9":1,'),
    "a member twice": lambda data: data.replace(b'"signed":{', b'"signed":{"version":1,', 1),
    "minus zero": lambda data: data.replace(b'"version":', b'"version":-0,"x":', 1),
    "UTF-16": lambda data: data.decode().encode("utf-16-le"),
    "half of it": lambda data: data[: len(data) // 2],
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("role", KINDS)
@pytest.mark.parametrize("case", SPELLINGS)
def test_other_spellings_are_malformed(role: str, case: str) -> None:
    with pytest.raises(Malformed):
        read(SPELLINGS[case](FILES[role]), KINDS[role])


@pytest.mark.parametrize("role", KINDS)
def test_one_byte_too_many_is_too_large(role: str) -> None:
    with pytest.raises(TooLarge):
        read(b" " * (MAX_BYTES[role] + 1), KINDS[role])


def _safely(data: bytes, kind: type[Any]) -> Metadata[Any] | None:
    try:
        metadata: Metadata[Any] = read(data, kind)
    except (Malformed, TooLarge):
        return None
    assert serialise(metadata.to_dict()) == data
    _check_plain(metadata.signed)
    return metadata


def _check_plain(signed: Signed) -> None:
    assert type(signed.version) is int
    payload(signed)
    for step in (guns, issued):
        try:
            step(signed)  # type: ignore[operator]
        except Malformed:
            continue


_ROLE = st.sampled_from(sorted(KINDS))


@given(_ROLE, st.data())
def test_changed_bytes_never_surprise(role: str, data: st.DataObject) -> None:
    good = FILES[role]
    at = data.draw(st.integers(0, len(good)))
    length = data.draw(st.integers(0, 8))
    patch = data.draw(
        st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"]", b"null", b"true", b"-1", b"\\u0000"])
    )
    _safely(good[:at] + patch + good[at + length :], KINDS[role])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += _paths(value[key], (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _paths(inner, (*path, index))
    return found


_ODD_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**31) | st.sampled_from(["", "1", "root", "a" * 64, "\x00", "\x1b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["public", "x", "a"]), inner),
    max_leaves=4,
)


@given(_ROLE, st.data())
def test_changed_values_never_surprise(role: str, data: st.DataObject) -> None:
    value = json.loads(FILES[role])
    path = data.draw(st.sampled_from(_paths(value)))
    replacement = data.draw(_ODD_VALUE)
    _safely(edited(FILES[role], _at(*path, to=replacement)), KINDS[role])
    if isinstance(path[-1], str):
        _safely(edited(FILES[role], lambda v: _remove(v, path)), KINDS[role])


def _remove(value: Any, path: tuple[Any, ...]) -> None:
    for key in path[:-1]:
        value = value[key]
    del value[path[-1]]


@pytest.mark.parametrize(
    "named",
    [None, [], str(GUN), [str(GUN)] * 3, [1], [None], [[]], [{}], [True], ["app"], [str(GUN) + "\n"], {}, [""]],
    ids=repr,
)
def test_a_collection_that_is_not_named_properly(named: Any) -> None:
    metadata = read(edited(FILES["targets"], _at("signed", GUNS, to=named)), Targets)
    with pytest.raises(Malformed):
        guns(metadata.signed)


@pytest.mark.parametrize(
    "text", [1, True, [], {}, "", "now", "2026-11-25", "2026-11-25T12:00:00+00:00", "2026-1-1T0:0:0Z"]
)
def test_an_issue_time_that_is_none(text: Any) -> None:
    metadata = read(edited(FILES["timestamp"], _at("signed", ISSUED, to=text)), Timestamp)
    with pytest.raises(Malformed):
        issued(metadata.signed)


def test_times_round_trip_and_absent_ones_are_none() -> None:
    assert read_time(write_time(NOW), "x") == NOW
    bare = read(edited(FILES["timestamp"], lambda value: value["signed"].pop(ISSUED)), Timestamp)
    assert issued(bare.signed) is None
    assert issued(read(FILES["timestamp"], Timestamp).signed) == NOW
    snapshot = read(FILES["snapshot"], Snapshot).signed
    assert meta_version(snapshot.meta, "targets") == 2
    assert meta_version(snapshot.meta, "alice") is None


def test_refusals_are_trustkit_errors() -> None:
    with pytest.raises(TrustkitError):
        read(b"{}", Root)


_TEXT = st.text(st.sampled_from('aé:1.5e,[{"\\\n\x7f\u2028'), max_size=9)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(_JSON)
def test_the_quick_way_to_the_covered_bytes_gives_those_of_the_library(value: object) -> None:
    signed = Targets(version=1, unrecognized_fields={"x": value})
    try:
        expected = CanonicalJSONSerializer().serialize(signed)
    except SerializationError:
        with pytest.raises(Malformed):
            payload(signed)
    else:
        assert payload(signed) == expected


@pytest.mark.parametrize("role", KINDS)
def test_what_signatures_cover_is_taken_from_the_bytes(role: str) -> None:
    metadata = read(FILES[role], KINDS[role])
    assert covered(metadata, FILES[role]) == metadata.signed_bytes
    assert covered(metadata, FILES[role]) in FILES[role]


@given(_TEXT, st.integers(0, 3))
def test_what_signatures_cover_is_what_the_library_says_whatever_escapes_and_however_many_sign(
    text: str, signers: int
) -> None:
    entry = TargetFile(1, {"sha256": "00"}, f"v{text}", unrecognized_fields={"custom": {text: [text, 1, None, True]}})
    targets = first_targets(GUN, now=NOW, life=LIFE.default["targets"])
    targets.targets[entry.path] = entry
    data = sign(targets, PUBLISHER.signed(*(PUBLISHER.root, PUBLISHER.repository, PUBLISHER.snapshot)[:signers]))
    metadata = read(data, Targets)
    assert covered(metadata, data) == metadata.signed_bytes


def test_what_signatures_cover_is_made_anew_where_the_bytes_are_others() -> None:
    metadata = read(FILES["targets"], Targets)
    assert covered(metadata, FILES["root"]) == metadata.signed_bytes
