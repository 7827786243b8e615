"""Whatever a file is like: outside the places of digests its text stays, and read again it means the same, pinned."""

from __future__ import annotations

import contextlib
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builds.reads import digest_of, pin, reading
from trustkit.builds.read import FileKind
from trustkit.builds.sites import Edit, apply
from trustkit.errors import BuildFileInvalid, CannotPin

_ADDED = re.compile(r"(:latest)?@sha256:[0-9a-f]{64}")
_LINES = st.sampled_from(
    [
        "FROM a",
        "FROM  r.io/b:1   AS  x",
        "from $B",
        "FROM ${B}-y",
        "FROM c:${V:-2} \\\n  as y",
        "FROM x",
        "FROM scratch",
        "ARG V=3",
        "ARG B=a:1",
        "ARG B=r.io/q",
        'ARG B="a:$V"',
        "COPY --from=x a b",
        "COPY --from=0 a b",
        "COPY --from=r.io/b:2 a b",
        "RUN --mount=type=bind,from=a:1,target=/x ls",
        "RUN <<E\nFROM z\nE",
        "ONBUILD COPY --from=a:7 a b",
        "# FROM n",
        "",
        "\t# ü\r",
        "RUN echo \\\n# c\n  $B",
    ]
)
_YAML = st.sampled_from(
    [
        "image: a",
        "image: 'r.io/b:1'",
        'image: "c:${V:-1}"',
        "image: ${I:-d:2}  # x",
        "image:   e:3",
        "image: >-\n      f",
    ]
)


def _check(text: str, kind: FileKind) -> None:
    try:
        before = reading(text, kind)
        pinned = pin(text, kind)
    except (BuildFileInvalid, CannotPin):
        return
    assert _ADDED.sub("", pinned) == text
    after = reading(pinned, kind)
    assert [(site.ref.gun, site.ref.tag, site.line) for site in after.sites] == [
        (site.ref.gun, site.ref.tag, site.line) for site in before.sites
    ]
    assert all(site.ref.digest == digest_of(site.ref) for site in after.sites)
    assert after.skipped == before.skipped


@settings(max_examples=300, deadline=None)
@given(st.lists(_LINES, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_dockerfiles(lines: list[str], end: str) -> None:
    _check(end.join(lines), FileKind.DOCKERFILE)


@settings(max_examples=100, deadline=None)
@given(st.lists(_YAML, min_size=1, max_size=5))
def test_compose_files(images: list[str]) -> None:
    services = "".join(f"  s{number}:\n    {image}\n" for number, image in enumerate(images))
    _check(f"# top\nservices:\n{services}", FileKind.COMPOSE)


@settings(deadline=None)
@given(st.text(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), max_size=5))
def test_edits_leave_what_is_outside_them(text: str, spans: list[tuple[int, int]]) -> None:
    edits, position, kept = [], 0, ""
    for gap, length in spans:
        start = min(position + gap, len(text))
        end = min(start + length, len(text))
        if edits and start == edits[-1].end:
            continue
        edits.append(Edit(start, end, "<>"))
        kept += text[position:start] + "<>"
        position = end
    assert apply(text, edits) == kept + text[position:]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="FROMCPYASfrom a:1$B{}-+?\"'\\`#=<>E\n\r\t/.@", max_size=80))
def test_nothing_but_our_errors_comes_of_any_text(text: str) -> None:
    for kind in FileKind:
        with contextlib.suppress(BuildFileInvalid):
            reading(text, kind)
