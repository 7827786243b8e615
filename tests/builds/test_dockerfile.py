"""Dockerfiles: which images they name, what is none, and what is refused with its line."""

from __future__ import annotations

import pytest

from tests.builds.reads import pin, reading, refs, short
from trustkit.builds.read import FileKind
from trustkit.errors import BuildFileInvalid, CannotPin

HUB = "docker.io/library"
D = FileKind.DOCKERFILE
A = "sha256:" + "a" * 64

NAMED: list[tuple[str, str, dict[str, str], list[str]]] = [
    ("one base", "FROM alpine\n", {}, [f"{HUB}/alpine:latest"]),
    ("no line feed at the end", "FROM alpine:3", {}, [f"{HUB}/alpine:3"]),
    ("platform", "FROM --platform=$BUILDPLATFORM r.io/a:1 AS x\n", {}, ["r.io/a:1"]),
    ("lower case", "from a:1 as b\nfrom b\n", {}, [f"{HUB}/a:1"]),
    ("a stage, whatever its case", "FROM a:1 AS Build\nFROM BUILD\n", {}, [f"{HUB}/a:1"]),
    ("a stage hides an image", "FROM a:1 AS alpine\nFROM alpine\n", {}, [f"{HUB}/a:1"]),
    ("an image of a stage's name comes first", "FROM b AS b\nFROM b\n", {}, [f"{HUB}/b:latest"]),
    ("a stage that comes later is none yet", "FROM b\nFROM a AS b\n", {}, [f"{HUB}/b:latest", f"{HUB}/a:latest"]),
    ("with a tag it is no stage", "FROM a AS b\nFROM b:1\n", {}, [f"{HUB}/a:latest", f"{HUB}/b:1"]),
    ("scratch", "FROM scratch\nCOPY a b\n", {}, []),
    ("ARG", "ARG V=3\nFROM a:$V\n", {}, [f"{HUB}/a:3"]),
    ("ARG in braces", "ARG V=3\nFROM a:${V}-x\n", {}, [f"{HUB}/a:3-x"]),
    ("ARG without default, given", "ARG V\nFROM a:${V}\n", {"V": "9"}, [f"{HUB}/a:9"]),
    ("ARG with default, given", "ARG V=3\nFROM a:${V}\n", {"V": "9"}, [f"{HUB}/a:9"]),
    ("a given value that is no ARG counts for nothing", "FROM a:${V:-1}\n", {"V": "9"}, [f"{HUB}/a:1"]),
    ("a default in the word", "FROM a:${V:-1}\n", {}, [f"{HUB}/a:1"]),
    ("a default for what is set", "ARG V=2\nFROM a:${V:-1}\n", {}, [f"{HUB}/a:2"]),
    ("empty, with a colon", "ARG V=\nFROM a:${V:-1}\n", {}, [f"{HUB}/a:1"]),
    ("empty, without a colon", "ARG V=\nFROM a${V-:1}\n", {}, [f"{HUB}/a:latest"]),
    ("only if set", "ARG V=1\nFROM a${V:+:x}\n", {}, [f"{HUB}/a:x"]),
    ("only if set, and it isn't", "FROM a${V:+:x}\n", {}, [f"{HUB}/a:latest"]),
    ("needed and there", "ARG V=1\nFROM a:${V:?no}\n", {}, [f"{HUB}/a:1"]),
    ("a default of a default", "ARG A=7\nFROM a:${V:-${A}}\n", {}, [f"{HUB}/a:7"]),
    ("ARG of an ARG", "ARG V=3\nARG B=a:${V}\nFROM ${B}\n", {}, [f"{HUB}/a:3"]),
    ("several in an ARG", "ARG V=3 B=a\nFROM $B:$V\n", {}, [f"{HUB}/a:3"]),
    ("the last ARG counts", "ARG V=3\nARG V=4\nFROM a:$V\n", {}, [f"{HUB}/a:4"]),
    ("an ARG after FROM doesn't", "ARG V=3\nFROM a:$V\nARG V=4\nFROM b:$V\n", {}, [f"{HUB}/a:3", f"{HUB}/b:3"]),
    ("quotes", 'ARG V="3"\nFROM "a:$V"\n', {}, [f"{HUB}/a:3"]),
    ("single quotes keep a dollar out", "ARG V='3'\nFROM a:$V\n", {}, [f"{HUB}/a:3"]),
    ("a platform's value, given", "FROM a-${TARGETARCH}\n", {"TARGETARCH": "arm64"}, [f"{HUB}/a-arm64:latest"]),
    ("COPY from an image", "FROM scratch\nCOPY --from=r.io/a:1 x y\n", {}, ["r.io/a:1"]),
    ("COPY from a stage", "FROM a AS b\nFROM scratch\nCOPY --from=B x y\n", {}, [f"{HUB}/a:latest"]),
    ("COPY from a number", "FROM a\nFROM scratch\nCOPY --from=0 x y\n", {}, [f"{HUB}/a:latest"]),
    ("COPY after other flags", "FROM scratch\nCOPY --link --from=a:1 x y\n", {}, [f"{HUB}/a:1"]),
    ("COPY from quotes", 'FROM scratch\nCOPY --from="a:1" x y\n', {}, [f"{HUB}/a:1"]),
    (
        "RUN from an image",
        "FROM a\nRUN --mount=type=bind,from=b:1,target=/x ls\n",
        {},
        [f"{HUB}/a:latest", f"{HUB}/b:1"],
    ),
    ("RUN from two", "FROM scratch\nRUN --mount=from=a:1 --mount=from=b:1 ls\n", {}, [f"{HUB}/a:1", f"{HUB}/b:1"]),
    ("RUN from a stage", "FROM a AS b\nFROM a\nRUN --mount=from=b ls\n", {}, [f"{HUB}/a:latest"] * 2),
    ("RUN from a number is an image", "FROM scratch\nRUN --mount=from=0 ls\n", {}, [f"{HUB}/0:latest"]),
    ("RUN in quotes", 'FROM scratch\nRUN --mount=type=bind,"from=a:1" ls\n', {}, [f"{HUB}/a:1"]),
    ("RUN, FROM in upper case", "FROM scratch\nRUN --mount=type=bind,FROM=a:1 ls\n", {}, [f"{HUB}/a:1"]),
    (
        "ONBUILD knows no stages",
        "FROM a AS b\nONBUILD COPY --from=b x y\n",
        {},
        [f"{HUB}/a:latest", f"{HUB}/b:latest"],
    ),
    ("ONBUILD RUN", "FROM scratch\nONBUILD RUN --mount=from=a:1 ls\n", {}, [f"{HUB}/a:1"]),
    (
        "a heredoc's lines are none",
        "FROM a\nRUN <<E\nFROM evil\nE\nCOPY <<-'F' /x\nFROM evil\n\tF\n",
        {},
        [f"{HUB}/a:latest"],
    ),
    ("after a heredoc it goes on", "FROM a\nRUN <<E\nx\nE\nFROM b\n", {}, [f"{HUB}/a:latest", f"{HUB}/b:latest"]),
    ("a heredoc with a mount", "FROM scratch\nRUN --mount=from=a:1 <<E\nls\nE\n", {}, [f"{HUB}/a:1"]),
    ("a line that goes on", "FROM \\\n  a:1 \\\n  AS b\n", {}, [f"{HUB}/a:1"]),
    ("with a comment between", "FROM \\\n# FROM evil\n\n  a:1\n", {}, [f"{HUB}/a:1"]),
    ("a name over two lines", "FROM alp\\\nine:1\n", {}, [f"{HUB}/alpine:1"]),
    ("another escape", "# escape=`\nFROM `\n  a:1\n", {}, [f"{HUB}/a:1"]),
    ("lines of DOS", "FROM a:1 \\\r\n AS b\r\nFROM b\r\n", {}, [f"{HUB}/a:1"]),
    ("a byte order mark", "\ufeffFROM a:1\n", {}, [f"{HUB}/a:1"]),
    ("a frontend", "# syntax=docker/dockerfile:1\nFROM a:1\n", {}, ["docker.io/docker/dockerfile:1", f"{HUB}/a:1"]),
    ("a frontend with spaces", "#  Syntax = r.io/d:1 x\nFROM a:1\n", {}, ["r.io/d:1", f"{HUB}/a:1"]),
    ("a frontend after another directive", "# escape=`\n# syntax=d:1\nFROM a:1\n", {}, [f"{HUB}/d:1", f"{HUB}/a:1"]),
    ("a frontend after #!", "#!/bin/x\n# syntax=d:1\nFROM a:1\n", {}, [f"{HUB}/d:1", f"{HUB}/a:1"]),
    ("a comment is no frontend", "# x\n# syntax=d:1\nFROM a:1\n", {}, [f"{HUB}/a:1"]),
    ("a frontend by argument", "# syntax=d:1\nFROM a:1\n", {"BUILDKIT_SYNTAX": "e:1"}, [f"{HUB}/e:1", f"{HUB}/a:1"]),
    ("what no image needs may be the platform's", "ARG F=x-$TARGETARCH\nFROM a:1\n", {}, [f"{HUB}/a:1"]),
    ("empty or unset alike", "ARG V\nFROM ${V:-a}\n", {}, [f"{HUB}/a:latest"]),
    ("a setting that is said", "ARG NO_PROXY=a\nFROM $NO_PROXY\n", {"NO_PROXY": "b"}, [f"{HUB}/b:latest"]),
    ("a platform that is said", "FROM ${TARGETARCH:-a}\n", {"TARGETARCH": "b"}, [f"{HUB}/b:latest"]),
    ("a platform with an ARG of its own", "ARG TARGETARCH=b\nFROM ${TARGETARCH:-a}\n", {}, [f"{HUB}/b:latest"]),
    ("with a digest", f"FROM a:1@{A}\n", {}, [f"{HUB}/a:1@{A}"]),
    ("by digest alone", f"FROM a@{A}\n", {}, [f"{HUB}/a@{A}"]),
    ("FROM in the words of others", 'FROM a\nLABEL x="FROM evil"\nRUN echo FROM evil\n', {}, [f"{HUB}/a:latest"]),
]


@pytest.mark.parametrize(("text", "arguments", "named"), [r[1:] for r in NAMED], ids=[r[0] for r in NAMED])
def test_what_is_named(text: str, arguments: dict[str, str], named: list[str]) -> None:
    assert refs(reading(text, D, arguments)) == named


REFUSED: list[tuple[str, str, int, str]] = [
    ("empty", "", 1, "no instructions"),
    ("comments only", "# a\n", 1, "no instructions"),
    ("no FROM", "RUN ls\n", 1, "has no FROM"),
    ("an unknown word", "FROM a\n\nFORM b\n", 3, "'FORM'"),
    ("FROM of two words", "FROM a b\n", 1, "FROM IMAGE"),
    ("FROM of no word", "FROM a\nFROM\n", 2, "FROM IMAGE"),
    ("FROM IMAGE IS", "FROM a is b\n", 1, "FROM IMAGE"),
    ("a stage's name", "FROM a AS 1b\n", 1, "name of a stage"),
    ("a heredoc that doesn't end", "FROM a\nRUN <<A\nA\nRUN <<E\nx\nFROM b\n", 4, "heredoc"),
    ("ENV of one word", "FROM a\n# c\nENV b\n", 3, "ENV"),
    ("no value", "ARG V\nFROM a:1\nFROM b:${V}\n", 3, "uses V, which has no value"),
    ("a platform decides", "FROM a-${TARGETARCH}\n", 1, "TARGETARCH"),
    ("a platform decides, with a default", "FROM ${TARGETARCH:-a:1}\n", 1, "TARGETARCH, which has no value"),
    ("a platform decides, with another", "FROM ${TARGETARCH+evil/}a:1\n", 1, "TARGETARCH, which has no value"),
    ("a platform decides by an ARG", "ARG V=${TARGETARCH:+evil:1}\nFROM ${V:-a:1}\n", 2, "V, which has no value"),
    ("a platform's plain ARG", "ARG TARGETARCH\nARG V=$TARGETARCH\nFROM ${V:-a:1}\n", 3, "V, which has no value"),
    ("an argument of docker's settings", "ARG no_proxy=a:1\nFROM $no_proxy\n", 2, "no_proxy, which has no value"),
    ("docker's settings in another", "ARG V=${ftp_proxy:+evil:1}\nFROM ${V:-a:1}\n", 2, "V, which has no value"),
    ("empty or unset", "ARG V\nARG W=${V+evil:1}\nFROM ${W:-a:1}\n", 3, "W, which has no value"),
    ("a value that some take away", "ARG V=evil:1\nARG V\nFROM ${V:-a:1}\n", 3, "V, which has no value"),
    ("needed", "FROM a:${V:?no}\n", 1, "needs a value for V"),
    ("a cut value", "ARG V=12\nFROM a:${V%2}\n", 2, "form that is not read"),
    ("a replaced value", "ARG V=12\nFROM a:${V/1/2}\n", 2, "form that is not read"),
    ("an open brace", "FROM a:${V\n", 1, ""),
    ("an open default", "FROM a:${V:-x\n", 1, "} is missing"),
    ("an open quote", 'FROM "a:1\n', 1, "is missing"),
    ("no name", "FROM a:${}\n", 1, "without the name"),
    ("a name of a number", "FROM a:$1\n", 1, "no variable's name"),
    ("upper case", "FROM a:1\nFROM B:1\n", 2, "not an image reference"),
    ("a parent folder", "FROM ../a\n", 1, "not an image reference"),
    ("COPY from a variable", "ARG V=1\nFROM a\nCOPY --from=b:$V x y\n", 3, "Name a stage"),
    ("RUN from a variable", "ARG V=1\nFROM a\nRUN --mount=from=b:$V ls\n", 3, "Name a stage"),
    ("COPY from itself", "FROM a AS b\nCOPY --from=b x y\n", 2, "isn't before it"),
    ("COPY from a later stage", "FROM a\nCOPY --from=b x y\nFROM c AS b\n", 2, "isn't before it"),
    ("COPY from a number too high", "FROM a\nCOPY --from=1 x y\n", 2, "isn't before it"),
    ("COPY from a number of a million digits", f"FROM a\nCOPY --from={'1' * 9999} x y\n", 2, "isn't before it"),
    ("COPY --from without =", "FROM a\nCOPY --from evil x y\n", 2, "without '='"),
    ("a mount that is no list", 'FROM a\nRUN --mount=type=bind,\\"from=b\\"x ls\n', 2, ""),
    ("ONBUILD FROM", "FROM a\nONBUILD FROM b\n", 2, "can't have 'FROM'"),
    ("an escape of another character", "# escape=x\nFROM a\n", 1, "escape"),
    ("a second directive", "# escape=`\n# escape=`\nFROM a\n", 2, "second escape"),
    ("another language", "// syntax=d:1\n", 1, "another language"),
    ("another language in JSON", '{"syntax": "d:1"}', 1, "another language"),
    ("a zero byte hides what follows from a parser", "FROM a\n\0\nFROM evil\n", 2, "control character"),
    ("an escape sequence", "FROM a\x1b[2J\n", 1, "control character"),
    ("a line end of Unicode", "FROM a\u2028FROM b\n", 1, "control character"),
    ("a lone carriage return is none", "FROM a\rFROM evil\n", 1, "FROM IMAGE"),
    ("values that double", "ARG A=" + "x" * 99 + "\n" + "ARG A=$A$A\n" * 40 + "FROM $A\n", 7, "grows beyond"),
    ("nested variables", "FROM " + "${V:-" * 50 + "a" + "}" * 50 + "\n", 1, "nested deeper"),
    ("too many", "FROM a\n" * 1001, 1001, "past 1000"),
]


@pytest.mark.parametrize(("text", "line", "says"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(BuildFileInvalid) as caught:
        reading(text, D)
    assert caught.value.context["line"] == line, caught.value.message
    assert caught.value.message.startswith(f"Dockerfile:{line} ")
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


WRITTEN: list[tuple[str, str, str]] = [
    ("a tag", "# x\nFROM  a:1  AS x\n\n", "# x\nFROM  a:1@sha256:#  AS x\n\n"),
    ("no tag", "FROM a\nFROM a AS b\n", "FROM a:latest@sha256:#\nFROM a:latest@sha256:# AS b\n"),
    ("a digest", f"FROM a:1@{A}\n", "FROM a:1@sha256:#\n"),
    ("a host with a port and no tag", "FROM r.io:5000/a\n", "FROM r.io:5000/a:latest@sha256:#\n"),
    ("a version", "ARG V=3\nFROM a:${V}\n", "ARG V=3\nFROM a:${V}@sha256:#\n"),
    ("a version for two", "ARG V=3\nFROM a:$V\nFROM b:$V\n", "ARG V=3\nFROM a:$V@sha256:#\nFROM b:$V@sha256:#\n"),
    ("a name", "ARG B=a:1\nFROM ${B}\n", "ARG B=a:1@sha256:#\nFROM ${B}\n"),
    ("a name for two", "ARG B=a:1\nFROM $B\nFROM $B AS x\n", "ARG B=a:1@sha256:#\nFROM $B\nFROM $B AS x\n"),
    ("a name in quotes", 'ARG B="a:1"\nFROM $B\n', 'ARG B="a:1@sha256:#"\nFROM $B\n'),
    ("a name of a version", "ARG V=1\nARG B=a:$V\nFROM $B\n", "ARG V=1\nARG B=a:$V@sha256:#\nFROM $B\n"),
    ("a default", "FROM ${B:-a:1}\n", "FROM ${B:-a:1@sha256:#}\n"),
    (
        "a name used in parts, too",
        "ARG B=a:1\nFROM $B\nFROM $B-x\n",
        "ARG B=a:1\nFROM $B@sha256:#\nFROM $B-x@sha256:#\n",
    ),
    ("a digest in an ARG", f"ARG D={A}\nFROM a:1@$D\n", "ARG D=sha256:#\nFROM a:1@$D\n"),
    ("a pinned name", f"ARG B=a:1@{A}\nFROM $B\n", "ARG B=a:1@sha256:#\nFROM $B\n"),
    ("COPY", "FROM scratch\nCOPY --from=a:1 --link x y\n", "FROM scratch\nCOPY --from=a:1@sha256:# --link x y\n"),
    (
        "RUN",
        "FROM scratch\nRUN --mount=from=a,target=/x y\n",
        "FROM scratch\nRUN --mount=from=a:latest@sha256:#,target=/x y\n",
    ),
    (
        "ONBUILD",
        "FROM scratch\nONBUILD COPY --from=a:1 x y\n",
        "FROM scratch\nONBUILD COPY --from=a:1@sha256:# x y\n",
    ),
    ("a frontend", "#syntax=d:1\nFROM scratch\n", "#syntax=d:1@sha256:#\nFROM scratch\n"),
    ("lines of DOS, and a mark", "\ufeffFROM \\\r\n\ta:1\r\n", "\ufeffFROM \\\r\n\ta:1@sha256:#\r\n"),
    ("letters of more bytes before", "LABEL a=ü\nFROM a:1 AS x\n", "LABEL a=ü\nFROM a:1@sha256:# AS x\n"),
    ("a name over two lines", "FROM a\\\nb:1\n", "FROM a\\\nb:1@sha256:#\n"),
]


@pytest.mark.parametrize(("text", "written"), [r[1:] for r in WRITTEN], ids=[r[0] for r in WRITTEN])
def test_written_in_its_place_and_nowhere_else(text: str, written: str) -> None:
    once = pin(text, D)
    assert short(once) == written
    assert all(site.ref.digest for site in reading(once, D).sites)
    assert pin(once, D) == once, "again changes nothing"
    moved = pin(once, D, salt="moved")
    assert moved != once, "what is signed anew is written anew"
    assert short(moved) == written


UNWRITABLE: list[tuple[str, str, dict[str, str]]] = [
    ("a name from the command line", "ARG B\nFROM $B\n", {"B": "a:1"}),
    ("a frontend from the command line", "FROM scratch\n", {"BUILDKIT_SYNTAX": "a:1"}),
    ("a flag in quotes", 'FROM scratch\nCOPY --from="a:1" x y\n', {}),
    ("a mount in quotes", 'FROM scratch\nRUN --mount=type=bind,"from=a:1" x y\n', {}),
    ("a digest in parts", f"ARG D={A[:-1]}\nFROM a:1@${{D}}a\n", {}),
]


@pytest.mark.parametrize(("text", "arguments"), [r[1:] for r in UNWRITABLE], ids=[r[0] for r in UNWRITABLE])
def test_what_cannot_be_written_is_said(text: str, arguments: dict[str, str]) -> None:
    with pytest.raises(CannotPin) as caught:
        pin(text, D, arguments)
    assert caught.value.hint
    assert caught.value.context["line"] in (1, 2)


def test_what_a_stage_runs_on_and_what_it_is_built_from() -> None:
    text = "FROM a AS build\nFROM r.io/b:1 AS base\nFROM base AS mid\nCOPY --from=c:1 x y\nFROM mid\n"
    (chain,) = reading(text, D).chains
    assert str(chain.runtime) == "r.io/b:1"
    assert [str(ref) for ref in chain.buildtime] == [f"{HUB}/a:latest", f"{HUB}/c:1"]
    (chain,) = reading("FROM a\nFROM scratch\nCOPY --from=0 x y\n", D).chains
    assert (chain.runtime, [str(ref) for ref in chain.buildtime]) == (None, [f"{HUB}/a:latest"])


def test_what_is_left_alone_says_why() -> None:
    text = "FROM a AS b\nFROM b\nCOPY --from=0 x y\nFROM scratch\n"
    said = [(each.line, each.written, each.reason) for each in reading(text, D).skipped]
    assert said == [
        (2, "b", "it is the stage of line 1"),
        (3, "0", "it is the stage of line 1"),
        (4, "scratch", "it is no image: the stage begins empty"),
    ]


MANY: list[tuple[str, str]] = [
    ("instructions", "RUN x\n" * 150_000),
    ("empty lines", "\n" * 1_000_000),
    ("comments", "#\n" * 500_000),
    ("lines that go on", "RUN a \\\n" * 19_000),
    ("a heredoc's lines", f"RUN <<E\n{'x' * 9}\n" + f"FROM b{'b' * 45}\n" * 19_900 + "E\n"),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", [row[1] for row in MANY], ids=[row[0] for row in MANY])
def test_many_lines_are_read_in_time(text: str) -> None:
    assert refs(reading(f"FROM a:1\n{text}", D)) == [f"{HUB}/a:1"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    ["#" * 1024 * 1024, "RUN a \\\n" * 30_000, "RUN <<E\n" + "a\n" * 30_000, "RUN cat <\\\n<E\n" + "a\n" * 30_000],
    ids=["bytes", "lines that go on", "a heredoc's lines", "those of one that begins on two lines"],
)
def test_more_is_refused(text: str) -> None:
    with pytest.raises(BuildFileInvalid, match=r"longer than|is past|more than 20000 lines follow"):
        reading(f"FROM a:1\n{text}", D)
