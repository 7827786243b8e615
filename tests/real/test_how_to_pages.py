"""The how-to guides about real parts say what happens: each of their console blocks is played."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clock import sweep
from tests.conftest import free_port
from tests.postgres import SUPERUSER, Postgres
from tests.real.nginx import site
from tests.real.pages import Stage, steps
from tests.real.parts import Docker
from tests.real.podmans import Podman, podman_in_short_folder

pytestmark = [pytest.mark.real, pytest.mark.slow]

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = [
    "air-gap",
    "mirror",
    "rotate-keys",
    "root-ceremony",
    "compromise-drill",
    "back-up-keys",
    "clean-up-images",
    "containerd",
    "convert-to-tuf",
    "docker-collections",
    "docker-content-trust",
    "docker-authz",
    "docker-plugin",
    "operate-principals",
    "sign-many",
    "upstream",
    "trust-only",
    "docker-keys",
    "docker-registry-tokens",
    "founders",
    "hardware-keys",
    "history",
    "install-and-upgrade",
    "keys",
    "kubernetes",
    "large-collections",
    "leave-azure-content-trust",
    "leave-dockers-trust-server",
    "leave-harbors-notary",
    "log-in",
    "kek-on-a-token",
    "lost-root-key",
    "migrate-from-notary",
    "monitor",
    "nginx",
    "renew",
    "resolve-builds",
    "online-keys-by-uri",
    "podman-skopeo-crio",
    "policy",
    "postgresql",
    "pull-with-docker",
    "read-docker-collections",
    "pull-with-skopeo",
    "restore-the-service",
    "rotate-online-keys",
    "rotate-the-kek",
    "separate-signer",
    "sign-in-ci",
    "signers",
    "thresholds",
]
PORTS = (5000, 5001, 5080, 5081, 8443)


@pytest.fixture(scope="module")
def podman(need: Callable[[str, str], Path]) -> Iterator[Podman]:
    with podman_in_short_folder(need("podman", "podman")) as made:
        yield made


@pytest.fixture
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """What leads a superuser to a PostgreSQL server, for the page that is about one."""
    if request.node.callspec.params["page"] != "postgresql":
        return {}
    server: Postgres = request.getfixturevalue("postgres")
    return {"PGHOST": str(server.socket_folder), "PGPORT": str(server.port), "PGUSER": SUPERUSER}


@pytest.fixture
def stage(
    tmp_path: Path,
    docker: Docker,
    skopeo: Path,
    podman: Podman,
    need: Callable[[str, str], Path],
    database: dict[str, str],
) -> Iterator[Stage]:
    need("docker-registry", "docker-registry")
    need("softhsm2-util", "softhsm2")
    need("faketime", "faketime")
    docker.make("app:build", "what alice has built")
    docker.make("app:other", "another build")
    need("nginx", "nginx-light")
    ports = {port: free_port() for port in PORTS}
    if database:
        ports[5432] = int(database["PGPORT"])
    shutil.copy(HOW_TO.parent / "deploy" / "ci" / "shell" / "release.sh", tmp_path)
    places = {f"127.0.0.1:{port}": f"127.0.0.1:{ports[port]}" for port in (5000, 5080)}
    (tmp_path / "trustkit.conf").write_text(site(places))
    made = Stage(tmp_path, ports, {"DOCKER_HOST": docker.host, **podman.environ, **database})
    yield made
    made.close()


@pytest.mark.parametrize("page", PAGES)
def test_the_page_ends_as_it_says(stage: Stage, page: str) -> None:
    found = steps((HOW_TO / f"{page}.md").read_text(encoding="utf-8"))
    assert len(found) > 5
    sweep()
    for step in found:
        stage.play(step)
