"""A database elsewhere is one that TLS vouches for (TRUST 8.3); here it is on loopback, and asked to."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Need
from tests.postgres import PASSWORD, USER, Postgres, binaries, name_of
from trustkit.errors import DatabaseUnavailable
from trustkit.store.postgres.address import Address
from trustkit.store.postgres.store import PostgresStore

pytestmark = pytest.mark.real


def authority(openssl: Path, folder: Path, name: str) -> Path:
    """A certificate that vouches for itself and for this name, with its key beside it."""
    certificate = folder / f"{name}.crt"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run(
        [*command, *subject, "-keyout", certificate.with_suffix(".key"), "-out", certificate],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return certificate


@pytest.fixture(scope="module")
def server(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Path, Path]]:
    """A server with a certificate for ``localhost``, that certificate, and one of somebody else."""
    programs, openssl = binaries(), need("openssl", "openssl")
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    folder = tmp_path_factory.mktemp("tls")
    mine, other = authority(openssl, folder, "localhost"), authority(openssl, folder, "elsewhere")
    made = Postgres(programs)
    made.stop()
    owner = made.socket_folder.stat()
    for path in (mine, mine.with_suffix(".key")):
        there = made.socket_folder / path.name
        shutil.copy(path, there)
        os.chown(there, owner.st_uid, owner.st_gid)
        there.chmod(0o600)
    made.settings = {
        "ssl": "on",
        "ssl_cert_file": str(made.socket_folder / "localhost.crt"),
        "ssl_key_file": str(made.socket_folder / "localhost.key"),
    }
    made.start()
    yield made, mine, other
    made.close()


@pytest.mark.parametrize(
    ("host", "ours", "words"),
    [
        ("localhost", True, None),
        ("localhost", False, "certificate verify failed"),
        ("127.0.0.1", True, "does not match host name"),
    ],
    ids=["vouched for", "by somebody else", "for another name"],
)
def test_who_is_believed_to_be_the_database(
    server: tuple[Postgres, Path, Path], tmp_path: Path, host: str, ours: bool, words: str | None
) -> None:
    postgres, mine, other = server
    password = tmp_path / "password"
    password.write_text(PASSWORD, encoding="ascii")
    password.chmod(0o600)
    database = name_of(postgres.database())
    vouching = f"sslmode=verify-full&sslrootcert={mine if ours else other}"
    url = f"postgresql://{USER}@{host}:{postgres.port}/{database}?{vouching}"
    address = Address.parse(url, password_file=password)

    async def main() -> None:
        store = await PostgresStore.open(address)
        async with store.read() as tx:
            assert await tx.collections.list() == []
        await store.close()

    if words is None:
        asyncio.run(main())
        return
    with pytest.raises(DatabaseUnavailable, match=words):
        asyncio.run(main())
