"""A service from a backup beside a signer that wasn't, and certificates that the two don't accept any more."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.signer.certificates import SERVER, Authority, Certified
from tests.signer.test_rotation import keys
from tests.signer.test_whole_job import SECONDS, Split, split
from tests.warmstock import WarmStock

__all__ = ["split"]


@pytest.mark.parametrize("rotated", [False, True], ids=["published", "published and rotated"])
def test_a_restored_service_takes_what_its_signer_has(split: Split, tmp_path: Path, *, rotated: bool) -> None:
    gun = split.pinned(f"restored{rotated:d}")
    database = split.service.data / "trustkit.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(tmp_path / "copy.db")) as target:
        source.backup(target)
    if rotated:
        assert split.alice("key", "rotate", gun, "--role", "online").status == 0
    split.sign(f"{gun}:v2")
    stock = WarmStock(split.service, split.carol, gun, tmp_path / "stock")
    assert stock.digest("v2")
    assert split.carol("verify", f"{gun}:v2").status == 0
    split.service.stop()
    for end in ("", "-wal", "-shm"):
        database.with_name(f"trustkit.db{end}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", database)
    told = split.service.admin("recover", gun)
    assert told.status == 1, told.err
    assert "the service takes it from there when it starts" in told.err
    split.service.start()
    ends = time.monotonic() + SECONDS
    while split.carol("verify", f"{gun}:v2").status and time.monotonic() < ends:
        time.sleep(0.1)
    split.sign(f"{gun}:v3")
    assert split.carol("verify", f"{gun}:v1", f"{gun}:v2", f"{gun}:v3").status == 0, "nothing is lost"
    assert stock.digest("v3")
    keys(split, gun)


def expired_client(split: Split, _: Path) -> tuple[Certified | None, Certified | None]:
    return split.signer.authority.issue("expired", days=-1), None


def strangers_client(_: Split, folder: Path) -> tuple[Certified | None, Certified | None]:
    return Authority(folder / "stranger", "an authority for tests").issue("service"), None


def anothers_name(split: Split, _: Path) -> tuple[Certified | None, Certified | None]:
    return split.signer.authority.issue("another"), None


def expired_signer(split: Split, _: Path) -> tuple[Certified | None, Certified | None]:
    return None, split.signer.authority.issue("signer-of-old", SERVER, days=-1)


def strangers_signer(_: Split, folder: Path) -> tuple[Certified | None, Certified | None]:
    return None, Authority(folder / "stranger", "an authority for tests").issue("signer", SERVER)


@pytest.mark.parametrize(
    "bad",
    [expired_client, strangers_client, anothers_name, expired_signer, strangers_signer],
    ids=lambda f: f.__name__,
)
def test_a_certificate_that_is_not_accepted(
    split: Split, tmp_path: Path, bad: Callable[[Split, Path], tuple[Certified | None, Certified | None]]
) -> None:
    """Publishes are refused with nothing lost, /readyz and the log say it, reads go on; a good one mends it."""
    gun = split.pinned(bad.__name__.replace("_", "-"))
    split.alice.push(f"{gun}:v2")
    before = split.signer.client, split.signer.server
    client, server = bad(split, tmp_path)
    split.service.stop()
    split.signer.end()
    try:
        split.signer.client, split.signer.server = client or before[0], server or before[1]
        split.signer.start()
        split.service.arguments = tuple(split.signer.options)
        split.service.start()
        refused = split.alice("sign", f"{gun}:v2")
        assert (refused.status, refused.slug) == (4, "server-failed"), refused.err
        assert split.carol("verify", f"{gun}:v1").status == 0
        assert split.carol("verify", f"{gun}:v2").slug == "unsigned"
        ends = time.monotonic() + SECONDS
        while (said := split.ready())[0] == 200 and time.monotonic() < ends:
            time.sleep(0.1)
        assert said[0] == 503
        assert "the separate signer can't be reached" in said[1]
    finally:
        split.service.stop()
        split.signer.end()
        split.signer.client, split.signer.server = before
        split.signer.start()
        split.service.arguments = tuple(split.signer.options)
        split.service.start()
    split.sign(f"{gun}:v2")
    assert split.carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0


def test_a_collection_that_was_founded_after_the_backup_comes_back(split: Split, tmp_path: Path) -> None:
    """The service has never heard of it; whoever may publish and has seen nothing yet has the signer asked."""
    database = split.service.data / "trustkit.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(tmp_path / "copy.db")) as target:
        source.backup(target)
    gun = split.pinned("unheard-of")
    assert split.carol("verify", f"{gun}:v1").status == 0
    split.service.stop()
    for end in ("", "-wal", "-shm"):
        database.with_name(f"trustkit.db{end}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", database)
    split.service.start()
    assert split.carol("verify", f"{gun}:v1").slug == "collection-gone"
    asked = split.alice("init", gun, environ={"TRUSTKIT_HOME": str(tmp_path / "empty")})
    assert asked.status != 0, asked.out
    assert split.carol("verify", f"{gun}:v1").status == 0, asked.err
    split.sign(f"{gun}:v2")
    assert split.carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0
    keys(split, gun)
