"""JSON members stand twice, or bytes otherwise say more than a verifier that serialises again sees (TRUST 3.2).

No key is needed for most of this: whoever passes a rightly signed file on respells it, and its signatures still fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata
from tuf.api.serialization import SerializationError

from tests.attacks.collection import ROLES
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import manifest

Respell = Callable[[bytes], bytes]


def _first(old: bytes, new: bytes) -> Respell:
    """Replaces the first place; it has to be there."""

    def respell(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return respell


def _backwards(data: bytes) -> bytes:
    value = json.loads(data)
    return json.dumps({name: value[name] for name in sorted(value, reverse=True)}, separators=(",", ":")).encode()


def _of_the_role(kind: str) -> Respell:
    return lambda data: re.sub(rb'"_type":"([a-z]+)"', kind.encode(), data, count=1)


def _versions_value(new: bytes) -> Respell:
    """Writes a file's version otherwise; ``\\1`` is the digits that are there."""

    def respell(data: bytes) -> bytes:
        done, count = re.subn(rb'(?<="version":)(\d+)(?=,"x-trustkit-)', new, data)
        assert count == 1
        return done

    return respell


DUPLICATES: dict[str, Respell] = {
    "signed, first empty": _first(b'"signed":{', b'"signed":{},"signed":{'),
    "signed, first of another version": lambda data: data.replace(
        b'"signed":{',
        b'"signed":' + re.sub(rb'"version":\d+', b'"version":77', _signed_part(data)) + b',"signed":{',
        1,
    ),
    "signatures": _first(b'{"signatures":[', b'{"signatures":[],"signatures":['),
    "version": _first(b'"signed":{', b'"signed":{"version":77,'),
    "the same version": _versions_value(rb'\1,"version":\1'),
    "_type": _of_the_role(r'"_type":"other","_type":"\1"'),
    "_type, escaped": _of_the_role(r'"\\u005ftype":"other","_type":"\1"'),
    "the collection's name": _first(b'"x-trustkit-guns":', b'"x-trustkit-guns":["a.example/b"],"x-trustkit-guns":'),
    "keyid of a signature": _first(b'"keyid":"', b'"keyid":"' + b"0" * 64 + b'","keyid":"'),
}


def _signed_part(data: bytes) -> bytes:
    return data[data.index(b'"signed":') + len(b'"signed":') : -1]


SPELLINGS: dict[str, Respell] = {
    "a space": _first(b":", b": "),
    "a newline at the end": lambda data: data + b"\n",
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "members in another order": _backwards,
    "indented": lambda data: json.dumps(json.loads(data), indent=1, sort_keys=True).encode(),
    "an escape that needn't be": lambda data: re.sub(
        rb'"_type":"(.)', lambda found: b'"_type":"\\u%04x' % found[1][0], data, count=1
    ),
    "an escaped slash": lambda data: re.sub(rb'(x-trustkit-guns":\["[^/"]+)/', rb"\1\/", data, count=1),
    "an exponent": _versions_value(rb"\1e0"),
    "a float": _versions_value(rb"\1.0"),
    "a unary plus": _versions_value(rb"+\1"),
    "a number as text": _versions_value(rb'"\1"'),
    "a comment": lambda data: data + b"/**/",
    "a second object": lambda data: data + b"{}",
    "a trailing comma": lambda data: data[:-1] + b",}",
    "NaN": _versions_value(rb"NaN"),
    "an unknown member": _first(b'{"signatures"', b'{"comment":"","signatures"'),
    "upper-case hex": lambda data: re.sub(
        rb'"sig":"([0-9a-f]+)"', lambda m: m[0].upper().replace(b"SIG", b"sig"), data
    ),
}


ALL = {**{f"twice: {name}": how for name, how in DUPLICATES.items()}, **SPELLINGS}
UNREADABLE = {
    "a byte order mark",
    "UTF-16",
    "an exponent",
    "a float",
    "a unary plus",
    "a number as text",
    "a comment",
    "a second object",
    "a trailing comma",
    "NaN",
}
"""What python-tuf alone doesn't read, or doesn't find rightly signed."""


@pytest.mark.parametrize("case", ALL)
def test_what_python_tuf_alone_believes(stage: Stage, case: str) -> None:
    """Why the check is ours: what it verifies is what it would have written, not what was received."""
    root = stage.honest.current("root")
    for role in ROLES:
        respelt = ALL[case](stage.honest.files[role])
        assert respelt != stage.honest.files[role]
        try:
            metadata = Metadata.from_bytes(respelt)
            root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
            believed = True
        except (RepositoryError, SerializationError):
            believed = False
        assert believed == (case not in UNREADABLE), role


def _refuses(stage: Stage, role: str, respell: Respell) -> None:
    stage.honest.release("v1", manifest("new"))
    stage.honest.rotate(lambda root: None)
    stage.server.lies[stage.honest.name(role)] = respell(stage.honest.files[role])
    stage.refuses(4, "garbage")
    stage.recovers()


@pytest.mark.parametrize("case", DUPLICATES)
@pytest.mark.parametrize("role", ROLES)
def test_a_member_that_stands_twice(stage: Stage, cache: str, role: str, case: str) -> None:
    stage.meet(cache)
    _refuses(stage, role, DUPLICATES[case])


@pytest.mark.parametrize("case", SPELLINGS)
@pytest.mark.parametrize("role", ROLES)
def test_another_spelling(stage: Stage, role: str, case: str) -> None:
    stage.meet("warm")
    _refuses(stage, role, SPELLINGS[case])


@pytest.mark.parametrize("case", ALL)
def test_a_first_root_that_says_more_than_a_verifier_sees(stage: Stage, case: str) -> None:
    data = ALL[case](stage.honest.files["root"])
    file = stage.folder / "respelt.json"
    file.write_bytes(data)
    pinned = stage.victim("pin", "add", str(stage.gun), "--root", str(file), "--replace")
    assert (pinned.status, pinned.slug, pinned.out) == (2, "usage", "")
    stage.server.lies["1.root.json"] = data
    stage.refuses(4, "garbage")
    stage.recovers()


@pytest.mark.parametrize("case", ALL)
@pytest.mark.parametrize("role", ["root", "targets"])
def test_the_service_takes_one_spelling_only(insider: MakeInsider, role: str, case: str) -> None:
    who = insider()
    who.found("v1")
    good = who.change_root(lambda root: None) if role == "root" else who.release("v1", "new")
    who.refused({role: ALL[case](good[role])}, 400, "malformed")
    who.taken(good)


TARGET_TWICE: dict[str, Respell] = {
    "a tag, the stranger's first": lambda data: data.replace(
        b'"targets":{"v1":',
        b'"targets":{"v1":' + _entry(data).replace(b'"sha256":"', b'"sha256":"0', 1) + b',"v1":',
        1,
    ),
    "a tag, escaped": lambda data: data.replace(
        b'"targets":{', b'"targets":{"\\u0076\\u0031":' + _entry(data) + b",", 1
    ),
    "a digest": _first(b'"sha256":"', b'"sha256":"' + b"e" * 64 + b'","sha256":"'),
    "a length": _first(b'"length":', b'"length":1,"length":'),
    "a media type": _first(b'"media_type":', b'"media_type":"a/b","media_type":'),
    "superseded": _first(b'"superseded":', b'"superseded":[],"superseded":'),
    "a float length": lambda data: re.sub(rb'"length":(\d+)', rb'"length":\1.0', data, count=1),
}


def _entry(data: bytes) -> bytes:
    """The bytes of v1's entry."""
    return json.dumps(json.loads(data)["signed"]["targets"]["v1"], sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("case", TARGET_TWICE)
def test_a_tag_or_what_it_is_signed_for_stands_twice(stage: Stage, cache: str, case: str) -> None:
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    stage.server.lies["2.targets.json"] = TARGET_TWICE[case](stage.honest.files["targets"])
    stage.refuses(4, "garbage")
    stage.recovers()


@pytest.mark.parametrize("case", TARGET_TWICE)
def test_the_service_takes_no_tag_twice(insider: MakeInsider, case: str) -> None:
    who = insider()
    who.found("v1")
    good = who.release("v1", "new")
    who.refused({"targets": TARGET_TWICE[case](good["targets"])}, 400, "malformed")
    who.taken(good)


def test_a_tag_that_stands_twice_may_be_read_either_way(stage: Stage) -> None:
    """One reader takes the last, another the first: a file must not leave it to them."""
    data = TARGET_TWICE["a digest"](stage.honest.files["targets"])
    last = json.loads(data)["signed"]["targets"]["v1"]["hashes"]["sha256"]
    first = json.loads(data, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert last != first["signed"]["targets"]["v1"]["hashes"]["sha256"] == "e" * 64
