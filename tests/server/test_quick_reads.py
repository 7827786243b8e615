"""Reads that are answered from memory: as the long way answers, to whom it answers, and no longer than it would."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from tests.server.scrape import Monitored
from tests.service import Person, RunningService
from trustkit.asgi.quick import OTHERWISE
from trustkit.authority.freshness import Freshness
from trustkit.authority.reads import Found, Served
from trustkit.core.names import Gun, PrincipalName
from trustkit.core.ports.service import StoredFile
from trustkit.core.stamps import Stamp
from trustkit.gateway.caller import Caller
from trustkit.gateway.exchange import Exchange, Message
from trustkit.server.quickreads import GRANT, LARGEST, MOST_GRANTS, QuickReads, ToSend

SECOND = 1.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GUN = "h.example/app"
LIMIT = 100_000


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Desk:
    service: Monitored
    alice: Person

    def collection(self, name: str) -> str:
        """The path of a collection's metadata, which is made with one tag."""
        gun = f"{self.service.host}/quick/{name}"
        self.alice.push(f"{gun}:v1")
        done = self.alice("sign", f"{gun}:v1")
        assert done.status == 0, done.err
        return f"/v2/{gun}/_trust/metadata"

    def token(self, name: str, who: Person | None = None) -> str:
        return (who or self.alice).token(self.service.host, f"repository:quick/{name}:pull")

    def get(self, path: str, token: str, method: str = "GET", **headers: str) -> Reply:
        return get(self.service, path, token, method, **headers)

    def quickly(self, path: str, token: str) -> Reply:
        """As ``get``, answered from memory as it stood: at the first or a later try, where the machine is busy."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            before = self.answers()
            answer = self.get(path, token)
            if self.answers() == before + 1:
                return answer
        pytest.fail("it is never answered from memory")

    def answers(self) -> float:
        """How many were given from memory as they stood."""
        return self.service.scrape()("trustkit_cached_reads_total", found="answer") or 0.0


def get(service: RunningService, path: str, token: str, method: str = "GET", **headers: str) -> Reply:
    connection = http.client.HTTPConnection(service.host, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}", **named})
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders() if k != "date"}, answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def desk(service: Monitored, alice: Person) -> Desk:
    return Desk(service, alice)


@pytest.fixture(scope="module")
def same(desk: Desk) -> str:
    """The path of a collection that nobody changes."""
    return desk.collection("same")


def within(seconds: float, look: Callable[[], bool]) -> bool:
    """Whether this came true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if look():
            return True
        time.sleep(0.02)
    return look()


def test_both_ways_give_the_same(desk: Desk, same: str) -> None:
    path, token = same, desk.token("same")
    for name in ("timestamp.json", "1.root.json", "1.targets.json", "1.snapshot.json"):
        long = desk.get(f"{path}/{name}", token)
        quick = desk.quickly(f"{path}/{name}", token)
        assert quick == long
        assert quick.status == 200
        assert quick.headers["etag"] == f'"{sha256(quick.body).hexdigest()}"'
        immutable = "immutable" in quick.headers["cache-control"]
        assert immutable == (name != "timestamp.json")


@pytest.mark.parametrize("name", sorted(OTHERWISE - {b"expect", b"upgrade", b"transfer-encoding"}))
def test_a_header_that_may_change_the_answer_goes_the_long_way(desk: Desk, same: str, name: bytes) -> None:
    path, token = f"{same}/1.root.json", desk.token("same")
    desk.get(path, token)
    before = desk.answers()
    value = "0" if name == b"content-length" else "bytes=0-1"
    assert desk.get(path, token, **{name.decode().replace("-", "_"): value}).status == 200
    assert desk.answers() == before


def test_who_has_the_file_gets_no_body(desk: Desk, same: str) -> None:
    path, token = f"{same}/timestamp.json", desk.token("same")
    tag = desk.get(path, token).headers["etag"]
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        reply = desk.get(path, token, if_none_match=value)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    assert desk.get(path, token, if_none_match='"other"').status == 200


def exchanged(service: RunningService, sent: bytes) -> bytes:
    """What comes back for these bytes until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as line:
        line.sendall(sent)
        line.settimeout(1)
        got = b""
        try:
            while data := line.recv(65536):
                got += data
        except TimeoutError:
            pass
        return got


def head(path: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", *lines, "", ""]).encode()


def test_connections_are_kept_or_closed_as_the_request_says(desk: Desk, same: str) -> None:
    path, token = f"{same}/timestamp.json", desk.token("same")
    body = desk.get(path, token).body
    bearer, host = f"Authorization: Bearer {token}", f"Host: {desk.service.host}"
    before = desk.answers()
    three = exchanged(desk.service, head(path, host, bearer) * 2 + head(path, host, bearer, "Connection: close"))
    assert desk.answers() == before + 3
    assert three.count(b"HTTP/1.1 200 OK\r\n") == three.count(body) == 3
    assert three.count(b"connection: close\r\n") == 1
    old = exchanged(desk.service, head(path, host, bearer, version="1.0"))
    assert old.endswith(body)
    assert desk.answers() == before + 3, "HTTP/1.0 goes the long way"


def test_answers_keep_the_order_of_the_questions(desk: Desk, same: str) -> None:
    path, token = same, desk.token("same")
    quick = desk.get(f"{path}/timestamp.json", token).body
    bearer, host = f"Authorization: Bearer {token}", f"Host: {desk.service.host}"
    mixed = [f"{path}/timestamp.json?a=1", f"{path}/timestamp.json", f"{path}/9.root.json", f"{path}/timestamp.json"]
    got = exchanged(desk.service, b"".join(head(each, host, bearer) for each in mixed))
    assert re.findall(rb"HTTP/1.1 (\d+) ", got) == [b"200", b"200", b"404", b"200"]
    assert got.count(quick) == 3


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((), 401),
        (("Authorization: Bearer {token}", "Authorization: Bearer {token}"), 401),
        (("Authorization: bearer {token}",), 200),
        (("Authorization: Bearer {token}x",), 401),
        (("Authorization: Basic {token}",), 401),
    ],
    ids=["none", "two", "other-case", "altered", "other-scheme"],
)
def test_only_the_very_value_that_was_judged_is_answered(
    desk: Desk, same: str, lines: tuple[str, ...], status: int
) -> None:
    path, token = f"{same}/timestamp.json", desk.token("same")
    assert desk.get(path, token).status == 200
    sent = head(path, f"Host: {desk.service.host}", *(line.format(token=token) for line in lines))
    assert exchanged(desk.service, sent).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("damage", [b"Host: a\r\n", b"Host : b\r\n", b"bad header\r\n"])
def test_what_no_honest_client_sends_is_refused_before_memory_is_asked(desk: Desk, same: str, damage: bytes) -> None:
    path, token = f"{same}/timestamp.json", desk.token("same")
    desk.get(path, token)
    sent = head(path, f"Host: {desk.service.host}", f"Authorization: Bearer {token}")
    assert exchanged(desk.service, sent[:-2] + damage + b"\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_token_for_another_repository_is_not_answered(desk: Desk) -> None:
    path = desk.collection("mine")
    assert desk.get(f"{path}/timestamp.json", desk.token("mine")).status == 200
    assert desk.get(f"{path}/timestamp.json", desk.token("same")).status == 401


def test_a_publish_counts_at_once(desk: Desk) -> None:
    path, token = desk.collection("moving"), desk.token("moving")
    for number in range(2, 6):
        old = desk.get(f"{path}/timestamp.json", token)
        assert desk.get(f"{path}/timestamp.json", token) == old
        assert desk.get(f"{path}/{number}.targets.json", token).status == 404
        desk.alice.push(f"{desk.service.host}/quick/moving:v{number}")
        assert desk.alice("sign", f"{desk.service.host}/quick/moving:v{number}").status == 0
        assert desk.get(f"{path}/timestamp.json", token).body != old.body
        assert desk.get(f"{path}/{number}.targets.json", token).status == 200


def changes(desk: Desk, name: str, *admin: str) -> tuple[str, str]:
    path, token = desk.collection(name), desk.token(name)
    for _ in range(3):
        assert desk.get(f"{path}/timestamp.json", token).status == 200
    done = desk.service.admin(*admin)
    assert done.status == 0, done.err
    return f"{path}/timestamp.json", token


def test_content_trust_is_switched_off_and_on_for_memory_too(desk: Desk) -> None:
    path, token = changes(desk, "switched", "policy", "set", "content-trust", "disabled")
    try:
        assert within(SECOND, lambda: desk.get(path, token).status == 403)
    finally:
        assert desk.service.admin("policy", "set", "content-trust", "enabled").status == 0
    assert within(SECOND, lambda: desk.get(path, token).status == 200)


def test_a_role_that_is_taken_away_ends_what_is_kept(desk: Desk) -> None:
    path = desk.collection("roles")
    bob = desk.service.principal("bob", "AcrPull", pattern="quick/roles")
    token = desk.token("roles", bob)
    for _ in range(3):
        assert desk.get(f"{path}/timestamp.json", token).status == 200
    taken = desk.service.admin("role", "revoke", "bob", "AcrPull", "--repository", "quick/roles")
    assert taken.status == 0, taken.err
    assert within(SECOND, lambda: desk.get(f"{path}/timestamp.json", token).status == 403)
    assert desk.get(f"{path}/timestamp.json", desk.token("roles")).status == 200, "alice still may"


def test_a_disabled_principal_is_answered_no_more(desk: Desk) -> None:
    path = desk.collection("disabled")
    carol = desk.service.principal("carol", "AcrPull")
    token = desk.token("disabled", carol)
    for _ in range(3):
        assert desk.get(f"{path}/timestamp.json", token).status == 200
    assert desk.service.admin("principal", "disable", "carol").status == 0
    assert within(SECOND, lambda: desk.get(f"{path}/timestamp.json", token).status == 401)


def test_what_another_replica_publishes_counts_within_a_second(desk: Desk, tmp_path: Path) -> None:
    path, token = desk.collection("shared"), desk.token("shared")
    other = RunningService(tmp_path, "--public-name", desk.service.host)
    other.data = desk.service.data
    other.start()
    try:
        old = get(other, f"{path}/timestamp.json", token)
        assert get(other, f"{path}/timestamp.json", token) == old
        assert desk.get(f"{path}/timestamp.json", token) == old
        desk.alice.push(f"{desk.service.host}/quick/shared:v2")
        assert desk.alice("sign", f"{desk.service.host}/quick/shared:v2").status == 0
        new = desk.get(f"{path}/timestamp.json", token)
        assert new != old
        assert within(SECOND, lambda: get(other, f"{path}/timestamp.json", token) == new)
    finally:
        other.stop()


def test_answers_from_memory_are_in_the_access_log_as_the_others(tmp_path: Path) -> None:
    service = RunningService(tmp_path, "--access-log", "--trusted-proxy", "127.0.0.1").start()
    try:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        alice.push(f"{service.host}/app:v1")
        assert alice("sign", f"{service.host}/app:v1").status == 0
        token = alice.token(service.host, "repository:app:pull")
        path = f"/v2/{service.host}/app/_trust/metadata/1.root.json"
        for _ in range(3):
            get(service, path, token, x_forwarded_for="192.0.2.7")
    finally:
        service.stop()
    lines = [line for line in service.log.read_text().splitlines() if "192.0.2.7 GET" in line]
    assert len(lines) == 3
    assert len({re.sub(r"^.*?INFO|[\d.]+$", "", line) for line in lines}) == 1
    assert token not in service.log.read_text()


def test_with_no_memory_nothing_is_answered_from_it(tmp_path: Path) -> None:
    service = Monitored(tmp_path, "--metrics", "127.0.0.1:0", "--read-cache", "0")
    service.start()
    try:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        alice.push(f"{service.host}/app:v1")
        assert alice("sign", f"{service.host}/app:v1").status == 0
        token = alice.token(service.host, "repository:app:pull")
        path = f"/v2/{service.host}/app/_trust/metadata/timestamp.json"
        assert {get(service, path, token).status for _ in range(3)} == {200}
        scrape = service.scrape()
        for found in ("answer", "file", "checked"):
            assert scrape("trustkit_cached_reads_total", found=found) == 0
        assert scrape("trustkit_read_cache_bytes") == 0
    finally:
        service.stop()


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Memory:
    """Answers kept for tokens that are taken for a minute."""

    clock: Clock
    fresh: Freshness
    reads: QuickReads
    hand: dict[bytes, ToSend]
    """What is at hand without having been asked for."""

    def file(self, *, size: int = 10, until: datetime | None = None, gun: str = GUN, kind: str = "file") -> ToSend:
        named = Gun.parse(gun)
        found = Found(StoredFile("r", 1, b"x" * size, NOW), 1, until)
        return ToSend(named, kind, Served(found, self.fresh.stamp(named.repository), '"e"'), [("etag", '"e"')])

    def keep(
        self,
        path: str = "/p",
        file: ToSend | None = None,
        *,
        secret: str = "t",
        roles: Stamp | None = None,
        method: str = "GET",
        query: str = "",
        keep: bool = True,
    ) -> None:
        """Has this read the long way by whoever shows the secret."""

        async def ignore(message: Message) -> None:
            return None

        async def nothing() -> Message:
            return {}

        scope = {
            "method": method,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"authorization", secret.encode())],
        }
        caller = Caller(
            PrincipalName.parse("alice"),
            lambda _: frozenset(),
            known_since=roles or self.fresh.stamp(),
            begins=NOW,
            ends=NOW + timedelta(minutes=1),
        )
        exchange = Exchange(scope, nothing, ignore)
        asyncio.run(self.reads.reply(exchange, caller, file or self.file(), keep=keep))

    def has(self, path: str = "/p", *, secret: str = "t") -> bool:
        return self.reads.find(path.encode(), sha256(secret.encode()).digest()) is not None


@pytest.fixture
def memory() -> Memory:
    clock = Clock()
    fresh, hand = Freshness(clock=clock), dict[bytes, ToSend]()
    return Memory(clock, fresh, QuickReads(fresh, clock=clock, limit=LIMIT, ready=hand.get), hand)


@pytest.mark.parametrize(
    ("seconds", "answered"), [(0, True), (59.999, True), (60, False), (61, False), (-0.001, False)]
)
def test_an_answer_ends_with_its_token(memory: Memory, seconds: float, *, answered: bool) -> None:
    memory.keep()
    memory.clock.now = NOW + timedelta(seconds=seconds)
    memory.fresh._asked = memory.clock.now  # the database has just said that nothing changed
    assert memory.has() == answered


def test_an_answer_ends_when_its_file_does(memory: Memory) -> None:
    memory.keep(file=memory.file(until=NOW + timedelta(milliseconds=100)))
    assert memory.has()
    memory.clock.now = NOW + timedelta(milliseconds=100)
    assert not memory.has()


def test_another_path_or_secret_has_no_answer(memory: Memory) -> None:
    memory.keep()
    assert memory.has()
    assert not memory.has("/P")
    assert not memory.has(secret="T")


def test_who_reads_one_file_of_a_collection_is_given_what_another_has_read(memory: Memory) -> None:
    memory.keep("/timestamp", secret="alice's")
    memory.keep("/snapshot", secret="bob's")
    for path in ("/timestamp", "/snapshot"):
        assert memory.has(path, secret="alice's")
        assert memory.has(path, secret="bob's")
        assert not memory.has(path, secret="mallory's")


def test_who_may_read_one_collection_is_not_given_the_next(memory: Memory) -> None:
    """Nor by another API, whose scopes are others; nor one whose name begins alike."""
    others = [("h.example/apps", "file"), ("h.example/app/x", "file"), ("g.example/app", "file"), (GUN, "other")]
    memory.keep("/mine", secret="mallory's")
    for at, (gun, kind) in enumerate(others):
        path = f"/{at}"
        memory.keep(path, memory.file(gun=gun, kind=kind), secret="alice's")
        assert memory.has(path, secret="alice's")
        assert not memory.has(path, secret="mallory's")
        memory.hand[f"/ready{at}".encode()] = memory.file(gun=gun, kind=kind)
        assert not memory.has(f"/ready{at}", secret="mallory's")
    assert memory.has("/mine", secret="mallory's")


def test_what_is_at_hand_is_given_to_who_has_read_another_file(memory: Memory) -> None:
    memory.hand[b"/new"] = memory.file()
    assert not memory.has("/new")
    memory.keep("/old")
    assert memory.has("/new")
    memory.fresh.forget(Gun.parse(GUN))
    assert not memory.has("/old")
    memory.hand[b"/new"] = memory.file()
    assert memory.has("/new")
    memory.hand[b"/large"] = memory.file(size=LARGEST + 1)
    assert not memory.has("/large")


@pytest.mark.parametrize(
    ("method", "query", "keep"), [("HEAD", "", True), ("POST", "", True), ("GET", "n=1", True), ("GET", "", False)]
)
def test_what_else_may_have_decided_admits_nobody(memory: Memory, method: str, query: str, *, keep: bool) -> None:
    memory.keep(method=method, query=query, keep=keep)
    assert not memory.has()
    memory.hand[b"/p"] = memory.file()
    assert not memory.has()


def test_roles_that_were_read_before_a_change_keep_no_answer(memory: Memory) -> None:
    old = memory.fresh.stamp()
    memory.fresh.forget_everything()
    assert old.epoch != memory.fresh.stamp().epoch
    memory.keep(roles=old)
    assert not memory.has()
    memory.keep()
    assert memory.has()


def test_a_change_of_roles_ends_what_was_granted_and_no_answer(memory: Memory) -> None:
    memory.keep("/a")
    memory.fresh.forget_everything()
    memory.keep("/a", secret="bob's")
    assert not memory.has("/a")
    assert memory.has("/a", secret="bob's")


def test_memory_for_answers_is_bounded(memory: Memory) -> None:
    for number in range(300):
        memory.keep(f"/{number}")
        assert memory.reads.size <= LIMIT
    assert memory.has("/299")
    assert not memory.has("/0")
    memory.keep("/large", memory.file(size=LARGEST + 1))
    assert not memory.has("/large")


def test_memory_for_tokens_is_bounded(memory: Memory) -> None:
    """Whoever gets one token after the other, or reads one collection after the other."""
    for number in range(300):
        memory.keep(secret=f"t{number}")
        assert memory.reads.size <= LIMIT
    assert memory.has(secret="t299")
    assert not memory.has(secret="t0")
    for number in range(3 * MOST_GRANTS):
        memory.keep(f"/{number}", memory.file(gun=f"h.example/{number}"), secret="one")
        assert memory.reads.size <= LIMIT + MOST_GRANTS * GRANT
    assert memory.has(f"/{3 * MOST_GRANTS - 1}", secret="one")


def challenged(service: Monitored, host: str, *lines: str) -> bytes:
    """What ``/v2/`` says to whoever shows nothing, but for the time."""
    got = exchanged(service, head("/v2/", f"Host: {host}", "Connection: close", *lines))
    return re.sub(rb"date: [^\r]*\r\n", b"", got)


def test_whoever_shows_nothing_is_sent_to_the_token_endpoint_at_once(desk: Desk) -> None:
    """As the long way does it, by whatever name the client came; and both are counted as what they are."""
    own = desk.service.host

    def counted() -> tuple[float, float]:
        told = desk.service.scrape()
        requests = told("trustkit_requests_total", route="base", method="GET", status="401") or 0.0
        return requests, told("trustkit_refusals_total", slug="registry-refused") or 0.0

    for host in (own, "stranger.example", own.upper(), ""):
        long = challenged(desk.service, host, "Range: bytes=0-")
        requests, refusals = counted()
        quick = challenged(desk.service, host)
        assert counted() == (requests + 1, refusals + 1)
        assert quick == long
        assert quick.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert f'realm="http://{own}/oauth2/token",service="{own}"'.encode() in quick
        assert b'"code": "UNAUTHORIZED"' in quick


@pytest.mark.parametrize(
    ("target", "lines", "status"),
    [
        ("/v2", [], 401),
        ("/v2/?n=1", [], 401),
        ("/v2//", [], 400),
        ("/v2/%20", [], 400),
        ("/v2/team/app/manifests/v1", [], 401),
        ("/v2/", ["Authorization: Basic YTpi"], 401),
        ("/v2/", ["Authorization: "], 401),
        ("/v2/", ["Authorization: ", "Authorization: Bearer x"], 401),
    ],
)
def test_nothing_else_is_answered_as_that(desk: Desk, target: str, lines: list[str], status: int) -> None:
    got = exchanged(desk.service, head(target, f"Host: {desk.service.host}", "Connection: close", *lines))
    assert got.startswith(f"HTTP/1.1 {status} ".encode())
    if status == 401 and target != "/v2/team/app/manifests/v1":
        assert b"scope=" not in got
