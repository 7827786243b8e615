"""What ``/metrics`` says of how much is stored, and of what is pruned: as the last round of pruning left it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from trustkit.authority.prunerounds import Round

_STATE = "needed are what verification takes, kept what the policy history keeps, due what a later round removes."


def of_round(last: Round) -> Iterator[Metric]:
    """The figures of the last round; before one has ended, only when it began."""
    yield _one("trustkit_pruning_last_round_timestamp_seconds", "When it began.", last.began.timestamp())
    yield _one("trustkit_pruning_last_round_removed_files", "Versions that it removed.", last.removed)
    yield _one("trustkit_pruning_last_round_failed_collections", "Collections that it had to leave.", last.failed)
    held = last.held
    files = {"needed": held.files - held.past, "kept": held.past - held.due, "due": held.due}
    sizes = {
        "needed": held.bytes - held.past_bytes,
        "kept": held.past_bytes - held.due_bytes,
        "due": held.due_bytes,
    }
    yield _by_state("trustkit_stored_files", f"Versions of metadata: {_STATE}", files)
    yield _by_state("trustkit_stored_bytes", f"Bytes of metadata: {_STATE}", sizes)


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _by_state(name: str, about: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["state"])
    for state, value in values.items():
        family.add_metric([state], value)
    return family
