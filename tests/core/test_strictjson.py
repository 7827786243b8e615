"""Strict JSON: one text, one meaning, and no text that takes more than linear time."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trustkit.core.strictjson import MAX_DEPTH, check_depth, parse, serialise
from trustkit.errors import Malformed, TooLarge, TrustkitError

REFUSED: dict[str, tuple[bytes, type[TrustkitError]]] = {
    "nothing": (b"", Malformed),
    "an array": (b"[]", Malformed),
    "null": (b"null", Malformed),
    "a duplicate": (b'{"a":1,"a":1}', Malformed),
    "a duplicate spelt by escape": (b'{"a":1,"\\u0061":2}', Malformed),
    "a nested duplicate": (b'{"b":[{"a":1,"a":2}]}', Malformed),
    "a float": (b'{"a":1.0}', Malformed),
    "an exponent": (b'{"a":1e2}', Malformed),
    "NaN": (b'{"a":NaN}', Malformed),
    "Infinity": (b'{"a":-Infinity}', Malformed),
    "16 digits": (b'{"a":1000000000000000}', Malformed),
    "a number of a megabyte": (b'{"a":' + b"9" * 1_000_000 + b"}", Malformed),
    "a float of a megabyte": (b'{"a":0.' + b"9" * 1_000_000 + b"}", Malformed),
    "10,000 arrays": (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", TooLarge),
    "10,000 objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, TooLarge),
    "one level too many": (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", TooLarge),
    "brackets never closed": (b"[" * 10_000, TooLarge),
    "brackets never opened": (b"}" * 10_000, Malformed),
    "depth behind an escaped quote": (b'{"\\"":' + b"[" * 40 + b"]" * 40 + b"}", TooLarge),
    "depth hidden by closing first": (b"]" * 100 + b"[" * 100, Malformed),
    "a lone surrogate": (b'{"a":"\\ud800"}', Malformed),
    "a surrogate as a member": (b'{"\\uDFFF":1}', Malformed),
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', Malformed),
    "raw UTF-8": ('{"a":"é"}'.encode(), Malformed),
    "UTF-16 with a mark": ('{"a":1}'.encode("utf-16"), Malformed),
    "UTF-16 without one": ('{"a":1}'.encode("utf-16-le"), Malformed),
    "UTF-16 that hides a surrogate": ('{"a":"\\ud800"}'.encode("utf-16-be"), Malformed),
    "UTF-32": ('{"a":1}'.encode("utf-32-le"), Malformed),
    "a control character": (b'{"a":"\n"}', Malformed),
    "NUL": (b'{"a":1}\0', Malformed),
    "two objects": (b"{}{}", Malformed),
    "a comment": (b"{}//", Malformed),
    "a trailing comma": (b'{"a":1,}', Malformed),
    "single quotes": (b"{'a':1}", Malformed),
    "leading zero": (b'{"a":01}', Malformed),
    "plus sign": (b'{"a":+1}', Malformed),
    "an unterminated string": (b'{"a', Malformed),
    "an escape at the end": (b'{"a\\', Malformed),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    data, expected = REFUSED[case]
    with pytest.raises(expected):
        parse(data, max_bytes=2_000_000, what="x.json")


@pytest.mark.parametrize(
    "data",
    [b'{"' + b'\\"' * 2_000_000, b'{"' + b"\\\\" * 2_000_000, b'"' * 3_999_999, b'{"a":"' + b"a" * 4_000_000],
    ids=["escaped quotes", "backslashes", "quotes", "one long string"],
)
def test_strings_without_an_end_take_linear_time(data: bytes) -> None:
    start = time.process_time()
    with pytest.raises(Malformed):
        parse(data, max_bytes=5_000_000, what="x.json")
    assert time.process_time() - start < 5, "quadratic, this takes hours"


def test_limits_are_inclusive() -> None:
    assert parse(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", max_bytes=100, what="x")
    assert parse(b'{"a":999999999999999}', max_bytes=21, what="x") == {"a": 999_999_999_999_999}
    with pytest.raises(TooLarge):
        parse(b'{"a":999999999999999}', max_bytes=20, what="x")


def test_brackets_in_strings_are_no_depth() -> None:
    value = {"a": "[" * 100, "b\\": '"' + "{" * 100}
    assert parse(serialise(value), max_bytes=1000, what="x") == value


_TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])).filter(lambda text: "\\" not in text)
_SCALAR = st.none() | st.booleans() | st.integers(-(10**14) + 1, 10**15 - 1) | _TEXT
_VALUE = st.recursive(_SCALAR, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=20)


@given(st.dictionaries(_TEXT, _VALUE))
def test_what_is_written_is_read_back(value: dict[str, object]) -> None:
    data = serialise(value)
    assert parse(data, max_bytes=10**6, what="x") == value
    assert serialise(parse(data, max_bytes=10**6, what="x")) == data


@given(st.binary(max_size=200) | st.text(st.sampled_from('{}[]",:\\u0d8a1-.eN \0'), max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = parse(data, max_bytes=150, what="x")
    except (Malformed, TooLarge):
        return
    assert json.loads(data) == value


def nested(data: str) -> int:
    """How deep it is nested, one character after the other."""
    depth = deepest = 0
    for character in data:
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    return deepest


BRACKETS = st.text("{}[]", max_size=40) | st.recursive(
    st.just("1"),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: f"[{','.join(found)}]")
        | inner.map(lambda found: f'{{"a":{found}}}')
    ),
    max_leaves=20,
)


@given(BRACKETS, st.integers(4, 24))
@example("[" * 32 + "]" * 32, 32)
@example("[" * 33 + "]" * 33, 32)
@example("{[" * 16 + "]}" * 16, 32)
@example("{[" * 17 + "]}" * 17, 32)
@example("]" * 5 + "[" * 5, 4)
def test_depth_is_that_of_brackets_one_after_the_other(data: str, most: int) -> None:
    if nested(data) > most:
        with pytest.raises(TooLarge):
            check_depth(data.encode(), "it", most)
    else:
        check_depth(data.encode(), "it", most)
