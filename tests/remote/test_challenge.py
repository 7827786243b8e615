"""``WWW-Authenticate``: what RFC 9110 allows is read, what it doesn't leads to less and never to an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustkit.remote.challenge import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://r/t",service="r",scope="a:b:pull,push"', [("bearer", "https://r/t")]),
        ("BEARER Realm=x", [("bearer", "x")]),
        ('Bearer realm = "x" , service = "y"', [("bearer", "x")]),
        ('Basic realm="a", Bearer realm="b"', [("basic", "a"), ("bearer", "b")]),
        ('Negotiate, Bearer realm="b"', [("negotiate", None), ("bearer", "b")]),
        ('Negotiate abc123==, Bearer realm="b"', [("negotiate", None), ("bearer", "b")]),
        (r'Bearer realm="a\"b, Basic realm=\"c"', [("bearer", 'a"b, Basic realm="c')]),
        ('Bearer realm="a",realm="b"', [("bearer", None)]),
        ('Bearer realm="unclosed', [("bearer", None)]),
        ("Basic", [("basic", None)]),
        ("", []),
        (",,,", []),
        ("\x00\xff", []),
    ],
)
def test_headers(header: str, expected: list[tuple[str, str | None]]) -> None:
    found = parse_challenges([header])
    assert [(c.scheme, c.parameters.get("realm")) for c in found] == expected


WORD = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
CHALLENGE = st.builds(Challenge, WORD, st.dictionaries(WORD, VALUE, min_size=1, max_size=4))


def written(challenge: Challenge) -> str:
    quoted = {n: v.replace("\\", "\\\\").replace('"', '\\"') for n, v in challenge.parameters.items()}
    return f"{challenge.scheme} " + ", ".join(f'{name}="{value}"' for name, value in quoted.items())


@given(st.lists(CHALLENGE, max_size=4), st.booleans())
def test_what_is_written_is_read(challenges: list[Challenge], one_header: bool) -> None:
    texts = [written(challenge) for challenge in challenges]
    assert parse_challenges([", ".join(texts)] if one_header else texts) == challenges


@given(st.lists(st.text(max_size=200), max_size=3))
def test_nothing_is_an_error(values: list[str]) -> None:
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower()


def test_a_hostile_header_is_read_in_little_time() -> None:
    parse_challenges(['Bearer realm="' + "\\" * 200_000, "a=" * 100_000, "a," * 100_000])
