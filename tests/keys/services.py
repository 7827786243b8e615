"""Key services on loopback: moto's server of AWS, and as much of HashiCorp Vault's transit engine as we call."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.conftest import free_port
from tests.real.parts import within


@pytest.fixture(scope="module")
def aws_server() -> Iterator[str]:
    """The address of moto's server: AWS's own protocol over HTTP."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "tests.keys.aws_server", address.rpartition(":")[2]]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/moto-api/", timeout=5):
                return True
        except OSError:
            return False

    assert within(60, answers), "moto's server did not start"
    yield f"http://{address}"
    process.terminate()
    process.wait(15)


@pytest.fixture
def aws(aws_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the key service, for what an administrator does."""
    settings = {
        "AWS_ENDPOINT_URL": aws_server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return boto3.client("kms")


class Vault(ThreadingHTTPServer):
    """The calls of HashiCorp Vault's transit engine that we make, as its API describes them.

    Attributes:
        keys: the versions of the signing key ``release``.
        ciphers: the versions of each key that encrypts, by name.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _VaultCalls)
        self.keys = [Ed25519PrivateKey.generate()]
        self.ciphers: dict[str, list[AESGCM]] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def public(self) -> dict[str, dict[str, str]]:
        raw = [key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in self.keys]
        return {str(at): {"public_key": base64.b64encode(each).decode()} for at, each in enumerate(raw, 1)}


class _VaultCalls(BaseHTTPRequestHandler):
    server: Vault

    def do_GET(self) -> None:
        self._answer({"keys": self.server.public()} if self.path == "/v1/transit/keys/release" else None)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call, _, name = self.path.removeprefix("/v1/transit/").partition("/")
        if call == "sign":
            version = asked["key_version"]
            signature = self.server.keys[version - 1].sign(base64.b64decode(asked["input"]))
            self._answer({"signature": f"vault:v{version}:{base64.b64encode(signature).decode()}"})
        elif name not in self.server.ciphers:
            self._answer(None)
        elif call == "encrypt":
            self._answer({"ciphertext": self._encrypt(self.server.ciphers[name], asked)})
        else:
            self._answer(*self._decrypt(self.server.ciphers[name], asked))

    @staticmethod
    def _encrypt(versions: list[AESGCM], asked: dict[str, str]) -> str:
        nonce, context = os.urandom(12), base64.b64decode(asked["associated_data"])
        sealed = nonce + versions[-1].encrypt(nonce, base64.b64decode(asked["plaintext"]), context)
        return f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"

    @staticmethod
    def _decrypt(versions: list[AESGCM], asked: dict[str, str]) -> tuple[dict[str, str] | None, str]:
        found = re.fullmatch(r"vault:v([1-9][0-9]*):([A-Za-z0-9+/]+=*)", asked["ciphertext"])
        if not found or int(found[1]) > len(versions):
            return None, "invalid ciphertext: no prefix"
        try:
            sealed, context = base64.b64decode(found[2], validate=True), base64.b64decode(asked["associated_data"])
            plain = versions[int(found[1]) - 1].decrypt(sealed[:12], sealed[12:], context)
        except (ValueError, InvalidTag):
            return None, "cipher: message authentication failed"
        return {"plaintext": base64.b64encode(plain).decode()}, ""

    def _answer(self, data: object, wrong: str = "") -> None:
        """Refuses a stranger and a key that isn't there with 403, what is ``wrong`` in what was asked with 400."""
        allowed = self.headers["X-Vault-Token"] == "token-of-tests"
        said = (
            {"data": data} if allowed and data else {"errors": [wrong if allowed and wrong else "permission denied"]}
        )
        body = json.dumps(said).encode()
        self.send_response(200 if allowed and data else 400 if allowed and wrong else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    with Vault() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("VAULT_ADDR", server.url)
        monkeypatch.setenv("VAULT_TOKEN", "token-of-tests")
        yield server
        server.shutdown()


class Uninstalled:
    """As if these packages were not installed."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, name: str, *rest: object) -> None:
        if name in self.packages:
            raise ModuleNotFoundError(name)
