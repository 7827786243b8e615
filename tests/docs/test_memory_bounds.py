"""What a service takes at most: the docs have the bounds of the code, and they come to less than is promised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trustkit.authority import (
    expiry,
    freshness,
    lastviews,
    login,
    onlinekeys,
    ratelimit,
    reads,
    sealedkeys,
    tokens,
    views,
)
from trustkit.gateway import gate, held, layout, reach, uploads
from trustkit.server import callers
from trustkit.store import connections, database

PROMISED = 300
TEXT = (Path(__file__).parents[2] / "docs" / "explanation" / "performance.md").read_text()
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| ([^|]+) \| ([^|]+) \| (\d+) MiB \|$", TEXT, re.MULTILINE)}
BOUNDS: dict[str, tuple[int, float]] = {
    "files of collections, and answers": (reads.LIMIT // 2**20, 1.08 * 2**20),
    "what collections sign, for the gate": (views.KEEP_DIGESTS, 2 * views.DIGEST_BYTES),
    "manifests, for a second": (held.KEEP_BYTES, 1),
    "what indexes reach": (reach.KEEP_DESCRIPTORS, 460),
    "`index.json` of repositories that are kept here": (layout.KEEP_DESCRIPTORS, 1_730),
    "blobs that nobody takes for a manifest": (gate.KEEP_HARMLESS, 290),
    "hashes of uploads that aren't finished": (uploads.MAX_HASHES, 2_400),
    "tokens that were verified": (tokens.KEPT_ENTRIES, 820),
    "what refresh tokens get": (login.KEEP_BYTES, 1),
    "roles of principals": (callers.KEEP_ROLES, 450),
    "failed logins": (ratelimit.KEPT_BUCKETS, 430 + 280),
    "opened online keys": (sealedkeys.KEEP_OPEN, 8_000),
    "what a separate signer has signed ahead": (onlinekeys.KEEP_USED, 850),
    "what the last publishes brought, and said": (lastviews.LIMIT, 2 * (12 + 7.5 + 1)),
    "names of signers, for what expires": (expiry.KEEP_NAMES, 80),
    "collections that have changed": (freshness.MOST_MOVES, 230),
    "compiled statements; SQLite's pages": (connections.READER_KIB, database.READERS * 1024),
}
"""By row the bound, and what one takes at most, in bytes, as it was measured for caches that were full of them."""


@pytest.mark.parametrize("what", BOUNDS)
def test_a_row_has_the_bound_of_the_code_and_room_for_it(what: str) -> None:
    (bound, each), (said, most) = BOUNDS[what], ROWS[what]
    assert f"{bound:,}" in said
    assert bound * each <= int(most) * 2**20


def test_all_of_it_with_what_it_begins_with_and_a_password_is_less_than_is_promised() -> None:
    assert ROWS.keys() - BOUNDS.keys() == {"TLS 1.2 sessions, in OpenSSL, of clients without tickets"}
    begins, remembered, password, most = map(
        int, re.findall(r"begins with (\d+) MiB.*?all of these full, (\d+).*?checked, (\d+).*?that is (\d+)", TEXT)[0]
    )
    assert remembered == sum(int(most) for _, most in ROWS.values())
    assert begins + remembered + password == most < PROMISED
