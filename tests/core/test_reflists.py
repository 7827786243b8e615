"""Lists of references and builds' metadata: what they mean, and each way in which they are wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustkit.core.reflists import MAX_LIST, MAX_METADATA, MAX_REFS, RefList, read_list, read_metadata

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
APP = "r.example.com/app"


def said(found: RefList) -> list[str]:
    return [error.message for error in found.wrong]


LISTS = {
    "one": (f"{APP}:1", [f"{APP}:1"]),
    "no newline at the end": (f"{APP}:1\n{APP}:2", [f"{APP}:1", f"{APP}:2"]),
    "comments and empty lines": (f"# all\n\n  # of it\n{APP}:1  # stable\n \t\n", [f"{APP}:1"]),
    "spaces around": (f"  {APP}:1\t\n", [f"{APP}:1"]),
    "windows": (f"\ufeff{APP}:1\r\n{APP}:2\r\n", [f"{APP}:1", f"{APP}:2"]),
    "a digest": (f"{APP}:1@{A}", [f"{APP}:1@{A}"]),
    "two tags of a digest": (f"{APP}:1@{A}\n{APP}:2@{A}", [f"{APP}:1@{A}", f"{APP}:2@{A}"]),
    "the same line twice": (f"{APP}:1\n{APP}:1", [f"{APP}:1", f"{APP}:1"]),
    "with a digest and without": (f"{APP}:1@{A}\n{APP}:1", [f"{APP}:1@{A}", f"{APP}:1"]),
    "the same tag elsewhere with another digest": (
        f"{APP}:1@{A}\n{APP}/b:1@{B}\no.example.com/app:1@{B}",
        [f"{APP}:1@{A}", f"{APP}/b:1@{B}", f"o.example.com/app:1@{B}"],
    ),
    "tags that differ by case": (f"{APP}:v1@{A}\n{APP}:V1@{B}", [f"{APP}:v1@{A}", f"{APP}:V1@{B}"]),
    "a port and an address": ("[::1]:5000/a:1\n127.0.0.1:5000/a:1", ["[::1]:5000/a:1", "127.0.0.1:5000/a:1"]),
    "a comment right after the line's end": (f"{APP}:1\n#{APP}:2", [f"{APP}:1"]),
    "spaces of other scripts": (f"\u00a0{APP}:1\u2003# x", [f"{APP}:1"]),
    "a comment in any language": (f"{APP}:1  # für Größe \u202e\U0001f600", [f"{APP}:1"]),
}


@pytest.mark.parametrize(("text", "expected"), LISTS.values(), ids=LISTS.keys())
def test_a_list(text: str, expected: list[str]) -> None:
    found = read_list(text.encode(), "refs.txt")
    assert ([str(ref) for ref in found.refs], said(found)) == (expected, [])


WRONG_LISTS = {
    "no host": ("app:1", "refs.txt, line 1: 'app:1': 'app' does not name a registry."),
    "no tag": (f"\n{APP}", f"refs.txt, line 2: {APP} names no tag."),
    "digest without tag": (f"{APP}@{A}", f"refs.txt, line 1: {APP}@{A} names no tag."),
    "an empty tag": (f"{APP}:", f"refs.txt, line 1: '{APP}:' ends in ':' with no tag."),
    "two on a line": (f"{APP}:1 {APP}:2", "refs.txt, line 1: "),
    "a comment without a space": (f"{APP}:1#x", "refs.txt, line 1: "),
    "a short digest": (f"{APP}:1@sha256:aa", "refs.txt, line 1: "),
    "a control character": (f"{APP}:1\x1b[2J", "refs.txt, line 1: "),
    "a tag twice with two digests": (
        f"{APP}:1@{A}\n# x\n{APP}:1@{B}",
        f"refs.txt, line 3: {APP}:1 stands in line 1 with another digest.",
    ),
    "two digests after a line without": (
        f"{APP}:1\n{APP}:1@{A}\n{APP}:1@{B}",
        f"refs.txt, line 3: {APP}:1 stands in line 2 with another digest.",
    ),
    "lines of an old Mac": (f"{APP}:1\r{APP}:2\r", "refs.txt, line 1: "),
    "a mark of byte order in the middle": (f"{APP}:1\n\ufeff{APP}:2", "refs.txt, line 2: "),
    "a zero byte": (f"{APP}:1\0", "refs.txt, line 1: "),
    "a text direction": (f"{APP}:1\u202e", "refs.txt, line 1: "),
    "a letter that looks like another": ("r.ex\u0430mple.com/app:1", "refs.txt, line 1: "),
    "a scheme": (f"https://{APP}:1", "refs.txt, line 1: "),
    "a transport": (f"docker://{APP}:1", "refs.txt, line 1: "),
    "upper case": (f"{APP}/B:1", "refs.txt, line 1: "),
    "a way out of the repository": ("r.example.com/a/../b:1", "refs.txt, line 1: "),
    "an escape": ("r.example.com/a%2fb:1", "refs.txt, line 1: "),
    "a digest in upper case": (f"{APP}:1@{A.upper()}", "refs.txt, line 1: "),
    "two digests in one": (f"{APP}:1@{A}@{B}", "refs.txt, line 1: "),
    "a CSV": (f"{APP},1,{A}", "refs.txt, line 1: "),
    "quotes": (f'"{APP}:1"', "refs.txt, line 1: "),
    "nothing": ("", "refs.txt names nothing to sign."),
    "only a mark of byte order": ("\ufeff", "refs.txt names nothing to sign."),
    "comments only": ("# x\n", "refs.txt names nothing to sign."),
}


@pytest.mark.parametrize(("text", "expected"), WRONG_LISTS.values(), ids=WRONG_LISTS.keys())
def test_a_wrong_list_says_where(text: str, expected: str) -> None:
    (message,) = said(read_list(text.encode(), "refs.txt"))
    assert message.startswith(expected)
    assert message.isprintable()


def test_a_line_without_end_is_not_repeated_whole() -> None:
    (message,) = said(read_list(b"a" * MAX_LIST, "refs.txt"))
    assert len(message) < 400


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_list_in_utf_16_is_not_taken_for_one(encoding: str) -> None:
    """What ``>`` of an older PowerShell writes, with its mark and without."""
    found = read_list(f"{APP}:1\r\n{APP}:2\r\n".encode(encoding), "refs.txt")
    assert found.refs == []
    assert said(found)[0].startswith("refs.txt, line 1: ")
    assert ("UTF-16" in found.wrong[0].hint) is (encoding == "utf-16")


BINARY = {
    "an archive": b"PK\x03\x04\x14\x00\xff\xfe\n\x00",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xed",
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("data", BINARY.values(), ids=BINARY.keys())
def test_what_is_no_text_names_nothing(data: bytes) -> None:
    for read in (read_list, read_metadata):
        found = read(data, "file")
        assert (found.refs, len(found.wrong)) == ([], 1)
        assert all(message.isprintable() and len(message) < 400 for message in said(found))


def test_every_wrong_line_is_told() -> None:
    found = read_list(f"bad\n{APP}:1\n{APP}\n\n{APP}:2\n:\n".encode(), "stdin")
    assert [error.context["line"] for error in found.wrong] == [1, 3, 6]
    assert [str(ref) for ref in found.refs] == [f"{APP}:1", f"{APP}:2"]


def test_bytes_that_are_no_text_have_a_line_too() -> None:
    assert said(read_list(b"a.b/c:1\n\xff\xfe\n", "refs.txt")) == ["refs.txt, line 2: not UTF-8."]


@pytest.mark.parametrize(
    ("data", "bound"),
    [(b"#" * (MAX_LIST + 1), str(MAX_LIST)), (b"a.b/c:1\n" * (MAX_REFS + 1), str(MAX_REFS))],
    ids=["bytes", "references"],
)
def test_a_list_has_bounds(data: bytes, bound: str) -> None:
    found = read_list(data, "refs.txt")
    assert found.refs == []
    assert bound in said(found)[0]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_wrong(data: bytes) -> None:
    for read in (read_list, read_metadata):
        found = read(data, "f")
        assert found.refs or found.wrong
        assert all(ref.tag for ref in found.refs)


IMAGE = "application/vnd.oci.image.manifest.v1+json"
BUILD = {
    "buildx.build.provenance": {"buildType": "https://mobyproject.org/buildkit@v1", "materials": [{"uri": "x"}]},
    "buildx.build.ref": "builder/builder0/0fjb6ubs52xx3vygf6fgdl611",
    "containerimage.config.digest": B,
    "containerimage.descriptor": {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": A,
        "size": 506,
    },
    "containerimage.digest": A,
    "image.name": f"{APP}:1,{APP}:latest",
}
METADATA = {
    "a build": (BUILD, [f"{APP}:1@{A}", f"{APP}:latest@{A}"]),
    "spaces after commas": (BUILD | {"image.name": f"{APP}:1, {APP}:2"}, [f"{APP}:1@{A}", f"{APP}:2@{A}"]),
    "two registries": (
        BUILD | {"image.name": f"{APP}:1,o.example.com/b:1"},
        [f"{APP}:1@{A}", f"o.example.com/b:1@{A}"],
    ),
    "several platforms with provenance and SBOM": (
        BUILD
        | {
            "buildx.build.provenance/linux/amd64": {"builder": {"id": ""}},
            "buildx.build.provenance/linux/arm64": {"builder": {"id": ""}},
            "buildx.build.warnings": [{"vertex": A, "level": 1, "short": "eA=="}],
        },
        [f"{APP}:1@{A}", f"{APP}:latest@{A}"],
    ),
    "an older builder's": (
        {"containerimage.buildinfo": "eyJ9", "containerimage.digest": A, "image.name": f"{APP}:1"},
        [f"{APP}:1@{A}"],
    ),
    "the two that count": ({"image.name": f"{APP}:1", "containerimage.digest": A}, [f"{APP}:1@{A}"]),
    "a name with its digest": (BUILD | {"image.name": f"{APP}:1@{A}"}, [f"{APP}:1@{A}"]),
    "the same name twice": (BUILD | {"image.name": f"{APP}:1,{APP}:1"}, [f"{APP}:1@{A}", f"{APP}:1@{A}"]),
    "bake with warnings in a list": (
        {"buildx.build.warnings": [{"vertex": A}], "web": BUILD},
        [f"{APP}:1@{A}", f"{APP}:latest@{A}"],
    ),
    "one target of bake, of a name like a member's": (
        {"image-name": {"containerimage.digest": A, "image.name": f"{APP}:1"}},
        [f"{APP}:1@{A}"],
    ),
    "bake": (
        {
            "buildx.build.warnings": {"w": []},
            "db": {"containerimage.digest": B, "image.name": f"{APP}/db:1"},
            "lint": {"buildx.build.ref": "x"},
            "web": BUILD,
        },
        [f"{APP}/db:1@{B}", f"{APP}:1@{A}", f"{APP}:latest@{A}"],
    ),
}


@pytest.mark.parametrize(("value", "expected"), METADATA.values(), ids=METADATA.keys())
def test_metadata(value: object, expected: list[str]) -> None:
    found = read_metadata(json.dumps(value).encode(), "build.json")
    assert ([str(ref) for ref in found.refs], said(found)) == (expected, [])


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in BUILD.items() if key != name}


WRONG_METADATA = {
    "no digest": (without("containerimage.digest"), ["build.json: no containerimage.digest."]),
    "no name": (without("image.name"), ["build.json: no image.name."]),
    "an empty name": (BUILD | {"image.name": " "}, ["build.json: no image.name."]),
    "a name that is a list": (BUILD | {"image.name": [f"{APP}:1"]}, ["build.json: no image.name."]),
    "a comma too many": (BUILD | {"image.name": f"{APP}:1,"}, ["build.json: ''"]),
    "a name without tag": (
        BUILD | {"image.name": f"{APP}:1,{APP}"},
        [f"build.json: {APP} has no tag, and none is assumed."],
    ),
    "a short name": (BUILD | {"image.name": "app:1"}, ["build.json: 'app:1': 'app' does not name a registry."]),
    "another digest in the name": (
        BUILD | {"image.name": f"{APP}:1@{B}"},
        [f"build.json: {APP}:1@{B} names another digest than containerimage.digest."],
    ),
    "a digest of another kind": (BUILD | {"containerimage.digest": "sha512:" + "a" * 128}, ["build.json: "]),
    "a digest in upper case": (BUILD | {"containerimage.digest": A.upper()}, ["build.json: "]),
    "a digest that is a number": (BUILD | {"containerimage.digest": 1}, ["build.json: no containerimage.digest."]),
    "each target of bake": (
        {"db": {"image.name": f"{APP}:1"}, "web": {"containerimage.digest": A}, "x": 1},
        [
            "build.json, target 'db': no containerimage.digest.",
            "build.json, target 'web': no image.name.",
            "build.json, target 'x': no object.",
        ],
    ),
    "a build that made no image": (
        {"buildx.build.ref": "b/b0/x", "buildx.build.provenance": {}},
        ["build.json: no containerimage.digest."],
    ),
    "a build to a folder, with warnings": (
        {"buildx.build.ref": "b/b0/x", "buildx.build.warnings": []},
        ["build.json: no containerimage.digest."],
    ),
    "two digests": (
        BUILD | {"containerimage.descriptor": {"mediaType": IMAGE, "digest": B, "size": 506}},
        ["build.json: containerimage.digest and containerimage.descriptor name two digests."],
    ),
    "one target of bake without a name": (
        {"db": BUILD, "web": without("image.name")},
        ["build.json, target 'web': no image.name."],
    ),
    "names parted by spaces": (BUILD | {"image.name": f"{APP}:1 {APP}:2"}, ["build.json: "]),
    "a name that would move the cursor": (BUILD | {"image.name": f"{APP}:1\x1b[2J"}, ["build.json: "]),
    "half a character": (BUILD | {"image.name": f"{APP}:\ud800"}, ["build.json: "]),
    "a target of a name that would": ({"\x1b[2J": 1}, ["build.json, target '\\x1b[2J': no object."]),
    "null": ({"containerimage.digest": None, "image.name": None}, ["build.json: no containerimage.digest."]),
    "targets without images": ({"lint": {"buildx.build.ref": "x"}}, ["build.json names nothing to sign."]),
    "nothing": ({}, ["build.json names nothing to sign."]),
    "a list": ([BUILD], ["build.json is not a JSON object."]),
}


@pytest.mark.parametrize(("value", "expected"), WRONG_METADATA.values(), ids=WRONG_METADATA.keys())
def test_wrong_metadata_says_what(value: object, expected: list[str]) -> None:
    messages = said(read_metadata(json.dumps(value).encode(), "build.json"))
    assert len(messages) == len(expected)
    assert all(message.startswith(start) for message, start in zip(messages, expected, strict=True)), messages
    assert all(message.isprintable() for message in messages)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_metadata_in_any_encoding_of_json(encoding: str) -> None:
    found = read_metadata(json.dumps(BUILD, indent=2).replace("\n", "\r\n").encode(encoding), "build.json")
    assert len(found.refs) == 2


def test_bakes_targets_of_one_name_are_both_there_for_whoever_resolves_them() -> None:
    """The digests differ, which the resolver refuses, with all other references at hand."""
    builds = {"amd": BUILD, "arm": BUILD | {"containerimage.digest": B, "containerimage.descriptor": {"digest": B}}}
    assert len({ref.digest for ref in read_metadata(json.dumps(builds).encode(), "build.json").refs}) == 2


TEXTS = {
    "no JSON": b"digest: x",
    "a member twice": f'{{"containerimage.digest":"{A}","image.name":"{APP}:1","image.name":"{APP}:2"}}'.encode(),
    "nested without end": b"[" * 100_000,
    "objects without end": b'{"a":' * 100_000,
    "a number without end": b'{"a":' + b"1" * 10_000 + b"}",
    "a second value": b"{} {}",
    "not a number": b'{"containerimage.digest": NaN,',
    "not UTF-8": b'{"image.name":"\xff"}',
    "too long": b" " * (MAX_METADATA + 1),
}


@pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS.keys())
def test_text_that_is_no_metadata(data: bytes) -> None:
    found = read_metadata(data, "build.json")
    assert found.refs == []
    assert len(found.wrong) == 1


def test_a_name_without_tag_is_told_how_to_sign_it_by_hand() -> None:
    (error,) = read_metadata(json.dumps(BUILD | {"image.name": APP}).encode(), "build.json").wrong
    assert f"trustkit sign {APP}:TAG@{A}" in error.hint


def test_a_digest_without_names_is_told_how_to_sign_it_by_hand() -> None:
    """What docker buildx writes of a build on several nodes, whose results it merges itself."""
    (error,) = read_metadata(json.dumps({"containerimage.digest": A}).encode(), "build.json").wrong
    assert error.message == "build.json: no image.name."
    assert error.hint.endswith(f"trustkit sign NAME:TAG@{A}")
