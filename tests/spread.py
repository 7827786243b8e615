"""How files of tests are spread over processes: what takes longest begins first, and spare time is used.

Two processes leave close to half of two cores' time: they wait for services to stop, for clocks and for locks.  A
third one that is as quick as they are makes what is timed fail.  So with three or more, the last one is the *spare*
one: it yields to every other process (``nice``), and takes files of ``CALM`` only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

LONGEST = ("real/test_how_to_pages", "load/", "replicas/", "e2e/test_online_keys_by_uri", "signer/", "real/", "e2e/")
"""Parts of the paths of what takes longest, longest first, so that no process is left with it at the end."""

CALM = (
    "core/test_threshold_machine", "core/test_bins_machine", "core/test_rotation_machine", "core/test_signer_machine",
    "ci/", "builds/", "keys/", "core/", "formats_docker/", "authority/", "store/test_store", "cli/", "gateway/",
    "home/", "engines/", "client/", "conformance/", "docs/test_re", "docs/test_trust", "hooks/test_admission_review",
    "hooks/test_cache", "keys_example/", "store/test_migrations", "store/test_copying", "e2e/test_k",
    "e2e/test_policy", "e2e/test_resolve", "e2e/test_signers", "e2e/test_thresholds.py",
    "e2e/test_thresholds_of_root", "e2e/test_recover", "e2e/test_following", "e2e/test_compromise", "e2e/test_doctor",
    "e2e/test_hardware", "attacks/", "remote/",
)  # fmt: skip
"""Parts of the paths of what computes, or waits for nothing but processes of its own; longest first as well."""

TIMED = (
    "attacks/test_docker_answers", "attacks/test_endless", "attacks/test_hostile_uploads", "attacks/test_migrations",
    "attacks/test_moved_tag", "attacks/test_rollback", "attacks/test_tampered_blob", "attacks/test_tokens",
    "attacks/test_unsigned_digest", "attacks/test_warm_cache", "authority/test_freshness", "builds/test_dockerfile",
    "builds/test_yaml", "e2e/test_kek_rotation", "gateway/test_hostile_registry", "gateway/test_layout_crash",
    "keys/test_onlineplaces", "remote/test_behind_a_proxy", "remote/test_connections", "remote/test_http_client",
    "remote/test_resolving", "remote/test_threads", "store/test_store_database",
)  # fmt: skip
"""Not calm in spite of where they are: they hold something to a time on the clock."""

NICE = 10
"""Of a core that another process wants, the spare one gets a tenth."""

SPARE_SECONDS = 1500
"""What each test may take on the spare process, where an ordinary one has to end in 300 s."""

FEWEST = 3
"""So many processes have a spare one among them."""


def is_calm(path: str) -> bool:
    """Whether the tests of a file may wait for any time, whatever else the machine does."""
    return _first(path, TIMED) is None and _first(path, CALM) is not None


def rank(path: str) -> int:
    """Where a file stands among all of them: the longest ones, whatever is in neither list, the calm ones."""
    if is_calm(path):
        return len(LONGEST) + 1 + (_first(path, CALM) or 0)
    longest = _first(path, LONGEST)
    return len(LONGEST) if longest is None else longest


def pick(waiting: Iterable[str], *, spare: bool) -> str | None:
    """The file that a process takes next of those that wait, in their order; None where there is none for it."""
    return next((path for path in waiting if not spare or is_calm(path)), None)


def is_spare(worker: str, count: int) -> bool:
    """Whether the process of this name (``gw0``, ``gw1`` ...) is the spare one of so many."""
    return count >= FEWEST and worker == f"gw{count - 1}"


def _first(path: str, parts: tuple[str, ...]) -> int | None:
    return next((number for number, part in enumerate(parts) if f"tests/{part}" in path), None)


class Spread(LoadFileScheduling):
    """Files by ``pick``; a process for which none is left ends."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        spare = len(self.nodes) >= FEWEST and is_spare(node.gateway.id, self.numnodes)
        path = pick(self.workqueue, spare=spare)
        if path is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(path, last=False)
        super()._assign_work_unit(node)


def pytest_configure(config: pytest.Config) -> None:
    """Has the spare process and all that it starts take what time the others leave."""
    if _on_spare(config):
        os.nice(NICE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--dist loadfile`` a file stays on one process, for what its tests share."""
    items.sort(key=lambda item: rank(item.path.as_posix()))
    if _on_spare(config):
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SPARE_SECONDS))


def _on_spare(config: pytest.Config) -> bool:
    worker = getattr(config, "workerinput", None)
    return worker is not None and is_spare(worker["workerid"], worker["workercount"])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread | None:
    """What spreads the tests for ``--dist loadfile``; None for other ways."""
    return Spread(config, log) if config.getvalue("dist") == "loadfile" else None
