"""Hash bins: built, judged and evaluated by us, and read by python-tuf's own client."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from securesystemslib.signer import Signer

from tests.simulator import DAY, NOW, Publisher, make_signer, manifest
from tests.stock import StockClient
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.growth import Growth
from trustkit.core.names import SignerName, Tag
from trustkit.core.signers import add_signer, remove_signer
from trustkit.core.targets import make_target

FEW = Growth(above=5, bits=3)
TAGS = [f"v{number}" for number in range(6)]


def sign_tag(publisher: Publisher, tag: str, text: str, *keys: Signer, now: datetime = NOW) -> dict[str, bytes]:
    """The upload that signs a tag for a manifest that says ``text``."""

    def edit(draft: Draft) -> None:
        draft.put([make_target(Tag(tag), manifest(text), None, now=NOW, keep=30 * DAY)])

    return publisher.change(edit, *keys, now=now)


@pytest.fixture
def binned() -> Publisher:
    publisher = Publisher()
    publisher.accept(publisher.first_upload(*TAGS))
    publisher.accept(publisher.change(lambda draft: draft.grow(FEW)))
    return publisher


def test_a_collection_grows_into_bins(binned: Publisher, tmp_path: Path) -> None:
    view = evaluate(binned.files, binned.gun, NOW)
    assert len(view.bins) == 8
    assert {tag.name for tag in view.targets} == set(TAGS)
    upload = sign_tag(binned, "v2", "other")
    assert len(upload) == 1
    accepted = binned.accept(upload)
    assert list(accepted.changed) == ["v2"]
    found = StockClient(binned, tmp_path).digests([*TAGS, "none"])
    assert found == {tag: manifest("other" if tag == "v2" else tag).digest.hex for tag in TAGS}


def test_signers_come_and_go(binned: Publisher, tmp_path: Path) -> None:
    client, dora, ci = StockClient(binned, tmp_path), make_signer(), make_signer()
    client.digests(TAGS)
    upload = binned.change(lambda draft: add_signer(draft, SignerName("dora"), dora.public_key))
    assert set(upload) == {"targets", "releases"}
    binned.accept(upload)
    assert set(client.digests(TAGS)) == set(TAGS)
    binned.accept(sign_tag(binned, "v3", "by dora", dora))
    upload = binned.change(lambda draft: add_signer(draft, SignerName("ci"), ci.public_key, paths=["v?"]))
    binned.accept(upload)
    assert set(client.digests(TAGS)) == set(TAGS)
    binned.accept(binned.change(lambda draft: remove_signer(draft, SignerName("ci"), resign=True)))
    binned.accept(binned.change(lambda draft: remove_signer(draft, SignerName("dora"), resign=True)))
    assert set(client.digests(TAGS)) == set(TAGS)
    assert set(evaluate(binned.files, binned.gun, NOW).targets) == {Tag(tag) for tag in TAGS}
