"""What the signer refuses to whoever took the service over: a row for each rule, and the record is as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tuf.api.metadata import Root, Targets

from tests.signer.running import RunningSigner
from tests.signer.stage import Bend, Intruder, expires, member, named
from tests.simulator import make_signer
from trustkit.core.formats.tuf1 import ISSUED, payload, read, sign
from trustkit.core.ports.signing import SignerAhead
from trustkit.errors import StateError


def issued(delta: timedelta) -> Bend:
    return lambda value: value.__setitem__(ISSUED, f"{datetime.now(UTC) + delta:%Y-%m-%dT%H:%M:%SZ}")


def later(value: dict[str, object]) -> None:
    value["version"] = int(str(value["version"])) + 1


SNAPSHOTS: dict[str, tuple[Bend, str]] = {
    "the version after the next": (later, "4 can't follow it"),
    "version 2^31": (member("version", 2**31), "versions lie between"),
    "targets go back": (named(targets=1), "back from version 2 to 1"),
    "targets leap": (named(targets=1003), "in one step"),
    "a new role leaps": (named(targets=2, releases=1001), "in one step"),
    "targets disappear": (named(releases=1), "does not name targets"),
    "nothing is named": (named(), "does not name targets"),
    "root is named": (named(targets=2, root=1), "no role of a publisher"),
    "a timestamp is named": (named(targets=2, timestamp=1), "no role of a publisher"),
    "a file of another name": (lambda value: value["meta"].update({"x": {"version": 1}}), "no role of a publisher"),
    "a length": (lambda value: value["meta"]["targets.json"].update(length=1), "more of targets than its version"),
    "a hash": (
        lambda value: value["meta"]["targets.json"].update(hashes={"sha256": "00" * 32}),
        "more of targets than its version",
    ),
    "another collection's": (member("x-trustkit-guns", ["registry.example.com/team/other"]), "belongs to"),
    "also another collection's": (
        lambda value: value["x-trustkit-guns"].append("registry.example.com/team/other"),
        "belongs to",
    ),
    "nobody's": (lambda value: value.pop("x-trustkit-guns"), "does not say which collection"),
    "an unknown member": (member("x-more", 1), "not known here"),
    "expires in a moment": (expires(minutes=59), "this signer takes"),
    "has expired": (expires(days=-1), "this signer takes"),
    "lives longer than here": (expires(days=15), "this signer takes"),
}

TIMESTAMPS: dict[str, tuple[Bend, str]] = {
    "the version after the next": (later, "4 can't follow it"),
    "a snapshot that was never signed": (
        lambda value: value["meta"]["snapshot.json"].update(version=3),
        "not the new",
    ),
    "the snapshot before the current": (
        lambda value: value["meta"]["snapshot.json"].update(version=1),
        "not the new",
    ),
    "a length": (lambda value: value["meta"]["snapshot.json"].update(length=1), "more of the snapshot"),
    "issued in the future": (issued(timedelta(minutes=6)), "Check the clocks"),
    "issued in the past": (issued(-timedelta(minutes=6)), "Check the clocks"),
    "issued at no time": (member(ISSUED, "now"), "not a time"),
    "issued": (lambda value: value.pop(ISSUED), "issued at None"),
    "another collection's": (member("x-trustkit-guns", ["registry.example.com/team/other"]), "belongs to"),
    "expires in a moment": (expires(minutes=59), "this signer takes"),
    "lives longer than here": (expires(days=8), "this signer takes"),
}


def refused(intruder: Intruder, ask: Callable[[], object], why: str) -> None:
    """Asserts that the signer refuses with these words, and signs the honest next state all the same."""
    before = intruder.signer.held(intruder.gun)
    with pytest.raises(StateError, match="The signer refuses") as caught:
        ask()
    assert why in f"{caught.value}"
    assert intruder.signer.held(intruder.gun).versions == before.versions
    intruder.advance(intruder.upload("after"))


@pytest.mark.parametrize("case", list(SNAPSHOTS))
def test_a_bent_snapshot_is_refused(intruder: Intruder, case: str) -> None:
    bend, why = SNAPSHOTS[case]
    intruder.advance(intruder.upload("v2"))
    ahead = intruder.snapshot(intruder.upload("v3"), bend)
    refused(intruder, lambda: intruder.ask_snapshot(ahead), why)


@pytest.mark.parametrize("case", list(TIMESTAMPS))
def test_a_bent_timestamp_is_refused(intruder: Intruder, case: str) -> None:
    bend, why = TIMESTAMPS[case]
    intruder.advance(intruder.upload("v2"))
    refused(intruder, lambda: intruder.ask_timestamp(intruder.timestamp(2, bend)), why)


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
@pytest.mark.parametrize("kind", ["root", "targets", "the other"])
def test_nothing_but_the_roles_own_type_is_signed(intruder: Intruder, role: str, kind: str) -> None:
    root, targets = read(intruder.files["root"], Root).signed, read(intruder.files["targets"], Targets).signed
    other = intruder.timestamp(1) if role == "snapshot" else intruder.snapshot()
    data = {"root": payload(root), "targets": payload(targets), "the other": other}[kind]
    refused(intruder, lambda: intruder.signer.sign(intruder.gun, role, data, {}), "is of type")


@pytest.mark.parametrize("role", ["root", "targets", "", "snapshot\n"])
def test_no_other_role_has_a_key_here(intruder: Intruder, role: str) -> None:
    data = payload(read(intruder.files["root"], Root).signed)
    refused(intruder, lambda: intruder.signer.sign(intruder.gun, role, data, {}), "snapshots and timestamps")


@pytest.mark.parametrize(
    "spoil",
    {
        "spaces": lambda data: data.replace(b":", b": ", 1),
        "a member twice": lambda data: data.replace(b'"version":2', b'"version":2,"version":2'),
        "a tail": lambda data: data + b" ",
        "an envelope": lambda data: b'{"signatures":[],"signed":' + data + b"}",
        "a way out": lambda data: data + b',"signed":' + data,
        "an escape": lambda data: data.replace(b"snapshot", b"snap\\u0073hot"),
        "nothing": lambda _: b"",
        "a hash": lambda _: b"ab" * 32,
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_no_canonical_payload_is_refused(
    intruder: Intruder, spoil: tuple[str, Callable[[bytes], bytes]]
) -> None:
    data = spoil[1](intruder.snapshot(intruder.upload("v2")))
    refused(intruder, lambda: intruder.ask_snapshot(data), "")


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_a_version_never_gets_a_second_payload(intruder: Intruder, role: str) -> None:
    intruder.advance(intruder.upload("v2"))
    if role == "snapshot":
        data = intruder.snapshot(intruder.upload("v3"))
        other = intruder.snapshot(intruder.upload("v3"), expires(days=2))
    else:
        data, other = intruder.timestamp(2), intruder.timestamp(2, expires(days=2))
    first = intruder.signer.sign(intruder.gun, role, data, {})
    with pytest.raises(SignerAhead, match="was signed already"):
        intruder.signer.sign(intruder.gun, role, other, {})
    assert intruder.signer.sign(intruder.gun, role, data, {}) == first, "the same again is no second"


def test_an_older_state_is_not_signed_anew(intruder: Intruder) -> None:
    """A tag was revoked; whoever has the service shows the state with it again."""
    intruder.advance(intruder.upload("v2"))
    with pytest.raises(StateError, match="back from version 2 to 1"):
        intruder.ask_snapshot(intruder.snapshot(bend=named(targets=1)))


class TestStates:
    """With a timestamp comes the state that it makes current; the signer reads it as a client would."""

    @pytest.fixture
    def ready(self, intruder: Intruder) -> tuple[Intruder, bytes, dict[str, bytes]]:
        """A snapshot is signed; its timestamp and the files are ready to be sent."""
        upload = intruder.upload("v2")
        snapshot = intruder.ask_snapshot(intruder.snapshot(upload))
        return intruder, intruder.timestamp(2), {**upload, "snapshot": snapshot}

    @pytest.mark.parametrize(
        ("spoil", "why"),
        [
            pytest.param(lambda _, files: files.clear(), "did not come with it", id="no files"),
            pytest.param(lambda _, files: files.pop("snapshot"), "did not come with it", id="no snapshot"),
            pytest.param(lambda _, files: files.pop("targets"), "its file did not come", id="no targets"),
            pytest.param(
                lambda it, files: files.update(releases=files["targets"]), "doesn't change it", id="one more"
            ),
            pytest.param(
                lambda it, files: files.update(snapshot=it.files["snapshot"]),
                "did not come",
                id="the snapshot before",
            ),
            pytest.param(
                lambda it, files: files.update(targets=it.files["targets"]), "not the one", id="the targets before"
            ),
            pytest.param(
                lambda it, files: files.update(targets=forged(it, files)), "too few valid", id="targets by nobody"
            ),
            pytest.param(
                lambda it, files: files.update(root=grown(it)), "too few valid", id="the same root again, as another"
            ),
        ],
    )
    def test_a_state_that_no_client_takes_is_refused(
        self,
        ready: tuple[Intruder, bytes, dict[str, bytes]],
        spoil: Callable[[Intruder, dict[str, bytes]], object],
        why: str,
    ) -> None:
        intruder, timestamp, files = ready
        bad = dict(files)
        spoil(intruder, bad)
        with pytest.raises(StateError) as caught:
            intruder.ask_timestamp(timestamp, bad)
        assert why in str(caught.value)
        assert intruder.ask_timestamp(timestamp, files)

    def test_a_name_is_not_used_up_in_advance(self, intruder: Intruder) -> None:
        """Nothing delegates to ``ci`` yet; a version of it that nobody holds would keep its first file out."""
        upload = intruder.upload("v2")
        files = {**upload, "ci": upload["targets"]}
        files["snapshot"] = intruder.ask_snapshot(intruder.snapshot(files, named(ci=2, targets=2)))
        with pytest.raises(StateError, match="Nothing delegates to ci"):
            intruder.ask_timestamp(intruder.timestamp(2), files)

    def test_files_that_nothing_names_are_refused(self, intruder: Intruder) -> None:
        with pytest.raises(StateError, match="files come with it"):
            intruder.ask_timestamp(intruder.timestamp(1), intruder.upload("v2"))
        with pytest.raises(StateError, match="with a timestamp only"):
            intruder.signer.sign(intruder.gun, "snapshot", intruder.snapshot(), intruder.upload("v2"))

    def test_only_the_newest_snapshot_can_become_current(self, intruder: Intruder) -> None:
        """Two snapshots are signed and none shown; afterwards nobody can choose between them."""
        first = intruder.upload("v2")
        one = intruder.ask_snapshot(intruder.snapshot(first))
        two = intruder.ask_snapshot(intruder.snapshot(intruder.upload("v3"), member("version", 3)))
        with pytest.raises(StateError, match="not the newest"):
            intruder.ask_timestamp(intruder.timestamp(2), {**first, "snapshot": one})
        assert intruder.ask_timestamp(intruder.timestamp(3), {**intruder.upload("v3"), "snapshot": two})


def forged(intruder: Intruder, files: dict[str, bytes]) -> bytes:
    """These targets by a key of the intruder's own."""
    key = make_signer()
    return sign(read(files["targets"], Targets).signed, {key.public_key.keyid: key})


def grown(intruder: Intruder) -> bytes:
    """The next root, by a key of the intruder's own."""
    root, key = read(intruder.files["root"], Root).signed, make_signer()
    root.version += 1
    return sign(root, {key.public_key.keyid: key})


def test_a_collection_without_keys_is_said_to_have_none(signer: RunningSigner, intruder: Intruder) -> None:
    gun = type(intruder.gun).parse("registry.example.com/nobody/here")
    for ask in (lambda: intruder.signer.held(gun), lambda: intruder.signer.sign(gun, "snapshot", b"{}", {})):
        with pytest.raises(StateError, match="has no"):
            ask()
    assert signer.rows("SELECT count(*) FROM keys WHERE gun LIKE '%nobody%'") == [(0,)]


def test_keys_are_made_once(intruder: Intruder) -> None:
    assert intruder.signer.make(intruder.gun) == intruder.keys
    assert len({key.keyid for key in intruder.keys.values()}) == 2
