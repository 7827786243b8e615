"""A ceremony's file: what may stand in it, what is refused, and signatures that come in any order."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root

from tests.simulator import DAY, LIFE, NOW, Publisher, make_signer
from trustkit.core.ceremony import Ceremony, Wanted, check_expiry, propose, read_ceremony
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Gun
from trustkit.core.strictjson import serialise
from trustkit.errors import BadCeremony, UsageError


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    return made


def proposed(publisher: Publisher, **wanted: Any) -> Ceremony:
    return propose(publisher.gun, publisher.files["root"], Wanted(**wanted), now=NOW, life=LIFE.default["root"])


def signature(ceremony: Ceremony, signer: CryptoSigner) -> dict[str, str]:
    return {signer.public_key.keyid: signer.sign(ceremony.payload).signature}


def test_the_file_gives_back_what_was_written(publisher: Publisher) -> None:
    made = proposed(publisher, add=[make_signer().public_key])
    made = made.with_signatures(signature(made, publisher.root))
    again = read_ceremony(made.render(), "ceremony")
    assert again.render() == made.render()
    assert (again.signed, again.fingerprint, again.base) == (made.signed, made.fingerprint, made.base)
    assert publisher.root.public_key.keyid in again.signatures


def test_a_renewal_that_is_signed_is_accepted(publisher: Publisher) -> None:
    made = proposed(publisher)
    assert len(made.missing) == 2
    made = made.with_signatures(signature(made, publisher.root))
    assert made.missing == []
    publisher.accept({"root": made.signed})
    assert read(publisher.files["root"], Root).signed.version == 2


def test_three_holders_sign_copies_in_any_order(publisher: Publisher) -> None:
    others = [make_signer(), make_signer()]
    made = proposed(publisher, add=[signer.public_key for signer in others], threshold=3)
    holders = [publisher.root, *others]
    files = [made.with_signatures(signature(made, signer)) for signer in holders]
    whole = set()
    for order in permutations(range(3)):
        merged = made
        for number in order:
            other = files[number]
            data = other.render() if number else other.render_signatures([holders[0].public_key.keyid])
            merged = merged.merged(data, "copy")
            assert bool(merged.missing) == (len(merged.signatures) < 3)
        whole.add(merged.signed)
    assert len(whole) == 1
    publisher.accept({"root": whole.pop()})


def in_proposed(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any], Publisher], None]:
    return lambda document, _publisher: change(document["proposed"])


def _evil_key(root: dict[str, Any], role: str) -> None:
    key = make_signer().public_key
    root["keys"][key.keyid] = key.to_dict()
    root["roles"][role]["keyids"].append(key.keyid)


def _online(root: dict[str, Any], role: str) -> None:
    key = make_signer().public_key
    del root["keys"][root["roles"][role]["keyids"][0]]
    root["keys"][key.keyid] = key.to_dict()
    root["roles"][role]["keyids"] = [key.keyid]


def _other_current(document: dict[str, Any], _publisher: Publisher) -> None:
    """A current root of another collection, whole and signed."""
    other = Publisher(Gun.parse("registry.example.com/other"))
    other.accept(other.first_upload())
    document["current"] = json.loads(other.files["root"])


def _unsigned_current(document: dict[str, Any], _publisher: Publisher) -> None:
    _evil_key(document["current"]["signed"], "root")


def _under_anothers_id(root: dict[str, Any]) -> None:
    (key_id,) = root["roles"]["root"]["keyids"]
    root["keys"][key_id] = make_signer().public_key.to_dict()


def _root_key_as_repository(root: dict[str, Any]) -> None:
    root["roles"]["targets"]["keyids"].append(root["roles"]["root"]["keyids"][0])


def _set(name: str, value: object) -> Callable[[dict[str, Any], Publisher], None]:
    return lambda document, _publisher: document.update({name: value})


TAMPERED: dict[str, Callable[[dict[str, Any], Publisher], None]] = {
    "a version skipped": in_proposed(lambda root: root.update(version=3)),
    "the same version": in_proposed(lambda root: root.update(version=1)),
    "snapshot's key replaced": in_proposed(lambda root: _online(root, "snapshot")),
    "timestamp's key replaced": in_proposed(lambda root: _online(root, "timestamp")),
    "a second key for timestamp": in_proposed(lambda root: _evil_key(root, "timestamp")),
    "another collection's name in the proposed root": in_proposed(
        lambda root: root.update({"x-trustkit-guns": ["registry.example.com/other"]})
    ),
    "a second name": in_proposed(lambda root: root["x-trustkit-guns"].append("registry.example.com/other")),
    "another collection": _set("gun", "registry.example.com/other"),
    "another collection's current root": _other_current,
    "a current root that nobody signed": _unsigned_current,
    "a key under another's id": in_proposed(_under_anothers_id),
    "a root key that signs tags": in_proposed(_root_key_as_repository),
    "no consistent snapshots": in_proposed(lambda root: root.update(consistent_snapshot=False)),
    "a threshold of none": in_proposed(lambda root: root["roles"]["root"].update(threshold=0)),
    "a threshold that can't be met": in_proposed(lambda root: root["roles"]["root"].update(threshold=2)),
    "a threshold of another type": in_proposed(lambda root: root["roles"]["root"].update(threshold=True)),
    "a member that is not known": in_proposed(lambda root: root.update(extra="x")),
    "another spec": in_proposed(lambda root: root.update(spec_version="1.0.99")),
    "targets in root's place": in_proposed(lambda root: root.update(_type="targets")),
    "another version of the file": _set("trustkit-root-ceremony", 2),
    "a version of another type": _set("trustkit-root-ceremony", True),
    "a member more": _set("note", "please sign"),
    "signatures of another kind": _set("signatures", {}),
    "a signature of none": _set("signatures", [{"keyid": "00" * 32, "sig": "00"}]),
    "no current root": _set("current", None),
    "no proposed root": _set("proposed", []),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_file_is_refused(publisher: Publisher, name: str) -> None:
    document = json.loads(proposed(publisher).render())
    TAMPERED[name](document, publisher)
    with pytest.raises(BadCeremony):
        read_ceremony(serialise(document), "ceremony")


@pytest.mark.parametrize(
    "change",
    [
        lambda root: _evil_key(root, "root"),
        lambda root: _evil_key(root, "targets"),
        lambda root: root.update(expires="2046-01-01T00:00:00Z"),
    ],
    ids=["a root key", "a repository key", "the expiry"],
)
def test_what_was_changed_after_a_signature_is_no_longer_signed(
    publisher: Publisher, change: Callable[[dict[str, Any]], None]
) -> None:
    made = proposed(publisher)
    document = json.loads(made.with_signatures(signature(made, publisher.root)).render())
    change(document["proposed"])
    with pytest.raises(BadCeremony, match="not one over the root"):
        read_ceremony(serialise(document), "ceremony")


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"\xff\xfe", b'{"trustkit-root-ceremony":1,"trustkit-root-ceremony":1}', b"{" * 100_000],
    ids=["empty", "an object", "a list", "no text", "a member twice", "deep"],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(BadCeremony):
        read_ceremony(data, "ceremony")


@pytest.mark.parametrize(
    ("life", "good"),
    [
        (timedelta(minutes=1), False),
        (timedelta(days=-1), False),
        (30_000 * DAY, False),
        (DAY, True),
        (7300 * DAY, True),
    ],
    ids=str,
)
def test_the_expiry_is_within_bounds(publisher: Publisher, life: timedelta, good: bool) -> None:
    made = propose(publisher.gun, publisher.files["root"], Wanted(), now=NOW, life=life)
    if good:
        check_expiry(made, NOW, LIFE)
        return
    with pytest.raises(BadCeremony, match="expires"):
        check_expiry(made, NOW, LIFE)


def test_signatures_for_another_root_are_not_taken(publisher: Publisher) -> None:
    first, second = proposed(publisher), proposed(publisher, add=[make_signer().public_key])
    signed = first.with_signatures(signature(first, publisher.root))
    for data in (signed.render(), signed.render_signatures(signed.signatures), b'{"trustkit-root-signature":1}'):
        with pytest.raises(BadCeremony):
            second.merged(data, "copy")


def test_a_stranger_s_signature_is_not_taken(publisher: Publisher) -> None:
    made, stranger = proposed(publisher), make_signer()
    with pytest.raises(BadCeremony, match="no root key"):
        made.with_signatures(signature(made, stranger))
    with pytest.raises(BadCeremony, match="not one over"):
        made.with_signatures({publisher.root.public_key.keyid: stranger.sign(made.payload).signature})


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"remove": ["ROOT"]}, "threshold of root is 1 with 0 keys"),
        ({"remove": ["0123456789"]}, "0 root keys"),
        ({"remove": [""]}, "1 root keys"),
        ({"threshold": 2}, "threshold of root is 2 with 1 keys"),
        ({"repository_threshold": 2}, "threshold of targets is 2"),
        ({"repository": ["ROOT"]}, "a root key and a repository key"),
        ({"add": ["ONLINE"]}, "A key of the service"),
    ],
    ids=str,
)
def test_what_can_not_be_is_not_proposed(publisher: Publisher, wanted: dict[str, Any], why: str) -> None:
    root, online = publisher.root.public_key, publisher.snapshot.public_key
    known: dict[Any, Any] = {"ROOT": root.keyid if "remove" in wanted else root, "ONLINE": online}
    made = {
        name: [known.get(item, item) for item in value] if isinstance(value, list) else value
        for name, value in wanted.items()
    }
    with pytest.raises(UsageError, match=why):
        proposed(publisher, **made)
