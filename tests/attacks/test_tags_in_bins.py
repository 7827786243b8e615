"""Hash bins as a way past who may sign a tag: at the service, at consumers and stock clients (TRUST 3.3, 4.3).

Each attacker has keys that count for something, and may publish.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import Signer

from tests.attacks.collection import now
from tests.attacks.conftest import MakeInsider
from tests.attacks.insider import Insider
from tests.simulator import DAY, LIFE, NOW, Publisher, edited, make_signer, manifest
from tests.stock import StockClient
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.growth import Growth
from trustkit.core.names import SignerName, Tag
from trustkit.core.rotation import rotate_repository
from trustkit.core.signers import add_signer, remove_signer
from trustkit.core.targets import make_target
from trustkit.errors import NotTrusted

FEW = Growth(above=1, bits=2)
DORA, NEW = make_signer(), make_signer()
EVIL = manifest("evil")
Files = dict[str, bytes]


@pytest.fixture
def dora(insider: MakeInsider) -> Insider:
    """Somebody with the key of ``dora``, who signs for a collection in four bins."""
    made = insider()
    made.found("v1", "v2", "v3")
    for edit in (lambda draft: draft.grow(FEW), lambda draft: add_signer(draft, SignerName("dora"), DORA.public_key)):
        _look(made)
        made.taken(made.change(edit, now=now()))
    _look(made)
    return made


def _look(insider: Insider) -> None:
    insider.files["snapshot"] = insider.served()["snapshot"][1]


def _bin(insider: Publisher, tag: str, *, of: bool = True) -> str:
    """The bin that a tag lies in; or, for False, another one."""
    bins = Draft(insider.gun, insider.files, now=NOW, lifetimes=LIFE).places.bins
    assert bins is not None
    return bins.of(tag) if of else next(name for name in bins.names if name != bins.of(tag))


def _next(insider: Publisher, role: str, change: Callable[[dict[str, Any]], object], *signers: Signer) -> Files:
    def whole(value: dict[str, Any]) -> None:
        value["signed"]["version"] += 1
        change(value["signed"])

    return {role: edited(insider.files[role], whole, resign=insider.signed(*(signers or (DORA,))))}


def _entry(signed: dict[str, Any], tag: str = "v1") -> None:
    signed["targets"][tag] = make_target(Tag(tag), EVIL, None, now=now(), keep=30 * DAY).to_dict()


def _own_key(signed: dict[str, Any]) -> None:
    signed["delegations"]["keys"][NEW.public_key.keyid] = NEW.public_key.to_dict()
    signed["delegations"]["succinct_roles"]["keyids"].append(NEW.public_key.keyid)


def _rotated(insider: Insider) -> Files:
    """A new repository key, with the bins that only the old one has signed left behind."""
    old = insider.repository.public_key.keyid
    return insider.change(lambda draft: rotate_repository(draft, old, NEW.public_key), insider.root, NEW, now=now())


ATTACKS: dict[str, tuple[Callable[[Insider], Files], str]] = {
    "a tag in another bin, where no client looks yet": (
        lambda i: _next(i, _bin(i, "v1", of=False), _entry),
        "bad-delegation",
    ),
    "a tag beside the bins, where every client looks first": (
        lambda i: _next(i, "releases", _entry),
        "bad-delegation",
    ),
    "a bin signed by nobody who may": (lambda i: _next(i, _bin(i, "v1"), _entry, NEW), "bad-signature"),
    "bins with a key of their own, which stays when dora goes": (
        lambda i: _next(i, "releases", _own_key),
        "bad-delegation",
    ),
    "bins under another name, without their files": (
        lambda i: _next(i, "releases", lambda s: s["delegations"]["succinct_roles"].update(name_prefix="bins-2")),
        "bad-delegation",
    ),
    "half as many bins under the same name": (
        lambda i: _next(i, "releases", lambda s: s["delegations"]["succinct_roles"].update(bit_length=1)),
        "bad-delegation",
    ),
    "four thousand million bins": (
        lambda i: _next(i, "releases", lambda s: s["delegations"]["succinct_roles"].update(bit_length=32)),
        "bad-delegation",
    ),
    "a bin that nobody delegates to, to use its version up": (
        lambda i: {"bins-1-4": _next(i, _bin(i, "v1"), _entry)[_bin(i, "v1")]},
        "bad-delegation",
    ),
    "a rotation that leaves a bin behind, so that nothing verifies": (
        lambda i: {role: data for role, data in _rotated(i).items() if role != _bin(i, "v1")},
        "bad-signature",
    ),
}


@pytest.mark.parametrize("case", ATTACKS)
def test_the_service_refuses(dora: Insider, case: str) -> None:
    attack, slug = ATTACKS[case]
    dora.refused(attack(dora), 400, slug)
    dora.taken(_next(dora, _bin(dora, "v1"), _entry))  # what she may: one bin alone


def test_what_the_service_refuses_no_consumer_believes(tmp_path: Path) -> None:
    """A service that takes everything: our verifier refuses, and stock clients find nothing that is evil."""
    publisher = Publisher()
    publisher.accept(publisher.first_upload("v1", "v2", "v3"))
    publisher.accept(publisher.change(lambda draft: draft.grow(FEW)))
    stock = StockClient(publisher, tmp_path / "warm")
    good = stock.digests(["v1", "v2"])
    wrong = _bin(publisher, "v1", of=False)
    publisher.install(_next(publisher, wrong, _entry, publisher.repository))
    with pytest.raises(NotTrusted):
        evaluate(publisher.files, publisher.gun, NOW)
    with pytest.raises(NotTrusted):
        evaluate(publisher.files, publisher.gun, NOW, bins=[wrong])
    assert stock.digests(["v1", "v2"]) == good
    assert evaluate(publisher.files, publisher.gun, NOW, tags={Tag("v1")}).targets[Tag("v1")].digest.hex == good["v1"]


def test_whoever_goes_takes_no_bin_along(dora: Insider) -> None:
    """What dora alone has signed is withdrawn with her, and her key signs no bin any more."""
    name = _bin(dora, "v1")
    upload = dora.change(
        lambda draft: (
            draft.put([make_target(Tag("v1"), EVIL, None, now=now(), keep=30 * DAY)]),
            draft.attribute(DORA.public_key.keyid),
        ),
        DORA,
        now=now(),
    )
    assert set(upload) == {name, "dora"}
    dora.taken(upload)
    _look(dora)
    dora.taken(dora.change(lambda draft: remove_signer(draft, SignerName("dora"), resign=False), now=now()))
    _look(dora)
    view = evaluate({**dora.files, "timestamp": dora.served()["timestamp"][1]}, dora.gun, now())
    assert {tag.name for tag in view.targets} == {"v2", "v3"}
    dora.refused(_next(dora, name, _entry), 400, "bad-signature")
