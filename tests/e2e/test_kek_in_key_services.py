"""A service whose key-encryption key is wrapped by AWS KMS (moto's server) or by Vault, as an operator types it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.conftest import free_port
from tests.keys.services import Vault, aws, aws_server, vault
from tests.service import RunningService, run

__all__ = ["aws", "aws_server", "vault"]


@pytest.fixture
def in_aws(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The URI of a key there, and the variable that says where the service is."""
    made: Any = request.getfixturevalue("aws")
    return f"awskms:{made.create_key()['KeyMetadata']['KeyId']}", "AWS_ENDPOINT_URL"


@pytest.fixture
def in_vault(request: pytest.FixtureRequest) -> tuple[str, str]:
    server: Vault = request.getfixturevalue("vault")
    server.ciphers["kek"] = [AESGCM(AESGCM.generate_key(256))]
    return "hv:kek", "VAULT_ADDR"


@pytest.mark.parametrize("place", ["in_aws", "in_vault"])
def test_wrapped_started_refused_and_unwrapped(tmp_path: Path, request: pytest.FixtureRequest, place: str) -> None:
    uri, address = request.getfixturevalue(place)
    service = RunningService(tmp_path)
    service.start().stop()
    moved = service.admin("kek", "wrap", "--kek-uri", uri)
    assert (moved.status, moved.out.strip()) == (0, f"{service.data}/kek.wrapped: wrapped by {uri}"), moved.err
    assert not (service.data / "kek").exists()
    service.arguments = ("--kek-uri", uri)
    service.start().stop()

    start = ["serve", "--data-dir", str(service.data), "--listen", "127.0.0.1:0", "--kek-uri", uri]
    away = run(start, {address: f"http://127.0.0.1:{free_port()}"})
    assert (away.status, away.slug) == (6, "key-unavailable")
    file = service.data / "kek.wrapped"
    whole = file.read_text()
    file.write_text(whole.replace('"id": "', '"id": "0')[: len(whole)])
    damaged = run(start, {})
    assert (damaged.status, damaged.slug) == (1, "state")
    at = whole.index('"mac": "') + len('"mac": "')
    file.write_text(whole[:at] + ("0" if whole[at] != "0" else "1") + whole[at + 1 :])
    changed = run(start, {})
    assert (changed.status, changed.slug) == (1, "state")
    assert "was changed" in changed.err
    for refused in (away, damaged, changed):
        assert "Traceback" not in refused.err
        assert "testing-secret" not in refused.err
        assert "token-of-tests" not in refused.err
    file.write_text(whole)

    assert service.admin("kek", "unwrap", "--kek-uri", uri).status == 0
    service.arguments = ()
    service.start().stop()
