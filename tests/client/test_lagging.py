"""Reading back from a replica that lags: for two seconds, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from trustkit.client.lagging import LAG, patiently
from trustkit.errors import CollectionGone, CollectionReset, NoCollection, RolledBack, TrustkitError, Unsigned

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Served:
    """Answers of a service, the last one again and again; its clock goes on while somebody sleeps."""

    def __init__(self, *answers: TrustkitError | str, slow: float = 0.0) -> None:
        self._answers = list(answers)
        self._slow = timedelta(seconds=slow)
        self.slept: list[float] = []
        self.now = NOW
        self.asked = 0

    def read(self) -> str:
        self.asked += 1
        self.now += self._slow
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, TrustkitError):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    def patiently(self) -> str:
        return patiently(self.read, sleep=self.sleep, clock=lambda: self.now)


def older() -> Iterator[TrustkitError]:
    yield from (RolledBack("older"), NoCollection("none yet"), CollectionGone("none any more"))


@pytest.mark.parametrize("error", [*older()], ids=lambda error: error.slug)
def test_a_replica_that_catches_up_is_waited_for(error: TrustkitError) -> None:
    """TRUST 6.3."""
    served = Served(error, error, error, "new")
    assert served.patiently() == "new"
    assert sum(served.slept) < LAG.total_seconds()


@pytest.mark.parametrize("error", [*older()], ids=lambda error: error.slug)
def test_one_that_doesnt_is_not_waited_for_any_longer(error: TrustkitError) -> None:
    served = Served(error)
    with pytest.raises(type(error)):
        served.patiently()
    assert LAG.total_seconds() <= sum(served.slept) < 2 * LAG.total_seconds()


def test_each_read_that_waits_itself_counts() -> None:
    served = Served(RolledBack("older"), slow=2.0)
    with pytest.raises(RolledBack):
        served.patiently()
    assert served.asked == 1


@pytest.mark.parametrize("error", [Unsigned("x"), CollectionReset("x")], ids=lambda error: error.slug)
def test_what_no_replica_mends_is_said_at_once(error: TrustkitError) -> None:
    served = Served(error)
    with pytest.raises(type(error)):
        served.patiently()
    assert served.slept == []
