"""Token authentication: the flow, and where credentials never go (TRUST 8.3)."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.remote.conftest import Handler, Running, Serve
from trustkit.core.names import Gun, Host
from trustkit.errors import (
    Conflict,
    Garbage,
    LoginRequired,
    NoCollection,
    RateLimited,
    RegistryFailed,
    RoleMissing,
    ServerFailed,
    TrustDisabled,
    TrustkitError,
    Unsigned,
)
from trustkit.home.tokens import FileTokenCache
from trustkit.remote.auth import Session, log_in, scope
from trustkit.remote.dockerconfig import Credentials
from trustkit.remote.http import HttpClient, Limits
from trustkit.remote.messages import Headers, Response
from trustkit.remote.refusals import LEAVES, refusal

ALICE = Credentials("alice", "s3cret-pw")
WANTED = "repository:app:pull"


def refused(slug: str, message: str = "no", **detail: object) -> bytes:
    return json.dumps(
        {"errors": [{"code": "DENIED", "message": message, "detail": {"slug": slug, **detail}}]}
    ).encode()


class Registry:
    """A registry that wants tokens; ``good`` are those that it takes."""

    def __init__(self) -> None:
        self.running: Running
        self.realm = ""
        self.good = {"t1"}
        self.forms: list[dict[str, list[str]]] = []
        self.answer_token: Callable[[Handler], None] = lambda h: h.reply(200, b'{"token":"t1","expires_in":300}')

    def __call__(self, handler: Handler) -> None:
        if handler.path.startswith("/token"):
            self.forms.append(parse_qs(handler.body.decode() or urlsplit(handler.path).query))
            self.answer_token(handler)
        elif handler.headers.get("Authorization", "").removeprefix("Bearer ") in self.good:
            handler.reply(200, b"in")
        else:
            realm = self.realm or f"{self.running.url}/token"
            handler.reply(401, b"{}", WWW_Authenticate=f'Bearer realm="{realm}",service="svc",scope="other"')


@pytest.fixture
def registry(serve: Serve) -> Registry:
    made = Registry()
    made.running = serve(made)
    return made


def connect(host: Host) -> HttpClient:
    return HttpClient(host, environ={"HOME": "/nonexistent"}, limits=Limits(total=5))


def session(registry: Registry, who: Credentials | None = ALICE, **more: object) -> Session:
    return Session(connect(registry.running.host), lambda: who, connect=connect, **more)  # type: ignore[arg-type]


def test_a_token_is_fetched_once_with_basic_and_reused(registry: Registry) -> None:
    used = session(registry)
    for _ in range(3):
        assert used.request("GET", "/v2/", scope=WANTED).body == b"in"
    tokens = [seen for seen in registry.running.seen if seen[1].startswith("/token")]
    assert len(tokens) == 1
    assert tokens[0][2] == "Basic " + base64.b64encode(b"alice:s3cret-pw").decode()
    assert registry.forms[0] == {
        "service": ["svc"],
        "scope": [WANTED],
        "account": ["alice"],
        "client_id": ["trustkit"],
    }
    assert len(registry.running.seen) == 5


def test_an_identity_token_goes_as_a_form_and_never_as_basic(registry: Registry) -> None:
    used = session(registry, Credentials("alice", identity_token="refresh"))
    assert used.request("GET", "/v2/", scope=WANTED).status == 200
    assert registry.forms[0]["grant_type"] == ["refresh_token"]
    assert registry.forms[0]["refresh_token"] == ["refresh"]
    assert {seen[2] for seen in registry.running.seen} == {"", "Bearer t1"}


def test_nobody_asks_anonymously(registry: Registry) -> None:
    assert session(registry, None).request("GET", "/v2/", scope=WANTED).status == 200
    assert "account" not in registry.forms[0]
    assert all("Basic" not in seen[2] for seen in registry.running.seen)


def test_tokens_wait_in_private_files_for_the_next_run(registry: Registry, tmp_path: Path) -> None:
    cache = FileTokenCache(tmp_path / "tokens")
    session(registry, tokens=cache).request("GET", "/v2/", scope=WANTED)
    registry.running.seen.clear()
    session(registry, tokens=cache).request("GET", "/v2/", scope=WANTED)
    assert [seen[2] for seen in registry.running.seen] == ["Bearer t1"]
    (file,) = (tmp_path / "tokens").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("life", ["NaN", "Infinity", "1e999", "-1", "true", '"300"', "[]", "9" * 400])
def test_a_token_s_life_is_bounded_whatever_is_said_of_it(registry: Registry, life: str, tmp_path: Path) -> None:
    """One without an end would be sent to whoever is there in a year."""
    registry.answer_token = lambda handler: handler.reply(200, f'{{"token":"t1","expires_in":{life}}}'.encode())
    tokens = FileTokenCache(tmp_path)
    assert session(registry, tokens=tokens).request("GET", "/v2/", scope=WANTED).body == b"in"
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["expires"] < time.time() + 3601


def test_a_dead_cached_token_is_dropped_and_replaced(registry: Registry, tmp_path: Path) -> None:
    cache = FileTokenCache(tmp_path)
    session(registry, tokens=cache).request("GET", "/v2/", scope=WANTED)
    registry.good = {"t2"}
    registry.answer_token = lambda h: h.reply(200, b'{"access_token":"t2"}')
    assert session(registry, tokens=cache).request("GET", "/v2/", scope=WANTED).status == 200


def test_an_expired_token_isnt_tried(registry: Registry, tmp_path: Path) -> None:
    cache = FileTokenCache(tmp_path)
    session(registry, tokens=cache, now=lambda: 1000.0).request("GET", "/v2/", scope=WANTED)
    registry.running.seen.clear()
    session(registry, tokens=cache, now=lambda: 1295.0).request("GET", "/v2/", scope=WANTED)
    assert registry.running.seen[0][2] == ""


def test_a_refused_fresh_token_ends_it(registry: Registry) -> None:
    registry.good = set()
    with pytest.raises(LoginRequired):
        session(registry).request("GET", "/v2/", scope=WANTED)
    assert len(registry.running.seen) == 3


def test_a_foreign_realm_gets_nothing(registry: Registry, serve: Serve) -> None:
    thief = serve(lambda h: h.reply(200, b'{"token":"t1"}'))
    registry.realm = f"{thief.url}/token"
    with pytest.raises(Garbage, match="another origin"):
        session(registry).request("GET", "/v2/", scope=WANTED)
    with pytest.raises(Garbage, match="another origin"):
        session(registry, None).request("GET", "/v2/", scope=WANTED)
    with pytest.raises(Garbage, match="another origin"):
        log_in(connect(registry.running.host), "alice", "pw")
    assert thief.seen == []


def test_a_configured_token_host_is_asked(registry: Registry, serve: Serve) -> None:
    tokens = serve(lambda h: h.reply(200, b'{"token":"t1"}'))
    registry.realm = f"{tokens.url}/token"
    used = session(registry, token_hosts=frozenset({tokens.host}))
    assert used.request("GET", "/v2/", scope=WANTED).status == 200
    assert tokens.seen[0][2].startswith("Basic ")


@pytest.mark.parametrize(
    "realm",
    [
        "http://registry.example/token",
        "https://127.0.0.1@evil.example/token",
        "file:///etc/passwd",
        "//evil.example/token",
        "",
        "http://[::1/",
        "http://127.0.0.1:1/token",
    ],
)
def test_realms_that_get_nothing(registry: Registry, realm: str) -> None:
    registry.realm = realm or " "
    with pytest.raises(Garbage):
        session(registry, token_hosts=frozenset({Host("registry.example")})).request("GET", "/v2/", scope=WANTED)
    assert all(not seen[2] for seen in registry.running.seen)


def test_localhost_and_127_0_0_1_are_one_on_one_port(registry: Registry) -> None:
    registry.realm = f"http://localhost:{registry.running.host.port}/token"
    assert session(registry).request("GET", "/v2/", scope=WANTED).status == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"token":""}', b'{"token":"a b"}', b'{"token":"a\\r\\nX: y"}', b'{"token":7}'],
)
def test_answers_without_a_usable_token(registry: Registry, body: bytes) -> None:
    registry.answer_token = lambda h: h.reply(200, body)
    with pytest.raises(Garbage):
        session(registry).request("GET", "/v2/", scope=WANTED)


@pytest.mark.parametrize(
    ("status", "body", "leaf"),
    [
        (401, b"", LoginRequired),
        (400, b'{"error":"invalid_grant"}', LoginRequired),
        (403, refused("role-missing", missing=["AcrPull"]), RoleMissing),
        (429, b"", ServerFailed),
        (500, b"<html>", ServerFailed),
        (404, b"<html>", Garbage),
        (302, b"", Garbage),
    ],
)
def test_token_endpoint_refusals(registry: Registry, status: int, body: bytes, leaf: type[TrustkitError]) -> None:
    registry.answer_token = lambda h: h.reply(status, body)
    with pytest.raises(TrustkitError) as caught:
        session(registry).request("GET", "/v2/", scope=WANTED)
    assert type(caught.value) is leaf
    assert "s3cret" not in repr(caught.value.context) + str(caught.value)


def test_basic_challenges_are_answered(serve: Serve) -> None:
    def answer(handler: Handler) -> None:
        if handler.headers.get("Authorization"):
            handler.reply(200)
        else:
            handler.reply(401, b"", WWW_Authenticate='Basic realm="x"')

    server = serve(answer)
    used = Session(connect(server.host), lambda: ALICE)
    for _ in range(2):
        assert used.request("GET", "/v2/", scope=WANTED).status == 200
    assert len(server.seen) == 3


def test_login_gives_a_refresh_token(registry: Registry) -> None:
    registry.answer_token = lambda h: h.reply(200, b'{"access_token":"a","refresh_token":"r"}')
    assert log_in(connect(registry.running.host), "alice", "pw") == "r"
    form = registry.forms[0]
    assert (form["grant_type"], form["access_type"], form["username"]) == (["password"], ["offline"], ["alice"])
    assert "scope" not in form


@pytest.mark.parametrize(
    ("status", "body", "leaf"),
    [
        (401, b"", LoginRequired),
        (429, b"", RateLimited),
        (500, b"", ServerFailed),
        (200, b'{"access_token":"a"}', RegistryFailed),
    ],
)
def test_logins_that_fail(registry: Registry, status: int, body: bytes, leaf: type[TrustkitError]) -> None:
    registry.answer_token = lambda h: h.reply(status, body, Retry_After="7")
    with pytest.raises(leaf) as caught:
        log_in(connect(registry.running.host), "alice", "s3cret-pw")
    assert "s3cret" not in str(caught.value)
    if leaf is RateLimited:
        assert caught.value.context["retry_after"] == 7


@pytest.mark.parametrize(
    ("status", "body", "leaf"),
    [
        (404, refused("no-collection"), NoCollection),
        (403, refused("content-trust-disabled"), TrustDisabled),
        (403, refused("unsigned"), Unsigned),
        (404, b"<html>not found</html>", Garbage),
        (404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}', Garbage),
        (500, refused("no-collection"), ServerFailed),
        (403, refused("no-collection"), RoleMissing),
        (200, refused("no-collection"), Garbage),
        (403, refused("login-required"), RoleMissing),
        (403, refused("key-missing"), RoleMissing),
        (429, refused("unsigned"), ServerFailed),
        (404, b"[" * 100_000, Garbage),
        (404, b'{"errors":{"a":1}}', Garbage),
        (404, b'{"errors":[{"detail":{"slug":["no-collection"]}}]}', Garbage),
    ],
)
def test_refusals(status: int, body: bytes, leaf: type[TrustkitError]) -> None:
    assert type(refusal(Response(status, Headers(), body), Host("h"))) is leaf


def test_a_refusal_keeps_message_hint_and_context_and_no_terminal_codes() -> None:
    body = refused("role-missing", "\x1b[31mno\nway\u202e", hint="ask", missing=["AcrPush"], self="y")
    error = refusal(Response(403, Headers(), body), Host("h"))
    assert (error.message, error.hint) == ("h says: [31mno way.", "h says: ask.")
    assert error.context == {"missing": ["AcrPush"]}


@pytest.mark.parametrize(("status", "slug"), [(403, "role-missing"), (404, "unsigned"), (500, "server-failed")])
def test_a_next_step_that_somebody_else_names_is_told_as_theirs(status: int, slug: str) -> None:
    """Or else whoever answers has somebody pin another key, and it is trustkit that said so."""
    advice = "Its keys were lost. Run: trustkit pin add h/app --root-key EVIL --replace"
    error = refusal(Response(status, Headers(), refused(slug, "gone", hint=advice)), Host("h"))
    assert error.hint == f"h says: {advice}."


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"root": 2, "targets": 3}, {"root": 2, "targets": 3}),
        ({"root": "2", "targets": 3, "snapshot": True, "timestamp": 1.5}, {"targets": 3}),
        ("2", {}),
        ([2], {}),
        (None, {}),
    ],
)
def test_versions_of_a_conflict_are_numbers_or_nothing(said: object, read: object) -> None:
    """Whoever compares them with versions of its own must not stumble over a text."""
    told = refusal(Response(409, Headers(), refused("conflict", versions=said)), Host("h"))
    assert (type(told), told.context["versions"]) == (Conflict, read)


def test_the_status_of_a_refusal_is_the_one_that_it_came_with() -> None:
    body = refused("role-missing", status=404)
    assert "status" not in refusal(Response(403, Headers(), body), Host("h")).context


def test_every_slug_leads_to_its_own_leaf() -> None:
    assert all(leaf.slug == slug for slug, leaf in LEAVES.items())
    assert not {"key-missing", "state", "wrong-passphrase"} & LEAVES.keys()


def test_what_a_hook_derives_from_a_leaf_is_no_answer_of_a_service() -> None:
    code = (
        "import trustkit.hooks.admission_review, trustkit.remote.refusals as refusals\n"
        "assert {leaf.__module__ for leaf in refusals.LEAVES.values()} == {'trustkit.errors'}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_secret_in_a_repr(registry: Registry) -> None:
    used = session(registry)
    used.request("GET", "/v2/", scope=WANTED)
    assert "s3cret" not in repr(used) + repr(ALICE)


def test_scopes_name_the_repository_without_its_host() -> None:
    assert scope(Gun.parse("h.example:5000/team/app"), "pull", "sign") == "repository:team/app:pull,sign"
