"""A collection made from nothing and changed, as a client and a service of format docker do, and read by notary."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Snapshot, Targets

from tests.formats_docker.forge import GUN, NOW, certified, ecdsa, eddsa, tags
from tests.formats_docker.stand import Attacker, Hosted, Notary
from trustkit.core.formats.docker import files as docker_files
from trustkit.core.formats.docker.build import (
    delegate,
    new_root,
    new_targets,
    next_snapshot,
    next_timestamp,
    online_keys,
    withdraw,
)
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.errors import InvalidName

END = NOW + timedelta(days=90)


@pytest.mark.real
def test_a_collection_is_made_and_changed(attacker: Attacker, notary_binary: Path, tmp_path: Path):
    pairs = {"root": certified(), "targets": ecdsa(), "snapshot": eddsa(), "timestamp": eddsa()}
    alice = ecdsa()
    notary = Notary(notary_binary, tmp_path, attacker.url, attacker.ca)
    files: dict[str, bytes] = {}

    def put(signed: Any, role: str, *by: Any) -> None:
        files[role] = docker_files.sign(signed, by or [pairs[role]])

    def publish(version: int) -> dict[str, str]:
        previous = docker_files.read(files["snapshot"], Snapshot).signed if "snapshot" in files else None
        put(next_snapshot(files, previous, version=version, expires=END), "snapshot")
        put(next_timestamp(files["snapshot"], version=version, expires=END), "timestamp")
        attacker.hosted = Hosted(files, {1: files["root"]})
        seen = {tag.name: target.role for tag, target in evaluate(files, GUN, NOW).targets.items()}
        listed = notary.must("list", str(GUN), "-r", "targets/releases", "-r", "targets").splitlines()
        assert {line.split()[0]: line.split()[-1] for line in listed if "abab" in line} == seen
        return seen

    root = new_root({role: [key] for role, (key, _) in pairs.items()}, version=1, expires=END)
    assert {role: keys[0] for role, keys in online_keys(root).items()} == {
        role: pairs[role][0] for role in ("snapshot", "timestamp")
    }
    put(root, "root")
    put(new_targets(tags("v1"), version=1, expires=END), "targets")
    assert publish(1) == {"v1": "targets"}

    targets = docker_files.read(files["targets"], Targets).signed
    for role in ("targets/releases", "targets/alice"):
        delegate(targets, role, [alice[0]])
    targets.version += 1
    put(targets, "targets")
    put(new_targets(tags("v2"), version=1, expires=END), "targets/releases", alice)
    assert publish(2) == {"v1": "targets", "v2": "targets/releases"}

    for role in ("targets/releases", "targets/alice", "targets/nobody"):
        withdraw(targets, role)
    assert targets.delegations is not None
    assert (targets.delegations.keys, targets.delegations.roles) == ({}, {})
    targets.version += 1
    put(targets, "targets")
    del files["targets/releases"]
    assert publish(3) == {"v1": "targets"}
    named = docker_files.read(files["snapshot"], Snapshot).signed.meta
    assert set(named) == {"root.json", "targets.json", "targets/releases.json"}  # as Notary leaves it


def test_a_delegation_is_replaced_and_its_old_key_goes():
    targets, old, new = new_targets({}, version=1, expires=END), ecdsa()[0], ecdsa()[0]
    delegate(targets, "targets/alice", [old])
    delegate(targets, "targets/alice", [new], ["v"])
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    assert list(targets.delegations.keys) == targets.delegations.roles["targets/alice"].keyids == [new.keyid]
    assert targets.delegations.roles["targets/alice"].is_delegated_path("v1/any/depth")
    assert not targets.delegations.roles["targets/alice"].is_delegated_path("w")
    with pytest.raises(InvalidName):
        delegate(targets, "targets/Alice", [new])
