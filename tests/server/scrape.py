"""Reads /metrics as Prometheus does."""

from __future__ import annotations

import http.client
import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.service import RunningService


@dataclass(frozen=True)
class Scrape:
    """One answer: every sample by its name and its labels, which are sorted."""

    text: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of one sample; None where there is none."""
        return self.samples.get((name, tuple(sorted(labels.items()))))

    @property
    def ours(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {key: value for key, value in self.samples.items() if key[0].startswith("trustkit_")}


def parsed(text: str) -> Scrape:
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return Scrape(text, samples)


class Monitored(RunningService):
    """A service with metrics on a free port of loopback."""

    @property
    def metrics(self) -> str:
        """Where they are: HOST:PORT, as the newest start told its operator."""
        return self.log.read_text().rpartition("metrics at http://")[2].partition("/")[0]

    def scrape(self) -> Scrape:
        status, body = ask(self.metrics, "/metrics")
        assert status == 200, body
        return parsed(body.decode())

    def ready(self) -> tuple[int, dict[str, Any]]:
        status, body = ask(self.host, "/readyz")
        return status, json.loads(body)

    def change(self, *statements: str) -> None:
        """Changes the database behind the service's back, also what its triggers keep."""
        with sqlite3.connect(self.data / "trustkit.db", timeout=60) as database:
            for table in ("heads", "files"):
                for verb in ("update", "delete"):
                    database.execute(f"DROP TRIGGER IF EXISTS keep_{table}_{verb}")
            for statement in statements:
                assert database.execute(statement).rowcount > 0, statement


def ask(host: str, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
