"""What an admission service tells Prometheus: reviews by how they ended, seconds, and kept verdicts."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from trustkit.hooks.admission import Phase, Result

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the histogram's buckets."""


class AdmissionMetrics(Collector):
    """Counts on the event loop and is read there.  No label says what was asked, or by whom.

    Args:
        kept: how many verdicts were at hand, and how many had to be asked for.
    """

    def __init__(self, kept: Callable[[], tuple[int, int]]) -> None:
        self._kept = kept
        self._reviews: Counter[tuple[Phase, Result]] = Counter(
            {(phase, result): 0 for phase in Phase for result in Result}
        )
        self._buckets = [0] * (len(SECONDS) + 1)
        self._sum = 0.0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def reviewed(self, phase: Phase, result: Result, seconds: float) -> None:
        """Counts one review that is over."""
        self._reviews[phase, result] += 1
        self._buckets[bisect_left(SECONDS, seconds)] += 1
        self._sum += seconds

    def render(self) -> bytes:
        """Everything in Prometheus's text format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        reviews = CounterMetricFamily(
            "trustkit_admission_reviews", "Reviews, by how they ended.", labels=["phase", "result"]
        )
        for (phase, result), count in self._reviews.items():
            reviews.add_metric([phase, result], count)
        yield reviews
        total, buckets = 0, []
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self._buckets, strict=True):
            total += count
            buckets.append((bound, total))
        about = "From the head of a review to its answer."
        yield HistogramMetricFamily(
            "trustkit_admission_duration_seconds", about, buckets=buckets, sum_value=self._sum
        )
        about = "Questions about an image, by whether the verdict was at hand."
        verdicts = CounterMetricFamily("trustkit_admission_verdicts", about, labels=["kept"])
        for kept, count in zip(("yes", "no"), self._kept(), strict=True):
            verdicts.add_metric([kept], count)
        yield verdicts

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand."""
        return ()
