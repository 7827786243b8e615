"""The service behind the real nginx, in front of a real docker-registry: blobs pass it by, and nothing else does."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from tests.conftest import Need, free_port
from tests.real.nginx import running_nginx
from tests.real.parts import Docker, Skopeo, Stand, within
from tests.real.test_direct_registry import token_auth
from tests.real.test_tls import Authority
from tests.server.scrape import Scrape, parsed
from tests.server.scrape import ask as scraped
from tests.service import PASSWORD, Person, RunningService
from trustkit.core.manifests import DOCKER_MANIFEST, OCI_MANIFEST

pytestmark = pytest.mark.real

ROLES = {"alice": ("AcrPush", "AcrImageSigner"), "bob": ("AcrPush",), "carol": ("AcrPull",)}
Headers = dict[str, str]


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    headers: Headers
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The first error of an OCI error body."""
        found: dict[str, Any] = json.loads(self.body)["errors"][0]
        return found


class Behind(RunningService):
    """A service that everybody knows by the name of the nginx before it."""

    front = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.front}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"


@dataclass(frozen=True)
class Site:
    """nginx, the service and docker-registry.

    Attributes:
        log: of the service's requests.
        temporary: where nginx would put what it doesn't keep in memory.
    """

    stand: Stand
    ca: Path
    log: Path
    temporary: Path
    blobs: Path

    def ask(
        self, method: str, target: str, token: str = "", *, headers: Headers | None = None, body: bytes = b""
    ) -> Answer:
        """One request to nginx over TLS, its target as it stands here."""
        with closing(self.connection()) as connection:
            more = {"Authorization": f"Bearer {token}"} if token else {}
            connection.request(method, target, body or None, {**more, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def scrape(self) -> Scrape:
        """What the service says of itself, at the place that its newest start told."""
        at = self.log.read_text().rpartition("metrics at http://")[2].partition("/")[0]
        status, body = scraped(at, "/metrics")
        assert status == 200, body
        return parsed(body.decode())

    def connection(self) -> http.client.HTTPSConnection:
        """A connection to nginx on which any target can be sent."""
        context = ssl.create_default_context(cafile=str(self.ca))
        made = http.client.HTTPSConnection(
            "127.0.0.1", int(self.stand.host.rpartition(":")[2]), timeout=30, context=context
        )
        made._validate_path = lambda _: None  # type: ignore[attr-defined]  # what is no path is sent, too
        return made

    def token(self, who: str, scope: str) -> str:
        """An access token by password, through nginx."""
        import base64
        import urllib.parse

        basic = base64.b64encode(f"{who}:{PASSWORD}".encode()).decode()
        query = urllib.parse.urlencode({"service": self.stand.host, "scope": scope})
        answer = self.ask("GET", f"/oauth2/token?{query}", headers={"Authorization": f"Basic {basic}"})
        return str(json.loads(answer.body)["access_token"])

    def manifest(self, repository: str, digest: str, token: str) -> dict[str, Any]:
        """A manifest, by digest."""
        found: dict[str, Any] = json.loads(self.raw(repository, digest, token))
        return found

    def raw(self, repository: str, digest: str, token: str) -> bytes:
        """The bytes of a manifest."""
        accept = {"Accept": f"{OCI_MANIFEST}, {DOCKER_MANIFEST}"}
        answer = self.ask("GET", f"/v2/{repository}/manifests/{digest}", token, headers=accept)
        assert answer.status == 200, answer.body
        return answer.body

    def upload(self, repository: str, data: bytes, token: str) -> str:
        """Uploads a blob in two steps; returns its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        begun = self.ask("POST", f"/v2/{repository}/blobs/uploads/", token)
        sent = self.ask("PATCH", begun.headers["location"], token, body=data)
        assert sent.status == 202, sent.body
        place = f"https://{self.stand.host}/v2/{repository}/blobs/uploads/"
        assert sent.headers["location"].startswith(place), sent.headers
        at = sent.headers["location"].removeprefix(f"https://{self.stand.host}")
        assert self.ask("PUT", f"{at}&digest={digest}", token).status == 201
        return digest


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, need: Need, start_docker_registry: Callable[..., str]
) -> Iterator[Site]:
    nginx, folder = need("nginx", "nginx-light"), tmp_path_factory.mktemp("nginx")
    authority = Authority.made(need("openssl", "openssl"), tmp_path_factory.mktemp("authority"))
    certificate, key = authority.server("server", "IP:127.0.0.1")
    service = Behind(tmp_path_factory.mktemp("behind"))
    service.front, blobs = free_port(), Path(tmp_path_factory.mktemp("run"), "blobs.sock")
    service.arguments = ("--public-name", service.host, "--behind-tls-proxy", "--access-log")
    with ExitStack() as stack:
        stack.callback(service.stop)
        service.start()
        behind = start_docker_registry(auth=token_auth(service, "behind.test"))
        service.stop()
        service.arguments += ("--upstream", f"http://{behind}", "--upstream-service", "behind.test")
        service.arguments += ("--blob-socket", str(blobs), "--trusted-proxy", "127.0.0.1")
        service.arguments += ("--metrics", "127.0.0.1:0")
        service.start()
        places = {
            "listen 443 ssl": f"listen 127.0.0.1:{service.front} ssl",
            "registry.example.com;": "127.0.0.1;",
            "/etc/ssl/registry.crt": str(certificate),
            "/etc/ssl/registry.key": str(key),
            "127.0.0.1:5080": f"127.0.0.1:{service.port}",
            "127.0.0.1:5000": behind,
            "/run/trustkit/blobs.sock": str(blobs),
        }
        temporary = stack.enter_context(running_nginx(nginx, folder, service.front, places))
        people = [logged_in(service, name, authority.file) for name in ROLES]
        stand = Stand(service, behind, *people)
        stand.trust_only("strict/*")
        yield Site(stand, authority.file, service.log, temporary, blobs)


def logged_in(service: RunningService, name: str, ca: Path) -> Person:
    assert service.admin("principal", "add", name, "--password-stdin", feed=PASSWORD).status == 0
    for role in ROLES[name]:
        assert service.admin("role", "assign", name, role).status == 0
    person = Person(name, service.folder / "people" / name, {"SSL_CERT_FILE": str(ca)})
    login = person("login", service.host, "-u", name, "--password-stdin", feed=PASSWORD)
    assert login.status == 0, login.err
    return person


@dataclass(frozen=True)
class Pushed:
    """Images in ``strict/app``: one signed as v1, another as dev, whose manifest bob has put there as a blob, too.

    Attributes:
        layer: of the signed image.
    """

    gun: str
    signed: str
    unsigned: str
    layer: str


@pytest.fixture(scope="module")
def pushed(site: Site, docker: Docker) -> Pushed:
    gun = f"{site.stand.host}/strict/app"
    signed = docker.push(site.stand.bob, f"{gun}:v1", "signed")
    unsigned = docker.push(site.stand.bob, f"{gun}:dev", "not signed")
    done = site.stand.alice("sign", f"{gun}:v1")
    assert (done.status, done.out.strip()) == (0, f"{gun}:v1@{signed}"), done.err
    token = site.token("bob", "repository:strict/app:pull,push")
    layer = site.manifest("strict/app", signed, token)["layers"][0]
    assert site.upload("strict/app", site.raw("strict/app", unsigned, token), token) == unsigned
    return Pushed(gun, signed, unsigned, layer["digest"])


def puller(site: Site, who: str = "carol", repository: str = "strict/app") -> str:
    return site.token(who, f"repository:{repository}:pull")


def test_stock_clients_and_ours_do_their_work_through_nginx(
    site: Site, pushed: Pushed, docker: Docker, skopeo_tool: Skopeo, tmp_path: Path
) -> None:
    stand, gun = site.stand, pushed.gun
    docker.forget(f"{gun}:v1", f"{gun}@{pushed.signed}")
    assert docker.pull(stand.carol, f"{gun}:v1") == pushed.signed
    refused = docker(stand.carol, "pull", f"{gun}:dev")
    assert refused.status != 0
    assert "strict/app:dev is not signed." in refused.err
    copied = skopeo_tool.tool(stand.carol, "copy", f"docker://{gun}:v1", f"dir:{tmp_path / 'dir'}")
    assert copied.status == 0, copied.err
    stand.pinned(stand.carol, gun)
    assert stand.carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{pushed.signed}"
    pulled = stand.carol("pull", f"{gun}:v1", "--to", f"oci:{tmp_path / 'oci'}")
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:v1@{pushed.signed}"), pulled.err
    assert docker(stand.carol, "push", f"{gun}:v1").status != 0


def test_blobs_pass_the_service_by_both_ways_and_nothing_else_does(site: Site) -> None:
    before = len(site.log.read_text())
    digest = site.stand.bob.push(f"{site.stand.host}/plain/passing:v1", "its blobs pass by")
    token = puller(site, repository="plain/passing")
    layer = site.manifest("plain/passing", digest, token)["layers"][0]["digest"]
    answer = site.ask("GET", f"/v2/plain/passing/blobs/{layer}", token)
    assert answer.status == 200
    assert "sha256:" + hashlib.sha256(answer.body).hexdigest() == layer
    assert site.ask("HEAD", f"/v2/plain/passing/blobs/{layer}", token).status == 200
    lines = site.log.read_text()[before:]
    assert " PUT /v2/plain/passing/manifests/v1 201 " in lines, "manifests are the service's"
    assert "POST /v2/plain/passing/blobs/uploads/ 202 " in lines, "so is where an upload begins"
    assert " PATCH /v2/plain/passing" not in lines
    assert " PUT /v2/plain/passing/blobs" not in lines
    assert " GET /v2/plain/passing/blobs" not in lines


def test_blobs_that_pass_by_are_counted_and_what_the_gate_said_of_them(site: Site, pushed: Pushed) -> None:
    """Each once: what may not pass is asked of the service next, and counted as any request is."""
    token, before = puller(site), site.scrape()
    assert site.ask("GET", f"/v2/strict/app/blobs/{pushed.layer}", token).status == 200
    assert site.ask("HEAD", f"/v2/strict/app/blobs/{pushed.layer}", token).status == 200
    assert site.ask("GET", f"/v2/strict/app/blobs/{pushed.unsigned}", token).status >= 400
    site.upload("plain/counted", b"a layer", site.token("bob", "repository:plain/counted:pull,push"))
    after = site.scrape()

    def more(name: str, **labels: str) -> float:
        return (after(name, **labels) or 0) - (before(name, **labels) or 0)

    name = "trustkit_blob_questions_total"
    passed = {method: more(name, method=method, outcome="passed") for method in ("GET", "HEAD", "PATCH", "PUT")}
    assert passed == {"GET": 1, "HEAD": 1, "PATCH": 1, "PUT": 1}
    assert more(name, method="GET", outcome="answered") == 1
    counted = ("trustkit_requests_total", {"route": "blob", "method": "GET"})
    answers = {status: more(counted[0], **counted[1], status=status) for status in ("200", "403", "404")}
    assert sum(answers.values()) == 1, "the one that didn't pass"
    assert answers["200"] == 0
    labels = {"repository": "strict/app", "outcome": "allowed"}
    assert more("trustkit_gate_requests_total", **labels) == 2


def test_a_large_layer_streams_both_ways_and_touches_no_disk_of_nginxs(site: Site) -> None:
    data = b"0123456789abcdef" * (4 << 20)
    token = site.token("bob", "repository:plain/large:pull,push")
    digest = site.upload("plain/large", data, token)
    session = site.ask("POST", "/v2/plain/large/blobs/uploads/", token).headers["location"]
    with closing(site.connection()) as sending:
        sending.putrequest("PATCH", session)
        sending.putheader("Authorization", f"Bearer {token}")
        sending.putheader("Content-Length", str(len(data)))
        sending.endheaders(data[: len(data) // 2])
        assert not _open_temporary(site.temporary), "half of an upload is at docker-registry"
        sending.send(data[len(data) // 2 :])
        assert sending.getresponse().status == 202
    with closing(site.connection()) as slow:
        slow.request("GET", f"/v2/plain/large/blobs/{digest}", headers={"Authorization": f"Bearer {token}"})
        answer = slow.getresponse()
        assert answer.read(1) == data[:1]
        assert not _open_temporary(site.temporary), "what a slow client doesn't take waits at docker-registry"
        assert answer.read() == data[1:]
    part = site.ask("GET", f"/v2/plain/large/blobs/{digest}", token, headers={"Range": "bytes=16-31"})
    assert (part.status, part.body) == (206, data[16:32])


def _open_temporary(folder: Path) -> list[str]:
    """Files in this folder that some process has open; nginx unlinks its own at once."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


def test_a_manifest_is_not_served_as_a_blob(site: Site, pushed: Pushed) -> None:
    """docker-registry itself gives out any blob, and takes a manifest's bytes as one: who may push puts it there."""
    target, token = f"/v2/strict/app/blobs/{pushed.unsigned}", puller(site)
    bob = site.token("bob", "repository:strict/app:pull,push")
    assert site.ask("GET", target, bob).status == 200, "who may push reads what is unsigned"
    assert _straight(site, "GET", target).status == 401, "docker-registry lets nobody in but for the service"
    assert site.ask("HEAD", target, token).status == 403
    assert site.ask("GET", target, token, headers={"Range": "bytes=1-"}).status == 403
    refused = site.ask("GET", target, token)
    assert (refused.status, refused.error["code"]) == (403, "DENIED")
    assert site.ask("GET", f"/v2/strict/app/blobs/{pushed.layer}", token).status == 200


def _straight(site: Site, method: str, target: str, headers: Headers | None = None) -> Answer:
    connection = http.client.HTTPConnection(site.stand.behind, timeout=30)
    try:
        connection.request(method, target, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def test_clients_tokens_open_nothing_behind(site: Site, pushed: Pushed) -> None:
    for who in ROLES:
        token = puller(site, who)
        for kind, digest in (("blobs", pushed.layer), ("manifests", pushed.signed)):
            answer = _straight(site, "GET", f"/v2/strict/app/{kind}/{digest}", {"Authorization": f"Bearer {token}"})
            assert answer.status == 401, (who, kind)


def test_who_may_not_is_answered_by_the_service_in_its_own_words(site: Site, pushed: Pushed) -> None:
    target = f"/v2/strict/app/blobs/{pushed.layer}"
    nobody = site.ask("GET", target)
    assert (nobody.status, nobody.error["code"]) == (401, "UNAUTHORIZED")
    challenge = nobody.headers["www-authenticate"]
    assert f'realm="https://{site.stand.host}/oauth2/token"' in challenge
    assert 'scope="repository:strict/app:pull"' in challenge
    elsewhere = site.ask("GET", target, puller(site, repository="plain/other"))
    assert elsewhere.status == 401
    assert 'error="insufficient_scope"' in elsewhere.headers["www-authenticate"]
    assert site.ask("GET", target, "not.a.token").status == 401
    session = site.ask("POST", "/v2/plain/mine/blobs/uploads/", site.token("bob", "repository:plain/mine:pull,push"))
    written = site.ask("PATCH", session.headers["location"], puller(site, repository="plain/mine"), body=b"not mine")
    assert written.status == 401


TRICKS = {
    "encoded slash": "/v2/strict%2Fapp/blobs/{manifest}",
    "encoded word": "/v2/strict/app/%62lobs/{manifest}",
    "encoded digest": "/v2/strict/app/blobs/sha256%3A{hex}",
    "two slashes": "/v2/strict/app//blobs/{manifest}",
    "two slashes first": "//v2/strict/app/blobs/{manifest}",
    "dots": "/v2/strict/app/blobs/x/../{manifest}",
    "dots to another": "/v2/plain/passing/blobs/../../../strict/app/blobs/{manifest}",
    "encoded dots": "/v2/plain/passing/blobs/%2e%2e/%2e%2e/%2e%2e/strict/app/blobs/{manifest}",
    "dot": "/v2/strict/app/blobs/./{manifest}",
    "backslash": "/v2/strict/app/blobs\\{manifest}",
    "fragment": "/v2/strict/app/blobs/{manifest}#x",
    "upper case": "/v2/strict/app/BLOBS/{manifest}",
    "upper digest": "/v2/strict/app/blobs/SHA256:{hex}",
    "upper name": "/v2/Strict/app/blobs/{manifest}",
    "a parameter": "/v2/strict/app/blobs/{manifest};x",
    "a tag": "/v2/strict/app/blobs/dev",
    "a manifest's path": "/v2/strict/app/blobs/manifests/dev",
    "slash at the end": "/v2/strict/app/blobs/{manifest}/",
    "null": "/v2/strict/app/blobs/{manifest}%00",
    "newline": "/v2/strict/app/blobs/{manifest}%0d%0aAuthorization:%20Bearer%20x",
    "the question itself": "/_passes",
    "the question by another spelling": "/%5fpasses",
    "a prefix of the upstream's": "/v2/../v2/strict/app/manifests/{manifest}",
    "absolute": "http://127.0.0.1/v2/strict/app/manifests/dev",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_spelling_of_a_path_leads_past_the_gate(site: Site, pushed: Pushed, trick: str) -> None:
    target = TRICKS[trick].format(manifest=pushed.unsigned, hex=pushed.unsigned.removeprefix("sha256:"))
    answer = site.ask("GET", target, puller(site))
    assert answer.status in (400, 401, 403, 404), answer
    assert b"schemaVersion" not in answer.body
    assert b"trustkit-upstream" not in str(answer.headers).encode()


def test_over_http_2_no_spelling_leads_past_the_gate_either(site: Site, pushed: Pushed, need: Need) -> None:
    curl = [str(need("curl", "curl")), "-sS", "-g", "--http2", "--path-as-is", "--cacert", str(site.ca)]
    curl += ["-H", f"Authorization: Bearer {puller(site)}", "-w", r"\n%{http_version} %{http_code}\n"]
    names = {"manifest": pushed.unsigned, "hex": pushed.unsigned.removeprefix("sha256:")}
    targets = [trick.format(**names) for trick in TRICKS.values() if trick.startswith("/")]
    targets.append(f"/v2/strict/app/blobs/{pushed.unsigned}")
    curl += [f"https://{site.stand.host}{target}" for target in targets]
    done = subprocess.run(curl, capture_output=True, text=True, errors="replace", check=True, timeout=60)
    statuses = re.findall(r"^2 (\d+)$", done.stdout, re.MULTILINE)
    assert len(statuses) == len(targets)
    assert set(statuses) <= {"400", "401", "403", "404"}, list(zip(targets, statuses, strict=True))
    assert "schemaVersion" not in done.stdout
    layer = f"https://{site.stand.host}/v2/strict/app/blobs/{pushed.layer}"
    done = subprocess.run([*curl[:12], layer], capture_output=True, check=True, timeout=60)
    assert done.stdout.endswith(b"\n2 200\n")


class Through(FetcherInterface):
    """What python-tuf's own client fetches with, through nginx."""

    def __init__(self, site: Site, token: str) -> None:
        self._site, self._token = site, token

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._site.ask("GET", urlsplit(url).path, self._token)
        if answer.status >= 400:
            raise DownloadHTTPError("refused", answer.status)
        return iter([answer.body])


def test_the_stock_tuf_client_reads_a_collection_through_nginx(site: Site, pushed: Pushed, tmp_path: Path) -> None:
    trust = f"https://{site.stand.host}/v2/{pushed.gun}/_trust"
    fetcher = Through(site, puller(site))
    first = b"".join(fetcher.fetch(f"{trust}/metadata/1.root.json"))
    updater = Updater(
        str(tmp_path),
        f"{trust}/metadata/",
        target_dir=str(tmp_path),
        target_base_url=f"{trust}/targets/",
        fetcher=fetcher,
        bootstrap=first,
    )
    target = updater.get_targetinfo("v1")
    assert target is not None
    found = Path(updater.download_target(target)).read_bytes()
    assert "sha256:" + hashlib.sha256(found).hexdigest() == pushed.signed


def test_the_query_says_nothing_that_the_service_did_not_read(site: Site, pushed: Pushed) -> None:
    layer, token = f"/v2/strict/app/blobs/{pushed.layer}", puller(site)
    for query in ("from=strict/app;x=1", "a=1&a=2", "x=%zz", "=&=", "&".join(f"q{i}=1" for i in range(40))):
        assert site.ask("GET", f"{layer}?{query}", token).status in (200, 400, 502), query
    push = site.token("bob", "repository:plain/query:pull,push")
    session = site.ask("POST", "/v2/plain/query/blobs/uploads/", push).headers["location"]
    twice = f"&digest={pushed.layer}&digest={pushed.unsigned}"
    assert site.ask("PUT", session + twice, push, body=b"x").status == 400


def test_a_mount_takes_pull_on_the_source(site: Site, pushed: Pushed) -> None:
    push = site.token("bob", "repository:plain/mounted:pull,push")
    mount = f"/v2/plain/mounted/blobs/uploads/?mount={pushed.layer}&from=strict/app"
    assert site.ask("POST", mount, push).status == 401
    form = f"mount={pushed.layer}&from=strict/app"
    as_form = {"Content-Type": "application/x-www-form-urlencoded"}
    begun = site.ask("POST", "/v2/plain/mounted/blobs/uploads/", push, headers=as_form, body=form.encode())
    assert begun.status != 201, "a form in the body is no second query"
    session = site.ask("POST", "/v2/plain/mounted/blobs/uploads/", push).headers["location"]
    site.ask("PATCH", session, push, headers=as_form, body=form.encode())
    assert site.ask("HEAD", f"/v2/plain/mounted/blobs/{pushed.layer}", push).status == 404


def test_an_upload_goes_on_in_its_own_repository_alone(site: Site) -> None:
    push = site.token("bob", "repository:plain/one:pull,push")
    session = site.ask("POST", "/v2/plain/one/blobs/uploads/", push).headers["location"]
    other = session.replace("/plain/one/", "/plain/two/")
    both = site.token("bob", "repository:plain/two:pull,push")
    assert site.ask("PATCH", other, push, body=b"x").status == 401
    assert site.ask("PATCH", other, both, body=b"x").status in (400, 404)


def test_who_asks_for_the_signed_view_gets_it_for_blobs_too(site: Site) -> None:
    bob = site.token("bob", "repository:plain/view:pull,push")
    unsigned = site.stand.bob.push(f"{site.stand.host}/plain/view:v1", "not signed, and not trust-only")
    digest = site.upload("plain/view", site.raw("plain/view", unsigned, bob), bob)
    token, signed = puller(site, repository="plain/view"), {"Trustkit-View": "signed"}
    assert site.ask("GET", f"/v2/plain/view/blobs/{digest}", token).status == 200
    assert site.ask("GET", f"/v2/plain/view/blobs/{digest}", token, headers=signed).status == 403


def test_what_the_registry_behind_would_say_to_the_service_is_no_client_s_business(site: Site) -> None:
    token = puller(site, repository="plain/nothing")
    gone = site.ask("GET", f"/v2/plain/nothing/blobs/sha256:{'ab' * 32}", token)
    assert (gone.status, gone.error["code"]) == (404, "BLOB_UNKNOWN")
    forged = {"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "gopher", "Forwarded": "host=evil.test"}
    push = site.token("bob", "repository:plain/nothing:pull,push")
    session = site.ask("POST", "/v2/plain/nothing/blobs/uploads/", push, headers=forged).headers["location"]
    sent = site.ask("PATCH", session, push, headers=forged, body=b"x")
    assert sent.headers["location"].startswith(f"https://{site.stand.host}/v2/plain/nothing/"), sent


def test_nobody_asks_for_a_credential_but_over_the_socket(site: Site, pushed: Pushed) -> None:
    target = f"/v2/strict/app/blobs/{pushed.layer}"
    told = {"Trustkit-Method": "GET", "Trustkit-Target": target}
    for path in ("/", "/_passes", "/v2/"):
        answer = site.ask("GET", path, puller(site), headers=told)
        assert "trustkit-upstream-authorization" not in answer.headers
    assert (site.blobs.stat().st_mode & 0o777) == 0o660
    questions = {
        ("GET", target): 204,
        ("HEAD", target): 204,
        ("DELETE", target): 403,
        ("POST", "/v2/strict/app/blobs/uploads/"): 403,
        ("GET", f"/v2/strict/app/manifests/{pushed.signed}"): 403,
        ("GET", "/v2/strict/app/tags/list"): 403,
        ("GET", "/v2/_catalog"): 403,
        ("GET", ""): 403,
        ("", target): 403,
        ("get", target): 403,
    }
    for (method, of), status in questions.items():
        assert _question(site, method, of, puller(site)) == status, (method, of)
    assert _question(site, "GET", target, "") == 403


def _question(site: Site, method: str, target: str, token: str) -> int:
    connection = http.client.HTTPConnection("proxy", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(site.blobs))
    headers = {"Trustkit-Method": method, "Trustkit-Target": target}
    try:
        connection.request("GET", "/", headers=headers | ({"Authorization": f"Bearer {token}"} if token else {}))
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_client_s_address_is_what_nginx_says_and_not_what_the_client_says(site: Site) -> None:
    claim = {"X-Forwarded-For": "203.0.113.9"}
    site.ask("GET", "/v2/", headers=claim)
    assert within(5, lambda: " GET /v2/ 401 " in site.log.read_text())
    assert "203.0.113.9" not in site.log.read_text()


def test_a_role_that_is_taken_away_ends_for_blobs_too(site: Site, pushed: Pushed) -> None:
    service, target, token = site.stand.service, f"/v2/strict/app/blobs/{pushed.layer}", puller(site)
    assert site.ask("GET", target, token).status == 200
    assert service.admin("role", "revoke", "carol", "AcrPull").status == 0
    try:
        assert within(5, lambda: site.ask("GET", target, token).status == 401), "the same token, a moment later"
    finally:
        assert service.admin("role", "assign", "carol", "AcrPull").status == 0
    assert within(5, lambda: site.ask("GET", target, token).status == 200)


def test_while_nobody_says_what_is_signed_no_blob_passes(site: Site, pushed: Pushed) -> None:
    service, target, token = site.stand.service, f"/v2/strict/app/blobs/{pushed.layer}", puller(site)
    assert service.admin("policy", "set", "content-trust", "disabled", "--force").status == 0
    try:
        assert within(5, lambda: site.ask("GET", target, token).status == 403)
        assert site.ask("GET", target, token).error["detail"]["slug"] == "content-trust-disabled"
    finally:
        assert service.admin("policy", "set", "content-trust", "enabled").status == 0
    assert within(5, lambda: site.ask("GET", target, token).status == 200)


def test_without_the_service_nothing_is_served(site: Site, pushed: Pushed) -> None:
    """Last: it stops the service for a moment."""
    token, target = puller(site), f"/v2/strict/app/blobs/{pushed.layer}"
    assert site.ask("GET", target, token).status == 200
    site.stand.service.stop()
    try:
        assert site.ask("GET", target, token).status == 502
    finally:
        site.stand.service.start()
    assert site.ask("GET", target, token).status == 200
