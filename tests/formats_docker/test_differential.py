"""Files that are not as Notary writes them, shown to the real notary client and to us: what it refuses, we refuse.

Each row changes one file of a collection that both accept, with every file above it signed and hashed anew, so that
nothing but the change can be what is refused.  ``sealed`` rows change what is signed and sign it, as whoever has the
role's key could; the others change bytes after signing, as anybody on the way could who has the keys above.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.formats_docker.forge import (
    GUN,
    NOW,
    RSA_2048,
    Forge,
    Pair,
    certified,
    ecdsa,
    eddsa,
    envelope,
    role_of,
    rsa_pss,
    sealed,
    tags,
)
from tests.formats_docker.stand import Attacker, Hosted, Notary
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.names import Tag
from trustkit.errors import Expired, Garbage, NotTrusted, SignatureInvalid

pytestmark = pytest.mark.real

Value = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One change: to which role's file, how, whether notary still lists the tag, and what we say."""

    name: str
    role: str
    change: Callable[[bytes], bytes] | None = None
    sealed: Callable[[Value], Any] | None = None
    notary: bool = False
    ours: type[NotTrusted] = Garbage
    tag: str = "v1"


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data, old
        return data.replace(old, new, 1)

    return change


def signature(**members: Any) -> Callable[[bytes], bytes]:
    """Changes members of the first signature."""

    def change(data: bytes) -> bytes:
        value = envelope(data)
        entry = value["signatures"][0]
        entry |= {name: new(entry[name]) if callable(new) else new for name, new in members.items()}
        tail = json.dumps(value["signatures"], separators=(",", ":")).encode()
        return data[: data.index(b',"signatures":')] + b',"signatures":' + tail + b"}"

    return change


def flipped(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[5] ^= 1
    return base64.b64encode(data).decode()


def as_der(text: str) -> str:
    data = base64.b64decode(text)
    r, s = (int.from_bytes(half, "big") for half in (data[:32], data[32:]))
    return base64.b64encode(encode_dss_signature(r, s)).decode()


def zero_r(text: str) -> str:
    return base64.b64encode(bytes(32) + base64.b64decode(text)[32:]).decode()


def put(**members: Any) -> Callable[[Value], Any]:
    return lambda value: value.update(members)


def entry(**members: Any) -> Callable[[Value], Any]:
    """Changes members of the target v1; None takes one away."""

    def change(value: Value) -> None:
        for name, new in members.items():
            value["targets"]["v1"][name] = new

    return change


def meta(role: str, **members: Any) -> Callable[[Value], Any]:
    return lambda value: value["meta"][role].update(members)


def reordered(data: bytes) -> bytes:
    value = envelope(data)
    value["signed"] = dict(reversed(value["signed"].items()))
    return json.dumps(value, separators=(",", ":")).encode()


def signatures_first(data: bytes) -> bytes:
    value = envelope(data)
    return json.dumps({name: value[name] for name in ("signatures", "signed")}, separators=(",", ":")).encode()


def role_signing(name: str, **members: Any) -> Callable[[Value], Any]:
    return lambda value: value["roles"][name].update(members)


def first_delegation(**members: Any) -> Callable[[Value], Any]:
    return lambda value: value["delegations"]["roles"][0].update(members)


def drop(*path: str) -> Callable[[Value], Any]:
    def change(value: Value) -> None:
        for part in path[:-1]:
            value = value[part]
        del value[path[-1]]

    return change


def own_key(change: Callable[[Value], Any]) -> Callable[[Value], Any]:
    """Changes the object of the first key of the targets role, under its old id."""
    return lambda value: change(value["keys"][value["roles"]["targets"]["keyids"][0]])


ROWS = [
    Row("untouched", "targets", bytes, notary=True),
    # spelling
    Row("space", "targets", swap(b":", b": "), notary=True),
    Row("final newline", "targets", lambda data: data + b"\n", notary=True),
    Row("byte order mark", "timestamp", lambda data: b"\xef\xbb\xbf" + data),
    Row("other order", "targets", reordered, notary=True),
    Row("signatures first", "timestamp", signatures_first, notary=True),
    Row("needless escape", "targets", swap(b'"v1"', rb'"\u00761"'), notary=True),
    Row("exponent", "targets", swap(b'"length":500', b'"length":5e2')),
    Row("float", "targets", swap(b'"length":500', b'"length":500.0')),
    Row("garbage after", "timestamp", lambda data: data + b"{}"),
    Row("cut off", "timestamp", lambda data: data[:-1]),
    # members
    Row("more in the envelope", "timestamp", swap(b'{"signed"', b'{"more":1,"signed"'), notary=True),
    Row("other case", "timestamp", swap(b'{"signed"', b'{"Signed"'), notary=True),
    Row("signed twice", "timestamp", swap(b'{"signed"', b'{"signed":{},"signed"'), notary=True),
    Row("member twice", "targets", swap(b'"version":1', b'"version":1,"version":1'), notary=True),
    Row("unsigned member", "targets", swap(b'"version":1', b'"version":1,"zz":1')),
    Row("more in a signature", "timestamp", signature(more=1), notary=True),
    # signatures
    Row("flipped signature", "targets", signature(sig=flipped), ours=SignatureInvalid),
    Row("flipped payload", "targets", swap(b'"length":500', b'"length":501'), ours=SignatureInvalid),
    Row("DER", "targets", signature(sig=as_der), ours=SignatureInvalid),
    Row("r of zero", "targets", signature(sig=zero_r), ours=SignatureInvalid),
    Row("method in capitals", "targets", signature(method="ECDSA"), notary=True),
    Row("unknown method", "targets", signature(method="rot13")),
    Row("method of another type", "targets", signature(method="eddsa"), ours=SignatureInvalid),
    Row("key id in capitals", "targets", signature(keyid=str.upper)),
    Row("another's key id", "targets", signature(keyid="ab" * 32), ours=SignatureInvalid),
    Row("no signature", "targets", swap(b',"signatures":[{', b',"signatures":[],"was":[{')),
    # what is signed
    Row("type of a snapshot", "targets", sealed=put(_type="Snapshot")),
    Row("type in lower case", "targets", sealed=put(_type="targets")),
    Row("version 0", "targets", sealed=put(version=0)),
    Row("version -1", "targets", sealed=put(version=-1)),
    Row("version 2^63", "targets", sealed=put(version=2**63)),
    Row("version as text", "targets", sealed=put(version="1")),
    Row("version true", "targets", sealed=put(version=True)),
    Row("signed unknown member", "targets", sealed=put(spec_version="1.0"), notary=True),
    Row("expired", "targets", sealed=put(expires="2020-01-01T00:00:00Z"), ours=Expired),
    Row("timestamp expired", "timestamp", sealed=put(expires="2020-01-01T00:00:00Z"), ours=Expired),
    Row("expires without zone", "targets", sealed=put(expires="2099-01-01T00:00:00")),
    Row("expires with +00:00", "targets", sealed=put(expires="2099-01-01T00:00:00+00:00"), notary=True),
    Row("expires on 30 February", "targets", sealed=put(expires="2099-02-30T00:00:00Z")),
    Row("hash in hex", "targets", sealed=entry(hashes={"sha256": "ab" * 32}), notary=True),
    Row("short hash", "targets", sealed=entry(hashes={"sha256": "q6urqw=="}), notary=True),
    Row("negative length", "targets", sealed=entry(length=-1), notary=True),
    Row("length as text", "targets", sealed=entry(length="500")),
    Row("float in custom", "targets", sealed=entry(custom={"a": 1.5})),
    Row("null custom", "targets", sealed=entry(custom=None), notary=True),
    Row("path traversal", "targets", sealed=lambda value: _named("../x", value), notary=True),
    Row("no targets in snapshot", "snapshot", sealed=drop("meta", "targets")),
    Row("no root in snapshot", "snapshot", sealed=drop("meta", "root")),
    Row("wrong length in snapshot", "snapshot", sealed=meta("targets", length=10)),
    Row("wrong hash of root", "snapshot", sealed=meta("root", hashes={"sha256": "q" * 42 + "o="})),
    Row("wrong hash in timestamp", "timestamp", sealed=meta("snapshot", hashes={"sha256": "q" * 42 + "o="})),
    # root and keys
    Row("threshold 0", "root", sealed=role_signing("targets", threshold=0)),
    Row("threshold 2 of 1", "root", sealed=role_signing("targets", threshold=2), ours=SignatureInvalid),
    Row("role missing", "root", sealed=drop("roles", "targets")),
    Row("keys missing", "root", sealed=put(keys={}), ours=SignatureInvalid),
    Row("private value", "root", sealed=own_key(lambda key: key["keyval"].update(private="AAAA")), notary=True),
    Row("unknown key type", "root", sealed=own_key(lambda key: key.update(keytype="dsa"))),
    Row("key under another's id", "root", sealed=lambda value: _alias(value)),
    # delegations
    Row("delegation", "targets/releases", bytes, notary=True, tag="v2"),
    Row("in capitals", "targets", sealed=first_delegation(name="targets/Releases"), tag="v2"),
    Row("no child", "targets", sealed=first_delegation(name="targets/other/releases"), tag="v2"),
    Row("of no key that is there", "targets", sealed=first_delegation(keyids=["ab" * 32]), tag="v2"),
    Row("threshold of a delegation 0", "targets", sealed=first_delegation(threshold=0), tag="v2"),
    Row("expired delegation", "targets/releases", sealed=put(expires="2020-01-01T00:00:00Z"), ours=Expired, tag="v2"),
    Row("flipped delegation", "targets/releases", signature(sig=flipped), ours=SignatureInvalid, tag="v2"),
    Row("empty paths", "targets", sealed=first_delegation(paths=[]), tag="v2"),
]  # fmt: skip


def _named(name: str, value: Value) -> None:
    value["targets"][name] = value["targets"]["v1"]


def _alias(value: Value) -> None:
    """Files an attacker's key, which nobody signed with, under the id of the one that did."""
    (key_id,) = value["roles"]["targets"]["keyids"]
    value["keys"][key_id] = ecdsa()[0].to_dict()


def _collection() -> Forge:
    made = Forge()
    releases = ecdsa()
    made.delegate(role_of("targets/releases", releases[0]), tags("v2"), releases)
    return made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_notary_refuses_is_refused(row: Row, attacker: Attacker, notary_binary: Path, tmp_path: Path):
    made = _collection()
    change = row.change or (lambda data: sealed(data, made.signers[row.role], row.sealed or (lambda value: None)))
    files = made.files({row.role: change})
    attacker.hosted = Hosted(files, {1: files["root"]})
    ran = Notary(notary_binary, tmp_path, attacker.url, attacker.ca)("list", str(GUN))
    listed = ran.status == 0 and any(line.startswith(f"{row.tag} ") for line in ran.output.splitlines())
    assert listed == row.notary, ran.output
    if row.change is bytes:
        assert evaluate(files, GUN, NOW).targets[Tag(row.tag)].length == 500
    else:
        with pytest.raises(row.ours) as raised:
            evaluate(files, GUN, NOW)
        assert type(raised.value) is row.ours


P256, P384, P521 = ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()


@pytest.mark.parametrize(
    ("role", "pair"),
    [
        *[("root", lambda curve=curve: certified(ec.generate_private_key(curve))) for curve in (P256, P384, P521)],
        ("root", lambda: certified(RSA_2048)),
        *[("targets", lambda curve=curve: ecdsa(curve)) for curve in (P256, P384, P521)],
        ("targets", rsa_pss),
        ("targets", eddsa),
        ("targets", lambda: certified(RSA_2048, "anybody")),
        ("targets", lambda: certified(gun="anybody")),
    ],
    ids=["root P-256", "root P-384", "root P-521", "root RSA", "P-256", "P-384", "P-521", "RSA", "Ed25519",
         "RSA certificate", "ECDSA certificate"],
)  # fmt: skip
def test_what_we_sign_notary_verifies(
    role: str, pair: Callable[[], Pair], attacker: Attacker, notary_binary: Path, tmp_path: Path
):
    files = Forge(signers={role: [pair()]}).files()
    attacker.hosted = Hosted(files, {1: files["root"]})
    assert "v1 " in Notary(notary_binary, tmp_path, attacker.url, attacker.ca).must("list", str(GUN))
    assert evaluate(files, GUN, NOW).targets.keys() == {Tag("v1")}
