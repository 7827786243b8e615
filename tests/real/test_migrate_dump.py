"""Collections from dumps of a real notary-server's database: PostgreSQL's and MariaDB's own programs write them."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.formats_docker.stand import PASSPHRASE, Notary, NotaryServer
from tests.mariadb import PASSWORD as MARIA_PASSWORD
from tests.mariadb import MariaDb
from tests.people import service
from tests.postgres import PASSWORD, Postgres, binaries, name_of
from tests.real.migration_stand import stage
from tests.service import Person, Result, RunningService

__all__ = ["service"]

pytestmark = pytest.mark.real

TABLES = """
CREATE TABLE tuf_files (id {id}, created_at timestamp NULL DEFAULT NULL, updated_at timestamp NULL DEFAULT NULL,
    deleted_at timestamp NULL DEFAULT NULL, gun varchar(255) NOT NULL, role varchar(255) NOT NULL,
    version integer NOT NULL, data {bytes} NOT NULL, sha256 char(64) DEFAULT NULL, UNIQUE (gun, role, version));
CREATE TABLE change_category (category varchar(20) PRIMARY KEY);
INSERT INTO change_category VALUES ('update'), ('deletion');
CREATE TABLE changefeed (id {id}, created_at timestamp DEFAULT CURRENT_TIMESTAMP, gun varchar(255) NOT NULL,
    version integer NOT NULL, sha256 char(64) DEFAULT NULL,
    category varchar(20) NOT NULL DEFAULT 'update' REFERENCES change_category);
"""
TAGS = {f"v{number}": f"{number:064x}" for number in range(40)}
Need = Callable[[str, str], Path]


@dataclass
class Database:
    """A notary-server's, with two collections in it, and whoever holds their keys."""

    service: RunningService
    alice: Person
    server: NotaryServer
    notary: Notary
    folder: Path
    dump: Callable[..., bytes]
    guns: tuple[str, ...] = ()

    def fill(self) -> Database:
        names = (
            f"{self.service.host}/{self.folder.name.replace('_', '-').lower()}/{name}" for name in ("one", "two")
        )
        self.guns = tuple(names)
        for gun in self.guns:
            self.notary.must("init", gun)
            self.notary.must("addhash", gun, "odd\"<&>'name", "5", "--sha256", "ab" * 32)
            self.notary.must("publish", gun)
        stage(self.notary.folder / "tuf" / self.guns[0] / "changelist", "targets", TAGS)
        self.notary.must("publish", self.guns[0])
        self.notary.must("key", "rotate", self.guns[0], "root", answer="yes\n")
        return self

    def person(self, folder: Path) -> Person:
        made = self.alice
        trusted = made.home / "docker" / "tls" / self.server.url.removeprefix("https://")
        trusted.mkdir(parents=True, exist_ok=True)
        (trusted / "ca.crt").write_bytes(self.server.ca.read_bytes())
        words = {f"DOCKER_CONTENT_TRUST_{word}_PASSPHRASE": PASSPHRASE for word in ("ROOT", "REPOSITORY")}
        return Person("alice", made.home, {**words, "TRUSTKIT_HOME": str(folder / "home")})

    def migrate(self, who: Person, *arguments: str) -> Result:
        return who("migrate", "from-notary", "--trust-dir", str(self.notary.folder), *arguments)

    def plans(self, who: Person, *arguments: str) -> list[Any]:
        done = self.migrate(who, *arguments, "--dry-run", "--format", "json")
        assert done.status == 0, done.err
        found: list[Any] = json.loads(done.out)["collections"]
        return found


@pytest.fixture(scope="module")
def alice(service: RunningService) -> Person:
    return service.principal("alice", "AcrPush", "AcrImageSigner")


def stood(need: Need, folder: Path, alice: Person, service: RunningService, *stored: Any) -> Iterator[Database]:
    *storage, dump = stored
    with NotaryServer(need("notary-server", "notary"), folder, *storage) as server:
        notary = Notary(need("notary", "notary"), folder / "notary", server.url, server.ca)
        yield Database(service, alice, server, notary, folder, dump).fill()


@pytest.fixture(scope="module")
def on_postgres(
    need: Need,
    postgres: Postgres,
    service: RunningService,
    alice: Person,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Database]:
    url, programs = postgres.empty(), binaries()
    assert programs is not None
    name = name_of(url)
    with postgres.connect(name) as connection:
        connection.execute("SET ROLE tester")
        connection.execute(TABLES.format(id="serial PRIMARY KEY", bytes="bytea"))

    def dump(*options: str) -> bytes:
        where = ("-h", str(postgres.socket_folder), "-p", str(postgres.port), "-U", "postgres")
        command = [programs / "pg_dump", *where, *options, name]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    tcp = f"postgres://tester:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{postgres.port}/{name}?sslmode=disable"
    yield from stood(need, tmp_path_factory.mktemp("pg"), alice, service, "postgres", tcp, dump)
    postgres.drop(url)


@pytest.fixture(scope="module")
def on_mariadb(
    need: Need, service: RunningService, alice: Person, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    programs = [need("mariadbd", "mariadb-server-core"), need("mariadb-install-db", "mariadb-server-core")]
    client, dumper = need("mariadb", "mariadb-client-core"), need("mariadb-dump", "mariadb-client")
    server = MariaDb(*programs, client)
    try:
        server.run(TABLES.format(id="int AUTO_INCREMENT PRIMARY KEY", bytes="longblob"))

        def dump(*options: str) -> bytes:
            command = [dumper, "--no-defaults", f"--socket={server.socket}", "-uroot", *options, "notary"]
            return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

        url = f"tester:{MARIA_PASSWORD}@tcp(127.0.0.1:{server.port})/notary?parseTime=True"
        yield from stood(need, tmp_path_factory.mktemp("maria"), alice, service, "mysql", url, dump)
    finally:
        server.close()


def same(there: Database, folder: Path, options: tuple[str, ...], edit: Callable[[bytes], bytes]) -> None:
    """What a dry run says of a dump is what it says of the server."""
    who, file = there.person(folder), folder / "dump.sql"
    file.write_bytes(edit(there.dump(*options)))
    asked = [word for gun in there.guns for word in ("--gun", gun)]
    of_server = there.plans(who, "--server", there.server.url, *asked)
    assert [row["root"]["lacking"] for row in of_server] == [0, 0]
    assert len(of_server[0]["tags"]) == len(TAGS)
    assert there.plans(who, "--dump", str(file), *asked) == of_server
    assert {row["gun"] for row in there.plans(who, "--dump", str(file))} == set(there.guns)


def as_they_are(dump: bytes) -> bytes:
    return dump


@pytest.mark.parametrize(
    ("options", "edit"),
    [
        pytest.param((), as_they_are, id="COPY"),
        pytest.param(("--inserts",), as_they_are, id="inserts"),
        pytest.param(("--column-inserts", "--rows-per-insert=7"), as_they_are, id="several rows with columns"),
        pytest.param(("--inserts", "--on-conflict-do-nothing", "--rows-per-insert=3"), as_they_are, id="on conflict"),
        pytest.param(("-a", "-t", "tuf_files"), as_they_are, id="one table, data only"),
        pytest.param(("-a", "--inserts"), as_they_are, id="no columns anywhere"),
        pytest.param(("--quote-all-identifiers",), as_they_are, id="quoted names"),
        pytest.param((), lambda dump: dump.replace(b"\n", b"\r\n"), id="other line ends"),
    ],
)
def test_dumps_of_postgresql(
    on_postgres: Database, tmp_path: Path, options: tuple[str, ...], edit: Callable[[bytes], bytes]
) -> None:
    same(on_postgres, tmp_path, options, edit)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="as it is"),
        pytest.param(("--hex-blob",), id="in hexadecimal"),
        pytest.param(("--skip-extended-insert", "--complete-insert"), id="a row each with columns"),
        pytest.param(("--compatible=ansi", "--skip-quote-names"), id="ansi"),
        pytest.param(("--no-create-info", "--insert-ignore"), id="no columns anywhere"),
        pytest.param(("--net-buffer-length=4096",), id="many statements"),
    ],
)
def test_dumps_of_mariadb(on_mariadb: Database, tmp_path: Path, options: tuple[str, ...]) -> None:
    same(on_mariadb, tmp_path, options, as_they_are)


def test_a_dump_is_migrated(on_postgres: Database, tmp_path: Path) -> None:
    it, file = on_postgres, tmp_path / "dump.sql"
    who, gun = it.person(tmp_path), it.guns[0]
    file.write_bytes(it.dump())
    assert it.service.admin("allow-migration", gun).status == 0
    done = it.migrate(who, "--dump", str(file), "--gun", gun)
    assert done.status == 0, done.err
    assert f"{len(TAGS)} tags migrated" in done.out
    verified = who("verify", f"{gun}:v7")
    assert verified.out == f"{gun}:v7@sha256:{TAGS['v7']}\n", verified.err
    assert "migrated before" in it.migrate(who, "--server", it.server.url, "--gun", gun).out
    shutil.rmtree(tmp_path / "home" / "cache")
    assert "migrated before" in it.migrate(who, "--dump", str(file), "--gun", gun).out


def test_a_dump_that_is_none_or_lies(on_postgres: Database, tmp_path: Path) -> None:
    it, whole, gun = on_postgres, on_postgres.dump("-t", "tuf_files"), on_postgres.guns[1]
    who, file = it.person(tmp_path), tmp_path / "dump.sql"

    def told(data: bytes, name: str = gun) -> tuple[int, str]:
        file.write_bytes(data)
        done = it.migrate(who, "--dump", str(file), "--gun", name, "--dry-run")
        assert "Traceback" not in done.err
        assert "internal error" not in done.err
        return done.status, done.slug

    assert told(b"") == (4, "garbage")
    assert told(b"SELECT 1;\n") == (4, "garbage")
    assert told(it.dump("-Fc")) == (4, "garbage")
    assert told(whole[: whole.index(b"\\.\n")]) == (4, "garbage")
    assert told(whole, f"{it.service.host}/nothing/here") == (3, "no-collection")
    assert told(whole.replace(b"\\\\x7b22", b"\\\\x7b23")) == (3, "wrong-root")
    targets = it.server.get(f"/v2/{gun}/_trust/tuf/targets.json").hex().encode()
    digest = base64.b64encode(b"\xab" * 32)
    assert digest.hex().encode() in targets
    other_digest = targets.replace(digest.hex().encode(), base64.b64encode(b"\xac" * 32).hex().encode())
    assert told(whole.replace(targets, other_digest)) == (4, "garbage")
    changed = whole.replace(targets, targets[:-6] + b"7d7d7d")
    assert told(changed) == (4, "garbage")
    other = it.guns[0].encode()
    swapped = whole.replace(other, b"#").replace(gun.encode(), other).replace(b"#", gun.encode())
    assert told(swapped) == (3, "wrong-root")
    assert told(whole) == (0, "")
    both = it.migrate(who, "--dump", str(file), "--server", it.server.url)
    assert (both.status, both.slug) == (2, "usage"), both.err
