"""Rows of dumps in odd spellings; the programs that write dumps are tried in tests/real/test_migrate_dump.py."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustkit.errors import Garbage
from trustkit.remote import dump_rows
from trustkit.remote.dump_rows import bytea, is_plain, row_at, rows

USUAL = ("gun", "data")


def read(text: bytes) -> list[dict[str, bytes | None]]:
    """Every row, which is the same when it is read again."""
    file = io.BytesIO(text)
    found = list(rows(file, "t", USUAL))
    for place, row in found:
        assert row_at(file, place) == row
    return [dict(row) for _, row in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"COPY public.t (gun, data) FROM stdin;\na\\tb\t\\\\x00\nc\t\\N\n\\.\n",
                     [(b"a\tb", b"\\x00"), (b"c", None)], id="copy"),
        pytest.param(b'COPY "p"."t" (gun, data) FROM stdin;\n\\101\\x42\\q\t\n\\.\n', [(b"ABq", b"")], id="escapes"),
        pytest.param(b"COPY o (x) FROM stdin;\nINSERT INTO t VALUES ('no', 'no');\n\\.\n"
                     b"INSERT INTO t VALUES ('a', 'b');\n", [(b"a", b"b")],
                     id="another table's data that looks like a statement"),
        pytest.param(b"INSERT INTO t VALUES ('a''b', E'c\\'\\\\x0a');\n", None, id="a quote that E can't have here"),
        pytest.param(b"INSERT INTO s.t (data, gun) VALUES ('d', 'g') ON CONFLICT DO NOTHING;\n", [(b"g", b"d")],
                     id="columns in another order"),
        pytest.param(b"INSERT INTO t VALUES\n\t('a', 'b'),\n\t('c',\n\n NULL);\nINSERT INTO t VALUES (1, true);\n",
                     [(b"a", b"b"), (b"c", None), (b"1", b"true")], id="several lines"),
        pytest.param(b"INSERT INTO t VALUES ('two\nlines', 'b');\n", [(b"two\nlines", b"b")], id="a line end inside"),
        pytest.param(b"INSERT INTO `t` VALUES ('a\\'b\\\\',_binary 'x\\0\\n\\Z\\%'),('c',0x0aFF);\n",
                     [(b"a'b\\", b"x\0\n\x1a%"), (b"c", b"\n\xff")], id="of MySQL"),
        pytest.param(b"CREATE TABLE `t` (\n  `id` int(11) NOT NULL,\n  `gun` text,\n  `data` blob,\n"
                     b"  PRIMARY KEY (`id`)\n);\nINSERT INTO `t` VALUES (7,'g','d');\n", [(b"g", b"d")],
                     id="columns as they were made"),
        pytest.param(b"INSERT INTO tt VALUES ('a', 'b');\nINSERT INTO `t2` VALUES (1);\n", [], id="other tables"),
    ],
)  # fmt: skip
def test_spellings(text: bytes, expected: list[tuple[bytes, bytes | None]] | None) -> None:
    if expected is None:
        with pytest.raises(Garbage):
            read(text)
    else:
        assert [(row["gun"], row["data"]) for row in read(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"COPY t (gun, data) FROM stdin;\na\tb\n", id="no end of COPY"),
        pytest.param(b"COPY t (gun, data) FROM stdin;\na\n\\.\n", id="too few fields"),
        pytest.param(b"INSERT INTO t VALUES ('a', 'b", id="half a text"),
        pytest.param(b"INSERT INTO t VALUES ('a');\n", id="too few values"),
        pytest.param(b"INSERT INTO t VALUES (now(), 'b');\n", id="no value"),
        pytest.param(b"INSERT INTO t VALUES 'b';\n", id="no tuple"),
    ],
)
def test_what_breaks_off_is_refused(text: bytes) -> None:
    with pytest.raises(Garbage):
        read(text)


def test_a_text_without_end_takes_no_longer_for_being_odd() -> None:
    begun = time.process_time()
    with pytest.raises(Garbage):
        read(b"INSERT INTO `t` VALUES ('" + b"a\\'" * 200_000)
    assert time.process_time() - begun < 10


def test_a_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_rows, "MAX_ROW", 1000)
    with pytest.raises(dump_rows.TooLarge):
        read(b"-- " + b"x" * 2000)


@given(st.binary())
def test_bytes_come_back_in_every_spelling(value: bytes) -> None:
    octal = b"".join(b"\\\\" if b == 92 else bytes([b]) if 32 <= b < 127 else b"\\%03o" % b for b in value)
    assert bytea(b"\\x" + value.hex().encode()) == value
    assert octal.startswith(b"\\x") or bytea(octal) == value
    quoted = value.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\0", b"\\0").replace(b"\n", b"\\n")
    (row,) = read(b"INSERT INTO `t` VALUES ('g',_binary '" + quoted + b"');\n")
    assert row["data"] == value


@pytest.mark.parametrize(
    "start", [b"PGDMP", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"SQLite format 3\0"]
)
def test_what_is_no_text_is_known(start: bytes) -> None:
    assert not is_plain(start)
    assert is_plain(b"-- PostgreSQL database dump")
