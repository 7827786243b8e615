"""Names: what is accepted is printed as it was written, and nothing dangerous is accepted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustkit.core.names import Digest, Gun, Host, ImageRef, PrincipalName, Repository, SignerName, Tag
from trustkit.core.patterns import GunPattern, RepositoryPattern
from trustkit.errors import InvalidName, InvalidReference

HEX = "a" * 64
KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Host,
        Gun,
        Repository,
        Tag,
        Digest,
        ImageRef,
        SignerName,
        PrincipalName,
        RepositoryPattern,
        GunPattern,
    )
}

ACCEPTED: list[tuple[str, str]] = [
    ("Host", "registry.example.com"),
    ("Host", "localhost:5080"),
    ("Host", "127.0.0.1:65535"),
    ("Host", "[::1]:5000"),
    ("Host", "[2001:db8::1]"),
    ("Host", "xn--bcher-kva.example"),
    ("Gun", "registry.example.com/a"),
    ("Gun", "localhost/a/b/c"),
    ("Gun", "r.io:443/a__b/c-d.e/f--g"),
    ("Gun", "[::1]:5000/app"),
    ("Repository", "a" * 255),
    ("Repository", "tags/list"),
    ("Tag", "_"),
    ("Tag", "V1.2-rc_3"),
    ("Tag", "a" * 128),
    ("Digest", f"sha256:{HEX}"),
    ("ImageRef", "r.io/a"),
    ("ImageRef", "r.io:5000/a:5000"),
    ("ImageRef", f"r.io/a@sha256:{HEX}"),
    ("ImageRef", f"[::1]:1/a/b:v1@sha256:{HEX}"),
    ("SignerName", "alice_2-x"),
    ("PrincipalName", "ci@example.com"),
    ("RepositoryPattern", "*"),
    ("RepositoryPattern", "team/*"),
    ("RepositoryPattern", "team/app"),
    ("GunPattern", "r.io/*"),
    ("GunPattern", "localhost:5080/team/*"),
    ("GunPattern", "[::1]:1/a"),
]

REFUSED: list[tuple[str, str]] = [
    *(("Host", text) for text in ("", ":", ":80", "a:", "a:0", "a:080", "a:65536", "a:b", "a:+1", "A.io", "a..b")),
    *(("Host", text) for text in (".a", "a.", "-a", "a-", "a_b", "a b", "a/b", "u@a", "a" * 64, "a." * 127 + "a")),
    *(
        ("Host", text)
        for text in ("::1", "[::1", "::1]", "[]", "[..]", "[.]", "[::::]", "[::1]x", "[::1]:", "[a]:1:2")
    ),
    *(("Host", text) for text in ("[0:0:0:0:0:0:0:1]", "[::0001]", "[::FFFF]", "[fe80::1%eth0]", "[::ffff:7f00:1]")),
    *(("Gun", text) for text in ("", "app", "r.io", "r.io/", "/app", "team/app", "r.io//a", "r.io/a/", "R.io/a")),
    *(("Gun", text) for text in ("r.io/A", "r.io/a/../b", "r.io/./a", "r.io/a%2fb", "r.io/a:v1", "http://r.io/a")),
    *(("Gun", text) for text in ("r.io/a\n", "r.io\n/a", "r.io/a\0", "r.io/a b", "r.io\\a", "r.io/_trust", "[..]/a")),
    *(
        ("Repository", text)
        for text in ("", "a" * 256, "a/", "/a", "a//b", "a___b", "a..b", ".a", "a.", "a._b", "-a")
    ),
    *(("Repository", text) for text in ("a-", "_a", "é", "a\u2044b", "a\n", "_layout", "a:b", "a@b", "A", "*")),
    *(("Tag", text) for text in ("", ".", "..", ".a", "-a", "a/b", "a:b", "a" * 129, "a\n", "é", "a%41", "*")),
    *(
        ("Digest", text)
        for text in ("", HEX, f"sha256:{'A' * 64}", "sha256:", f"sha512:{'a' * 128}", f"sha256:{HEX}a")
    ),
    *(("Digest", text) for text in (f"SHA256:{HEX}", f"sha256:{HEX}\n", f"sha256::{HEX}", f" sha256:{HEX}")),
    *(("ImageRef", text) for text in ("", "app", "app:v1", "r.io", "r.io:5000", "r.io/a:", "r.io/a@", "r.io/a:v1@")),
    *(("ImageRef", text) for text in (f"r.io/a@sha256:{HEX}:v1", f"r.io/a@sha256:{HEX}@sha256:{HEX}", "r.io/a:b:c")),
    *(("ImageRef", text) for text in ("r.io/A:v1", "r.io/a:v 1", "r.io/a@v1", "docker://r.io/a:v1", "r.io/a:-")),
    *(
        ("SignerName", text)
        for text in ("", "root", "targets", "snapshot", "timestamp", "releases", "a/b", "A", "-a")
    ),
    *(("SignerName", text) for text in ("a" * 65, "a.b", "a\n", "..", "_a", "targets/a")),
    *(("PrincipalName", text) for text in ("", "A", "a:b", "a b", ".a", "a\n", "a" * 129, "a/b", "é")),
    *(("RepositoryPattern", text) for text in ("", "**", "a*", "a/**", "*/a", "a/*/b", "/*", "a/*/*", "*/*", "A/*")),
    *(("RepositoryPattern", text) for text in ("a//*", "../*", "*\n", "a/*\n", "%2a")),
    *(("GunPattern", text) for text in ("*", "*/a", "r.io", "r.io/", "*.io/a", "app/*", "r.io/a*", "r.io:*/a")),
]


@pytest.mark.parametrize(("kind", "text"), ACCEPTED)
def test_accepted_and_printed_as_written(kind: str, text: str) -> None:
    parsed = KINDS[kind].parse(text)
    assert str(parsed) == text
    assert KINDS[kind].parse(str(parsed)) == parsed


@pytest.mark.parametrize(("kind", "text"), REFUSED)
def test_refused(kind: str, text: str) -> None:
    with pytest.raises(InvalidReference if kind == "ImageRef" else InvalidName) as refusal:
        KINDS[kind].parse(text)
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 400


_NAMELIKE = st.text(st.sampled_from("abzA09._-:/@[]*%\\ \0\né") | st.characters(), max_size=40)
_PIECES = st.lists(
    st.sampled_from(
        ["r.io", "localhost", "[::1]", ":", "5000", "/", "app", "a", "..", ".", "*", "@", f"sha256:{HEX}"]
    )
    | st.sampled_from(["v1", "_", "__", "-", "%2f", "//", "\n", "\0", "A"]),
    max_size=9,
).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@given(text=_NAMELIKE | _PIECES)
def test_anything_accepted_round_trips_and_is_harmless(kind: str, text: str) -> None:
    try:
        parsed = KINDS[kind].parse(text)
    except (InvalidName, InvalidReference):
        return
    assert str(parsed) == text
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set("% \\?#&'\"")
    assert "//" not in text
    if kind != "Tag" and not (kind == "ImageRef" and parsed.tag):
        assert ".." not in text or kind == "PrincipalName"
    assert not any(part in (".", "..") for part in text.split("/"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:1", True),
        ("127.0.0.1", True),
        ("127.9.9.9:80", True),
        ("[::1]:5", True),
        ("127.0.0.1.example.com", False),
        ("127.999.0.1", False),
        ("127.0.0", False),
        ("localhost.example.com", False),
        ("[::2]", False),
        ("128.0.0.1", False),
    ],
)
def test_loopback_is_what_can_be_nothing_else(host: str, expected: bool) -> None:
    assert Host.parse(host).loopback is expected


@pytest.mark.parametrize(
    ("pattern", "repository", "expected"),
    [
        ("*", "a", True),
        ("*", "a/b", True),
        ("team/*", "team/app", True),
        ("team/*", "team/a/b", True),
        ("team/*", "team", False),
        ("team/*", "team2/app", False),
        ("team/*", "teamx", False),
        ("team/*", "my/team/app", False),
        ("team", "team", True),
        ("team", "team/app", False),
        ("team", "teams", False),
        ("a.b/*", "axb/c", False),
    ],
)
def test_patterns_stop_at_slashes(pattern: str, repository: str, expected: bool) -> None:
    assert RepositoryPattern.parse(pattern).matches(Repository.parse(repository)) is expected
    gun = Gun.parse(f"r.io:5/{repository}")
    assert GunPattern.parse(f"r.io:5/{pattern}").matches(gun) is expected
    assert not GunPattern.parse(f"r.io/{pattern}").matches(gun), "another port is another host"
    assert not GunPattern.parse(f"sub.r.io:5/{pattern}").matches(gun)


_PARTS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map("/".join)


@given(_PARTS, st.sets(_PARTS.flatmap(lambda p: st.sampled_from([p, f"{p}/*", "*"])), min_size=1))
def test_specificity_is_a_total_order_on_what_matches(path: str, texts: set[str]) -> None:
    gun = Gun.parse(f"r.io/{path}")
    patterns = [GunPattern.parse(f"r.io/{text}") for text in texts]
    matching = [pattern for pattern in patterns if pattern.matches(gun)]
    ranks = [pattern.specificity for pattern in matching]
    assert len(set(ranks)) == len(ranks)
    if any(pattern.exact for pattern in matching):
        assert max(matching, key=lambda pattern: pattern.specificity).exact


def test_a_reference_that_needs_a_tag_says_so() -> None:
    assert ImageRef.parse("r.io/a:v1").required_tag == Tag("v1")
    with pytest.raises(InvalidReference, match="names no tag"):
        _ = ImageRef.parse("r.io/a").required_tag
