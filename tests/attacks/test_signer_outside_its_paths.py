"""A signer of ``v*`` tries to sign ``latest``: at the service, at consumers and stock clients (TRUST 4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import Signer
from tuf.api.metadata import Delegations, Targets

from tests.attacks.collection import now
from tests.attacks.conftest import MakeInsider
from tests.attacks.insider import Insider
from tests.simulator import DAY, NOW, Publisher, make_signer, manifest
from tests.stock import StockClient
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import SignerName, Tag
from trustkit.core.signers import add_signer
from trustkit.core.targets import make_target
from trustkit.errors import NotTrusted

CI = make_signer()
EVIL = manifest("evil")


def _entry(tag: str) -> Any:
    return make_target(Tag(tag), EVIL, None, now=now(), keep=30 * DAY)


def _invite(draft: Draft) -> None:
    add_signer(draft, SignerName("ci"), CI.public_key, paths=["v*"])


@pytest.fixture
def ci(insider: MakeInsider) -> Insider:
    """Somebody who has the key of ``ci``, and may publish to a collection that lets it sign ``v*``."""
    made = insider()
    made.found("latest", "v1")
    _look(made)
    made.taken(made.change(_invite, now=now()))
    _look(made)
    return made


def _look(insider: Insider) -> None:
    insider.files["snapshot"] = insider.served()["snapshot"][1]


def _next(insider: Publisher, role: str, change: Callable[[Targets], object], *signers: Signer) -> dict[str, bytes]:
    file = read(insider.files[role], Targets).signed
    file.version += 1
    change(file)
    return {role: sign(file, insider.signed(*(signers or (CI,))))}


def _delegate_further(file: Targets) -> None:
    file.delegations = Delegations({}, {})


ATTACKS: dict[str, tuple[Callable[[Insider], dict[str, bytes]], str]] = {
    "latest in ci's own file": (
        lambda i: _next(i, "ci", lambda file: file.targets.update({"latest": _entry("latest")})),
        "bad-delegation",
    ),
    "releases signed by ci": (
        lambda i: _next(i, "releases", lambda file: file.targets.update({"latest": _entry("latest")})),
        "bad-signature",
    ),
    "wider paths, signed by ci": (
        lambda i: _next(
            i,
            "targets",
            lambda file: file.delegations.roles["ci"].paths.append("*"),  # type: ignore[union-attr, index]
        ),
        "bad-signature",
    ),
    "ci's file delegates further": (lambda i: _next(i, "ci", _delegate_further), "bad-delegation"),
    "a role that nobody delegated to": (
        lambda i: {"eve": _next(i, "ci", lambda file: file.targets.update({"latest": _entry("latest")}))["ci"]},
        "bad-delegation",
    ),
    "latest withdrawn from releases by ci": (
        lambda i: _next(i, "releases", lambda file: file.targets.clear()),
        "bad-signature",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_service_refuses(ci: Insider, attack: str) -> None:
    make, slug = ATTACKS[attack]
    ci.refused(make(ci), 400, slug)
    ci.taken(_next(ci, "ci", lambda file: file.targets.update({"v2": _entry("v2")})))


def test_the_service_refuses_the_same_signers_file_of_another_collection(ci: Insider, insider: MakeInsider) -> None:
    other = insider()
    other.found("latest")
    _look(other)
    other.taken(other.change(_invite, now=now()))
    stolen = _next(ci, "ci", lambda file: file.targets.update({"v9": _entry("v9")}))
    other.refused(stolen, 400, "wrong-gun")


@pytest.fixture
def published() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("latest", "v1"))
    made.accept(made.change(_invite))
    return made


def test_a_thief_of_the_online_keys_with_the_key_of_ci_gets_no_further(published: Publisher, tmp_path: Path) -> None:
    stock = StockClient(published, tmp_path)
    honest = stock.digests(["latest", "v1"])
    published.install(_next(published, "ci", lambda file: file.targets.update({"latest": _entry("latest")})))
    with pytest.raises(NotTrusted):
        evaluate(published.files, published.gun, NOW)
    with pytest.raises(NotTrusted):
        evaluate(published.files, published.gun, NOW, tags=[Tag("v1")])
    assert stock.digests(["latest", "v1"]) == honest
