"""The proxy in front of a real docker-registry."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.gateway.conftest import APP as REPOSITORY
from tests.gateway.conftest import Serving, World, target
from trustkit.core.access import Action
from trustkit.core.manifests import OCI_MANIFEST
from trustkit.core.names import Digest, Repository
from trustkit.gateway.elsewhere import may_send
from trustkit.gateway.transport import Timeouts
from trustkit.gateway.upstream import UpstreamRegistry

APP = "/v2/team/app"
DATA = bytes(range(256)) * 40


@pytest.fixture
def proxy(docker_registry, world: World) -> Iterator[object]:
    with Serving(lambda: UpstreamRegistry(docker_registry.url), world) as client:
        yield client


def digest_of(data: bytes) -> str:
    return str(Digest.of(data))


@pytest.mark.real
class TestDockerRegistry:
    def test_push_and_pull(self, proxy) -> None:
        data = proxy.image("one", "v1")
        assert proxy("GET", f"{APP}/manifests/v1").body == data
        assert proxy("HEAD", f"{APP}/manifests/v1").headers["docker-content-digest"] == digest_of(data)
        assert proxy("GET", f"{APP}/tags/list").json == {"name": "team/app", "tags": ["v1"]}
        assert proxy("GET", "/v2/_catalog").json == {"repositories": ["team/app"]}
        assert proxy("GET", f"{APP}/manifests/v2").code == "MANIFEST_UNKNOWN"
        assert proxy("DELETE", f"{APP}/manifests/{digest_of(data)}").status == 202
        assert proxy("GET", f"{APP}/manifests/v1").status == 404

    def test_an_upload_in_chunks_stays_on_our_origin(self, proxy) -> None:
        location = proxy("POST", f"{APP}/blobs/uploads/").headers["location"]
        assert location.startswith(f"{APP}/blobs/uploads/")
        patched = proxy("PATCH", location, iter([DATA[:5000], DATA[5000:]]))
        assert (patched.status, patched.headers["range"]) == (202, f"0-{len(DATA) - 1}")
        location = patched.headers["location"]
        done = proxy("PUT", f"{location}&digest={digest_of(DATA)}")
        assert (done.status, done.headers["location"]) == (201, f"{APP}/blobs/{digest_of(DATA)}")
        assert proxy("GET", f"{APP}/blobs/{digest_of(DATA)}", range="bytes=5-9").body == DATA[5:10]

    def test_the_wrong_digest_is_the_upstreams_refusal(self, proxy) -> None:
        reply = proxy("POST", f"{APP}/blobs/uploads/")
        done = proxy("PUT", f"{reply.headers['location']}&digest={digest_of(b'x')}", DATA)
        assert (done.status, done.code) == (400, "DIGEST_INVALID")

    def test_pages_of_tags_link_to_us(self, proxy) -> None:
        data = proxy.image("one", "a")
        proxy("PUT", f"{APP}/manifests/b", data, content_type=OCI_MANIFEST)
        reply = proxy("GET", f"{APP}/tags/list?n=1")
        link = reply.headers.get("link")
        if link:  # docker-registry 2.8 sends all tags at once
            assert link.startswith(f"<{APP}/tags/list?")

    @pytest.mark.parametrize(
        ("query", "body", "kind"),
        [
            ("mount={d}&from=secret", b"", ""),
            ("mount={d}&x=1;from=secret", b"", ""),
            ("", b"mount={d}&from=secret", "application/x-www-form-urlencoded"),
            ("mount={d}", b"from=secret", "application/x-www-form-urlencoded"),
        ],
        ids=["query", "semicolon", "form", "half-a-form"],
    )
    def test_no_spelling_of_a_mount_passes_access_control(self, proxy, world, query, body, kind) -> None:
        secret = Repository("secret")
        digest = proxy.blob(DATA, secret)
        world.denied["pusher", secret] = frozenset()
        path = f"{APP}/blobs/uploads/?" + query.format(d=digest)
        headers = {"content_type": kind} if kind else {}
        proxy("POST", path.rstrip("?"), body.replace(b"{d}", digest.encode()), who="pusher", **headers)
        assert proxy("HEAD", f"{APP}/blobs/{digest}").status == 404

    def test_mount_with_pull_on_the_source(self, proxy) -> None:
        digest = proxy.blob(DATA, Repository("open"))
        assert proxy("POST", f"{APP}/blobs/uploads/?mount={digest}&from=open").status == 201

    def test_trust_only_serves_the_signed_view(self, proxy, world) -> None:
        signed, moved = proxy.image("signed", "v1"), proxy.image("attacker", "v1")
        world.trust_only.add(REPOSITORY)
        world.sign(REPOSITORY, {"v1": target("v1", signed)})
        assert proxy("GET", f"{APP}/manifests/v1", who="puller").body == signed
        assert proxy("GET", f"{APP}/manifests/v1", who="signer", trustkit_view="registry").body == moved
        assert proxy("GET", f"{APP}/manifests/{digest_of(moved)}", who="puller").code == "DENIED"
        assert proxy("GET", f"{APP}/blobs/{digest_of(moved)}", who="puller").status in (403, 404)
        layer = digest_of(b"layer of signed")
        assert proxy("GET", f"{APP}/blobs/{layer}", who="puller").body == b"layer of signed"

    def test_a_manifest_uploaded_as_a_blob_is_not_served(self, proxy, world) -> None:
        unsigned = proxy.image("attacker")
        digest = proxy.blob(unsigned)
        world.trust_only.add(REPOSITORY)
        world.sign(REPOSITORY, {})
        for headers in ({}, {"range": "bytes=0-10"}, {"range": "bytes=-10"}):
            assert proxy("GET", f"{APP}/blobs/{digest}", who="puller", **headers).code == "DENIED"
        assert proxy("HEAD", f"{APP}/blobs/{digest}", who="puller").status == 403

    def test_a_manifest_is_not_mounted_out_of_a_repository_that_does_not_show_it(self, proxy, world) -> None:
        proxy.image("signed", "v1")
        unsigned = digest_of(proxy.image("attacker"))
        copied = proxy.blob(proxy.image("copied"))
        world.trust_only.add(REPOSITORY)
        world.sign(REPOSITORY, {})
        world.denied["pusher", REPOSITORY] = frozenset({Action.PULL})
        for digest in (unsigned, copied):
            mount = f"/v2/own/blobs/uploads/?mount={digest}&from=team/app"
            assert proxy("POST", mount, who="pusher").code == "DENIED"
            assert proxy("GET", f"/v2/own/blobs/{digest}", who="pusher").status == 404
        layer = digest_of(b"layer of signed")
        assert proxy("POST", f"/v2/own/blobs/uploads/?mount={layer}&from=team/app", who="pusher").status == 201

    def test_skopeo_copies_through(self, proxy, real, tmp_path: Path) -> None:
        skopeo = real("skopeo")
        data = proxy.image("one", "v1")
        source, back = f"docker://{proxy.host}/team/app:v1", f"docker://{proxy.host}/copy:v1"
        tls = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        command = [skopeo, "--insecure-policy", "copy", "--preserve-digests", *tls, source, back]
        done = subprocess.run(command, capture_output=True, timeout=60, env={**os.environ, "TMPDIR": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        assert proxy("GET", "/v2/copy/manifests/v1").body == data

    @pytest.mark.slow
    def test_a_large_blob_takes_constant_memory(self, proxy) -> None:
        size, piece = 384 << 20, b"\0" * (1 << 20)
        import hashlib

        value = hashlib.sha256()
        for _ in range(size // len(piece)):
            value.update(piece)
        digest = f"sha256:{value.hexdigest()}"
        location = proxy("POST", f"{APP}/blobs/uploads/").headers["location"]
        before = resident()
        parts = iter([piece] * (size // len(piece)))
        assert proxy("PUT", f"{location}&digest={digest}", parts, content_length=str(size)).status == 201
        up = resident() - before
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
        connection.request("GET", f"{APP}/blobs/{digest}")
        reply, got = connection.getresponse(), 0
        while data := reply.read(1 << 20):
            got += len(data)
        assert got == size
        assert up < 64 << 20
        assert resident() - before < 64 << 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Odd(BaseHTTPRequestHandler):
    """An upstream that misbehaves as its path says, and writes down what it was sent."""

    seen: list[tuple[str, dict[str, str]]]
    answer: tuple[int, dict[str, str], bytes]

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        status, headers, body = self.server.answers.get(self.path.split("/")[-2], (200, {}, b""))  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_GET
    do_TRACE = do_CONNECT = do_OPTIONS = do_PURGE = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Odd)
    server.seen, server.answers = [], {}  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


async def ours(scope: str, challenge: str | None) -> str:
    return f"Bearer for-{scope}"


@pytest.fixture
def behind_odd(odd: HTTPServer, world: World) -> Iterator[object]:
    url = f"http://127.0.0.1:{odd.server_port}"
    with Serving(
        lambda: UpstreamRegistry(url, authorization=ours, timeouts=Timeouts(connect=1, read=1)), world
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("address", "from_here", "from_elsewhere"),
    [
        ("192.0.2.7", True, True),
        ("10.0.0.7", True, True),
        ("2001:db8::7", True, True),
        ("fd12::7", True, True),
        ("127.0.0.1", True, False),
        ("::1", True, False),
        ("::ffff:127.0.0.1", True, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1%lo", False, False),
        ("fd00:ec2::254", False, False),
        ("fd00:ec2::23", False, False),
        ("fd20:ce::254", False, False),
        ("100.100.100.200", False, False),
        ("168.63.129.16", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("64:ff9b::c000:207", True, True),
        ("2002:a9fe:a9fe::1", False, False),
        ("2002:7f00:1::1", True, False),
        ("0.1.2.3", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
    ],
)
def test_where_a_registry_may_send_the_service(address: str, *, from_here: bool, from_elsewhere: bool) -> None:
    """A registry on this machine may have its storage on it; nobody may have us ask for a cloud's credentials."""
    assert (may_send(address, local=True), may_send(address, local=False)) == (from_here, from_elsewhere)


class TestOddUpstreams:
    def test_the_clients_credentials_stay_here(self, behind_odd, odd) -> None:
        behind_odd(
            "GET", f"{APP}/manifests/v1", authorization="Bearer theirs", cookie="a=b", x_forwarded_for="1.2.3.4"
        )
        sent = {name.lower(): value for name, value in odd.seen[0][1].items()}
        assert sent["authorization"] == "Bearer for-repository:team/app:pull"
        assert not {"cookie", "x-forwarded-for", "x-who"} & sent.keys()

    @pytest.mark.parametrize("status", [401, 403, 407, 429, 500, 503, 302])
    def test_what_is_no_answer_is_502(self, behind_odd, odd, status: int) -> None:
        odd.answers["manifests"] = (status, {"WWW-Authenticate": "Bearer realm=x", "Location": "/x"}, b"<html>")
        reply = behind_odd("GET", f"{APP}/manifests/v1")
        assert (reply.status, reply.code) == (502, "UNKNOWN")
        assert "www-authenticate" not in reply.headers

    @pytest.mark.parametrize(
        "location",
        ["http://evil.example/v2/team/app/blobs/uploads/1", "/v2/other/blobs/uploads/1", "//evil/v2/", "/etc/passwd"],
    )
    def test_a_location_elsewhere_is_502(self, behind_odd, odd, location: str) -> None:
        odd.answers["uploads"] = (202, {"Location": location}, b"")
        assert behind_odd("POST", f"{APP}/blobs/uploads/").status == 502

    def test_a_redirect_of_a_blob_is_followed_without_credentials(self, behind_odd, odd) -> None:
        elsewhere = f"http://127.0.0.1:{odd.server_port}/storage/x"
        odd.answers["blobs"] = (307, {"Location": elsewhere}, b"")
        odd.answers["storage"] = (200, {}, DATA)
        assert behind_odd("GET", f"{APP}/blobs/{digest_of(DATA)}").body == DATA
        assert [("Authorization" in headers or "authorization" in headers) for _, headers in odd.seen] == [
            True,
            False,
        ]

    @pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "PURGE", "PATCH", "POST"])
    def test_a_method_of_no_route_of_ours_is_not_sent_along(self, behind_odd, odd, method: str) -> None:
        """The answer to a TRACE would tell whoever may push the credential that the upstream was sent."""
        for path in ("manifests/v1", f"blobs/{digest_of(DATA)}", "tags/list", f"referrers/{digest_of(DATA)}"):
            reply = behind_odd(method, f"{APP}/{path}")
            assert (reply.status, reply.code) == (405, "UNSUPPORTED")
        assert odd.seen == []

    @pytest.mark.parametrize("query", ["mount={d}", "from=secret", "mount={d};from=secret"])
    def test_a_mount_without_a_source_is_none(self, behind_odd, odd, query: str) -> None:
        """A registry may look for the blob in every repository that our credential reaches."""
        behind_odd("POST", f"{APP}/blobs/uploads/?{query.format(d=digest_of(DATA))}")
        assert all("mount" not in path and "from" not in path for path, _ in odd.seen)

    @pytest.mark.parametrize("place", ["0.0.0.0", "[::ffff:0.0.0.0]"])
    def test_a_redirect_to_what_only_this_machine_reaches_is_not_followed(self, behind_odd, odd, place: str) -> None:
        odd.answers["blobs"] = (307, {"Location": f"http://{place}:{odd.server_port}/storage/x"}, b"")
        odd.answers["storage"] = (200, {}, DATA)
        assert behind_odd("GET", f"{APP}/blobs/{digest_of(DATA)}").status == 502
        assert [path for path, _ in odd.seen if "storage" in path] == []

    def test_endless_redirects_end(self, behind_odd, odd) -> None:
        odd.answers["blobs"] = (302, {"Location": f"{APP}/blobs/{digest_of(b'')}"}, b"")
        assert behind_odd("GET", f"{APP}/blobs/{digest_of(DATA)}").status == 502

    def test_other_bytes_under_a_digest_are_502(self, behind_odd, odd, world) -> None:
        odd.answers["manifests"] = (200, {"Content-Type": OCI_MANIFEST}, b'{"other":1}')
        world.trust_only.add(REPOSITORY)
        world.sign(REPOSITORY, {"v1": target("v1", b"{}")})
        assert behind_odd("GET", f"{APP}/manifests/v1", who="puller").status == 502
        assert odd.seen[-1][0] == f"{APP}/manifests/{digest_of(b'{}')}"

    def test_another_media_type_than_was_signed_is_refused(self, behind_odd, odd, world) -> None:
        odd.answers["manifests"] = (200, {"Content-Type": "text/html"}, b"{}")
        world.trust_only.add(REPOSITORY)
        world.sign(REPOSITORY, {"v1": target("v1", b"{}")})
        assert behind_odd("GET", f"{APP}/manifests/v1", who="puller").reason == "digest-mismatch"

    def test_a_manifest_over_four_mebibytes_is_502(self, behind_odd, odd, world) -> None:
        odd.answers["manifests"] = (200, {"Content-Type": OCI_MANIFEST}, b"x" * ((4 << 20) + 1))
        world.trust_only.add(REPOSITORY)
        world.sign(REPOSITORY, {"v1": target("v1", b"{}")})
        assert behind_odd("GET", f"{APP}/manifests/v1", who="puller").status == 502

    def test_a_reply_that_breaks_off_is_cut(self, behind_odd, odd) -> None:
        odd.answers["blobs"] = (200, {"Content-Length": "100000"}, DATA)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            behind_odd("GET", f"{APP}/blobs/{digest_of(DATA)}")

    def test_nobody_there_is_502(self, world) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            with Serving(lambda: UpstreamRegistry(url), world) as client:
                assert client("GET", f"{APP}/manifests/v1").status == 502

    def test_silence_is_502(self, world) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            make = partial(UpstreamRegistry, url, timeouts=Timeouts(connect=1, read=0.3))
            with Serving(make, world) as client:
                reply = client("GET", f"{APP}/manifests/v1")
                assert (reply.status, reply.json["errors"][0]["detail"]) == (502, {"slug": "registry-failed"})
