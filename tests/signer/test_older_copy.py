"""A signer whose database came from an older copy, or was lost, fails closed, says so, and goes on by consent."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.service import run
from tests.signer.running import RunningSigner
from tests.signer.stage import Intruder
from tests.signer.test_whole_job import Split, split
from tests.simulator import Publisher, manifest
from tests.warmstock import WarmStock
from trustkit.errors import ConsentMissing, StateError

__all__ = ["split"]


def copied(signer: RunningSigner, to: Path) -> Path:
    """A consistent copy of the signer's database, as a backup makes it."""
    with closing(sqlite3.connect(signer.data / "signer.db")) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    return to


def put_back(signer: RunningSigner, copy: Path | None) -> None:
    """The signer is started on this copy, or with no database at all."""
    signer.end()
    for end in ("", "-wal", "-shm"):
        (signer.data / f"signer.db{end}").unlink(missing_ok=True)
    if copy:
        shutil.copy(copy, signer.data / "signer.db")
    signer.start()


def allow(signer: RunningSigner, *arguments: str) -> None:
    done = run(["admin", "--data-dir", str(signer.data), "allow-catch-up", *arguments], {})
    assert done.status == 0, done.err


def actions(signer: RunningSigner, gun: str) -> list[str]:
    shown = run(["admin", "--data-dir", str(signer.data), "audit", "list", "--format", "json"], {})
    return [row["action"] for row in json.loads(shown.out) if row["subject"] == gun]


def refused(split: Split, gun: str) -> None:
    """A publish is refused with the way out in it, nothing of it is stored, and reads go on."""
    split.alice.push(f"{gun}:v9")
    done = split.alice("sign", f"{gun}:v9")
    assert (done.status, done.slug) == (5, "consent-missing"), done.err
    assert "its database is an older copy, or a new one" in done.err
    assert f"trustkit admin --data-dir DIR allow-catch-up {gun}" in done.err
    assert split.carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0
    assert split.carol("verify", f"{gun}:v9").slug == "unsigned"


def goes_on(split: Split, gun: str, stock: WarmStock) -> None:
    split.sign(f"{gun}:v9")
    assert split.carol("verify", f"{gun}:v1", f"{gun}:v2", f"{gun}:v9").status == 0
    assert stock.digest("v9")
    split.sign(f"{gun}:v10")
    assert split.carol("verify", f"{gun}:v10").status == 0


def stocked(split: Split, gun: str, folder: Path) -> WarmStock:
    """v2 is signed, and a consumer remembers it that takes no step back."""
    split.sign(f"{gun}:v2")
    stock = WarmStock(split.service, split.carol, gun, folder / "stock")
    assert stock.digest("v2")
    return stock


def test_an_older_copy_goes_on_by_consent(split: Split, tmp_path: Path) -> None:
    gun = split.pinned("older")
    copy = copied(split.signer, tmp_path / "copy.db")
    stock = stocked(split, gun, tmp_path)
    put_back(split.signer, copy)
    refused(split, gun)
    allow(split.signer, gun)
    goes_on(split, gun, stock)
    assert actions(split.signer, gun)[:2] == ["caught-up", "catch-up-allowed"]


def test_a_copy_from_before_a_rotation(split: Split, tmp_path: Path) -> None:
    """The keys that the root names are lost with the newer database: its publisher has it name those here."""
    gun = split.pinned("rotated")
    copy = copied(split.signer, tmp_path / "copy.db")
    assert split.alice("key", "rotate", gun, "--role", "online").status == 0
    stock = stocked(split, gun, tmp_path)
    put_back(split.signer, copy)
    refused(split, gun)
    allow(split.signer, gun)
    told = split.alice("sign", f"{gun}:v9")
    assert (told.status, told.slug) == (4, "server-failed"), told.err
    assert f"trustkit key rotate {gun} --role online" in told.err
    rotated = split.alice("key", "rotate", gun, "--role", "online")
    assert rotated.status == 0, rotated.err
    goes_on(split, gun, stock)


def test_a_signer_that_lost_everything(split: Split, tmp_path: Path) -> None:
    gun = split.pinned("lost")
    stock = stocked(split, gun, tmp_path)
    whole = copied(split.signer, tmp_path / "whole.db")
    put_back(split.signer, None)
    try:
        refused(split, gun)
        allow(split.signer, gun)
        unvouched = split.alice("sign", f"{gun}:v9")
        assert unvouched.status == 4, unvouched.err
        assert "No root" in unvouched.err
        assert split.signer.rows("SELECT * FROM keys") == []
        allow(split.signer, gun, "--root-key", split.alice.root_key())
        assert split.alice("sign", f"{gun}:v9").status == 4
        rotated = split.alice("key", "rotate", gun, "--role", "online")
        assert rotated.status == 0, rotated.err
        goes_on(split, gun, stock)
    finally:
        put_back(split.signer, whole)


@pytest.mark.parametrize(
    ("arguments", "slug"),
    [
        (["allow-catch-up", "registry.example.com/a/b", "--root-key", "abc"], "invalid-setting"),
        (["allow-catch-up", "registry.example.com/a/b", "--withdraw"], "not-found"),
        (["allow-reset", "registry.example.com/a/b", "--withdraw"], "not-found"),
        (["allow-reset", "registry.example.com/a/b"], "not-found"),
        (["allow-reset", "NO NAME"], "invalid-name"),
    ],
)
def test_a_consent_that_can_t_be_given(signer: RunningSigner, arguments: list[str], slug: str) -> None:
    signer.as_seen_by().ready()
    assert run(["admin", "--data-dir", str(signer.data), *arguments], {}).slug == slug
    assert actions(signer, "registry.example.com/a/b") == []


def first(publisher: Publisher, tag: str) -> dict[str, bytes]:
    return publisher.first_upload(tag, now=datetime.now(UTC))


def test_a_signer_s_folder_is_no_service_s(signer: RunningSigner) -> None:
    refused = run(["admin", "--data-dir", str(signer.data), "principal", "list"], {})
    assert (refused.status, refused.slug) == (1, "state"), refused.err
    assert "separate signer" in refused.err
    assert not (signer.data / "trustkit.db").exists()


class TestWhoeverHasTheService:
    """A consent lies there, and an intruder in the service is the first to use it."""

    @pytest.fixture
    def behind(self, signer: RunningSigner, intruder: Intruder, tmp_path: Path) -> Intruder:
        copy = copied(signer, tmp_path / "copy.db")
        intruder.advance(intruder.upload("v2"))
        put_back(signer, copy)
        return intruder

    def test_without_consent_nothing_moves(self, behind: Intruder) -> None:
        before = behind.signer.held(behind.gun)
        with pytest.raises(ConsentMissing):
            behind.signer.catch_up(behind.gun, behind.files)
        assert behind.signer.held(behind.gun).versions == before.versions

    def test_a_withdrawn_consent_is_none(self, signer: RunningSigner, behind: Intruder) -> None:
        allow(signer, str(behind.gun))
        allow(signer, str(behind.gun), "--withdraw")
        with pytest.raises(ConsentMissing):
            behind.signer.catch_up(behind.gun, behind.files)
        assert actions(signer, str(behind.gun))[:2] == ["catch-up-withdrawn", "catch-up-allowed"]

    def test_a_lapsed_consent_is_none(self, signer: RunningSigner, behind: Intruder) -> None:
        allow(signer, str(behind.gun))
        with closing(sqlite3.connect(signer.data / "signer.db")) as database:
            database.execute("UPDATE consents SET until = unixepoch() - 1")
            database.commit()
        with pytest.raises(ConsentMissing):
            behind.signer.catch_up(behind.gun, behind.files)

    def test_a_consent_of_another_collection_is_none(self, signer: RunningSigner, behind: Intruder) -> None:
        other = Intruder(behind.signer)
        allow(signer, str(other.gun))
        with pytest.raises(ConsentMissing):
            behind.signer.catch_up(behind.gun, behind.files)
        with pytest.raises(ConsentMissing, match="No reset"):
            behind.signer.replace(other.gun)

    @pytest.mark.parametrize(
        ("role", "why"),
        [("root", "has no root"), ("targets", "has no targets"), ("snapshot", "has no snapshot"), ("", "too few")],
    )
    def test_no_state_but_a_good_one_is_believed(
        self, signer: RunningSigner, behind: Intruder, role: str, why: str
    ) -> None:
        """Each refusal leaves the consent where it is, for the honest service."""
        allow(signer, str(behind.gun))
        bad = {name: data for name, data in behind.files.items() if name != role}
        if not role:
            stranger = Publisher(behind.gun)
            for tag in ("evil", "more", "worse"):
                stranger.install(
                    stranger.sign_upload(tag, manifest(tag), datetime.now(UTC))
                    if stranger.files
                    else first(stranger, tag)
                )
            bad = stranger.files
        with pytest.raises(StateError, match=why):
            behind.signer.catch_up(behind.gun, bad)
        behind.signer.catch_up(behind.gun, behind.files)
        behind.advance(behind.upload("v3"))

    def test_nobody_goes_back_by_it(self, signer: RunningSigner, intruder: Intruder) -> None:
        old = dict(intruder.files)
        intruder.advance(intruder.upload("v2"))
        allow(signer, str(intruder.gun))
        with pytest.raises(StateError, match="older than what was signed here"):
            intruder.signer.catch_up(intruder.gun, old)
        intruder.advance(intruder.upload("v3"))
