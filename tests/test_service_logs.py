"""What the service tells its operator, and what never."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import pytest

from tests.service import PASSPHRASE, PASSWORD, RunningService
from trustkit.asgi.logs import AccessLog, Message, Receive, Scope, Send


def test_requests_and_registry_views_are_logged_without_secrets(tmp_path: Path) -> None:
    service = RunningService(tmp_path, "--access-log", "--trust-only").start()
    try:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        alice.push(f"{service.host}/app:v1")
        assert alice("sign", f"{service.host}/app:v1").status == 0
    finally:
        service.stop()
    log = service.log.read_text()
    assert "INFO trustkit.access: 127.0.0.1 POST /oauth2/token 200 " in log
    assert "INFO trustkit.access: 127.0.0.1 PUT /v2/app/manifests/v1 201 " in log
    assert "registry view of app for alice" in log
    assert PASSWORD not in log
    assert PASSPHRASE not in log
    assert "eyJ" not in log, "the front of every JWT"
    assert "scope=" not in log, "no query is logged"


@pytest.mark.parametrize(
    ("raw", "shown"), [(b"/v2/\x1b[31m\nfake line", "/v2/\\x1b[31m\\x0afake\\x20line"), (b"/a?secret=1", "/a")]
)
def test_a_path_cannot_forge_a_line_and_a_query_is_left_out(
    raw: bytes, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError

    async def nothing() -> Message:
        return {}

    async def ignore(message: Message) -> None:
        return None

    async def ask() -> None:
        with pytest.raises(ConnectionResetError):
            await AccessLog(gone)({"type": "http", "method": "GET", "raw_path": raw}, nothing, ignore)

    logger = logging.getLogger("trustkit.access")
    with caplog.at_level(logging.INFO, logger.name):
        asyncio.run(ask())
    (line,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(re.escape(f"- GET {shown} - 0 ") + r"\d\.\d{3}", line)
