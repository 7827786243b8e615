"""A small slip is answered with what to do next, and no traceback."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Admin
from trustkit.cli.app import main

SLIPS = [
    ("a port too high", ("verify", "127.0.0.1:99999/app:v1"), 2, "Write a port from 1 to 65535."),
    ("no such key file", ("key", "import", "{folder}/nope"), 6, "Correct the path."),
    ("no such file to resolve", ("resolve", "{folder}/nope"), 2, "Correct the path."),
    (
        "a port in use",
        ("serve", "--data-dir", "{folder}/s", "--listen", "{taken}"),
        1,
        "name another address or port",
    ),
]


@pytest.mark.parametrize(("arguments", "status", "step"), [row[1:] for row in SLIPS], ids=[row[0] for row in SLIPS])
def test_a_slip_names_the_next_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    step: str,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        words = [part.format(folder=tmp_path, taken=place) for part in arguments]
        monkeypatch.setattr(sys, "argv", ["trustkit", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == status
    err = capfd.readouterr().err
    assert step in err
    assert "Traceback" not in err


def test_a_principal_that_is_there_and_one_that_is_not_name_the_next_step(admin: Admin) -> None:
    assert admin("principal", "add", "alice").status == 0
    assert "admin principal passwd" in admin("principal", "add", "alice").err
    assert "admin principal list" in admin("role", "assign", "nobody", "AcrPull").err
