"""Key stores on real folders, and a prompt that answers from a list."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import remembered
from tests.keys.services import aws, aws_server, vault
from tests.softhsm import MODULE, SoftHsm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.store import FileKeyStore

__all__ = ["aws", "aws_server", "vault"]

PASSPHRASE = "correct horse"
ENVIRON = {
    "TRUSTKIT_ROOT_PASSPHRASE": PASSPHRASE,
    "TRUSTKIT_REPOSITORY_PASSPHRASE": "battery staple",
    "TRUSTKIT_SIGNER_PASSPHRASE": "tr0ub4dor&3",
}


class Typist:
    """Somebody at a prompt: answers in order, then is gone."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, text: str) -> str:
        self.asked.append(text)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remembered")


@pytest.fixture
def whole_cost() -> None:
    """For a test of what scrypt itself makes: nothing is remembered for it."""


@pytest.fixture(autouse=True)
def _remembered(request: pytest.FixtureRequest, shelf: Path) -> Iterator[None]:
    """What scrypt made of a passphrase once is not computed again, unless the test is about just that."""
    with pytest.MonkeyPatch.context() as patch:
        if "whole_cost" not in request.fixturenames:
            remembered.everything(shelf, patch.setattr)
        yield


@pytest.fixture
def typist() -> Callable[..., Typist]:
    return Typist


@pytest.fixture
def environ() -> dict[str, str]:
    return dict(ENVIRON)


@pytest.fixture
def store(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "keys", PassphraseSource(environ=ENVIRON))


@pytest.fixture
def openssl() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real openssl; its answer, whatever its status."""
    binary = shutil.which("openssl")
    if binary is None:
        pytest.skip("openssl is not installed")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binary, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    return run


@pytest.fixture
def tokens(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """Tokens that this process sees as they are now."""
    import pkcs11

    monkeypatch.setenv("SOFTHSM2_CONF", softhsm.environ["SOFTHSM2_CONF"])
    pkcs11.lib(MODULE).finalize()
    yield softhsm
    pkcs11.lib(MODULE).finalize()
