"""The service or the signer is killed while keys rotate or a collection is reset: run again, it ends."""

from __future__ import annotations

import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.service import Person, run
from tests.signer.test_rotation import keys
from tests.signer.test_whole_job import Split, split

__all__ = ["split"]

TRIES = 4
DOWN = 1.0
CHANCE = random.Random(20261127)


def dies(split: Split, victim: str, after: float) -> threading.Timer:
    """Kills it so many seconds from now, and starts it anew, which takes a moment."""

    def strike() -> None:
        if victim == "service":
            split.service.kill()
            time.sleep(DOWN)
            split.service.start()
        else:
            split.signer.end(signal.SIGKILL)
            time.sleep(DOWN)
            split.signer.start()

    timer = threading.Timer(after, strike)
    timer.start()
    return timer


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["service", "signer"])
def test_killed_in_a_rotation(split: Split, victim: str) -> None:
    gun = split.pinned(f"killed-{victim}")
    failed = 0
    for number in range(TRIES):
        timer = dies(split, victim, CHANCE.uniform(0.05, 1.0) if number else 0.0)
        done = split.alice("key", "rotate", gun, "--role", "online")
        timer.join()
        failed += done.status != 0
        assert split.carol("verify", f"{gun}:v1").status == 0, "whoever looks meanwhile finds one state or the other"
        if done.status:
            assert done.slug, done.err
            again = split.alice("key", "rotate", gun, "--role", "online")
            assert again.status == 0, again.err
        before = keys(split, gun)
        split.sign(f"{gun}:after{number}")
        assert keys(split, gun) == before
        assert split.carol("verify", f"{gun}:v1", f"{gun}:after{number}").status == 0
    assert split.signer.rows(f"SELECT role FROM pending_keys WHERE gun = '{gun}'") == []
    assert failed, "no kill came in the middle"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["service", "signer"])
def test_killed_in_a_reset(split: Split, victim: str, tmp_path: Path) -> None:
    """However far it came: one consent is enough, and nothing is served that nobody signed."""
    olga = split.service.principal(f"olga-{victim}", "Owner")
    failed = 0
    for number in range(TRIES):
        gun = split.pinned(f"reset-{victim}-{number}")
        assert split.carol("verify", f"{gun}:v1").status == 0
        allowed = run(["admin", "--data-dir", str(split.signer.data), "allow-reset", gun], {})
        assert allowed.status == 0, allowed.err
        timer = dies(split, victim, CHANCE.uniform(0.05, 0.6) if number else 0.0)
        done = olga("reset", gun, "--yes-reset", gun)
        timer.join()
        failed += done.status != 0
        seen = split.carol("verify", f"{gun}:v1")
        assert seen.status == 0 or seen.slug == "collection-gone", seen.err
        again = olga("reset", gun, "--yes-reset", gun)
        assert again.status == 0 or again.slug == "conflict", again.err
        assert split.carol("verify", f"{gun}:v1").slug == "collection-gone"
        keys(split, gun)
        fresh = Person("fresh", tmp_path / f"fresh{number}", dict(split.alice.environ))
        shutil.copytree(split.alice.home / "docker", fresh.home / "docker")
        fresh.push(f"{gun}:v2")
        founded = fresh("sign", f"{gun}:v2")
        assert founded.status == 0, founded.err
        assert split.carol("pin", "add", gun, "--root-key", fresh.root_key(), "--replace").status == 0
        assert split.carol("verify", f"{gun}:v2").status == 0
    assert failed, "no kill came in the middle"
