"""A gateway over real HTTP: uvicorn in a thread, raw requests without a client that tidies up paths."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from trustkit.core.access import Action
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest, Gun, PrincipalName, Repository, Tag
from trustkit.core.notarypaths import NotaryRoute
from trustkit.core.paths import TrustRoute, parse_v2
from trustkit.core.view import SignedTarget, SignedView, Superseded
from trustkit.errors import TrustkitError
from trustkit.gateway.app import RegistryGateway, Trust
from trustkit.gateway.backend import Backend
from trustkit.gateway.caller import ANONYMOUS, Caller
from trustkit.gateway.embedded import EmbeddedRegistry
from trustkit.gateway.exchange import ClientGone, Exchange, Receive, Scope, Send
from trustkit.gateway.problems import Code, Refused, refuse

if TYPE_CHECKING:
    from tests.gateway.repo import Repo

NOW = datetime(2030, 1, 1, tzinfo=UTC)
APP = Repository("team/app")
ACCEPT = f"{OCI_MANIFEST}, {OCI_INDEX}"
EVERYTHING = frozenset({Action.PULL, Action.PUSH, Action.DELETE, Action.SIGN})
PEOPLE = {
    "puller": frozenset({Action.PULL}),
    "pusher": frozenset({Action.PULL, Action.PUSH}),
    "signer": frozenset({Action.PULL, Action.SIGN}),
    "admin": EVERYTHING,
}


@dataclass
class World:
    """What the gateway is told about trust; tests change it while it serves."""

    trust_only: set[Repository] = field(default_factory=set)
    views: dict[Repository, SignedView | TrustkitError] = field(default_factory=dict)
    denied: dict[tuple[str, Repository], frozenset[Action]] = field(default_factory=dict)
    now: datetime = NOW

    async def is_trust_only(self, repository: Repository) -> bool:
        return repository in self.trust_only

    async def view(self, repository: Repository) -> SignedView | None:
        found = self.views.get(repository)
        if isinstance(found, TrustkitError):
            raise found
        return found

    def caller(self, exchange: Exchange) -> Caller:
        name = exchange.headers.get("x-who", "admin")
        if name == "nobody":
            return ANONYMOUS
        return Caller(PrincipalName(name), lambda r: self.denied.get((name, r), PEOPLE[name]))

    def sign(
        self, repository: Repository, targets: dict[str, SignedTarget], *, expires: datetime | None = None
    ) -> None:
        self.views[repository] = view_of(repository, targets, expires=expires)


def view_of(
    repository: Repository, targets: dict[str, SignedTarget], *, expires: datetime | None = None
) -> SignedView:
    gun = Gun.parse(f"localhost:5080/{repository}")
    by_tag = {Tag(name): target for name, target in targets.items()}
    return SignedView(gun, by_tag, expires or NOW + timedelta(days=7), NOW, {"timestamp": 1}, ("k",), ("k",))


def target(
    tag: str, data: bytes, media_type: str = OCI_MANIFEST, superseded: tuple[Superseded, ...] = ()
) -> SignedTarget:
    return SignedTarget(Tag(tag), Digest.of(data), len(data), media_type, "targets", superseded)


def challenge(repository: Repository | None, actions: frozenset[Action], error: str | None) -> str:
    scope = f',scope="repository:{repository}:{",".join(sorted(actions))}"' if repository else ""
    return f'Bearer realm="http://localhost/oauth2/token",service="test"{scope}' + (
        f',error="{error}"' if error else ""
    )


def application(backend: Backend, world: World) -> Callable[[Scope, Receive, Send], object]:
    trust = Trust(trust_only=world.is_trust_only, view=world.view, standing=world.view, now=lambda: world.now)
    gateway = RegistryGateway(backend, trust=trust, challenge=challenge)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        try:
            route = parse_v2(exchange.path)
            if route is None or isinstance(route, TrustRoute | NotaryRoute):
                raise Refused(Code.NAME_UNKNOWN, "No such route.")
            await gateway.handle(exchange, route, world.caller(exchange))
        except ClientGone:
            return
        except TrustkitError as error:
            if not exchange.replied:
                await refuse(exchange, error)

    return app


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return json.loads(self.body)["errors"][0]["code"]

    @property
    def reason(self) -> str:
        return json.loads(self.body)["errors"][0]["detail"]["slug"]


@dataclass
class Client:
    """Sends requests exactly as they are written."""

    port: int
    who: str = "admin"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __call__(self, method: str, path: str, body: object = None, *, who: str = "", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {"x-who": who or self.who, "accept": ACCEPT, **sent})
            reply = connection.getresponse()
            pairs = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, pairs, reply.read())
        finally:
            connection.close()

    def blob(self, data: bytes, repository: Repository = APP) -> str:
        digest = str(Digest.of(data))
        location = self("POST", f"/v2/{repository}/blobs/uploads/").headers["location"]
        mark = "&" if "?" in location else "?"
        assert self("PUT", f"{location}{mark}digest={digest}", data).status == 201
        return digest

    def manifest(
        self,
        value: dict[str, object],
        reference: str = "",
        media_type: str = OCI_MANIFEST,
        repository: Repository = APP,
    ) -> bytes:
        data = json.dumps(value).encode()
        path = f"/v2/{repository}/manifests/{reference or Digest.of(data)}"
        reply = self("PUT", path, data, content_type=media_type)
        assert reply.status == 201, reply.body
        return data

    def image(self, seed: str, reference: str = "", repository: Repository = APP, **more: object) -> bytes:
        config = json.dumps({"architecture": "amd64", "os": "linux", "seed": seed, "rootfs": {}}).encode()
        layer = f"layer of {seed}".encode()
        self.blob(config, repository)
        self.blob(layer, repository)
        return self.manifest(image_of(config, layer, **more), reference, repository=repository)

    def index(self, children: list[bytes], reference: str = "", media_types: list[str] | None = None) -> bytes:
        types = media_types or [OCI_MANIFEST] * len(children)
        return self.manifest(index_of(children, types), reference, OCI_INDEX)


def descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


def image_of(
    config: bytes, layer: bytes, config_type: str = "", layer_type: str = "", **more: object
) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, config_type or "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(layer, layer_type or "application/vnd.oci.image.layer.v1.tar")],
        **more,
    }


def index_of(children: list[bytes], types: list[str]) -> dict[str, object]:
    listed = [descriptor(child, kind) for child, kind in zip(children, types, strict=True)]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Serving:
    """One application under uvicorn in a thread; the backend is made and closed in its event loop."""

    def __init__(self, make: Callable[[], Backend], world: World) -> None:
        self.world, self.port = world, free_port()
        self._make = make
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        backend = self._make()
        config = uvicorn.Config(
            application(backend, self.world), port=self.port, log_level="critical", lifespan="off"
        )
        self.server = uvicorn.Server(config)
        await self.server.serve()
        await backend.close()

    def __enter__(self) -> Client:
        self._thread.start()
        wait_for_port(self.port)
        return Client(self.port)

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(10)


def wait_for_port(port: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def client(root: Path, world: World) -> Iterator[Client]:
    with Serving(lambda: EmbeddedRegistry(root), world) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    """One embedded registry for all tests of a module, and its folder."""
    folder = tmp_path_factory.mktemp("images")
    with Serving(lambda: EmbeddedRegistry(folder), World()) as client:
        yield client, folder


@pytest.fixture
def repo(shared: tuple[Client, Path], request: pytest.FixtureRequest) -> Repo:
    """A repository of the test's own on the module's registry, which nobody has pushed to."""
    from tests.gateway.repo import Repo

    client, folder = shared
    name = Repository.parse(f"spec/{Digest.of(request.node.nodeid.encode()).hex[:16]}")
    return Repo(client, name, folder.joinpath(*name.path.split("/")))


@pytest.fixture
def real() -> Callable[[str], str]:
    """Finds a real program; skips where it is missing, and fails where TRUSTKIT_REQUIRE_REAL=1 says it mustn't be."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None and os.environ.get("TRUSTKIT_REQUIRE_REAL") == "1":
            pytest.fail(f"{name} is missing, and TRUSTKIT_REQUIRE_REAL=1")
        if path is None:
            pytest.skip(f"{name} is not installed")
        return path

    return find


@dataclass(frozen=True)
class RealRegistry:
    port: int
    pid: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def docker_registry(real: Callable[[str], str], tmp_path: Path) -> Iterator[RealRegistry]:
    """A docker-registry of its own, empty."""
    program, port, folder = real("docker-registry"), free_port(), tmp_path / "registry"
    folder.mkdir()
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    process = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield RealRegistry(port, process.pid, folder)
    finally:
        process.terminate()
        process.wait(10)
