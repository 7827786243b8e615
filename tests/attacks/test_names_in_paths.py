"""Names that mean something to a file system, a proxy or a router: in raw requests and on the command line
(TRUST 1.1, 1.2)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.victims import INDEX, MANIFEST, Reply, ask, serving, wire
from tests.service import Person, RunningService

APP = "team/app"
EMPTY_INDEX = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()


@dataclass(frozen=True)
class Door:
    """A service, and somebody with every role on everything who sends bytes to it."""

    service: RunningService
    token: str

    @property
    def host(self) -> str:
        return self.service.host

    @property
    def port(self) -> int:
        return self.service.port

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> Reply | None:
        """A request whose target goes over the wire as it stands here."""
        fields = {"Host": self.host, "Authorization": f"Bearer {self.token}", "Content-Length": str(len(body))}
        fields |= {"Connection": "close", **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
        return wire(self.host, "\r\n".join([*lines, "", ""]).encode() + body)

    def files(self) -> dict[str, int]:
        """Every file below and beside the data, with its size; the database, which notes who logs in, left out."""
        every = [path for path in self.service.folder.rglob("*") if path.is_file()]
        kept = [path for path in every if "trustkit.db" not in path.name and "people" not in path.parts]
        return {str(path.relative_to(self.service.folder)): path.stat().st_size for path in kept}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with serving(tmp_path_factory.mktemp("service")) as service:
        alice = service.principal("alice", "Owner", "AcrImageSigner", "AcrPush")
        alice.push(f"{service.host}/{APP}:v1", "honest")
        assert alice("sign", f"{service.host}/{APP}:v1").status == 0
        names = (APP, "team/other", "app", "team")
        scope = " ".join(f"repository:{name}:*" for name in names)
        yield Door(service, alice.token(service.host, scope))


@pytest.fixture(autouse=True)
def nothing_is_written(door: Door) -> Iterator[None]:
    """Whatever a request names: no file appears, changes or goes."""
    before = door.files()
    yield
    assert door.files() == before


def refused(reply: Reply | None, what: object) -> None:
    """400 or 404; in our own words, or the HTTP parser's where it isn't HTTP."""
    assert reply is not None, what
    assert reply.status in (400, 404), (what, reply, reply.body)
    assert reply.code or reply.body.startswith(b"Invalid HTTP request"), (what, reply.body)


HONEST = {
    "manifest": ("GET", f"/v2/{APP}/manifests/v1", 200),
    "tags": ("GET", f"/v2/{APP}/tags/list", 200),
    "metadata": ("GET", f"/v2/{{host}}/{APP}/_trust/metadata/1.root.json", 200),
    "online keys": ("GET", f"/v2/{{host}}/{APP}/_trust/online-keys", 200),
    "publish": ("POST", f"/v2/{{host}}/{APP}/_trust/metadata", 400),  # it has no body
}


@pytest.mark.parametrize("route", HONEST)
def test_honest_paths_lead_somewhere(door: Door, route: str) -> None:
    method, target, status = HONEST[route]
    reply = door.send(method, target.format(host=door.host))
    assert reply is not None
    assert reply.status == status
    assert status == 200 or reply.slug == "malformed"


NAMES = [
    "team%2fapp", "team%2Fapp", "%2e%2e/app", "team/%2e%2e/app", "team/%2e/app", "..", "../app", "team/../app",
    "team/..", "./app", "team/./app", "team//app", "/app", "team/app/", "team\\app", "..\\..\\app", "team/app%00",
    "team/app\0", "team/app\x01", "team/app\x1f", "team/app\x7f", "team/app\t", "team/ap p", "Team/app", "TEAM/APP",
    "team/app%41", "team/caf\u00e9", "team/caf%c3%a9", "team/%ff", "_oci", "team/_oci", "team/_uploads", "_lock",
    ".app", "team/.app", "team/app.", "team/a..b", "team/-app", "team/app-", "team/a___b", "team/app:v1",
    "localhost:5000/app", "team/app@sha256", "~root", "team/*", "team;x=1/app", "team/app;x", "team+app", "team,app",
    "team/app&x", "a" * 256, "a/" * 200 + "a", "x" * 5000, "con:", "c:/windows", "$HOME", "`id`", "team/app'",
]  # fmt: skip
ROUTES = [
    ("GET", "/v2/{name}/manifests/v1"),
    ("PUT", "/v2/{name}/manifests/v2"),
    ("POST", "/v2/{name}/blobs/uploads/"),
    ("GET", "/v2/{name}/tags/list"),
    ("GET", "/v2/{host}/{name}/_trust/metadata/timestamp.json"),
    ("GET", "/v2/{host}/{name}/_trust/online-keys"),
    ("POST", "/v2/{host}/{name}/_trust/metadata"),
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_a_repository_that_none_can_be(door: Door, name: str) -> None:
    for method, route in ROUTES:
        target = route.format(name=name, host=door.host)
        refused(door.send(method, target, EMPTY_INDEX if method == "PUT" else b"", Content_Type=INDEX), target)


HOSTS = [
    "evil.example", "evil.example:{port}", "127.0.0.1", "{host}0", "127.0.0.1:0", "127.0.0.1:0{port}",
    "127.0.0.1:+{port}", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:99999999999", "127.0.0.1:", "127.0.0.1:http",
    "127.0.0.1:{port}:{port}", ":{port}", "LOCALHOST:{port}", "LocalHost:{port}", "user@{host}", "user:pw@{host}",
    "[::1]:{port}", "[::1", "[127.0.0.1]:{port}", "127.1:{port}", "2130706433:{port}", "0x7f.1:{port}",
    "localhost.:{port}", ".localhost:{port}", "127.0.0.1%3a{port}", "127.0.0.1 :{port}", "%31%32%37.0.0.1:{port}",
    "127.0.0.1\\:{port}", "..:{port}", "{host}/..", "{host}/.", "{host}/",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTS)
def test_a_gun_with_another_host(door: Door, name: str) -> None:
    gun = f"{name.format(host=door.host, port=door.port)}/{APP}"
    for method, tail in (("GET", "metadata/timestamp.json"), ("GET", "online-keys"), ("POST", "metadata")):
        refused(door.send(method, f"/v2/{gun}/_trust/{tail}"), gun)


FILES = [
    "../../kek", "../kek", "..%2f..%2fkek", "....//kek", "/etc/passwd", "kek", "root.json", "1.root.json/",
    "1.root.json%00", "1.root.json\0", "01.root.json", "0.root.json", "-1.root.json", "+1.root.json", "1 .root.json",
    "1.ROOT.json", "1.root.JSON", "1..root.json", "1.root.json.bak", "1.root", "1.root.jso", "99999999999.root.json",
    "9999999999.root.json", "1.timestamp/../root.json", "1.root.json#", "1.kek.json", "1.root\\.json", "2.root.json",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES, ids=ascii)
def test_a_metadata_file_that_none_can_be(door: Door, name: str) -> None:
    refused(door.send("GET", f"/v2/{door.host}/{APP}/_trust/metadata/{name}"), name)


SHA = "0" * 64
PARTS = [
    "manifests/..", "manifests/.", "manifests/", "manifests/.v1", "manifests/-v1", "manifests/v1%2f..",
    "manifests/../manifests/v1", "manifests/v1/", "manifests/v1%00", "manifests/v1\0", "manifests/v\u0131",
    f"manifests/{'a' * 129}", f"manifests/sha256:{SHA.replace('0', 'A')}", f"manifests/sha256:{SHA}0",
    f"manifests/SHA256:{SHA}", f"manifests/sha512:{SHA}{SHA}", f"manifests/md5:{SHA[:32]}",
    f"manifests/v1@sha256:{SHA}",
    "manifests/sha256:../../../index.json", f"manifests/sha256%3a{SHA}", "blobs/sha256:..", "blobs/../index.json",
    f"blobs/sha256:{SHA}/..", "blobs/uploads/..", "blobs/uploads/.", "blobs/uploads/../../_oci/index.json",
    "blobs/uploads/..%2findex.json", "blobs/uploads/index.json", f"blobs/uploads/{'0' * 32}", "_oci/index.json",
    "_uploads/", "_lock", "referrers/..", f"referrers/sha512:{SHA}", "tags/../tags/list", "tags/list/",
    "tags/list%00",
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS, ids=ascii)
def test_a_part_of_a_repository_that_none_can_be(door: Door, part: str) -> None:
    for method in ("GET", "DELETE", "PATCH" if part.startswith("blobs/uploads") else "GET"):
        refused(door.send(method, f"/v2/{APP}/{part}"), (method, part))


@pytest.mark.parametrize("name", ["..", "../app", "team%2f..%2fapp", "Team/app", "team/app%00", "team//app", "%"])
def test_a_mount_from_nowhere(door: Door, name: str) -> None:
    target = f"/v2/{APP}/blobs/uploads/?mount=sha256:{SHA}&from={name}"
    refused(door.send("POST", target), target)


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example{path}", "http://{host}{path}", "https://{host}{path}", "ftp://{host}{path}",
        "http://evil.example", "//{host}{path}", "///{path}", "{host}{path}", "*", "evil.example:443", "{path}#part",
        "{path}%23part", "{path}%3fn=1", "{path};jsessionid=1", "{path}%20", "{path}%0d%0aX:%20y", "%2fv2%2f", "/V2/",
        "/v2/..", "/v2/../v2/", "/./v2/", "/healthz/../v2/", "/v2%2f", "\\v2\\", "v2/", "/%76%32/", "/v2/%",
        "/v2/%zz",
    ],
)  # fmt: skip
def test_a_request_target_that_is_no_path(door: Door, target: str) -> None:
    refused(door.send("GET", target.format(host=door.host, path=f"/v2/{APP}/tags/list")), target)


class TestTheHostHeader:
    @pytest.mark.parametrize(
        "name", ["evil.example", "evil.example:80", "localhost", "{host}.evil.example", "a@{host}"]
    )
    def test_a_strangers_name_leads_nowhere(self, door: Door, name: str) -> None:
        """Whoever comes by another name is sent to the canonical one, and finds no collection under the other."""
        evil = name.format(host=door.host)
        reply = door.send("GET", "/v2/", Host=evil, Authorization="")
        assert reply is not None
        assert reply.status == 401
        assert f'realm="http://{door.host}/oauth2/token"' in reply.headers["www-authenticate"]
        assert evil not in str(reply.headers).replace(f'"{door.host}"', "").replace(f"//{door.host}/", "")
        refused(door.send("GET", f"/v2/{evil}/{APP}/_trust/metadata/timestamp.json", Host=evil), evil)

    @pytest.mark.parametrize(
        "hosts", ["", "Host: {host}\r\nHost: {host}\r\n", "Host: {host}\r\nhost: evil.example\r\n"]
    )
    def test_one_of_them_and_no_more(self, door: Door, hosts: str) -> None:
        data = f"GET /v2/ HTTP/1.1\r\n{hosts.format(host=door.host)}Connection: close\r\n\r\n"
        refused(wire(door.host, data.encode()), hosts)


class TestTheClient:
    BAD = (
        "127.0.0.1:{port}/team%2fapp:v1", "127.0.0.1:{port}/../app:v1", "127.0.0.1:{port}/team/../app:v1",
        "127.0.0.1:{port}/team//app:v1", "127.0.0.1:{port}//app:v1", "127.0.0.1:{port}/team/./app:v1",
        "127.0.0.1:{port}/Team/app:v1", "127.0.0.1:{port}/team\\app:v1", "127.0.0.1:{port}/team/app\x01:v1",
        "127.0.0.1:{port}/team/app\n:v1", "127.0.0.1:{port}/team/app:v1\r", "127.0.0.1:{port}/team/app\u202e:v1",
        "127.0.0.1:{port}/_trust:v1", "127.0.0.1:{port}/app/_trust/metadata:v1", "127.0.0.1:{port}/app:../v1",
        "127.0.0.1:{port}/app?x=y:v1", "127.0.0.1:{port}/app#x:v1", "127.0.0.1:{port}/app:v1@sha256:..",
        "127.0.0.1:{port}/app:v1@sha512:00", "127.0.0.1:{port}/app:", "127.0.0.1:{port}/:v1", "127.0.0.1:{port}",
        "http://127.0.0.1:{port}/app:v1", "user@127.0.0.1:{port}/app:v1", "u:p@127.0.0.1:{port}/app:v1",
        "127.0.0.1:{port}:1/app:v1", "127.0.0.1:0{port}/app:v1", "127.0.0.1:65536/app:v1", "127.0.0.1:-1/app:v1",
        "127.0.0.1:/app:v1", "LOCALHOST:{port}/app:v1", "localhost%3a{port}/app:v1", "../app:v1", "/app:v1", "app:v1",
        "127.0.0.1:{port}/" + "a" * 256 + ":v1", "127.0.0.1:{port}/app:" + "a" * 129, "",
    )  # fmt: skip

    @pytest.fixture
    def listening(self) -> Iterator[socket.socket]:
        """A port that nobody may connect to."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            yield server
            with pytest.raises(BlockingIOError):
                server.accept()

    @pytest.fixture
    def port(self, listening: socket.socket) -> int:
        return int(listening.getsockname()[1])

    @pytest.mark.parametrize("command", ["verify", "pull"])
    def test_every_bad_name_is_a_usage_error(self, port: int, tmp_path: Path, command: str) -> None:
        names = [name.format(port=port) for name in self.BAD]
        target = ["--to", f"oci:{tmp_path / 'out'}"] if command == "pull" else []
        result = Person("alice", tmp_path)(command, *target, "--", *names)
        assert (result.status, result.out) == (2, "")
        assert result.err.count("[invalid-reference]") == len(names), result.err
        assert not (tmp_path / "out").exists()
        assert not any(character in result.err for character in "\x01\r\u202e")

    @pytest.mark.parametrize(
        "name", ["127.0.0.1:{port}/../app", "127.0.0.1:{port}/team%2fapp", "u@127.0.0.1:{port}/a"]
    )
    @pytest.mark.parametrize(
        "words",
        [
            ["sign", "{gun}:v1"],
            ["revoke", "{gun}:v1"],
            ["push", "oci:/nowhere:t", "{gun}:v1"],
            ["inspect", "{gun}"],
            ["init", "{gun}"],
            ["pin", "add", "{gun}", "--root-key", SHA],
            ["login", "{gun}", "-u", "alice", "--password-stdin"],
        ],
        ids=lambda words: words[0],
    )
    def test_in_every_command(self, port: int, tmp_path: Path, words: list[str], name: str) -> None:
        gun = name.format(port=port)
        result = Person("alice", tmp_path)(*(word.format(gun=gun) for word in words), feed="password")
        assert (result.status, result.out) == (2, ""), result.err
        assert "Traceback" not in result.err


def test_the_service_lives_on(door: Door) -> None:
    reply = ask(door.host, "GET", f"/v2/{APP}/manifests/v1", token=door.token, accept=MANIFEST)
    assert reply.status == 200
    assert "Traceback" not in door.service.log.read_text()
