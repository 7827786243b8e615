"""/metrics on a real service: what is counted, how little a label can say, and who is let in."""

from __future__ import annotations

import asyncio
import random
import re
import string
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.server.scrape import Monitored, ask, parsed
from tests.service import Person
from trustkit.authority.expiry import Expiry
from trustkit.authority.prunerounds import PruneRounds
from trustkit.authority.renew import RenewalReport
from trustkit.errors import StateError
from trustkit.server.metrics import METHODS, PUBLISHES, Metrics
from trustkit.server.pruning import one_round
from trustkit.server.v2 import KINDS
from trustkit.store.database import SqlStore

SOONEST = "trustkit_soonest_expiry_timestamp_seconds"
DAY = 86400.0
SHAPES = ("/{}", "/v2/{}", "/v2/{}/manifests/{}", "/v2/x/{}/_trust/metadata/1.{}.json", "/v2/%2f{}", "/readyz/{}")
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "monitor.md"


def signed(service: Monitored, alice: Person, tag: str, *, days: int) -> None:
    """Signs a tag; targets then live this many days."""
    alice.push(f"{service.host}/metrics/app:{tag}")
    result = alice("sign", f"{service.host}/metrics/app:{tag}", environ={"TRUSTKIT_TARGETS_DAYS": str(days)})
    assert result.status == 0, result.err


@pytest.mark.parametrize("days", [9, 3, 400])
def test_the_soonest_expiry_is_right_at_once_after_each_publish(service: Monitored, alice: Person, days: int) -> None:
    service.scrape()  # what is kept for some seconds must not be what is told afterwards
    signed(service, alice, f"v{days}", days=days)
    after, now = service.scrape(), time.time()
    left = after(SOONEST, role="targets")
    assert left == pytest.approx(now + days * DAY, abs=120)
    assert after(SOONEST, role="timestamp") == pytest.approx(now + 7 * DAY, abs=120)
    assert after(SOONEST, role="snapshot") == pytest.approx(now + 14 * DAY, abs=120)
    assert after("trustkit_collections") == 1
    assert after("trustkit_expired_files", role="targets") == 0


def test_publishes_and_refusals_are_counted_by_outcome_and_slug(service: Monitored, alice: Person) -> None:
    before = service.scrape()
    signed(service, alice, "counted", days=30)
    token = alice.token(service.host, "repository:metrics/app:pull,push,sign")
    path = f"/v2/{service.host}/metrics/app/_trust/metadata"
    assert ask(service.host, path, "POST", {"Authorization": f"Bearer {token}"})[0] == 400
    assert ask(service.host, path, "POST")[0] == 401, "nobody is logged in: no publish"
    after = service.scrape()

    def rise(name: str, **labels: str) -> float:
        return (after(name, **labels) or 0) - (before(name, **labels) or 0)

    outcomes = {each: rise("trustkit_publishes_total", outcome=each) for each in PUBLISHES}
    assert outcomes == {"accepted": 1, "refused": 1, "conflict": 0, "failed": 0}
    assert rise("trustkit_refusals_total", slug="malformed") == 1
    assert rise("trustkit_refusals_total", slug="login-required") >= 1
    assert rise("trustkit_requests_total", route="publish", method="POST", status="401") == 1
    assert rise("trustkit_request_duration_seconds_count", route="publish") == 3


def test_only_roles_that_targets_name_count_as_delegated(service: Monitored, alice: Person, tmp_path: Path) -> None:
    signed(service, alice, "latest", days=30)
    gun, public = f"{service.host}/metrics/app", tmp_path / "ci.pub"
    made = alice("key", "generate", "--role", "signer", "--name", "ci", "--public-out", str(public))
    assert made.status == 0, made.err
    assert service.scrape()(SOONEST, role="delegated") is None
    added = alice("signer", "add", "ci", "--key", str(public), gun, environ={"TRUSTKIT_TARGETS_DAYS": "11"})
    assert added.status == 0, added.err
    assert service.scrape()(SOONEST, role="delegated") == pytest.approx(time.time() + 11 * DAY, abs=120)
    removed = alice("signer", "remove", "ci", "--yes", gun)
    assert removed.status == 0, removed.err
    assert service.scrape()(SOONEST, role="delegated") is None, "the file stays, and nobody needs it"


def test_labels_have_few_values_whatever_clients_send(service: Monitored) -> None:
    chance = random.Random(7)
    marks = []
    for _ in range(200):
        mark = "".join(chance.choices(string.ascii_lowercase, k=12))
        marks.append(mark)
        method = chance.choice([*METHODS, mark.upper(), "OPTIONS", "TRACE", "PROPFIND"])
        ask(service.host, chance.choice(SHAPES).format(mark, mark), method)
    scrape = service.scrape()
    values: dict[str, set[str]] = {}
    for name, labels in scrape.ours:
        for label, value in labels:
            values.setdefault(f"{name} {label}", set()).add(value)
    requests = {label: values[f"trustkit_requests_total {label}"] for label in ("route", "method", "status")}
    assert requests["route"] <= {*KINDS.values(), "token", "healthz", "readyz", "other"}
    assert requests["method"] <= {*METHODS, "other"}
    assert "other" in requests["method"]
    assert all(status == "none" or re.fullmatch("[1-5][0-9][0-9]", status) for status in requests["status"])
    assert len([key for key in scrape.ours if key[0] == "trustkit_requests_total"]) < 200
    assert [mark for mark in marks if mark in scrape.text.lower()] == []
    assert "metrics/app" not in scrape.text, "no collection is named"
    assert service.host not in scrape.text


def test_the_public_listener_has_no_metrics_and_theirs_has_nothing_else(service: Monitored) -> None:
    assert ask(service.host, "/metrics")[0] == 404
    assert ask(service.metrics, "/metrics", "HEAD") == (200, b"")
    for path, method in (("/metrics", "POST"), ("/v2/", "GET"), ("/readyz", "GET"), ("/metrics/", "GET")):
        assert ask(service.metrics, path, method)[0] == 404, (path, method)


def test_without_the_option_nothing_more_is_listened_on(tmp_path: Path) -> None:
    plain = Monitored(tmp_path)
    plain.start()
    try:
        assert ask(plain.host, "/metrics")[0] == 404
        assert "metrics at" not in plain.log.read_text()
    finally:
        plain.stop()


def test_metrics_off_loopback_need_the_unsafe_switch(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trustkit", "serve", "--data-dir", str(tmp_path), "--listen", "127.0.0.1:0"]
    command += ["--metrics", "0.0.0.0:0"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is not loopback" in refused.stderr
    opened = Monitored(tmp_path, "--metrics", "0.0.0.0:0", "--unsafe-open-metrics")
    opened.start()
    try:
        assert opened.scrape()("trustkit_collections") == 0
    finally:
        opened.stop()


def test_a_database_that_cannot_be_read_leaves_the_counters() -> None:
    async def broken() -> Expiry:
        raise StateError("The database is gone.")

    metrics = Metrics(report=lambda: RenewalReport(datetime(2026, 1, 1, tzinfo=UTC)), expiry=broken)
    scrape = parsed(asyncio.run(metrics.render()).decode())
    assert scrape("trustkit_renewals_total", outcome="failed") == 0
    assert scrape("trustkit_renewal_last_round_timestamp_seconds") == 1767225600
    assert scrape("trustkit_collections") is None, "no figure is better than an old one"


def make_round(service: Monitored, later: timedelta) -> None:
    """A round of pruning as this service, or another replica of it, makes one."""

    async def made() -> None:
        store = await SqlStore.open(service.data / "trustkit.db")
        try:
            await one_round(PruneRounds(store, clock=lambda: datetime.now(UTC) + later))
        finally:
            await store.close()

    asyncio.run(made())


def test_what_is_stored_and_what_is_pruned_is_told_as_the_last_round_left_it(
    service: Monitored, alice: Person
) -> None:
    """Whoever made the round."""
    signed(service, alice, "twice", days=30)
    signed(service, alice, "twice", days=31)
    make_round(service, timedelta(days=89))
    before = service.scrape()
    kept = before("trustkit_stored_files", state="kept")
    assert kept is not None
    assert kept >= 3
    assert (before("trustkit_stored_files", state="needed") or 0) >= 4
    assert (before("trustkit_stored_bytes", state="needed") or 0) > 2000
    assert before("trustkit_stored_files", state="due") == 0
    assert before("trustkit_pruning_last_round_timestamp_seconds") == pytest.approx(time.time() + 89 * DAY, abs=60)
    make_round(service, timedelta(days=91))
    after = service.scrape()
    assert after("trustkit_stored_files", state="due") == kept, "so few are left to a later one"
    assert after("trustkit_pruning_last_round_removed_files") == 0


def test_every_metric_is_on_the_page_and_no_other(service: Monitored, alice: Person) -> None:
    signed(service, alice, "page", days=30)
    make_round(service, timedelta(days=200))
    there = set(re.findall(r"^# TYPE (trustkit_\S+) ", service.scrape().text, re.MULTILINE))
    page = HOW_TO.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(trustkit_\w+)", page, re.MULTILINE)) == there
    used = set(re.findall(r"\btrustkit_\w+", page))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in used} == there, "the alert rules use what there is"
