"""What stock python-tuf does with a name that a snapshot has lost: why ours keep each for good (ADR 45)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Root, Snapshot

from tests.simulator import NOW, Publisher, make_signer, manifest
from tests.stock import StockClient
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import SignerName
from trustkit.core.signers import add_signer, remove_signer

DORA = SignerName("dora")


@pytest.fixture
def publisher() -> Publisher:
    """A collection whose one signer is gone again; the name of the role for such signers is in its snapshot."""
    made = Publisher()
    made.accept(made.first_upload("v1"))
    made.accept(made.change(lambda draft: add_signer(draft, DORA, make_signer().public_key, paths=[])))
    made.accept(made.change(lambda draft: remove_signer(draft, DORA, resign=True)))
    assert "releases.json" in read(made.files["snapshot"], Snapshot).signed.meta
    return made


def drop_the_name(publisher: Publisher) -> None:
    """A publish whose snapshot hasn't the name any more."""
    snapshot = read(publisher.files["snapshot"], Snapshot).signed
    del snapshot.meta["releases.json"]
    publisher.files["snapshot"] = sign(snapshot, publisher.signed(publisher.snapshot))
    publisher.install(publisher.sign_upload("v1", manifest("later"), NOW))
    assert "releases.json" not in read(publisher.files["snapshot"], Snapshot).signed.meta


def rotate_snapshot_key(publisher: Publisher, key: object) -> None:
    def change(root: Root) -> None:
        root.revoke_key(root.roles["snapshot"].keyids[0], "snapshot")
        root.add_key(key.public_key, "snapshot")

    upload = publisher.change_root(change)
    publisher.snapshot = key
    publisher.install(upload)


def test_a_name_that_is_gone_stops_whoever_knew_it(publisher: Publisher, tmp_path: Path) -> None:
    """Specification 5.5.5; and it stays so, whatever comes afterwards."""
    client = StockClient(publisher, tmp_path / "warm")
    client.digests(["v1"])
    drop_the_name(publisher)
    for _ in range(2):
        with pytest.raises(RepositoryError, match="missing info for"):
            client.digests(["v1"])
        publisher.install(publisher.sign_upload("v1", manifest("much later"), NOW))
    assert StockClient(publisher, tmp_path / "cold").digests(["v1"])


def test_another_snapshot_key_lets_it_go_and_the_same_key_brings_it_back(
    publisher: Publisher, tmp_path: Path
) -> None:
    """Specification 5.3.11; so a name could go only with a key that no earlier root has named."""
    stopped, follows = (StockClient(publisher, tmp_path / name) for name in ("stopped", "follows"))
    for client in (stopped, follows):
        client.digests(["v1"])
    first = publisher.snapshot
    rotate_snapshot_key(publisher, make_signer())
    drop_the_name(publisher)
    assert follows.digests(["v1"]) == {"v1": manifest("later").digest.hex}
    rotate_snapshot_key(publisher, first)
    assert follows.digests(["v1"]) == {"v1": manifest("later").digest.hex}
    with pytest.raises(RepositoryError, match="missing info"):
        stopped.digests(["v1"])
