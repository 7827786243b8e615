"""``trustkit admin`` through the program's entry point, on a database of the test's own."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service import Result
from trustkit.cli.app import main
from trustkit.store.database import SqlStore

Admin = Callable[..., Result]


@pytest.fixture
def admin(admin_anywhere: Admin, tmp_path: Path) -> Admin:
    """Runs one ``trustkit admin`` on a new database of the test's own, through the program's entry point."""

    async def make() -> None:
        await (await SqlStore.open(tmp_path / "service" / "trustkit.db")).close()

    asyncio.run(make())
    return admin_anywhere


@pytest.fixture
def admin_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Admin:
    """The same, where there is no database yet."""

    def run(*arguments: str, feed: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["trustkit", "admin", "--data-dir", str(tmp_path / "service"), *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(feed)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Result(int(str(ended.value.code)), out, err)

    return run
