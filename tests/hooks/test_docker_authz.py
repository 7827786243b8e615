"""What Docker's engine may do: requests as clients and attackers write them, and what is said to each."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hooks.helping import short_folder
from trustkit.client.enforce import Verdict
from trustkit.client.verify import Trusted
from trustkit.core.familiar import familiar
from trustkit.core.names import Digest, ImageRef, Tag
from trustkit.core.view import SignedTarget
from trustkit.errors import EngineFailed, Unreachable, Unsigned
from trustkit.hooks.authz import Answer, Held, Judgement, Made
from trustkit.hooks.authz_engine import DockerView
from trustkit.hooks.authz_request import EngineRequest
from trustkit.hooks.authz_routes import Door
from trustkit.hooks.authz_server import MAX_REQUEST, PluginServer

APP = "registry.example.com/team/app"
SIGNED, OTHER = Digest.of(b"signed"), Digest.of(b"other")
GOOD_ID, EVIL_ID = "sha256:" + "a" * 64, "sha256:" + "b" * 64
GOOD = Held(GOOD_ID, (familiar(f"{APP}@{SIGNED}"),), (familiar(f"{APP}:v1"),))
EVIL = Held(EVIL_ID, (), (familiar("evil:latest"),))
QUOTED = APP.replace("/", "%2F")


TRUSTED = Trusted(familiar(APP).gun, SIGNED, SignedTarget(Tag("v1"), SIGNED, 500, "", "targets"))


@dataclass
class Policy:
    """``v1`` and its digest are signed; ``docker.io/library/free`` may be anything; ``away`` can't be checked."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, ref: ImageRef) -> Verdict:
        self.asked.append(str(ref))
        name = str(ref.gun)
        if name == "docker.io/library/free":
            return Verdict(ref, allowed=True, rule=name, image=ref)
        if name == "docker.io/library/watched":
            return Verdict(ref, allowed=True, rule=name, image=ref, error=Unsigned(f"{ref} is not signed."))
        if name.endswith("/away"):
            return Verdict(ref, allowed=False, rule="*", error=Unreachable("nobody answers"))
        signed = name == APP and (str(ref.tag) == "v1" or ref.digest == SIGNED) and ref.digest in (None, SIGNED)
        if not signed:
            return Verdict(ref, allowed=False, rule="*", error=Unsigned(f"{ref} is not signed."))
        image = ImageRef(ref.gun, ref.tag, SIGNED)
        return Verdict(ref, allowed=True, rule="*", image=image, trusted=TRUSTED)


ROGUE = Made("dead" + "2" * 60, EVIL_ID)
"""A container from before the plugin."""


@dataclass
class Engine:
    """What is on an engine: images by what finds them, containers by name."""

    images: dict[str, Held] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    """The image's id, by the container's name."""

    def image(self, name: str) -> Held | None:
        return self.images.get(name)

    def container(self, name: str) -> Made | None:
        return Made("c0ffee" + "0" * 58, self.containers[name]) if name in self.containers else None

    def beginning(self, text: str) -> list[Made]:
        return [made for made in (Made("db" + "1" * 62, GOOD_ID), ROGUE) if made.id.startswith(text)]


ENGINE = Engine(
    {
        f"{APP}:v1": GOOD, f"{APP}@{SIGNED}": GOOD, GOOD_ID: GOOD, GOOD_ID[7:]: GOOD,
        "evil": EVIL, EVIL_ID: EVIL, EVIL_ID[7:]: EVIL, "evil:latest": EVIL,
    },
    {"web": GOOD_ID, "rogue": EVIL_ID, "c0ffee": GOOD_ID, "db": GOOD_ID, "dead": GOOD_ID,
     "lost": "sha256:" + "c" * 64},
)  # fmt: skip


def judged(
    method: str, uri: str, body: object = None, *, engine: Engine = ENGINE, opened: Door | None = None, **headers: str
) -> Answer:
    shown = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    found = {"content-length": str(len(shown)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    request = EngineRequest(method, uri, found, shown)
    return Judgement(Policy(), engine, frozenset([opened] if opened else []))(request)


def pull(query: str) -> Answer:
    return judged("POST", f"/v1.43/images/create?{query}")


@pytest.mark.parametrize(
    "query",
    [
        f"fromImage={QUOTED}&tag=sha256%3A{SIGNED.hex}",
        f"fromImage={APP}&tag=sha256:{SIGNED.hex}&platform=linux%2Famd64",
        f"fromImage={APP}@{SIGNED}&tag=",
        f"%66romImage={APP}%40{SIGNED}",
        f"fromImage={APP}:v1@{SIGNED}",
        "fromImage=free&tag=latest",
        "fromImage=docker.io/library/free&tag=1",
    ],
)
def test_pulls_that_are_let_through(query: str) -> None:
    assert pull(query).allowed


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"fromImage={APP}&tag=v1", f"docker pull {APP}@{SIGNED}"),
        (f"fromImage={APP}&tag=dev", "is not signed"),
        (f"fromImage={APP}&tag={OTHER}", "is not signed"),
        (f"fromImage={APP}:v1@{OTHER}", "is not signed"),
        (f"fromImage={APP}&tag=SHA256:{SIGNED.hex}", "not a sha256 digest"),
        (f"fromImage={APP}&tag=sha512:{'a' * 128}", "not a sha256 digest"),
        (f"fromImage={APP}&tag=sha256:{SIGNED.hex.upper()}", "not a sha256 digest"),
        (f"fromImage={APP}", "All tags"),
        (f"fromImage={APP}&tag=", "All tags"),
        (f"fromImage={APP}:v1", "docker pull"),
        (f"fromImage={APP}:", "not an image reference"),
        (f"fromImage={APP.upper()}&tag=v1", "not an image reference"),
        (f"fromImage={APP}&fromImage=evil&tag={SIGNED}", "says fromImage twice"),
        (f"fromImage={APP}&tag={SIGNED}&tag=dev", "says tag twice"),
        (f"fromImage={APP}&%74ag={SIGNED}&tag=dev", "says tag twice"),
        (f"fromImage={APP}&tag={SIGNED}&TAG=dev", "spelling of its own"),
        (f"fromImage={APP}&tag={SIGNED}&fromimage=evil", "spelling of its own"),
        (f"fromImage={APP}&tag={SIGNED};fromImage=evil", "';'"),
        (f"fromImage={APP}@{SIGNED}&tag=dev", "and the tag"),
        (f"fromImage={APP}:v1&tag={OTHER}", "and a digest"),
        (f"fromImage={APP}@{OTHER}&tag={SIGNED}", "and a digest"),
        (f"fromImage={APP}%zz&tag={SIGNED}", "escapes nothing"),
        (f"fromImage={APP}%00&tag={SIGNED}", "no name has"),
        (f"fromImage={APP}+&tag={SIGNED}", "no name has"),
        (f"fromImage={APP}%C3%A9&tag={SIGNED}", "no name has"),
        (f"fromImage={APP}&tag={SIGNED}#&tag=dev", "not a plain path"),
        (f"fromImage={'a' * 64}&tag={SIGNED}", "is an image's id"),
        ("fromSrc=-&repo=evil", "import: "),
        ("fromSrc=http%3A%2F%2Fevil%2Fx.tar&repo=free", "import: "),
        (f"fromSrc=-&fromImage={APP}&tag={SIGNED}", "a source beside it"),
        ("", "names no image"),
        ("fromImage=&tag=v1", "names no image"),
        (f"fromImage=registry.example.com/away&tag={SIGNED}", "nobody answers"),
    ],
)
def test_pulls_that_are_refused(query: str, said: str) -> None:
    answer = pull(query)
    assert not answer.allowed
    assert said in answer.reason


@pytest.mark.parametrize("length", ["5", "", "0, 5", "00", "-0", "0 "])
def test_a_pull_or_tag_with_perhaps_a_body_is_refused(length: str) -> None:
    for uri in (f"/images/create?fromImage={APP}&tag={SIGNED}", f"/images/{GOOD_ID}/tag?repo={APP}&tag=v1"):
        assert judged("POST", uri).allowed
        answer = judged("POST", uri, content_length=length)
        assert (answer.allowed, "may have a body" in answer.reason) == (False, True)


def create(image: object, **more: object) -> Answer:
    return judged("POST", "/v1.41/containers/create?name=x", {"Image": image, **more})


@pytest.mark.parametrize(
    "image", [f"{APP}@{SIGNED}", f"{APP}:v1@{SIGNED}", f"{APP}:v1", GOOD_ID, GOOD_ID[7:], "free", "free:1"]
)
def test_containers_that_are_made(image: str) -> None:
    assert create(image, HostConfig={"Mounts": [{"Type": "bind", "Source": "/x"}]}).allowed


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (f"{APP}@{OTHER}", "is not signed"),
        (f"{APP}:v1@{OTHER}", "is not signed"),
        (f"{APP}:dev", "is not signed"),
        (EVIL_ID, "has no digest of a registry"),
        (EVIL_ID[7:], "has no digest of a registry"),
        ("sha256:" + "d" * 64, "no longer knows the image"),
        ("evil", "is not signed"),
        ("deadbeef", "beginning of an image's id"),
        ("sha256:dead", "beginning of an image's id"),
        ("a", "beginning of an image's id"),
        ("", "names no image"),
        (None, "names no image"),
        ([f"{APP}:v1"], "names no image"),
        ("Evil", "not an image reference"),
        ("\ud800", "not an image reference"),
        ("registry.example.com/away:v1", "nobody answers"),
    ],
)
def test_containers_that_are_not_made(image: object, said: str) -> None:
    answer = create(image)
    assert (answer.allowed, said in answer.reason) == (False, True), answer


def test_a_name_counts_only_while_the_engine_has_the_signed_digest_under_it() -> None:
    """After docker tag, load, build, commit or import, or before a pull; a digest elsewhere is no help."""
    uri, body = "/containers/create", {"Image": f"{APP}:v1"}
    elsewhere = Held(GOOD_ID, (familiar(f"registry.example.com/x@{SIGNED}"), familiar(f"{APP}@{OTHER}")))
    for held, said in ((EVIL, "another image"), (elsewhere, "another image"), (None, "no such image yet")):
        answer = judged("POST", uri, body, engine=Engine({f"{APP}:v1": held} if held else {}))
        assert (answer.allowed, said in answer.reason) == (False, True)
        assert f"trustkit pull {APP}:v1" in answer.reason


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "doesn't show the request's body"),
        (b"{", "not JSON"),
        (b"[]", "not an object"),
        (b'"x"', "not an object"),
        (b"{}", "names no image"),
        (b'{"Image": "free"} {"Image": "evil"}', "not JSON"),
        (b'{"Image": "free", "Image": "evil"}', "says Image twice"),
        (b'{"Image": "free", "image": "evil"}', "says Image twice"),
        (b'{"Image": "free", "IMAGE": null}', "says Image twice"),
        (b'{"Image": "free", "Im\\u0061ge": "evil"}', "says Image twice"),
        (b'{"image": "evil"}', "is not signed"),
        (b'\xef\xbb\xbf{"Image": "free"}', "not JSON"),
        (b'{"Image": "free\xff"}', "not JSON"),
        (b'{"Image": "free", "HostConfig": {}, "ho\xc5\xbftconfig": {}}', "says HostConfig twice"),
        (b'{"Image": "free", "HostConfig": []}', "not an object"),
        (b'{"Image": "free", "HostConfig": {"Mounts": {}}}', "not a list"),
        (b'{"Image": "free", "HostConfig": {"Mounts": ["x"]}}', "not a list"),
        (b'{"Image": "free", "HostConfig": {"Mounts": [{"Type": "image", "Source": "free"}]}}', "without a digest"),
        (b'{"Image": "free", "Mounts": [{"type": "IMAGE", "Source": "free"}]}', "without a digest"),
        (b'{"Image": "free", "HostConfig": {"Mounts": [{"Type": "image"}]}}', "without a digest"),
        (
            b'{"Image": "free", "HostConfig": {"Mounts": [{"Type": "image", "Source": "%b@%b"}]}}'
            % (APP.encode(), str(OTHER).encode()),
            "is not signed",
        ),
        (b"[" * 100_000, "not JSON"),
        (b'{"Image": ' + b"1" * 5000 + b"}", "not JSON"),
    ],
)
def test_bodies_that_go_and_python_might_read_otherwise(body: bytes, said: str) -> None:
    answer = judged("POST", "/containers/create", body)
    assert (answer.allowed, said in answer.reason) == (False, True), answer


def test_a_mounted_image_by_its_signed_digest() -> None:
    assert create(GOOD_ID, HostConfig={"Mounts": [{"Type": "image", "Source": f"{APP}@{SIGNED}"}]}).allowed


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("/containers/web/start", ""),
        ("/v1.24/containers/web/restart?t=5", ""),
        ("/containers/rogue/start", "has no digest of a registry"),
        ("/containers/rogue/restart", "has no digest of a registry"),
        ("/containers/web/rename?name=y", ""),
        ("/containers/web/update", ""),
        ("/containers/rogue/rename?name=web", "has no digest of a registry"),
        ("/containers/rogue/update", "has no digest of a registry"),
        ("/containers/c0ffee/start", ""),
        ("/containers/db/start", ""),
        ("/containers/dead/start", "has no digest of a registry"),
        ("/containers/lost/start", "no longer knows the image"),
        ("/containers/none/start", "no container"),
        ("/containers/web/start?checkpoint=x", "from a checkpoint"),
        ("/containers/web/start?%63heckpoint=x&checkpoint-dir=/tmp", "from a checkpoint"),
        ("/v1.23/containers/web/start", "too old"),
    ],
)
def test_starting(uri: str, said: str) -> None:
    answer = judged("POST", uri)
    assert (answer.allowed, said in answer.reason) == (not said, True), answer


def test_any_name_of_an_image_lets_it_in_and_a_tag_only_with_its_digest() -> None:
    digests = (familiar(f"registry.example.com/x@{OTHER}"), familiar(f"{APP}@{SIGNED}"))
    for held, allowed in (
        (Held(EVIL_ID, digests), True),
        (Held(EVIL_ID, digests[:1]), False),
        (Held(EVIL_ID, digests[:1], (familiar(f"{APP}:v1"),)), False),
        (Held(EVIL_ID, (), (familiar("free"),)), True),
    ):
        engine = Engine({EVIL_ID: held}, {"c": EVIL_ID})
        assert judged("POST", "/containers/c/start", engine=engine).allowed == allowed


@pytest.mark.parametrize(
    ("source", "query", "said"),
    [
        (f"{APP}@{SIGNED}", f"repo={APP}&tag=v1", ""),
        (GOOD_ID, f"repo={QUOTED}&tag=v1&force=1", ""),
        (GOOD_ID, f"repo={APP}:v1", ""),
        ("evil", f"repo={APP}&tag=v1", "only that gets its name"),
        (EVIL_ID, f"repo={APP}&tag=v1", "only that gets its name"),
        (f"{APP}:v1", f"repo={APP}&tag=v1", "only that gets its name"),
        (EVIL_ID, f"repo={APP}:v1", "only that gets its name"),
        (EVIL_ID, f"repo={APP}&tag=dev", ""),
        (EVIL_ID, "repo=registry.example.com/away&tag=v1", "nobody answers"),
        (EVIL_ID, "repo=free", ""),
        (EVIL_ID, f"repo={APP}&repo=x&tag=v1", "says repo twice"),
        (EVIL_ID, f"repo={APP}@{SIGNED}", "no name that can be given"),
        (EVIL_ID, "repo=", "not an image reference"),
    ],
)
def test_tags(source: str, query: str, said: str) -> None:
    answer = judged("POST", f"/v1.43/images/{source}/tag?{query}")
    assert (answer.allowed, said in answer.reason) == (not said, True), answer


@pytest.mark.parametrize(
    ("method", "path", "door"),
    [
        ("POST", "/build", Door.BUILD),
        ("POST", "/v1.43/build?t=x&version=2", Door.BUILD),
        ("POST", "/session", Door.BUILD),
        ("POST", "/v1.43/grpc", Door.BUILD),
        ("POST", "/moby.buildkit.v1.Control/Solve", Door.BUILD),
        ("POST", "/images/load?quiet=1", Door.LOAD),
        ("POST", "/commit?container=web&repo=x", Door.COMMIT),
        ("POST", "/plugins/pull?remote=x", Door.PLUGINS),
        ("POST", "/plugins/create?name=x", Door.PLUGINS),
        ("POST", "/plugins/a/b:latest/enable", Door.PLUGINS),
        ("POST", "/plugins/a/upgrade", Door.PLUGINS),
        ("POST", "/services/create", Door.SWARM),
        ("POST", "/services/x/update?version=1", Door.SWARM),
        ("POST", "/swarm/init", Door.SWARM),
        ("POST", "/swarm/join", Door.SWARM),
        ("POST", "/nodes/x/update", Door.SWARM),
        ("POST", "/images/create?fromSrc=-", Door.IMPORT),
    ],
)
def test_doors_are_closed_until_somebody_opens_each(method: str, path: str, door: Door) -> None:
    answer = judged(method, path, content_length="")
    assert (answer.allowed, f"--unsafe-allow {door}" in answer.reason) == (False, True)
    for other in Door:
        assert judged(method, path, opened=other, content_length="").allowed == (other is door)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/v1.43/images/json?all=1"), ("GET", "/distribution/x/json"),
        ("POST", "/auth"), ("POST", "/v1.43/containers/web/attach?stream=1"), ("POST", "/containers/web/exec"),
        ("POST", "/exec/abc/start"), ("POST", "/containers/web/wait?x=y"), ("POST", "/volumes/create"),
        ("POST", "/networks/create"), ("POST", "/images/registry.example.com/team/app/push?tag=v1"),
        ("POST", "/containers/prune"), ("PUT", "/containers/web/archive?path=/tmp"), ("DELETE", "/images/evil"),
        ("DELETE", "/v1.43/containers/web?force=1"), ("POST", "/containers/web/stop"), ("POST", "/build/prune"),
    ],
)  # fmt: skip
def test_what_brings_and_starts_nothing_is_let_through_unasked(method: str, path: str) -> None:
    assert judged(method, path) == Answer(allowed=True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images/create/"), ("POST", "/Images/create"), ("POST", "//images/create"), ("POST", "/images"),
        ("POST", "/./images/create"), ("POST", "/x/../build"), ("POST", "/images%2F%2Fcreate"), ("POST", "/"),
        ("POST", "http://docker/build"), ("POST", "*"), ("POST", ""), ("post", "/auth"), ("PATCH", "/auth"),
        ("PUT", "/images/create"), ("get", "/_ping"), ("POST", "/v1.43.1/auth"), ("POST", "/v2/auth"),
        ("POST", "/containers/web/some-new-thing"), ("POST", "/images/web/some-new-thing"), ("CONNECT", "x:1"),
        ("POST", "/v1.43/v1.43/auth"), ("POST", "/auth%0a"), ("POST", "/auth\u2028"), ("POST", "/auth#x"),
        ("POST", "/%61uth%2"), ("PUT", "/containers/web/start"), ("POST", "/v1.10/auth"),
    ],
)  # fmt: skip
def test_what_nobody_knows_is_refused(method: str, path: str) -> None:
    answer = judged(method, path)
    assert (answer.allowed, bool(answer.reason)) == (False, True)


@pytest.mark.parametrize(
    "path", ["/images%2Fcreate", "/v1.43%2Fimages/create", "/%69mages/create", "/images/%63reate"]
)
def test_an_escaped_path_is_judged_as_what_the_engine_reads(path: str) -> None:
    assert "is not signed" in judged("POST", f"{path}?fromImage={APP}&tag={OTHER}").reason


def test_a_name_may_be_an_id_s_beginning_once_its_container_is_gone() -> None:
    """Both the container of that name and all whose ids begin so have to be ones that may start."""
    for containers, allowed in ({"dead": GOOD_ID}, False), ({"db": GOOD_ID}, True), ({"db": EVIL_ID}, False):
        answer = judged(
            "POST", f"/containers/{next(iter(containers))}/start", engine=Engine(ENGINE.images, containers)
        )
        assert answer.allowed == allowed


def test_no_reason_has_a_second_line() -> None:
    for image in ("x\ny", "x\x1b[31m", "a" * 10_000):
        reason = create(image).reason
        assert reason.isprintable()
        assert len(reason) < 600


@given(st.text(max_size=60), st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]))
def test_no_uri_makes_it_fail(uri: str, method: str) -> None:
    for prefix in ("", "/", "/images/create?", "/images/create?fromImage=", "/containers/"):
        answer = judged(method, prefix + uri)
        assert answer.allowed or answer.reason


@given(st.recursive(st.none() | st.text() | st.integers() | st.booleans(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["Image", "image", "HostConfig", "Mounts", "Type", "Source", "x"]), x)))  # fmt: skip
def test_no_body_makes_it_fail_or_lets_an_unsigned_image_in(body: object) -> None:
    answer = judged("POST", "/containers/create", body)
    assert answer.reason
    assert not answer.allowed


def test_a_rule_that_detects_lets_through_and_says_so() -> None:
    engine = Engine({EVIL_ID: Held(EVIL_ID, (), (familiar("watched"),))}, {"c": EVIL_ID})
    for uri, body in (
        ("/images/create?fromImage=watched&tag=1", None),
        ("/containers/create", {"Image": "watched"}),
        ("/containers/c/start", None),
    ):
        answer = judged("POST", uri, body, engine=engine)
        assert (answer.allowed, "would be refused" in answer.reason) == (True, True)


def test_requests_that_the_engine_does_not_send() -> None:
    whole = {"RequestMethod": "POST", "RequestUri": "/x", "RequestHeaders": {"A": "b"}, "RequestBody": "e30="}
    assert EngineRequest.parse(json.dumps(whole).encode()) == EngineRequest("POST", "/x", {"a": "b"}, b"{}")
    for change in ({"RequestMethod": 1}, {"RequestUri": None}, {"RequestBody": "!"}, {"RequestHeaders": [1]}):
        with pytest.raises(Exception, match="is no request"):
            EngineRequest.parse(json.dumps({**whole, **change}).encode())
    for data in (b"", b"[]", b"\xff", b"{}"):
        with pytest.raises(Exception, match="is no request"):
            EngineRequest.parse(data)


def asked(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(request)
        return connection.makefile("rb").read()


@pytest.fixture
def listening() -> Iterator[Callable[[bytes], bytes]]:
    """A server as it talks over one connection, and what it says to some bytes."""

    def plugin(path: str, body: bytes) -> dict[str, Any]:
        return {"path": path, "body": base64.b64encode(body).decode()}

    with short_folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "s"))
        listener.listen(4)
        server = PluginServer(folder / "s", plugin)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    server._talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield lambda request: asked(folder / "s", request)
        listener.shutdown(socket.SHUT_RDWR)


def test_what_is_said_over_http(listening: Callable[[bytes], bytes]) -> None:
    head = b"POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: x\r\n"
    answer = listening(head + b"Content-Length: 3\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"path": "/AuthZPlugin.AuthZReq", "body": "YWJj"}')
    assert b"Connection: close" in answer
    for headers in (
        b"Content-Length: x\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
    ):
        assert listening(head + headers).startswith(b"HTTP/1.1 400 ")
    assert listening(b"GET /AuthZPlugin.AuthZReq HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 501 ")
    too_long = listening(head + b"Content-Length: %d\r\n\r\n" % (MAX_REQUEST + 1) + b"x" * (MAX_REQUEST + 1))
    assert b'"Allow": false' in too_long


@pytest.mark.parametrize(
    "said",
    [
        b"", b"HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\n{", b"HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\n{}",
    ],
)  # fmt: skip
def test_an_engine_that_says_nothing_of_use_is_an_error(said: bytes) -> None:
    with short_folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "s"))
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(EngineFailed):
            DockerView(folder / "s", ends=5, ticks=lambda: 0).image("x")
    with pytest.raises(EngineFailed, match="doesn't answer"):
        DockerView(folder / "s", ends=5, ticks=lambda: 0).container("x")
