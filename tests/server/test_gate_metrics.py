"""What /metrics says of the gate: allowed and refused, by repositories that there are and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.server.scrape import Monitored, ask, parsed
from tests.service import Person
from trustkit.authority.expiry import Expiry
from trustkit.authority.renew import RenewalReport
from trustkit.errors import StateError
from trustkit.gateway.exchange import Exchange, Message
from trustkit.server.metrics import MAX_REPOSITORIES, NO_COLLECTION, Metrics

GATE = "trustkit_gate_requests_total"


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    service = Monitored(tmp_path_factory.mktemp("gated"), "--metrics", "127.0.0.1:0", "--trust-only")
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def alice(gated: Monitored) -> Person:
    person = gated.principal("alice", "AcrPush", "AcrImageSigner")
    person.push(f"{gated.host}/gate/app:v1")
    person.push(f"{gated.host}/gate/app:dev", "other")
    signed = person("sign", f"{gated.host}/gate/app:v1")
    assert signed.status == 0, signed.err
    return person


def pull(service: Monitored, who: Person, path: str, *repositories: str) -> int:
    """The status of a GET as somebody who may only pull."""
    scopes = "&scope=".join(f"repository:{name}:pull" for name in repositories or (path.split("/manifests")[0],))
    token = who.token(service.host, scopes)
    return ask(service.host, f"/v2/{path}", headers={"Authorization": f"Bearer {token}"})[0]


def test_allowed_and_refused_by_repository(gated: Monitored, alice: Person) -> None:
    before = gated.scrape()

    def counted(outcome: str) -> float:
        labels = {"repository": "gate/app", "outcome": outcome}
        return (gated.scrape()(GATE, **labels) or 0) - (before(GATE, **labels) or 0)

    assert pull(gated, alice, "gate/app/manifests/v1") == 200
    assert pull(gated, alice, "gate/app/manifests/v1") == 200
    assert pull(gated, alice, "gate/app/manifests/dev") == 403
    assert (counted("allowed"), counted("refused")) == (2, 1)
    assert ask(gated.host, "/v2/gate/app/manifests/v1")[0] == 401, "nobody is logged in: the gate isn't asked"
    assert (counted("allowed"), counted("refused")) == (2, 1)


def test_names_that_somebody_makes_up_are_no_labels(gated: Monitored, alice: Person) -> None:
    names = [f"made-up/{number}" for number in range(50)]
    before = gated.scrape()(GATE, repository=NO_COLLECTION, outcome="refused") or 0
    for name in names:
        assert pull(gated, alice, f"{name}/manifests/v1") == 403
    scrape = gated.scrape()
    assert scrape(GATE, repository=NO_COLLECTION, outcome="refused") == before + 50
    assert "made-up" not in scrape.text
    named = {dict(labels)["repository"] for name, labels in scrape.ours if name == GATE}
    assert named <= {NO_COLLECTION, "gate/app"}


def answered(gated: str, status: int) -> Exchange:
    """A request that is over, as far as it is counted."""

    async def nothing(*_: object) -> Message:
        raise AssertionError("it is over")

    scope = {"method": "GET", "raw_path": b"/v2/team/app/manifests/v1", "headers": []}
    exchange = Exchange(scope, nothing, nothing)
    exchange.kind, exchange.gated, exchange.status = "manifest", gated, status
    return exchange


def test_there_are_at_most_a_thousand_repositories() -> None:
    async def broken() -> Expiry:
        raise StateError("No database here.")

    metrics = Metrics(report=lambda: RenewalReport(datetime(2026, 1, 1, tzinfo=UTC)), expiry=broken)
    for number in range(MAX_REPOSITORIES + 50):
        metrics.answered(answered(f"team/{number}", 200), 0.01)
    metrics.answered(answered("team/7", 403), 0.01)
    metrics.answered(answered("team/7", 404), 0.01)
    scrape = parsed(asyncio.run(metrics.render()).decode())
    named = {dict(labels)["repository"] for name, labels in scrape.ours if name == GATE}
    assert len(named) == MAX_REPOSITORIES + 1
    assert scrape(GATE, repository=NO_COLLECTION, outcome="allowed") == 50
    assert scrape(GATE, repository="team/7", outcome="allowed") == 1
    assert scrape(GATE, repository="team/7", outcome="refused") == 1


def test_the_page_says_what_it_counts() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "monitor.md"
    assert f"`{NO_COLLECTION}`" in page.read_text(encoding="utf-8")
