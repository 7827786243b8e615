"""The conformance client against a real HTTP server, with the exact list of requests checked."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.simulator import Publisher, make_signer, manifest

CLIENT = Path(__file__).with_name("client.py")


class Served:
    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.requests: list[str] = []
        self.status: dict[str, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/metadata/")
                outer.requests.append(name)
                body = outer.file(name)
                self.send_response(outer.status.get(name, 200 if body is not None else 404))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def file(self, name: str) -> bytes | None:
        if name.startswith("/targets/"):
            return manifest("v1").data
        if name == "timestamp.json":
            return self.publisher.files["timestamp"]
        version, _, role = name.removesuffix(".json").partition(".")
        return self.publisher.history.get((role, int(version)))


@pytest.fixture
def served() -> Iterator[Served]:
    from datetime import UTC, datetime

    publisher = Publisher()
    now = datetime.now(UTC).replace(microsecond=0)
    publisher.accept(publisher.first_upload("v1", now=now), now)
    made = Served(publisher)
    yield made
    made.server.shutdown()
    made.server.server_close()


def client(served: Served, folder: Path, *arguments: str) -> int:
    url = f"http://127.0.0.1:{served.server.server_port}"
    options = ["--metadata-dir", str(folder), "--metadata-url", f"{url}/metadata/"]
    options += ["--target-dir", str(folder.parent / "targets"), "--target-base-url", f"{url}/targets/"]
    return subprocess.run([sys.executable, str(CLIENT), *options, *arguments], check=False).returncode


def initialised(served: Served, tmp_path: Path) -> Path:
    root = tmp_path / "1.root.json"
    root.write_bytes(served.publisher.history["root", 1])
    folder = tmp_path / "metadata"
    folder.mkdir()
    assert client(served, folder, "init", str(root)) == 0
    assert served.requests == [], "init makes no request"
    return folder


def test_refresh_makes_exactly_the_requests_of_the_workflow(served: Served, tmp_path: Path) -> None:
    folder = initialised(served, tmp_path)
    assert client(served, folder, "refresh") == 0
    assert served.requests == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "root.json",
        "timestamp.json",
        "snapshot.json",
        "targets.json",
    }
    served.requests.clear()
    assert client(served, folder, "refresh") == 0
    assert served.requests == ["2.root.json", "timestamp.json"], "a warm check takes two requests"


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_only_a_404_ends_the_root_walk(served: Served, tmp_path: Path, status: int) -> None:
    folder = initialised(served, tmp_path)
    served.status["2.root.json"] = status
    assert client(served, folder, "refresh") == 1
    assert served.requests == ["2.root.json"]


def test_a_downloaded_target_is_not_fetched_again(served: Served, tmp_path: Path) -> None:
    folder = initialised(served, tmp_path)
    assert client(served, folder, "--target-name", "v1", "download") == 0
    assert served.requests[-1] == f"/targets/{manifest('v1').digest.hex}.v1"
    served.requests.clear()
    assert client(served, folder, "--target-name", "v1", "download") == 0
    assert served.requests == ["2.root.json", "timestamp.json"]
    assert client(served, folder, "--target-name", "v2", "download") == 1


def test_a_rotated_root_is_walked_to_and_kept(served: Served, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    folder = initialised(served, tmp_path)
    assert client(served, folder, "refresh") == 0
    fresh = make_signer()
    upload = served.publisher.change_root(
        lambda root: (
            root.revoke_key(served.publisher.root.public_key.keyid, "root"),
            root.add_key(fresh.public_key, "root"),
        ),
        served.publisher.root,
        fresh,
    )
    served.publisher.accept(upload, datetime.now(UTC))
    served.requests.clear()
    assert client(served, folder, "refresh") == 0
    assert served.requests[:2] == ["2.root.json", "3.root.json"]
    served.publisher.files["timestamp"] = served.publisher.history["timestamp", 1]
    assert client(served, folder, "refresh") == 1, "a rolled back timestamp is refused"
