"""URLs of PostgreSQL: what is refused before anything is connected to, and where passwords come from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.postgres import PASSWORD, USER, Postgres, name_of
from trustkit.errors import InvalidSetting, StateError
from trustkit.server.database import REMEMBERED, DatabaseSource
from trustkit.store.opening import open_store
from trustkit.store.postgres.address import Address, has_password, without_password


def said(url: str, **options: bool) -> dict[str, str]:
    return {k: str(v) for k, v in conninfo_to_dict(Address.parse(url, **options).conninfo()).items() if v is not None}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u@h", "names no database"),
        ("postgresql://u@h/d?sslmode=disable", "nothing vouches"),
        ("postgresql://u@h/d?sslmode=prefer", "nothing vouches"),
        ("postgresql://u@h/d?sslmode=require", "nothing vouches"),
        ("postgresql://u@127.0.0.1,h/d?sslmode=require", "nothing vouches for the database server h"),
        ("postgresql://u@127.0.0.1/d?hostaddr=192.0.2.1&sslmode=disable", "nothing vouches"),
        ("postgresql://u@localhost.example.com/d?sslmode=disable", "nothing vouches"),
        ("postgresql://u@h/d?service=s", "can't have service"),
        ("postgresql://u@h/d?options=-c%20fsync%3Doff", "can't have options"),
        ("postgresql://u@h/d?replication=database", "can't have replication"),
        ("postgresql:u@h/d", "isn't one of PostgreSQL"),
        ("postgresql+psycopg://u@h/d", "isn't one of PostgreSQL"),
    ],
)
def test_urls_that_are_refused(url: str, words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        Address.parse(url)


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://u@h/d", "verify-full"),
        ("postgresql://u@h/d?sslmode=verify-ca", "verify-ca"),
        ("postgresql://u@127.0.0.1:5433/d", None),
        ("postgresql://u@[::1]/d", None),
        ("postgresql:///d", None),
        ("postgres:///d?host=/tmp/sockets", None),
    ],
)
def test_a_server_elsewhere_has_to_be_vouched_for(url: str, mode: str | None) -> None:
    """TRUST 8.3."""
    found = said(url)
    assert found.get("sslmode") == mode
    assert found["target_session_attrs"] == "read-write"
    assert found["host"]


def test_an_unsafe_switch_takes_another_mode() -> None:
    assert said("postgresql://u@h/d?sslmode=disable", unsafe_plain=True)["sslmode"] == "disable"


def test_a_url_without_its_password() -> None:
    url = "postgresql://u%40x:se%2Fcret@h:5433/d?sslpassword=hidden&connect_timeout=3"
    assert has_password(url)
    plain = without_password(url)
    assert "cret" not in plain
    assert "hidden" not in plain
    assert not has_password(plain)
    kept = {"user": "u@x", "host": "h", "port": "5433", "dbname": "d", "connect_timeout": "3"}
    assert kept.items() <= said(plain).items()


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (b"", 0o600, "no password"),
        (b"two\nlines", 0o600, "no password"),
        (b"\xff\xfe", 0o600, "no password"),
        (b"x" * 5000, 0o600, "no password"),
        (b"secret", 0o604, "Anybody can read"),
        (None, 0o600, "can't be read"),
    ],
    ids=["empty", "two lines", "no text", "too long", "open to all", "not there"],
)
def test_password_files_that_are_refused(tmp_path: Path, text: bytes | None, mode: int, words: str) -> None:
    path = tmp_path / "password"
    if text is not None:
        path.write_bytes(text)
        path.chmod(mode)
    with pytest.raises(StateError, match=words) as caught:
        Address.parse("postgresql://u@h/d", password_file=path).conninfo()
    assert "secret" not in str(caught.value)


def test_two_passwords_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="has a password"):
        Address.parse("postgresql://u:p@h/d", password_file=tmp_path / "file")


@pytest.mark.real
@pytest.mark.parametrize("place", ["file", "passfile", "URL"])
def test_where_a_password_comes_from(postgres: Postgres, database: str, tmp_path: Path, place: str) -> None:
    url = f"postgresql://{USER}@127.0.0.1:{postgres.port}/{name_of(database)}"
    path = tmp_path / "password"
    source = DatabaseSource(url)
    if place == "file":
        path.write_text(f"{PASSWORD}\n", encoding="ascii")
        source = DatabaseSource(url, path)
    elif place == "passfile":
        path.write_text(f"127.0.0.1:*:*:{USER}:{PASSWORD}\n", encoding="ascii")
        source = DatabaseSource(f"{url}?passfile={path}")
    else:
        source = DatabaseSource(postgres.url(name_of(database), password=PASSWORD))
    path.touch()
    path.chmod(0o600)
    found = source.of(tmp_path / "data")

    async def main() -> None:
        await (await found.open()).close()

    asyncio.run(main())
    found.remember()
    remembered = (tmp_path / "data" / REMEMBERED).read_text(encoding="utf-8")
    assert PASSWORD not in remembered + repr(found) + repr(source)
    if place != "URL":
        asyncio.run(_open(DatabaseSource().of(tmp_path / "data").where))


async def _open(where) -> None:
    await (await open_store(where)).close()


def test_what_a_data_folder_remembers_and_how_it_forgets(tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.db"
    DatabaseSource(f"sqlite:///{other}").of(tmp_path).remember()
    assert DatabaseSource().of(tmp_path).where == other
    DatabaseSource(f"sqlite:///{tmp_path}/trustkit.db").of(tmp_path).remember()
    assert DatabaseSource().of(tmp_path).where == tmp_path / "trustkit.db"
    (tmp_path / REMEMBERED).write_text("[]", encoding="ascii")
    with pytest.raises(StateError, match="can't be read"):
        DatabaseSource().of(tmp_path)
    with pytest.raises(InvalidSetting, match="no password and no network"):
        DatabaseSource(f"sqlite:///{other}", tmp_path / "password").of(tmp_path)
