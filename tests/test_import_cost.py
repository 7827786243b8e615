"""What starting a command loads: a cold ``trustkit verify`` pays for verifying only."""

from __future__ import annotations

import ast
import base64
import functools
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import trustkit

SERVICE_ONLY = (
    "fastapi",
    "sqlalchemy",
    "alembic",
    "rich",
    "jwt",
    "argon2",
    "aiohttp",
    "uvicorn",
    "uvloop",
    "prometheus_client",
)
CLIENT_COMMANDS = ("verify", "pull", "sign", "inspect", "revoke")


_SAY = "print('loaded', *(name for name, module in sys.modules.items() if getattr(module, '__spec__', None)))"
"""Says what is loaded; what stands in the place of a module that is left out came from nowhere."""


def _modules(*names: str) -> set[str]:
    """Every module that is loaded in a new process, which leaves out what the program does, after these imports."""
    start = "import sys; from trustkit.keys.sdks import leave_out; leave_out(); del sys.modules['trustkit.keys']"
    code = f"{start}; import {', '.join(names)}; {_SAY}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.partition("loaded ")[2].split())


def _loaded(*names: str) -> set[str]:
    return {name.partition(".")[0] for name in _modules(*names)}


@functools.cache
def _within(package: str) -> tuple[str, ...]:
    """The package and each module in it."""
    folder = Path(trustkit.__path__[0]).joinpath(*package.split(".")[1:])
    return (package, *(found.name for found in pkgutil.walk_packages([str(folder)], f"{package}.")))


@pytest.mark.parametrize("command", CLIENT_COMMANDS)
def test_a_client_command_loads_nothing_of_the_service(command: str):
    assert _loaded(f"trustkit.cli.{command}").isdisjoint(SERVICE_ONLY)


def test_what_runs_on_a_node_loads_nothing_of_the_service():
    loaded = _loaded("trustkit.hooks.containerd", "trustkit.hooks.verifierd", "trustkit.hooks.localsocket")
    assert (loaded | _loaded("trustkit.asgi.logs")).isdisjoint(SERVICE_ONLY)


def test_help_loads_neither_tuf_nor_cryptography():
    assert _loaded("trustkit.cli.app").isdisjoint(
        {*SERVICE_ONLY, "tuf", "securesystemslib", "cryptography", "urllib3"}
    )


@pytest.mark.parametrize("package", ["core", "client", "keys", "home", "remote", "engines"])
def test_no_module_of_the_client_loads_anything_of_the_service(package: str):
    modules = _within(f"trustkit.{package}")
    assert len(modules) > 4
    ours = {f"trustkit.{name}" for name in ("authority", "store", "gateway", "server", "asgi")}
    assert _modules(*modules).isdisjoint({*SERVICE_ONLY, *ours, "httptools", "python_multipart"})


@pytest.mark.parametrize("package", ["core", "client", "keys", "home"])
def test_only_the_adapter_loads_tufs_client(package: str):
    """The core decides for a service as well, which has no TUF client and no HTTP client in it (TRUST 6.1)."""
    assert _modules(*_within(f"trustkit.{package}")).isdisjoint({"tuf.ngclient", "urllib3", "click"})


def test_the_service_loads_no_tuf_client():
    service = (*_within("trustkit.authority"), *_within("trustkit.server"))
    assert _modules(*service).isdisjoint({"tuf.ngclient", "trustkit.remote", "trustkit.home", "trustkit.keys"})


def test_one_module_imports_tufs_client():
    """TRUST 6.1; also where an import hides in a function."""
    importing = set()
    for file in Path(trustkit.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            if any(name.startswith("tuf.ngclient") for name in names):
                importing.add(file.relative_to(trustkit.__path__[0]).as_posix())
    assert importing == {"remote/updater.py"}


DEVICES = {"pkcs11", "boto3", "botocore", "hvac", "azure", "google.cloud"}


def _loaded_by(*arguments: str) -> set[str]:
    """Every module that is loaded when this command line has ended."""
    code = (
        "import sys\n"
        "from trustkit.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"{_SAY}"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.partition("loaded ")[2].split())


@pytest.mark.parametrize("arguments", [("verify", "registry.example.com/app:v1"), ("key", "list")])
def test_no_command_loads_what_reaches_devices_and_clouds(arguments: tuple[str, ...], tmp_path: Path):
    """securesystemslib would, wherever they are installed: 0.25 s of each start for AWS's alone."""
    loaded = _loaded_by("--home", str(tmp_path), *arguments)
    assert "securesystemslib.signer" in loaded
    assert loaded.isdisjoint(DEVICES)


@pytest.mark.parametrize("arguments", [("kek", "show"), ("online-keys", "rotate", "--all"), ("recover",)])
def test_no_command_of_a_service_without_a_kek_uri_loads_what_reaches_devices(
    arguments: tuple[str, ...], tmp_path: Path
):
    (tmp_path / "kek").write_text(base64.b64encode(bytes(32)).decode() + "\n")
    (tmp_path / "kek").chmod(0o600)
    loaded = _loaded_by("admin", "--data-dir", str(tmp_path), *arguments)
    assert "trustkit.server.kek" in loaded
    assert loaded.isdisjoint({*DEVICES, "trustkit.keys.wrapping"})
