"""The container file and the compose file of the deployment guide: read by the tools they are for, and played.

No registry is to be had here to pull their images from.  So each program is started with the words, variables and
secrets that its container would get, in the places that stand for its mounts.  ``tests/deployed/containers.py`` makes
images to stand for them, and has docker and docker-compose run the files as they are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dockerfile
import pytest
import yaml

from tests.conftest import START_SECONDS, Need, free_port
from tests.postgres import PASSWORD as DATABASE_PASSWORD
from tests.postgres import USER, Postgres, name_of
from tests.real.nginx import running_nginx, site
from tests.real.parts import Docker, Stand, within
from tests.real.test_nginx import Behind, logged_in
from tests.real.test_tls import Authority
from trustkit.builds.read import read
from trustkit.builds.source import Source

pytestmark = pytest.mark.real

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
CONTAINERFILE, COMPOSE = DEPLOY / "container" / "Containerfile", DEPLOY / "compose"
PROGRAM = "/opt/trustkit/bin/"
SITE_CHANGES = {
    "listen 443 ssl": "listen 8443 ssl",
    "/etc/ssl/registry.crt": "/etc/ssl/registry/registry.crt",
    "/etc/ssl/registry.key": "/etc/ssl/registry/registry.key",
}
"""What the site of the nginx guide is in the compose file's container."""


def stages() -> list[list[Any]]:
    """The instructions of each stage, by BuildKit's own parser."""
    found: list[list[Any]] = []
    for instruction in dockerfile.parse_string(CONTAINERFILE.read_text(encoding="utf-8")):
        if instruction.cmd.upper() == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def last(name: str) -> list[str]:
    """The words of the last such instruction of the last stage."""
    return [list(each.value) for each in stages()[-1] if each.cmd.upper() == name][-1]


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))[
        "services"
    ]
    return found


def test_the_container_runs_as_nobody_special_and_needs_no_shell() -> None:
    assert len({each[0].value[0] for each in stages()}) == 1, "what is built is built for what it runs on"
    assert last("USER") == ["10001:10001"]
    for stage in stages():
        for each in stage:
            name = each.cmd.upper()
            assert name != "ADD"
            assert each.json or name not in ("RUN", "CMD", "ENTRYPOINT"), each.original
            if name == "HEALTHCHECK":
                assert json.loads(each.original.partition("CMD ")[2])[0].startswith(PROGRAM)
    assert last("ENTRYPOINT") == [f"{PROGRAM}trustkit"]


def test_trustkit_itself_finds_the_images_of_both_files_to_pin_them() -> None:
    found = {}
    for file in (CONTAINERFILE, COMPOSE / "compose.yaml"):
        _, reading = read(Source.decode(file.name, file.read_bytes()), None, dict, {})
        found[file.name] = {site.written for site in reading.sites}
    assert found["Containerfile"] == {stages()[0][0].value[0]}
    assert found["compose.yaml"] == {each["image"] for each in services().values()}


def test_the_default_command_serves_and_its_health_is_told(tmp_path: Path) -> None:
    port = free_port()
    words = [word.replace("/var/lib/trustkit", str(tmp_path / "state")) for word in last("CMD")]
    words = [word.replace(":5080", f":{port}") for word in words]
    health = next(each for each in stages()[-1] if each.cmd.upper() == "HEALTHCHECK").original.partition("CMD ")[2]
    _, *check = json.loads(health.replace(":5080", f":{port}"))
    with subprocess.Popen([sys.executable, "-m", "trustkit", *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}"
        assert subprocess.run([sys.executable, *check], check=False).returncode == 0
        process.terminate()
    assert process.returncode == 0
    assert subprocess.run([sys.executable, *check], check=False, capture_output=True).returncode == 1


def test_compose_takes_the_file_and_every_service_is_tight(need: Need) -> None:
    compose = need("docker-compose", "docker-compose")
    done = subprocess.run([compose, "config", "-q"], cwd=COMPOSE, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
    assert [name for name, service in services().items() if "ports" in service] == ["network"]


def test_who_is_restarted_takes_nobodys_network_along() -> None:
    """Whoever shares a container's network is in one that is gone once that one starts anew: nobody is in nginx's."""
    modes = {name: service.get("network_mode", "") for name, service in services().items()}
    shared = dict.fromkeys(("nginx", "trustkit", "images"), "service:network")
    assert modes == {**shared, "network": "", "postgres": "none", "commands": "none"}
    program, *words = services()["network"]["entrypoint"]
    assert program == f"{PROGRAM}python"
    process = subprocess.Popen([sys.executable, *words], preexec_fn=_told_to_stop_in_time)
    try:
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)


def _told_to_stop_in_time() -> None:
    """A signal that comes before somebody waits for it waits itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def test_the_site_of_the_compose_file_is_that_of_the_nginx_guide() -> None:
    assert (COMPOSE / "trustkit.conf").read_text(encoding="utf-8") == site(SITE_CHANGES)


@dataclass(frozen=True)
class Played:
    """The compose file's services as processes."""

    stand: Stand
    log: Path


class Composed(Behind):
    """The service with the words that the compose file has for it."""

    def start(self) -> Composed:
        address = f"127.0.0.1:{self.port}"
        words = [word.replace("127.0.0.1:5080", address) for word in self.arguments]
        self.log.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trustkit", *words],
            stdout=subprocess.PIPE, stderr=self.log.open("a"), text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == f"http://{address}", self.log.read_text()
        return self


def words(service: Composed, places: dict[str, str]) -> tuple[str, ...]:
    """The command of the service, in our places."""
    found = list[str]()
    for word in services()["trustkit"]["command"]:
        for place, ours in places.items():
            word = word.replace(place, ours)
        found.append(word)
    return tuple(found)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, need: Need, postgres: Postgres) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("compose")
    authority = Authority.made(need("openssl", "openssl"), tmp_path_factory.mktemp("authority"))
    certificate, key = authority.server("server", "IP:127.0.0.1")
    for name, text in (("kek", "q" * 43 + "=\n"), ("database-password", DATABASE_PASSWORD + "\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    (folder / "run").mkdir()
    database = postgres.empty()
    service = Composed(folder)
    service.front, service.port, images = free_port(), free_port(), free_port()
    service.arguments = words(
        service,
        {
            "/var/lib/trustkit": str(service.data),
            "registry.example.com": service.host,
            "/run/trustkit": str(folder / "run"),
            "127.0.0.1:5000": f"127.0.0.1:{images}",
            "/run/secrets": str(folder),
            "/run/kek": str(folder),
            "postgresql:///trustkit": f"postgresql:///{name_of(database)}",
            "host=/var/run/postgresql": f"host={postgres.socket_folder}&port={postgres.port}",
            "user=trustkit": f"user={USER}",
        },
    )
    with ExitStack() as stack:
        stack.callback(postgres.drop, database)
        stack.callback(service.stop)
        service.start()
        _images(stack, need, folder, images, service)
        site_folder = tmp_path_factory.mktemp("nginx")
        places = {
            **SITE_CHANGES,
            "listen 443 ssl": f"listen 127.0.0.1:{service.front} ssl",
            "registry.example.com;": "127.0.0.1;",
            "/etc/ssl/registry.crt": str(certificate),
            "/etc/ssl/registry.key": str(key),
            "127.0.0.1:5080": f"127.0.0.1:{service.port}",
            "127.0.0.1:5000": f"127.0.0.1:{images}",
            "/run/trustkit": str(folder / "run"),
        }
        stack.enter_context(running_nginx(need("nginx", "nginx-light"), site_folder, service.front, places))
        people = [logged_in(service, name, authority.file) for name in ("alice", "bob", "carol")]
        yield Played(Stand(service, f"127.0.0.1:{images}", *people), service.log)


def _images(stack: ExitStack, need: Need, folder: Path, port: int, service: Composed) -> None:
    """docker-registry with the image's own configuration, and the variables that the compose file adds."""
    given = {name: str(value) for name, value in services()["images"]["environment"].items()}
    changes = {"5000": str(port), "registry.example.com": service.host, "/trustkit/": f"{service.data}/"}
    for place, ours in changes.items():
        given = {name: value.replace(place, ours) for name, value in given.items()}
    config = folder / "config.yml"  # as the image has it, in our place
    config.write_text(
        f"version: 0.1\nlog: {{fields: {{service: registry}}}}\n"
        f"storage: {{cache: {{blobdescriptor: inmemory}}, filesystem: {{rootdirectory: {folder}/images}}}}\n"
        "http: {addr: ':5000', headers: {X-Content-Type-Options: [nosniff]}}\n"
    )
    with (folder / "images.log").open("wb") as log:
        process = subprocess.Popen(
            [need("docker-registry", "docker-registry"), "serve", str(config)],
            env={**os.environ, **given}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)
    assert within(START_SECONDS, lambda: "listening on" in (folder / "images.log").read_text())


def test_what_compose_starts_is_a_registry_that_serves_what_is_signed(played: Played, docker: Docker) -> None:
    stand, gun = played.stand, f"{played.stand.host}/team/app"
    stand.trust_only("team/*")
    digest = docker.push(stand.bob, f"{gun}:v1", "from compose")
    signed = stand.alice("sign", f"{gun}:v1")
    assert (signed.status, signed.out.strip()) == (0, f"{gun}:v1@{digest}"), signed.err
    docker.push(stand.bob, f"{gun}:dev", "not signed")
    docker.forget(f"{gun}:v1", f"{gun}:dev", f"{gun}@{digest}")
    assert docker.pull(stand.carol, f"{gun}:v1") == digest
    assert docker(stand.carol, "pull", f"{gun}:dev").status != 0
    stand.pinned(stand.carol, gun)
    assert stand.carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{digest}"
