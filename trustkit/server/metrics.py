"""``/metrics``: what the service does, in figures that name no tag and nobody.

Everything is counted on the event loop and read there, so plain dictionaries do: a request costs a few microseconds.
Each label has few values, whatever clients send.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from trustkit import __version__
from trustkit.asgi.quick import Answer
from trustkit.authority.expiry import Expiry
from trustkit.authority.prunerounds import Round
from trustkit.authority.renew import RenewalReport
from trustkit.errors import NotFound, TrustkitError
from trustkit.gateway.exchange import ClientGone, Exchange, Receive, Scope, Send
from trustkit.server.historymetrics import of_round
from trustkit.server.problems import refuse

log = logging.getLogger("trustkit.service")

PATH = b"/metrics"
TEXT = ("content-type", "text/plain; version=0.0.4; charset=utf-8")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds of the histogram's buckets."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
STATUSES = frozenset(status.value for status in HTTPStatus)
OTHER, NONE = "other", "none"
NO_COLLECTION = "_other"
"""The label for every repository without a collection, whose name anybody can make up; none is called so."""
MAX_REPOSITORIES = 1_000
PUBLISHES = ("accepted", "refused", "conflict", "failed")
VERDICTS = ALLOWED, REFUSED = "allowed", "refused"
PASSES = ("passed", "answered")
RENEWALS = ("renewed", "failed")
Values = Iterable[tuple[Sequence[str], float]]
"""Values with the texts of their labels."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What memory has answered, by what it had, and what it takes for that.

    Attributes:
        reads, read_bytes: of collections' files, and answers.
        views, view_bytes: of what collections sign.
    """

    reads: Mapping[str, int]
    read_bytes: int
    views: Mapping[str, int]
    view_bytes: int


class Metrics(Collector):
    """Counts, and tells Prometheus.  It has a registry of its own.

    Args:
        report: the last renewal round.
        expiry: what expires when.
        kept: what reads were answered from memory.
        pruned: the last round of pruning, of whichever replica.
    """

    def __init__(
        self,
        *,
        report: Callable[[], RenewalReport],
        expiry: Callable[[], Awaitable[Expiry]],
        kept: Callable[[], Kept] = lambda: Kept({}, 0, {}, 0),
        pruned: Callable[[], Awaitable[Round | None]] | None = None,
    ) -> None:
        self._report, self._expiry, self._kept, self._pruned = report, expiry, kept, pruned
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._seconds: dict[str, _Histogram] = {}
        self._publishes = Counter(dict.fromkeys(PUBLISHES, 0))
        self._refusals: Counter[str] = Counter()
        self._gated: Counter[tuple[str, str]] = Counter()
        self._passes: Counter[tuple[str, str]] = Counter()
        self._renewals = Counter(dict.fromkeys(RENEWALS, 0))
        self._slugs = frozenset(_slugs(TrustkitError))
        self._expires: Expiry | None = None
        self._round: Round | None = None
        self._registry = CollectorRegistry()
        for make in (ProcessCollector, PlatformCollector, GCCollector):
            make(registry=self._registry)
        self._registry.register(self)

    def answered(self, exchange: Exchange, seconds: float) -> None:
        """Counts one request that is over."""
        method = exchange.method if exchange.method in METHODS else OTHER
        status = NONE if exchange.status is None else str(exchange.status) if exchange.status in STATUSES else OTHER
        self._requests[exchange.kind, method, status] += 1
        self._seconds.setdefault(exchange.kind, _Histogram()).add(seconds)
        if exchange.refusal is not None:
            self._refused(exchange.refusal)
        if exchange.gated is not None:
            self._judged(exchange.gated, exchange.status)
        if exchange.kind == "publish" and method == "POST" and exchange.status != 401:
            self._publishes[_outcome(exchange.status)] += 1

    def quick(self, answer: Answer, seconds: float) -> None:
        """Counts one GET that was answered from memory before anybody was asked."""
        self._requests[answer.kind, "GET", str(answer.status.value)] += 1
        self._seconds.setdefault(answer.kind, _Histogram()).add(seconds)
        if answer.refusal is not None:
            self._refused(answer.refusal)

    def passed(self, asked: Exchange, passes: bool) -> None:
        """Counts what a proxy asked of a blob; what may not pass is asked of the service next, and judged there."""
        method = asked.method if asked.method in METHODS else OTHER
        self._passes[method, PASSES[0] if passes else PASSES[1]] += 1
        if passes and asked.gated is not None:
            self._judged(asked.gated, HTTPStatus.OK)

    def _refused(self, slug: str) -> None:
        self._refusals[slug if slug in self._slugs else OTHER] += 1

    def _judged(self, repository: str, status: int | None) -> None:
        outcome = _verdict(status)
        if outcome is None:
            return
        known = (repository, ALLOWED) in self._gated
        if not repository or (not known and len(self._gated) >= len(VERDICTS) * MAX_REPOSITORIES):
            repository = NO_COLLECTION
        for one in VERDICTS:
            self._gated[repository, one] += one == outcome

    def renewed(self, report: RenewalReport) -> None:
        """Counts what one round of renewals did."""
        self._renewals["renewed"] += report.renewed
        self._renewals["failed"] += len(report.failed)

    async def render(self) -> bytes:
        """Everything in Prometheus's text format 0.0.4; without what the database says, where it can't be read."""
        try:
            self._expires = await self._expiry()
            self._round = await self._pruned() if self._pruned else None
        except TrustkitError as error:
            log.error("metrics go without what the database says: %s", error.message)
            self._expires = self._round = None
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        yield _gauge("trustkit_build_info", "The version that runs; always 1.", [((__version__,), 1)], "version")
        yield _counter(
            "trustkit_requests", "Requests, by kind of path.", self._requests.items(), "route", "method", "status"
        )
        yield self._durations()
        yield _counter(
            "trustkit_gate_requests",
            "Reads that the gate decided, by repository with a collection.",
            self._gated.items(),
            "repository",
            "outcome",
        )
        about = "Blobs that a proxy asked about: that passed by, and that this service was to answer itself."
        yield _counter("trustkit_blob_questions", about, self._passes.items(), "method", "outcome")
        for name, about, counts, label in (
            ("trustkit_publishes", "Uploads of metadata by somebody who is logged in.", self._publishes, "outcome"),
            ("trustkit_refusals", "Refused requests, by the error's slug.", self._refusals, "slug"),
            ("trustkit_renewals", "Renewals of a collection's timestamp or snapshot.", self._renewals, "outcome"),
        ):
            yield _counter(name, about, [((value,), count) for value, count in counts.items()], label)
        yield from self._memory()
        name, about = (
            "trustkit_renewal_last_round_timestamp_seconds",
            "When the last finished round of renewals began.",
        )
        yield GaugeMetricFamily(name, about, value=self._report().at.timestamp())
        if self._expires is not None:
            yield from _of_collections(self._expires)
        if self._round is not None:
            yield from of_round(self._round)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: registering has to read no report."""
        return ()

    def _memory(self) -> Iterator[Metric]:
        kept = self._kept()
        about = (
            "Reads of collections' files, by what memory had: the answer, the file, the file to be checked, nothing."
        )
        yield _counter("trustkit_cached_reads", about, [((v,), count) for v, count in kept.reads.items()], "found")
        about = "Memory that files and answers take."
        yield GaugeMetricFamily("trustkit_read_cache_bytes", about, value=kept.read_bytes)
        about = "Questions what a repository signs, by what memory had: the view, one to be checked, nothing."
        yield _counter("trustkit_cached_views", about, [((v,), count) for v, count in kept.views.items()], "found")
        about = "Memory that what collections sign takes, counted by digests."
        yield GaugeMetricFamily("trustkit_view_cache_bytes", about, value=kept.view_bytes)

    def _durations(self) -> Metric:
        name, about = "trustkit_request_duration_seconds", "From a request's head to the end of its answer."
        family = HistogramMetricFamily(name, about, labels=["route"])
        for route, histogram in self._seconds.items():
            family.add_metric([route], histogram.cumulative(), histogram.sum)
        return family


class MetricsApp:
    """Answers ``GET /metrics`` and nothing else; for a listener of its own."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI 3.0."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        try:
            if exchange.path == PATH and exchange.method in ("GET", "HEAD"):
                await exchange.reply(200, [TEXT], await self._metrics.render())
            else:
                await refuse(exchange, NotFound("Only GET /metrics is here."))
        except ClientGone:
            return


class _Histogram:
    """Seconds by bucket; the last bucket is for what is over every bound."""

    __slots__ = ("_counts", "sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> Sequence[tuple[str, float]]:
        total, found = 0, []
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self._counts, strict=True):
            total += count
            found.append((bound, total))
        return found


def _of_collections(expiry: Expiry) -> Iterator[Metric]:
    yield GaugeMetricFamily("trustkit_collections", "Open collections.", value=expiry.collections)
    moments = [((role,), each.soonest.timestamp()) for role, each in expiry.roles.items()]
    about = "When the first current file of the role expires."
    yield _gauge("trustkit_soonest_expiry_timestamp_seconds", about, moments, "role")
    expired = [((role,), each.expired) for role, each in expiry.roles.items()]
    yield _gauge("trustkit_expired_files", "Current files of the role that are expired.", expired, "role")


def _verdict(status: int | None) -> str | None:
    """What a status says of the gate; None where it says that something is missing, or broken."""
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE):
        return REFUSED
    return ALLOWED if status is not None and status < HTTPStatus.BAD_REQUEST else None


def _outcome(status: int | None) -> str:
    if status is None or status >= 500:
        return "failed"
    if status == 409:
        return "conflict"
    return "accepted" if status < 400 else "refused"


def _slugs(error: type[TrustkitError]) -> Iterator[str]:
    yield error.slug
    for kind in error.__subclasses__():
        yield from _slugs(kind)


def _counter(name: str, about: str, values: Values, *labels: str) -> Metric:
    family = CounterMetricFamily(name, about, labels=labels)
    for texts, value in values:
        family.add_metric(texts, value)
    return family


def _gauge(name: str, about: str, values: Values, *labels: str) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for texts, value in values:
        family.add_metric(texts, value)
    return family
