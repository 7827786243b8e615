"""What is put off is loaded when it is used, and is the real thing then (ADR 0044)."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from trustkit.later import MODULES

USES = {
    "cryptography.hazmat.primitives.serialization.ssh": (
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey\n"
        "from cryptography.hazmat.primitives import serialization as s\n"
        "key = Ed25519PrivateKey.generate().public_key()\n"
        "line = key.public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)\n"
        "assert s.load_ssh_public_key(line) == key"
    ),
    "importlib.metadata": "from importlib.metadata import version; assert version('tuf')[0] == '7'",
    "inspect": "import inspect; assert str(inspect.signature(lambda a, *, b=1: 0)) == '(a, *, b=1)'",
    "platform": "import platform; assert platform.python_version_tuple()[0] == '3'",
    "random": "from random import SystemRandom; assert 0 <= SystemRandom().random() < 1",
    "securesystemslib._vendor.ed25519.ed25519": (
        "from securesystemslib._vendor.ed25519.ed25519 import checkvalid\n"
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey\n"
        "key = Ed25519PrivateKey.generate()\n"
        "checkvalid(key.sign(b'x'), b'x', key.public_key().public_bytes_raw())"
    ),
    "shutil": "import shutil; assert shutil.which('sh')",
    "tempfile": "from tempfile import TemporaryFile; TemporaryFile().write(b'x')",
    "traceback": "import traceback; assert traceback.format_exception_only(ValueError('x')) == ['ValueError: x\\n']",
    "tuf.ngclient.urllib3_fetcher": (
        "from tuf.ngclient import FetcherInterface, Urllib3Fetcher\n"
        "assert isinstance(Urllib3Fetcher(), FetcherInterface)"
    ),
}
"""How each is used, by who knows nothing of it; what stands there until then would fail each of them."""


def _does(code: str) -> str:
    command = [sys.executable, "-c", f"from trustkit.later import put_off; put_off()\nimport sys\n{code}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(MODULES))
def test_whoever_uses_it_has_the_real_one_and_whoever_took_it_before_has_the_same(name: str):
    took = f"import {name}; early = sys.modules[{name!r}]\nassert early.__spec__ is None"
    used = f"real = sys.modules[{name!r}]\nassert real is not early and real.__spec__.name == {name!r}"
    public = "[name for name in vars(real) if name[0] != '_']"
    same = f"assert all(getattr(early, name) is getattr(real, name) for name in {public})"
    assert _does(f"{took}\n{USES[name]}\n{used}\n{same}\nprint('done')") == "done\n"


def test_each_stands_in_its_package_as_if_it_were_loaded():
    assert _does("import importlib.metadata; print(importlib.metadata.version('tuf')[0])") == "7\n"
    assert _does("import importlib; print(importlib.metadata.distribution('tuf').version[0])") == "7\n"
    code = "from cryptography.hazmat.primitives import serialization as s; print(s.ssh.SSHCertificateType.USER.name)"
    assert _does(code) == "USER\n"
    assert (
        _does("from cryptography.hazmat.primitives.serialization.ssh import SSHCertificate as c; isinstance(1, c)")
        == ""
    )
    assert (
        _does("import tuf.ngclient; print(tuf.ngclient.urllib3_fetcher.Urllib3Fetcher.__name__)")
        == "Urllib3Fetcher\n"
    )


OTHERS = ("alembic.command", "aiohttp", "boto3", "docker.credentials", "hvac", "hypothesis", "keyring", "pkcs11")
MORE = ("prometheus_client", "psycopg", "rich.table", "sqlalchemy.dialects.sqlite", "urllib3", "uvicorn", "yaml")


@pytest.mark.parametrize("name", [*OTHERS, *MORE])
def test_what_else_a_command_may_load_loads(name: str):
    importlib.import_module(name)
    assert _does(f"import {name}\nprint(1)") == "1\n"


def test_what_is_set_in_it_is_set_in_the_real_one():
    code = "import tempfile; early = tempfile; early.tempdir = '/'; import tempfile\n"
    assert _does(
        f"{code}assert early is not tempfile; print(tempfile.gettempdir(), early.tempdir, 'x' in dir(early))"
    ) == ("/ / False\n")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_is_imported_from_it_by_name_is_there(name: str):
    real = importlib.import_module(name)
    assert [each for each in MODULES[name] if not callable(getattr(real, each)) and "Types" not in each] == []


def test_what_is_loaded_already_stays():
    assert _does(
        "import shutil, trustkit.later as later; later.put_off(); assert sys.modules['shutil'] is shutil\nprint(1)"
    )


def test_a_name_that_no_version_of_a_library_asks_for_yet_loads_it():
    assert _does("from importlib.metadata import distribution; print(distribution('tuf').version[0])") == "7\n"


def test_a_name_that_is_nowhere_is_an_import_error_as_ever():
    assert _does("try: from shutil import nothing_like_it\nexcept ImportError: print('refused')") == "refused\n"


def test_a_helps_text_is_cleaned_as_inspect_does():
    texts = ["one", "  one \t two ", "", "a\n   b\n     c\n", "\n  a\n"]
    code = f"import inspect\nmine = [inspect.cleandoc(text) for text in {texts}]\n"
    code += f"print(mine == [sys.modules['inspect'].cleandoc(text) for text in {texts}], inspect.getdoc is not None)"
    assert _does(code) == "True True\n"
    assert _does("import inspect; inspect.cleandoc('one line')\nprint(sys.modules['inspect'].__spec__)") == "None\n"


def test_the_name_of_the_system_is_what_it_says_itself():
    code = "import platform; before = platform.system(); print(before == sys.modules['platform'].system() != '')"
    assert _does(f"{code}; platform.node(); print(platform.system() == before)") == "True\nTrue\n"


def test_a_class_that_has_no_docstring_is_a_dataclass_all_the_same():
    code = "from dataclasses import dataclass\n@dataclass\nclass P:\n    a: int\nprint(P(1), P.__doc__)"
    assert _does(code) == "P(a=1) P\n"


def test_ed25519_without_cryptography_never_accepts_another_signature():
    """The exception that securesystemslib waits for there isn't loaded: it fails, and fails closed."""
    code = (
        "from securesystemslib.signer import SSlibKey\n"
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey\n"
        "private = Ed25519PrivateKey.generate(); key = SSlibKey.from_crypto(private.public_key())\n"
        "key._verify_ed25519_fallback(private.sign(b'x'), b'x')\n"
        "try: key._verify_ed25519_fallback(private.sign(b'y'), b'x')\n"
        "except Exception: print('refused')"
    )
    assert _does(code) == "refused\n"


def test_an_error_that_nobody_catches_is_told_in_full():
    code = "from trustkit.later import put_off; put_off()\nimport logging\n1/0"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert "ZeroDivisionError: division by zero" in done.stderr
    log = "import logging\ntry: 1/0\nexcept Exception: logging.exception('seen')"
    done = subprocess.run(
        [sys.executable, "-c", f"from trustkit.later import put_off; put_off()\n{log}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "seen\nTraceback (most recent call last):" in done.stderr


def test_threads_that_use_it_first_at_once_all_have_it():
    code = (
        "import inspect, threading\n"
        "early, together, found = inspect, threading.Barrier(8), []\n"
        "def use():\n"
        "    together.wait()\n"
        "    found.append(early.signature(use))\n"
        "threads = [threading.Thread(target=use) for _ in range(8)]\n"
        "for each in threads: each.start()\n"
        "for each in threads: each.join()\n"
        "print(len(found), set(map(str, found)), early.Parameter is sys.modules['inspect'].Parameter)"
    )
    assert _does(code) == "8 {'()'} True\n"
