"""What TLS the service speaks: real handshakes of clients that offer one thing each."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.formats_docker.stand import tls
from trustkit.asgi.listen import Tls, bind, serve
from trustkit.asgi.logs import Receive, Scope, Send
from trustkit.core.names import Host

Spoken = tuple[str, str]

OFFERS = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA": None,  # CBC, which has been broken more than once
    "AECDH-AES256-SHA": None,  # nobody shows a certificate
    "ECDHE-ECDSA-NULL-SHA": None,  # nothing is encrypted
}
"""By what a client of TLS 1.2 offers, in its order: what is spoken then; None where nothing is."""


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Handshakes:
    """Tries one after the other, with a new server each time."""

    def __init__(self, folder: Path) -> None:
        self._tls = Tls(*tls(folder))
        self.client = ssl.create_default_context(cafile=str(self._tls.certificate))

    def spoken(self) -> Spoken | None:
        """Version and suite; None where the server refuses."""
        return asyncio.run(self._spoken())

    async def _spoken(self) -> Spoken | None:
        sock, ready = bind(Host("127.0.0.1", 0)), asyncio.Event()
        port = sock.getsockname()[1]
        serving = asyncio.create_task(serve(answer, sock, tls=self._tls, ready=ready.set))
        try:
            await ready.wait()
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self.client, server_hostname="localhost")
        except (ssl.SSLError, ConnectionResetError):  # asyncio sends no alert
            return None
        else:
            found = writer.get_extra_info("ssl_object")
            writer.close()
            return found.version(), found.cipher()[0]
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


@pytest.fixture
def handshakes(tmp_path: Path) -> Handshakes:
    return Handshakes(tmp_path)


@pytest.mark.parametrize("offered", OFFERS)
def test_of_tls_1_2_only_what_keeps_its_secrets_is_spoken(handshakes: Handshakes, offered: str) -> None:
    handshakes.client.maximum_version = ssl.TLSVersion.TLSv1_2
    handshakes.client.set_ciphers(f"{offered}:@SECLEVEL=0")
    wanted = OFFERS[offered]
    assert handshakes.spoken() == (("TLSv1.2", wanted) if wanted else None)


def test_tls_1_3_is_spoken_with_who_can(handshakes: Handshakes) -> None:
    spoken = handshakes.spoken()
    assert spoken is not None
    assert spoken[0] == "TLSv1.3"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_nothing_older_is_spoken(handshakes: Handshakes) -> None:
    handshakes.client.minimum_version = ssl.TLSVersion.TLSv1
    handshakes.client.maximum_version = ssl.TLSVersion.TLSv1_1
    handshakes.client.set_ciphers("ALL:@SECLEVEL=0")
    assert handshakes.spoken() is None
