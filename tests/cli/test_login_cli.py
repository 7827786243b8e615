"""``trustkit login`` and ``logout`` against a token endpoint in a thread."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner

from trustkit.cli.app import cli
from trustkit.core.ports.tokens import AccessToken
from trustkit.errors import LoginRequired, UsageError
from trustkit.home import Home


class Endpoint(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    forms: list[dict[str, list[str]]]

    def do_GET(self) -> None:
        host = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.reply(401, {}, f'Bearer realm="{host}/oauth2/token",service="svc"')

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        type(self).forms.append(form)
        good = form.get("password") == ["pass word\n"]
        self.reply(200 if good else 401, {"access_token": "a", "refresh_token": "r3fresh"} if good else {})

    def reply(self, status: int, value: object, challenge: str = "") -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def host() -> Iterator[str]:
    Endpoint.forms = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def runner(tmp_path: Path) -> CliRunner:
    return CliRunner(env={"TRUSTKIT_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker")})


def test_login_keeps_a_refresh_token_and_logout_forgets_it(runner: CliRunner, host: str, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.tokens.put("k", AccessToken("old", 1.0))
    result = runner.invoke(cli, ["login", host, "-u", "alice", "--password-stdin"], input="pass word\n\n")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"Logged in to {host} as alice." in result.stderr
    stored = json.loads((tmp_path / "docker" / "config.json").read_text())
    assert stored["auths"][host]["identitytoken"] == "r3fresh"
    assert "pass word" not in json.dumps(stored)
    assert home.tokens.get("k") is None
    assert Endpoint.forms[0]["username"] == ["alice"]
    result = runner.invoke(cli, ["logout", host])
    assert f"Logged out of {host}." in result.stderr
    assert json.loads((tmp_path / "docker" / "config.json").read_text()) == {"auths": {}}
    assert "Nothing was stored" in runner.invoke(cli, ["logout", host]).stderr


def test_a_wrong_password_stores_nothing(runner: CliRunner, host: str, tmp_path: Path) -> None:
    result = runner.invoke(cli, ["login", host, "-u", "alice", "--password-stdin"], input="wrong\n")
    assert isinstance(result.exception, LoginRequired)
    assert "wrong" not in str(result.exception)
    assert not (tmp_path / "docker").exists()


@pytest.mark.parametrize("arguments", [["-u", "alice"], ["--password-stdin"]])
def test_without_a_terminal_nobody_is_asked(runner: CliRunner, host: str, arguments: list[str]) -> None:
    result = runner.invoke(cli, ["login", host, *arguments], input="pass word\n")
    assert isinstance(result.exception, UsageError)


def test_an_empty_password_is_none(runner: CliRunner, host: str) -> None:
    result = runner.invoke(cli, ["login", host, "-u", "alice", "--password-stdin"], input="\n")
    assert isinstance(result.exception, UsageError)
    assert Endpoint.forms == []
