"""What is signed can't be deleted or collected; by the real command lines, also before a registry with tokens."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.real.parts import Stand
from tests.service import Person, RunningService

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, start_docker_registry: Callable[..., str]) -> Iterator[Stand]:
    """A gateway whose upstream takes its tokens alone, and lets manifests be deleted."""
    folder, port = tmp_path_factory.mktemp("tokens"), free_port()
    first = RunningService(folder)
    first.port = port
    first.start().stop()  # makes the certificate that the registry wants at its start
    auth = {
        "token": {
            "realm": f"http://127.0.0.1:{port}/oauth2/token",
            "service": "behind",
            "issuer": f"127.0.0.1:{port}",
            "rootcertbundle": str(first.data / "token-ca.crt"),
        }
    }
    behind = start_docker_registry(auth=auth)
    service = RunningService(folder, "--upstream", f"http://{behind}", "--upstream-service", "behind")
    service.port = port
    service.start()
    yield Stand.of(service, behind)
    service.stop()


def in_use(stand: Stand, *arguments: str) -> list[dict[str, str]]:
    options = ["--format", "json", *arguments]
    if stand.behind:
        options += ["--upstream", f"http://{stand.behind}"]
    done = stand.service.admin("registry", "in-use", *options)
    assert done.status == 0, done.err
    return json.loads(done.out)


def delete(stand: Stand, who: Person, repository: str, what: str) -> tuple[int, dict[str, object]]:
    token = who.token(stand.host, f"repository:{repository}:delete")
    connection = http.client.HTTPConnection(stand.host, timeout=30)
    connection.request("DELETE", f"/v2/{repository}/{what}", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if body else {}


def test_in_use_asks_an_upstream_with_the_services_own_tokens(tokens: Stand) -> None:
    gun = f"{tokens.host}/use/app"
    old = tokens.alice.push(f"{gun}:v1", "old", architectures=("amd64", "arm64"))
    assert tokens.alice("sign", f"{gun}:v1").status == 0
    new = tokens.alice.push(f"{gun}:v1", "new")
    assert tokens.alice("sign", f"{gun}:v1").status == 0
    how = ("--upstream-service", "behind", "--public-name", tokens.host)
    rows = in_use(tokens, *how)
    assert {row["digest"] for row in rows} >= {old, new}
    assert [row["root"] for row in rows].count(old) == 3, "itself and two children"
    assert {row["until"] is None for row in rows if row["digest"] == new} == {True}
    assert all(row["until"] for row in rows if row["root"] == old)
    assert in_use(tokens, *how, "use/other") == []

    without = tokens.service.admin("registry", "in-use", "--upstream", f"http://{tokens.behind}")
    assert (without.status, without.slug, without.out) == (1, "registry-failed", "")
    half = tokens.service.admin("registry", "in-use", "--upstream", f"http://{tokens.behind}", *how[:2])
    assert (half.status, half.slug) == (2, "usage")


def test_a_service_that_keeps_no_images_has_nothing_to_collect(tokens: Stand) -> None:
    for command in ("gc", "in-use"):
        done = tokens.service.admin("registry", command)
        assert (done.status, done.slug) == (1, "not-found"), done.err
        assert "--upstream URL" in done.err


def test_what_is_signed_outlives_its_deletion_the_switch_and_a_collection(embedded: Stand) -> None:
    gun, repository = f"{embedded.host}/use/app", "use/app"
    erin = embedded.service.principal("erin", "AcrDelete")
    olga = embedded.service.principal("olga", "Owner")
    digest = embedded.alice.push(f"{gun}:v1", "signed")
    assert embedded.alice("sign", f"{gun}:v1").status == 0
    off = ("policy", "set", "content-trust", "disabled")
    assert embedded.service.admin(*off).status == 0
    try:
        status, body = delete(embedded, erin, repository, f"manifests/{digest}")
        assert (status, body["errors"][0]["detail"]["slug"]) == (403, "in-use")
    finally:
        assert embedded.service.admin(*off[:-1], "enabled").status == 0
    assert delete(embedded, embedded.alice, repository, f"manifests/{digest}")[0] == 401, "alice may not delete"
    assert [row["digest"] for row in in_use(embedded, repository)] == [digest]
    collected = embedded.service.admin("registry", "gc", "--untagged", "--grace", "1", "--format", "json")
    assert collected.status == 0, collected.err
    assert embedded.service.admin("registry", "gc", "--grace", "0").status == 2

    reset = olga("reset", gun, "--yes-reset", gun)
    assert reset.status == 0, reset.err
    assert in_use(embedded, repository) == []
    assert delete(embedded, erin, repository, f"manifests/{digest}")[0] == 202


def test_a_repository_whose_signatures_cannot_be_read_is_left_alone(
    serve: Callable[..., RunningService], tmp_path: Path
) -> None:
    import sqlite3

    service = serve(folder=tmp_path)
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    for name in ("bad", "good"):
        alice.push(f"{service.host}/{name}:v1", name)
        assert alice("sign", f"{service.host}/{name}:v1").status == 0
    service.stop()
    with sqlite3.connect(service.data / "trustkit.db") as database:
        for verb in ("update", "delete"):
            database.execute(f"DROP TRIGGER IF EXISTS keep_files_{verb}")
        changed = database.execute(
            "UPDATE files SET data = X'7b7d' WHERE role = 'targets' AND collection ="
            " (SELECT id FROM collections WHERE repository = 'bad')"
        )
        assert changed.rowcount > 0
    done = service.admin("registry", "gc", "--untagged")
    assert done.status == 1
    assert "bad: left alone: " in done.err
    assert "good" in done.out
    assert "bad" not in done.out
    assert "Traceback" not in done.err
