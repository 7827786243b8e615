"""One key stands under two ids and meets a threshold of two alone (TRUST 2.2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey
from tuf.api.metadata import Root, Targets

from tests.attacks.collection import Collection, now, reread
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import Publisher, edited, make_signer
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import Gun
from trustkit.core.publickeys import key_id


def _spelt(change: Callable[[str], str]) -> Callable[[Key], Key]:
    """The same key with its value spelt otherwise, so that its id is honestly the hash of what stands there."""

    def spell(key: Key) -> Key:
        other = SSlibKey("", key.keytype, key.scheme, {"public": change(key.keyval["public"])})
        return SSlibKey(key_id(other), key.keytype, key.scheme, dict(other.keyval))

    return spell


def _other_id(key: Key) -> Key:
    return SSlibKey("f" * 64, key.keytype, key.scheme, dict(key.keyval))


SECOND: dict[str, tuple[Callable[[], Signer], Callable[[Key], Key]]] = {
    "another id": (make_signer, _other_id),
    "upper-case hex": (make_signer, _spelt(str.upper)),
    "spaced hex": (make_signer, _spelt(lambda text: f"{text[:2]} {text[2:]}")),
    "PEM with one line more": (CryptoSigner.generate_ecdsa, _spelt(lambda text: text + "\n")),
    "PEM with other line ends": (CryptoSigner.generate_ecdsa, _spelt(lambda text: text.replace("\n", "\r\n"))),
    "PEM after a comment": (CryptoSigner.generate_ecdsa, _spelt(lambda text: f"second key\n{text}")),
    "RSA PEM with one line more": (CryptoSigner.generate_rsa, _spelt(lambda text: text + "\n")),
}
"""How one key gets a second id: who makes it, and what the second entry is."""


def _second(case: str) -> tuple[Signer, Key]:
    make, twin = SECOND[case]
    signer = make()
    return signer, twin(signer.public_key)


def _alone(publisher: Publisher, role: str, twin: Key) -> dict[str, bytes]:
    """The next root, where a role takes two signatures and one key counts for both; it alone signs targets."""

    def two(root: Root) -> None:
        root.add_key(twin, role)
        root.roles[role].threshold = 2

    def both(signer: Signer) -> dict[str, Signer]:
        return {signer.public_key.keyid: signer, twin.keyid: signer}

    upload = publisher.change_root(two)
    signer = publisher.root if role == "root" else publisher.repository
    if role == "root":
        return {"root": edited(upload["root"], lambda value: None, resign=both(signer))}
    targets: Targets = read(publisher.files["targets"], Targets).signed
    targets.version += 1
    signed = sign(targets, publisher.signed(publisher.repository))
    return {**upload, "targets": edited(signed, lambda value: None, resign=both(signer))}


@pytest.mark.parametrize("case", SECOND)
def test_python_tuf_alone_counts_it_twice(case: str) -> None:
    """Why the check is ours, and that each row of the table is an attack."""
    signer, twin = _second(case)
    collection = Collection(Gun.parse("registry.example.com/app"), repository=signer)
    collection.found("v1")
    upload = _alone(collection, "targets", twin)
    root, targets = reread(upload["root"], "root").signed, reread(upload["targets"], "targets")
    assert root.roles["targets"].threshold == 2
    root.verify_delegate("targets", targets.signed_bytes, targets.signatures)


@pytest.mark.parametrize("case", SECOND)
@pytest.mark.parametrize("role", ["root", "targets"])
def test_one_key_that_counts_twice(stage: Stage, cache: str, role: str, case: str) -> None:
    signer, twin = _second(case)
    stage.honest = Collection(stage.gun, **{"root" if role == "root" else "repository": signer})
    stage.honest.found("v1")
    stage.pin(stage.victim, stage.honest.root)
    stage.server.collections[str(stage.gun)] = stage.honest
    stage.meet(cache)
    for name, data in _alone(stage.honest, role, twin).items():
        stage.server.lies[f"2.{name}.json"] = data
    stage.refuses(3, "signature-invalid")
    stage.recovers()


def test_a_pin_of_two_keys_met_by_a_thief_of_one(stage: Stage) -> None:
    """The pin asks for both of two people; the thief of one's key files it under the other's id."""
    stolen, safe = stage.honest.root, make_signer()
    stage.pin(stage.victim, stolen, safe)
    evil = Collection(stage.gun, root=stolen)
    evil.found("v1")
    key = stolen.public_key
    posed = SSlibKey(safe.public_key.keyid, key.keytype, key.scheme, dict(key.keyval))
    root: Root = evil.current("root")
    root.add_key(posed, "root")
    root.roles["root"].threshold = 2
    both = {stolen.public_key.keyid: stolen, safe.public_key.keyid: stolen}
    evil.history["root", 1] = edited(evil.by(root, stolen), lambda value: None, resign=both)
    believed = reread(evil.history["root", 1], "root")
    believed.signed.verify_delegate("root", believed.signed_bytes, believed.signatures)
    stage.server.collections[str(stage.gun)] = evil
    stage.refuses(3, "wrong-root")

    root = stage.honest.current("root")
    root.add_key(safe.public_key, "root")
    stage.honest.history["root", 1] = stage.honest.by(root, stolen, safe)
    stage.recovers()


def test_a_pin_does_not_take_one_id_twice(stage: Stage) -> None:
    own = stage.honest.root.public_key.keyid
    pinned = stage.victim("pin", "add", str(stage.gun), "--root-key", own, "--root-key", own, "--replace")
    assert (pinned.status, pinned.slug) == (2, "invalid-setting")


@pytest.mark.parametrize("case", SECOND)
@pytest.mark.parametrize("role", ["root", "targets"])
def test_the_service_takes_no_key_twice(insider: MakeInsider, role: str, case: str) -> None:
    signer, twin = _second(case)
    who = insider(**{"root" if role == "root" else "repository": signer})
    who.found("v1")
    who.refused(_alone(who, role, twin), 400, "bad-keys")
    who.taken(who.change_root(lambda root: None))


def test_one_signature_twice_in_one_file(stage: Stage, cache: str) -> None:
    """Not a second id: the same entry again, in a file that takes two signatures."""
    second = make_signer()

    def two(root: Root) -> None:
        root.add_key(second.public_key, "targets")
        root.roles["targets"].threshold = 2

    stage.meet(cache)
    stage.honest.rotate(two)
    targets: Targets = stage.honest.current("targets")
    targets.version += 1
    stage.honest.put(targets, stage.honest.repository, second)
    stage.honest.renew()
    stage.server.lies["2.targets.json"] = edited(
        stage.honest.by(targets, stage.honest.repository),
        lambda value: value["signatures"].append(value["signatures"][0]),
    )
    stage.refuses(4, "garbage")
    stage.recovers()


def test_the_service_takes_no_signature_twice(insider: MakeInsider) -> None:
    who = insider()
    second = make_signer()
    good = who.first_upload("v1", now=now())
    root = reread(good["root"], "root").signed
    root.add_key(second.public_key, "targets")
    root.roles["targets"].threshold = 2
    good["root"] = sign(root, who.signed(who.root))
    twice = edited(good["targets"], lambda value: value["signatures"].append(value["signatures"][0]))
    who.refused({**good, "targets": twice}, 400, "malformed")
    both = edited(good["targets"], lambda value: None, resign=who.signed(who.repository, second))
    who.taken({**good, "targets": both})
