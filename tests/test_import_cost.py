"""What starting a command loads: a cold ``trustkit verify`` pays for verifying only."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVICE_ONLY = ("fastapi", "sqlalchemy", "alembic", "rich", "jwt", "argon2", "aiohttp", "uvicorn", "uvloop")
CLIENT_COMMANDS = ("verify", "pull", "sign", "inspect", "revoke")


def _loaded(module: str) -> set[str]:
    code = f"import {module}, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("command", CLIENT_COMMANDS)
def test_a_client_command_loads_nothing_of_the_service(command: str):
    assert _loaded(f"trustkit.cli.{command}").isdisjoint(SERVICE_ONLY)


def test_help_loads_neither_tuf_nor_cryptography():
    assert _loaded("trustkit.cli.app").isdisjoint(
        {*SERVICE_ONLY, "tuf", "securesystemslib", "cryptography", "urllib3"}
    )
