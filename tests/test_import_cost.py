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
from trustkit.later import MODULES

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
    start = "import sys; from trustkit.later import put_off; put_off(); del sys.modules['trustkit.later']"
    start += "; from trustkit.keys.sdks import leave_out; leave_out(); del sys.modules['trustkit.keys']"
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
    assert _modules(*modules).isdisjoint({*SERVICE_ONLY, *ours, "httptools", "python_multipart", "urllib3"})


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
    first = (
        "import sys\nfrom trustkit.later import put_off; put_off()\nfrom trustkit.cli import main"  # as program does
    )
    code = f"{first}\ntry: main()\nexcept SystemExit: pass\n{_SAY}"
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


NOT_FOR_A_VERIFY = {
    *MODULES,
    "asyncio",
    "concurrent",
    "multiprocessing",
    "platformdirs",
    "ast",
    "dis",
    "linecache",
    "subprocess",
    "textwrap",
    "tokenize",
    "tomllib",
    "urllib.request",
    "xml",
    "zipfile",
    "securesystemslib._gpg.common",
    "securesystemslib._gpg.functions",
    "trustkit.cli.bundle",
    "trustkit.core.attribution",
    "trustkit.core.formats.docker",
    "trustkit.core.policyfile",
    "trustkit.remote.notary",
    "trustkit.remote.notary_source",
    "trustkit.remote.proxies",
    "trustkit.remote.tunnel",
    "trustkit.home.backups",
    "trustkit.home.ceremonies",
    "trustkit.home.rotations",
}
THIRD_PARTIES = {"click", "cryptography", "securesystemslib", "tuf"}
_FULL_DATACLASSES = (
    "full = {f'{name}.{cls.__qualname__}' for name, module in sys.modules.items() if name.startswith('trustkit')"
    " for cls in vars(module).values()"
    " if isinstance(cls, type) and getattr(vars(cls).get('__dataclass_params__'), 'eq', False)}"
)


def _verifying(tmp_path: Path) -> set[str]:
    return _loaded_by("--home", str(tmp_path), "verify", "registry.example.com/app:v1")


def test_a_verify_loads_what_it_needs_and_no_more(tmp_path: Path):
    loaded = _verifying(tmp_path)
    assert "tuf.ngclient.updater" in loaded
    assert loaded.isdisjoint(NOT_FOR_A_VERIFY)
    ours = {"trustkit", "backports", "_distutils_hack", "_cffi_backend", "__main__"}
    tops = {name.partition(".")[0] for name in loaded}
    assert tops - ours - sys.stdlib_module_names <= THIRD_PARTIES


def test_the_verifier_of_a_node_loads_no_command_line_either():
    hooks = ("trustkit.hooks.gate", "trustkit.hooks.judging", "trustkit.remote.source", "trustkit.remote.trust")
    loaded = _modules(*hooks, "trustkit.remote.http", "trustkit.home.policy", "trustkit.remote.dockerconfig")
    assert "tuf.ngclient.updater" in loaded
    assert loaded.isdisjoint(NOT_FOR_A_VERIFY | {"click", "uuid", "trustkit.cli"})


def test_what_a_verify_loads_has_no_dataclass_of_the_standard_librarys():
    """Each costs 1 ms at every start; see ``trustkit.core.records``."""
    needs = ("trustkit.cli.verify", "trustkit.hooks.gate", "trustkit.hooks.judging", "trustkit.remote.source")
    more = ("trustkit.remote.trust", "trustkit.remote.dockerconfig", "trustkit.home.policy", "trustkit.config")
    code = f"import sys, {', '.join([*needs, *more])}\n{_FULL_DATACLASSES}\nprint(*sorted(full))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == []


def test_a_key_of_gnupg_is_refused_where_it_is_read_so_nobody_asks_what_was_left_out():
    code = (
        "from trustkit.keys.sdks import leave_out; leave_out()\n"
        "from securesystemslib.signer import Key\n"
        "from trustkit.core.publickeys import check_keys\n"
        "from trustkit.errors import KeyUnsupported\n"
        "value = {'keytype': 'rsa', 'scheme': 'pgp+rsa-pkcsv1.5', 'keyval': {'public': {}, 'private': ''}}\n"
        "try: check_keys([Key.from_dict('a' * 64, value)])\n"
        "except KeyUnsupported as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert "rsa/pgp+rsa-pkcsv1.5 is not allowed" in done.stdout
