"""Format docker under arbitrary input: one spelling, round trips, and no error but ours."""

from __future__ import annotations

import contextlib
import json
import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from tests.formats_docker.forge import GUN, NOW, Forge, ecdsa, eddsa, role_of, rsa_pss, tags
from trustkit.core.formats.docker import files as docker_files
from trustkit.core.formats.docker.canonical import (
    LARGEST,
    SMALLEST,
    canonical,
    escaped,
    from_base64,
    parse,
    unescaped,
)
from trustkit.core.formats.docker.evaluate import evaluate, missing
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.docker.payloads_in import TagFile
from trustkit.core.formats.docker.times import EXPIRES, expires_text, read_time, write_time
from trustkit.core.formats.docker.values import NULL
from trustkit.errors import KeyUnsupported, Malformed, NotTrusted, Rejected, TrustkitError

KINDS = [Root, Targets, Snapshot, Timestamp]


def reference(value: Any) -> str:
    """Canonical JSON by the rules themselves, character by character."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(reference, value)) + "]"
    ordered = sorted(value, key=lambda member: member.encode("utf-8"))
    return "{" + ",".join(f"{reference(member)}:{reference(value[member])}" for member in ordered) + "}"


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ['"', "\\", "\\u003c", "<&>", "\u2028\u2029", "\\\\u0026", "\U0001f600\ufffd"]
)
CUSTOM = st.recursive(
    st.none() | st.booleans() | st.integers(SMALLEST, LARGEST) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
KEPT = CUSTOM.filter(lambda value: not re.search("[<>&\u2028\u2029]", json.dumps(value, ensure_ascii=False)))
NAMES = TEXT.filter(lambda name: name and not re.search(r"[\x00-\x1f\x7f-\x9f\\]|(^|/)(\.|\.\.|)(/|$)", name))
DIGESTS = st.binary(min_size=32, max_size=32)
ENTRIES = st.tuples(DIGESTS, st.integers(0, 10**15 - 1), st.none() | KEPT)
FIRST, LAST = datetime.fromisoformat("0002-01-01"), datetime.fromisoformat("9998-01-01")


@given(CUSTOM)
@example({"b": 1, "a": 2, "é": 3, "\U0001f600": 4, "\uffff": 5})
def test_canonical_json_is_what_the_rules_say(value):
    written = canonical(value, "it")
    assert written == reference(value).encode("utf-8")
    assert unescaped(escaped(written)) == written
    assert json.loads(escaped(written)) == value
    assert not re.search(rb"[<>&]|\xe2\x80[\xa8\xa9]", escaped(written))


@given(st.text(max_size=20))
@example("\n")
@example("\\n")
@example("\\\n")
@example("\ud800")
def test_a_text_that_has_no_canonical_form_is_refused(text):
    try:
        assert json.loads(canonical(text, "it")) == text
    except Malformed:
        assert re.search("[\x00-\x1f\ud800-\udfff]", text)


@given(st.binary(max_size=60), st.sampled_from(KINDS))
def test_bytes_are_refused_by_our_errors(data, kind):
    with pytest.raises(Rejected):
        docker_files.read(data, kind)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(
    [
        ("signed",), ("signatures",), ("signatures", 0), ("signatures", 0, "sig"), ("signatures", 0, "keyid"),
        ("signed", "expires"), ("signed", "version"), ("signed", "_type"), ("signed", "keys"), ("signed", "roles"),
        ("signed", "roles", "root"), ("signed", "roles", "root", "keyids"), ("signed", "targets"),
        ("signed", "targets", "v1"), ("signed", "targets", "v1", "hashes"), ("signed", "targets", "v1", "length"),
        ("signed", "delegations"), ("signed", "delegations", "roles"), ("signed", "delegations", "roles", 0),
        ("signed", "delegations", "roles", 0, "paths"), ("signed", "delegations", "roles", 0, "name"),
        ("signed", "meta"), ("signed", "meta", "root"), ("signed", "meta", "snapshot"), ("signed", "more"),
    ]
)  # fmt: skip


def collection() -> Forge:
    made = Forge()
    releases, alice = rsa_pss(), eddsa()
    made.delegate(role_of("targets/releases", releases[0]), tags("v1", "v2"), releases)
    made.delegate(role_of("targets/alice", alice[0], paths=["v"]), tags("v2"), alice)
    return made


FILES = collection().files()


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for part in path[:-1]:
        value = value[part]
    value[path[-1]] = new


@given(st.sampled_from(sorted(FILES)), PATHS, JSON)
def test_any_value_anywhere_is_refused_or_written_as_it_was(role, path, new):
    value = json.loads(FILES[role])
    try:
        put(value, path, new)
        signed = canonical(value["signed"], "it")
    except (KeyError, IndexError, TypeError, Malformed):
        return
    tail = json.dumps(value["signatures"], separators=(",", ":"), ensure_ascii=False)
    try:
        data = b'{"signed":' + escaped(signed) + b',"signatures":' + tail.encode() + b"}"
    except UnicodeEncodeError:
        return
    try:
        metadata = docker_files.read(data, docker_files.role_kind(role))
    except Rejected:
        pass
    else:
        assert docker_files.write(metadata) == data
        assert docker_files.covered(metadata, data) == signed == docker_files.payload(metadata.signed)
    for files in ({**FILES, role: data}, {role: data}):
        if data == FILES[role]:
            continue
        with pytest.raises(NotTrusted):
            evaluate(files, GUN, NOW)
        with contextlib.suppress(TrustkitError):
            missing(files)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 10_000), st.integers(0, 255))
def test_any_byte_anywhere_is_refused(role, position, byte):
    data = bytearray(FILES[role])
    data[position % len(data)] = byte
    if bytes(data) != FILES[role]:
        with pytest.raises(NotTrusted):
            evaluate({**FILES, role: bytes(data)}, GUN, NOW)


@given(st.dictionaries(NAMES, ENTRIES, max_size=5))
def test_targets_are_written_and_read_again(entries):
    made = Forge()
    pair = made.signers["targets"][0]
    targets = made.targets(
        {name: docker_target(name, digest, length, custom) for name, (digest, length, custom) in entries.items()}
    )
    data = docker_files.sign(targets, [pair])
    again = docker_files.read(data, Targets)
    assert {path: entry.to_dict() for path, entry in again.signed.targets.items()} == {
        path: entry.to_dict() for path, entry in targets.targets.items()
    }
    assert docker_files.write(again) == data


def docker_target(name, digest, length, custom):
    entry = tags(name, digest=digest.hex(), length=length)[name]
    if custom is not None:
        entry.unrecognized_fields["custom"] = custom
    return entry


@given(
    st.datetimes(FIRST, LAST),
    st.integers(0, 999_999_999),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_expiries_are_kept_as_go_writes_them(moment, nanoseconds, offset):
    zone = timezone(timedelta(minutes=offset))
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    sign, minutes = ("-" if offset < 0 else "+"), abs(offset)
    text = f"{moment:%Y}".zfill(4) + f"{moment:-%m-%dT%H:%M:%S}{fraction}"
    text += f"{sign}{minutes // 60:02}:{minutes % 60:02}" if offset else "Z"
    read = read_time(text, "it")
    assert read == moment.replace(microsecond=0, tzinfo=zone).astimezone(UTC)
    timestamp = docker_files.read(FILES["timestamp"], Timestamp).signed
    timestamp.expires, timestamp.unrecognized_fields[EXPIRES] = read, text
    assert expires_text(timestamp) == text
    timestamp.expires = read + timedelta(days=1)
    assert expires_text(timestamp) == write_time(read + timedelta(days=1))


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-01T00:00:00", "2030-01-01T00:00:00+00:00", "2030-01-01T00:00:00-00:00", "2030-01-01T00:00:00.Z",
        "2030-01-01T00:00:00.50Z", "2030-01-01T00:00:00.1234567891Z", "2030-01-01T24:00:00Z", "2030-02-29T00:00:00Z",
        "2030-01-01T00:00:60Z", "2030-01-01 00:00:00Z", "2030-01-01t00:00:00z", "2030-01-01T00:00:00+24:00",
        "2030-01-01T00:00:00+01:60", "2030-01-01T00:00:00Z\n", "٢030-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00Z", "", None, 5, True, [], "2030-01-01T00:00:00,5Z",
    ],
)  # fmt: skip
def test_a_time_of_another_spelling_is_refused(text):
    with pytest.raises(Malformed):
        read_time(text, "it")


@given(st.text(max_size=12) | st.binary(max_size=40).map(lambda data: data.hex()))
@example("YQ=")
@example("YR==")
@example("YQ==\n")
@example("YQ\n==")
@example("_-8=")
def test_base64_has_one_spelling(text):
    try:
        data = from_base64(text, "it", longest=30)
    except Malformed:
        return
    assert docker_files.base64_text(data) == text


@given(st.sampled_from(["ecdsa", "ecdsa-x509", "rsa", "rsa-x509", "ed25519", "dsa"]), st.binary(max_size=100))
def test_any_public_value_is_a_key_or_refused(keytype, public):
    try:
        key = DockerKey(keytype, public)
    except KeyUnsupported:
        return
    assert keytype == "ed25519"
    assert DockerKey.from_dict(key.keyid, key.to_dict()) == key


def test_empty_lists_are_null_where_they_were():
    made = Forge()
    data = docker_files.sign(made.roles["targets"], [ecdsa()])
    text = docker_files.read(data, Targets)
    text.signed.targets = {}
    text.signed.unrecognized_fields[NULL] = ["targets"]
    text.signed.delegations.unrecognized_fields[NULL] = ["keys", "roles"]
    signed = json.loads(docker_files.payload(text.signed))
    assert (signed["targets"], signed["delegations"]) == (None, {"keys": None, "roles": None})
    again = docker_files.read(docker_files.write(Metadata(text.signed, text.signatures)), Targets)
    assert again.signed.targets == {}
    assert again.signed.delegations == text.signed.delegations
    again.signed.targets = tags("v1")
    assert json.loads(docker_files.payload(again.signed))["targets"]["v1"]["length"] == 500


@given(st.binary(max_size=30))
def test_parsing_takes_one_object(data):
    try:
        value = parse(data, max_bytes=20, what="it")
    except Rejected:
        return
    assert isinstance(value, dict)


def test_a_tag_is_a_target_file_of_python_tuf_in_every_way() -> None:
    made = TagFile(500, "ab" * 32, "v1")
    usual = TargetFile(500, {"sha256": "ab" * 32}, "v1")
    assert isinstance(made, TargetFile)
    assert vars(made) == vars(usual)
    assert made == usual == deepcopy(made)
    assert made.to_dict() == usual.to_dict()
    assert TagFile(0, "ab" * 32, "v1").to_dict() == TargetFile(0, {"sha256": "ab" * 32}, "v1").to_dict()
    assert made.unrecognized_fields is not TagFile(500, "ab" * 32, "v1").unrecognized_fields
