"""16 verifies at once on one TRUSTKIT_HOME: every one gets through, and says the same (TRUST 6.1)."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

import pytest

from tests.service import Person, Process, RunningService, start

PROCESSES = 16
SECONDS = 100.0
Started = list[tuple[Process, IO[str]]]
"""Each with the file that its stderr goes to."""


@contextmanager
def verifies(person: Person, reference: str) -> Iterator[Started]:
    """That many processes, all under way."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(PROCESSES)]
        running = [(start(["verify", reference], person.environment(), file), file) for file in files]
        try:
            yield running
        finally:
            for process, _ in running:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()


def results(running: Started) -> list[tuple[int, str, str]]:
    """Status, stdout and stderr of each."""
    found = []
    for process, file in running:
        assert process.stdout is not None
        out = process.stdout.read()
        status = process.wait(SECONDS)
        file.seek(0)
        found.append((status, out, file.read()))
    return found


def all_the_same(reference: str, digest: str) -> list[tuple[int, str, str]]:
    return [(0, f"{reference}@{digest}\n", "")] * PROCESSES


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_sixteen_verifies_on_one_home_succeed_cold_and_warm(
    service: RunningService, alice: Person, carol: Person
) -> None:
    reference = f"{service.host}/verifies/app:v1"
    digest = alice.push(reference)
    assert alice("sign", reference).status == 0
    assert carol("pin", "add", reference.rpartition(":")[0], "--root-key", alice.root_key()).status == 0
    with verifies(carol, reference) as cold:
        assert results(cold) == all_the_same(reference, digest)
    with verifies(carol, reference) as warm:
        assert results(warm) == all_the_same(reference, digest)

    again = alice.push(reference, "a second build")
    assert alice("sign", reference).status == 0
    with verifies(carol, reference) as renewed:
        assert results(renewed) == all_the_same(reference, again), "a newer state replaces the cache for all of them"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_verifies_killed_on_their_way_leave_what_the_next_one_can_use(
    service: RunningService, alice: Person, carol: Person
) -> None:
    reference = f"{service.host}/killed/app:v1"
    digest = alice.push(reference)
    assert alice("sign", reference).status == 0
    assert carol("pin", "add", reference.rpartition(":")[0], "--root-key", alice.root_key()).status == 0
    cache = carol.home / "trustkit" / "cache" / "metadata"
    with verifies(carol, reference) as killed:
        ended = time.monotonic() + SECONDS
        while not list(cache.glob("*-killed-*/*.lock")) and time.monotonic() < ended:
            time.sleep(0.001)
        for process, _ in killed:
            process.kill()
            time.sleep(0.005)
        statuses = {process.wait() for process, _ in killed}
    assert -signal.SIGKILL in statuses, "none was killed on its way"
    with verifies(carol, reference) as others:
        assert results(others) == all_the_same(reference, digest)
