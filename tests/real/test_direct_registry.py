"""A real docker-registry takes our tokens with no gateway between: logins, roles, and trust-only repositories."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.victims import Middle, Reply
from tests.real.parts import Docker, Skopeo, Stand
from tests.service import PASSWORD, Person, Result, RunningService
from trustkit.cli.demo_images import write_image

pytestmark = pytest.mark.real


def token_auth(service: RunningService, audience: str, realm: str = "") -> dict[str, dict[str, str]]:
    """The section ``auth`` of a docker-registry that takes this service's tokens."""
    bundle, issuer = str(service.data / "token-ca.crt"), service.host
    realm = realm or f"{service.url}/oauth2/token"
    return {"token": {"realm": realm, "service": audience, "issuer": issuer, "rootcertbundle": bundle}}


@dataclass(frozen=True)
class Direct:
    """A registry that clients reach straight, and the gateway to the same images beside it.

    Attributes:
        stand: the gateway; everybody is logged in at both.
        host: HOST:PORT of the registry itself.
    """

    stand: Stand
    host: str

    def log_in(self, who: Person, password: str = PASSWORD) -> Result:
        return who("login", self.host, "-u", who.name, "--password-stdin", feed=password)


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory, start_docker_registry: Callable[..., str]) -> Iterator[Direct]:
    images = [tmp_path_factory.mktemp("images")]
    service = RunningService(tmp_path_factory.mktemp("service")).start()
    try:
        behind = start_docker_registry(*images, auth=token_auth(service, "behind.test"))
        straight = start_docker_registry(*images, auth=token_auth(service, "direct.test"))
        service.stop()
        service.arguments = ("--upstream", f"http://{behind}", "--upstream-service", "behind.test")
        service.arguments += ("--token-service", "direct.test")
        made = Direct(Stand.of(service.start(), behind), straight)
        for person in (made.stand.alice, made.stand.bob, made.stand.carol):
            person.environ["TRUSTKIT_TOKEN_HOSTS"] = service.host
            assert made.log_in(person).status == 0
        made.stand.trust_only("strict/*")
        yield made
    finally:
        service.stop()


def test_docker_logs_in_pushes_and_pulls_by_role(direct: Direct, docker: Docker, tmp_path: Path) -> None:
    name = f"{direct.host}/plain/docker:v1"
    for person, may_push in (("bob", True), ("carol", False)):
        fresh = Person(person, tmp_path / person)
        docker.make(name, f"by {person}")
        anonymous = docker(fresh, "push", name)
        assert anonymous.status != 0
        wrong = docker(fresh, "login", direct.host, "-u", person, "--password-stdin", feed=b"not the password")
        assert wrong.status != 0
        logged_in = docker(fresh, "login", direct.host, "-u", person, "--password-stdin", feed=PASSWORD.encode())
        assert logged_in.status == 0, logged_in.err
        pushed = docker(fresh, "push", name)
        assert (pushed.status == 0) == may_push, pushed.err
        assert may_push or "requested access to the resource is denied" in pushed.err
        docker.forget(name)
        docker.pull(fresh, name)


def test_skopeo_pushes_and_pulls_by_role(direct: Direct, skopeo_tool: Skopeo, tmp_path: Path) -> None:
    name = f"{direct.host}/plain/skopeo:v1"
    digest = write_image(tmp_path, "t", "straight by skopeo")
    refused = skopeo_tool.push(direct.stand.carol, tmp_path, name)
    assert refused.status != 0
    assert "denied" in refused.err
    assert skopeo_tool.push(direct.stand.bob, tmp_path, name).status == 0
    assert skopeo_tool.digest(direct.stand.carol, f"docker://{name}") == digest


def test_trustkit_logs_in_only_where_the_token_host_is_named(direct: Direct, docker: Docker, tmp_path: Path) -> None:
    fresh = Person("bob", tmp_path / "bob")
    refused = direct.log_in(fresh)
    assert (refused.status, refused.slug) == (4, "garbage")
    assert direct.stand.host in refused.err
    assert "Nothing was sent there." in refused.err
    assert not (fresh.home / "docker").exists()

    fresh.environ["TRUSTKIT_TOKEN_HOSTS"] = direct.stand.host
    wrong = direct.log_in(fresh, "not the password")
    assert (wrong.status, wrong.slug) == (5, "login-required")
    assert direct.log_in(fresh).status == 0
    stored = json.loads((fresh.home / "docker" / "config.json").read_text())["auths"]
    assert list(stored) == [direct.host]
    docker.push(fresh, f"{direct.host}/plain/trustkit:v1", "by docker, after trustkit login")


def test_what_was_pushed_straight_is_signed_verified_and_pulled_at_the_gateway(
    direct: Direct, docker: Docker, tmp_path: Path
) -> None:
    stand = direct.stand
    gun = f"{stand.host}/plain/app"
    digest = stand.bob.push(f"{direct.host}/plain/app:v1", "pushed straight")
    signed = stand.alice("sign", f"{gun}:v1")
    assert (signed.status, signed.out.strip()) == (0, f"{gun}:v1@{digest}"), signed.err
    stand.pinned(stand.carol, gun)
    assert stand.carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{digest}"
    assert stand.carol("pull", f"{gun}:v1", "--to", f"oci:{tmp_path / 'out'}").status == 0
    assert docker(stand.carol, "pull", f"{direct.host}/plain/app@{digest}").status == 0


def test_nothing_is_trusted_by_the_name_of_a_registry_that_has_no_trust_data(direct: Direct) -> None:
    name = f"{direct.host}/plain/untold"
    direct.stand.bob.push(f"{name}:v1", "no trust data by this name")
    assert direct.stand.carol("pin", "add", name, "--root-key", "ab" * 32).status == 0
    asked = direct.stand.carol("verify", f"{name}:v1")
    assert (asked.status, asked.slug, asked.out) == (4, "garbage", "")


def test_a_trust_only_repository_is_pulled_straight_by_who_may_sign_alone(
    direct: Direct, docker: Docker, skopeo_tool: Skopeo
) -> None:
    stand, name = direct.stand, f"{direct.host}/strict/app"
    signed = stand.alice.push(f"{stand.host}/strict/app:v1", "signed")
    assert stand.alice("sign", f"{stand.host}/strict/app:v1").status == 0
    unsigned = stand.alice.push(f"{stand.host}/strict/app:dev", "not signed")
    for person in (stand.bob, stand.carol):
        for reference in (f"{name}:dev", f"{name}@{unsigned}", f"{name}:v1", f"{name}@{signed}"):
            by_docker = docker(person, "pull", reference)
            assert (by_docker.status != 0, "denied" in by_docker.err) == (True, True), (person.name, reference)
            by_skopeo = skopeo_tool(person, "inspect", f"docker://{reference}")
            assert by_skopeo.status != 0, (person.name, reference)
    assert docker.pull(stand.alice, f"{name}:dev") == unsigned
    assert docker.pull(stand.carol, f"{stand.host}/strict/app:v1") == signed, "the gateway has what is signed"


class Front(Middle):
    """A reverse proxy: trust data and tokens are the service's, everything else is the registry's."""

    def __init__(self) -> None:
        super().__init__()
        self.service = self.registry = ""

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        trust = "/_trust/" in path or path.startswith("/oauth2/")
        self.target = self.service if trust else self.registry
        return super().pass_on(method, path, headers, body)


class Fronted(RunningService):
    """A service that everybody knows by the name of the proxy before it."""

    def __init__(self, folder: Path, front: Front) -> None:
        super().__init__(folder, "--public-name", front.host, "--token-service", front.host)
        self.front = front

    @property
    def host(self) -> str:
        return self.front.host


@pytest.fixture(scope="module")
def one_name(tmp_path_factory: pytest.TempPathFactory, start_docker_registry: Callable[..., str]) -> Iterator[Stand]:
    """Service and registry behind a reverse proxy, under one name, which is the audience of every token."""
    front = Front()
    service = Fronted(tmp_path_factory.mktemp("service"), front)
    try:
        service.start()
        front.service = f"127.0.0.1:{service.port}"
        front.registry = start_docker_registry(auth=token_auth(service, front.host))
        yield Stand.of(service, front.registry)
    finally:
        service.stop()
        front.close()


def test_under_one_name_the_main_job_needs_no_gateway(
    one_name: Stand, docker: Docker, skopeo_tool: Skopeo, tmp_path: Path
) -> None:
    gun, carol = f"{one_name.host}/plain/app", one_name.carol
    digest = docker.push(one_name.bob, f"{gun}:v1", "signed")
    signed = one_name.alice("sign", f"{gun}:v1")
    assert (signed.status, signed.out.strip()) == (0, f"{gun}:v1@{digest}"), signed.err
    assert docker.push(one_name.bob, f"{gun}:v1", "moved afterwards") != digest
    docker.forget(f"{gun}:v1", f"{gun}@{digest}")

    one_name.pinned(carol, gun)
    for to in ("docker", f"oci:{tmp_path / 'oci'}", f"skopeo:dir:{tmp_path / 'dir'}"):
        pulled = carol("pull", f"{gun}:v1", "--to", to, environ={"DOCKER_HOST": docker.host})
        assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:v1@{digest}"), pulled.err
    assert docker.digests(f"{gun}:v1") == [f"{gun}@{digest}"]
    assert skopeo_tool.digest({}, f"dir:{tmp_path / 'dir'}") == digest
    refused = docker(carol, "push", f"{gun}:v1")
    assert refused.status != 0


def test_under_one_name_trust_only_leaves_pulling_to_who_may_sign(
    one_name: Stand, docker: Docker, skopeo_tool: Skopeo
) -> None:
    gun = f"{one_name.host}/strict/app"
    one_name.trust_only("strict/*")
    digest = one_name.alice.push(f"{gun}:v1", "not signed")
    assert docker.pull(one_name.alice, f"{gun}:v1") == digest
    for person in (one_name.bob, one_name.carol):
        assert docker(person, "pull", f"{gun}:v1").status != 0
        assert skopeo_tool(person, "inspect", f"docker://{gun}@{digest}").status != 0
