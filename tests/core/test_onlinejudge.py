"""The judge of a separate signer, where a real process would need days or delegations to come there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tuf.api.metadata import Snapshot, Timestamp

from tests.simulator import DAY, GUN, LIFE, NOW, Publisher, make_signer
from trustkit.core.build import next_snapshot, next_timestamp
from trustkit.core.formats.tuf1 import payload, read
from trustkit.core.onlinejudge import Record, check_state, judge_snapshot, judge_timestamp
from trustkit.errors import BadExpiry, BadVersion, Conflict, Malformed


def snapshot(old: bytes | None, now: datetime = NOW, **versions: int) -> bytes:
    before = read_payload(old, Snapshot) if old else None
    return payload(next_snapshot(GUN, before, versions, now=now, life=LIFE.default["snapshot"]))


def timestamp(old: bytes | None, version: int, now: datetime = NOW) -> bytes:
    before = read_payload(old, Timestamp) if old else None
    return payload(next_timestamp(GUN, before, version, now=now, life=LIFE.default["timestamp"]))


def read_payload(data: bytes, kind: type) -> object:
    return read(b'{"signatures":[],"signed":' + data + b"}", kind).signed


def recorded(publisher: Publisher) -> Record:
    """The record of a signer that has signed this publisher's current state."""
    signed = {role: data.partition(b',"signed":')[2][:-1] for role, data in publisher.files.items()}
    files = {role: data for role, data in publisher.files.items() if role != "timestamp"}
    return Record(signed["snapshot"], signed["snapshot"], signed["timestamp"], files)


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    return made


def test_a_name_stays_in_snapshot_for_good(publisher: Publisher) -> None:
    record = recorded(publisher)
    with_role = snapshot(record.snapshot, targets=1, releases=1)
    record = replace(record, snapshot=with_role, released=with_role)
    dropped = with_role.replace(b'"releases.json":{"version":1},', b"").replace(b'"version":2,', b'"version":3,')
    with pytest.raises(BadVersion, match="no longer names releases"):
        judge_snapshot(GUN, dropped, record, now=NOW, lifetimes=LIFE)


def test_a_snapshot_that_was_never_shown_may_be_left_behind(publisher: Publisher) -> None:
    """An honest publish failed between its two signatures, and a renewal follows that knows nothing of it."""
    record = recorded(publisher)
    lost = judge_snapshot(GUN, snapshot(record.snapshot, targets=2), record, now=NOW, lifetimes=LIFE)
    renewed = snapshot(lost.snapshot, targets=1)
    after = judge_snapshot(GUN, renewed, lost, now=NOW, lifetimes=LIFE)
    assert after.versions == {"snapshot": 3, "timestamp": 1}


def test_a_timestamp_is_renewed_while_a_newer_snapshot_waits(publisher: Publisher) -> None:
    record = recorded(publisher)
    waiting = judge_snapshot(GUN, snapshot(record.snapshot, targets=2), record, now=NOW, lifetimes=LIFE)
    again = timestamp(record.timestamp, 1)
    after = judge_timestamp(GUN, again, waiting, {}, now=NOW, lifetimes=LIFE)
    assert (after.released, after.timestamp, after.files) == (record.released, again, record.files)


@pytest.mark.parametrize("role", ["root", "targets"])
def test_the_same_payload_is_given_again_for_the_same_files_only(publisher: Publisher, role: str) -> None:
    """Two foundings in one second have the same first snapshot and timestamp, byte for byte."""
    record, other = recorded(publisher), Publisher()
    other.accept(other.first_upload("v2"))
    assert record.timestamp is not None
    same = judge_timestamp(GUN, record.timestamp, record, record.files, now=NOW, lifetimes=LIFE)
    assert same is record
    files = {**record.files, role: other.files[role]}
    with pytest.raises(Conflict, match="was signed already"):
        judge_timestamp(GUN, record.timestamp, record, files, now=NOW, lifetimes=LIFE)


def test_a_snapshot_that_has_expired_is_not_made_current(publisher: Publisher) -> None:
    record, late = recorded(publisher), NOW + 14 * DAY
    with pytest.raises(BadExpiry, match="snapshot that has expired"):
        judge_timestamp(GUN, timestamp(record.timestamp, 1, late), record, {}, now=late, lifetimes=LIFE)
    soon = late - timedelta(seconds=1)
    judge_timestamp(GUN, timestamp(record.timestamp, 1, soon), record, {}, now=soon, lifetimes=LIFE)


def test_the_first_root_may_be_anybodys_and_the_next_only_its_holders(publisher: Publisher) -> None:
    before = recorded(publisher)
    publisher.install(publisher.change_root(lambda root: None))
    check_state(GUN, recorded(publisher), before, publisher.files["timestamp"], NOW)
    stranger = make_signer()
    publisher.install(publisher.change_root(lambda root: root.add_key(stranger.public_key, "root"), stranger))
    with pytest.raises(BadVersion, match="root version 3; 2 comes next"):
        check_state(GUN, recorded(publisher), before, publisher.files["timestamp"], NOW)


def test_a_renewal_needs_no_state_that_is_good(publisher: Publisher) -> None:
    """The publisher's targets have expired: clients have to be told that, and not that the service is gone."""
    before = recorded(publisher)
    late = NOW + 4000 * DAY
    renewed = replace(before, timestamp=b"newer", files={**before.files, "snapshot": b"newer"})
    check_state(GUN, renewed, before, b"", late)
    with pytest.raises(Malformed, match="No client would take this state"):
        check_state(GUN, before, Record(), publisher.files["timestamp"], late)
