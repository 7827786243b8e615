"""Eight processes publish twenty-five tags each to one collection: none is lost, and none stands for another digest.

Each has a home of its own with the same keys, as build machines have, so that nothing but the service's word on
versions keeps them apart (TRUST 3.1).
"""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.service import Person, Result, RunningService, run
from trustkit.cli.context import Context
from trustkit.cli.publishing import signing_with
from trustkit.core.names import Digest, ImageRef

PROCESSES = 8
TAGS = 25
SECONDS = 800.0


def put_manifests(person: Person, host: str, manifest: dict[str, object], tags: list[str]) -> dict[str, str]:
    """One manifest of its own under each tag; digests by tag."""
    token = person.token(host, "repository:load/app:pull,push")
    connection = http.client.HTTPConnection(host, timeout=30)
    digests = {}
    for tag in tags:
        data = json.dumps({**manifest, "annotations": {"tag": tag}}).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": str(manifest["mediaType"])}
        connection.request("PUT", f"/v2/load/app/manifests/{tag}", data, headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (201, b"")
        digests[tag] = str(Digest.of(data))
    return digests


def sign_each(environ: Mapping[str, str], gun: str, tags: list[str]) -> None:
    """What one process does: unlocks its key, and signs tag after tag, each in a publish of its own."""
    signing = signing_with(Context(home_flag=None, environ=environ))
    for tag in tags:
        signing.sign([ImageRef.parse(f"{gun}:{tag}")])


def signs_each(person: Person, gun: str, tags: list[str]) -> Result:
    """The same in a process of its own, which ends as ``trustkit --version`` does."""
    name = sign_each.__name__
    first = f"import os\nfrom {__name__} import {name}\n{name}(os.environ, {gun!r}, {tags!r})"
    return run(["--version"], person.environment(), first=first, seconds=SECONDS)


def with_own_home(person: Person, home: Path) -> Person:
    """The same person on another machine."""
    shutil.copytree(person.home, home)
    return Person(person.name, home, person.environ)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_two_hundred_are_there(tmp_path: Path) -> None:
    service = RunningService(tmp_path).start()
    try:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        gun = f"{service.host}/load/app"
        alice.push(f"{gun}:first")
        assert alice("sign", f"{gun}:first").status == 0
        token = alice.token(service.host, "repository:load/app:pull")
        connection = http.client.HTTPConnection(service.host, timeout=30)
        connection.request("GET", "/v2/load/app/manifests/first", headers={"Authorization": f"Bearer {token}"})
        manifest = json.loads(connection.getresponse().read())
        shares = [[f"p{process}-{number}" for number in range(TAGS)] for process in range(PROCESSES)]
        digests = put_manifests(alice, service.host, manifest, [tag for share in shares for tag in share])

        machines = [with_own_home(alice, tmp_path / f"machine{number}") for number in range(PROCESSES)]
        with ThreadPoolExecutor(PROCESSES) as all_at_once:
            ended = all_at_once.map(lambda machine, share: signs_each(machine, gun, share), machines, shares)
            for result in ended:
                assert result.status == 0, result.err[-2000:]

        carol = service.principal("carol", "AcrPull")
        assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
        shown = json.loads(carol("inspect", gun, "--format", "json").out)[0]
        signed = {row["SignedTag"]: f"sha256:{row['Digest']}" for row in shown["SignedTags"]}
        signed.pop("first")
        assert signed == digests
        versions = json.loads(service.admin("audit", "list", "--format", "json", "--limit", "1000").out)
        published = sorted(row["detail"]["versions"]["targets"] for row in versions if row["action"] == "published")
        assert published == list(range(2, 2 + PROCESSES * TAGS)), (
            "each publish made the next version, none was reused"
        )
    finally:
        service.stop()
