"""AcrPush alone is enough to push to a trust-only repository, and again, with stock clients (TRUST 7.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.victims import MANIFEST, ask
from tests.real.parts import Docker, Skopeo, Stand
from tests.service import Person
from trustkit.cli.demo_images import write_image

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=["embedded", "upstream"])
def place(request: pytest.FixtureRequest) -> Stand:
    """Each backend in turn, with everything below ``push/`` trust-only."""
    stand: Stand = request.getfixturevalue(request.param)
    stand.trust_only("push/*")
    return stand


def assert_signed_is(stand: Stand, gun: str, tag: str, digest: str | None) -> None:
    """What a puller gets of a tag by trustkit; None for nothing."""
    got = stand.carol("verify", f"{gun}:{tag}")
    expected = (3, "") if digest is None else (0, f"{gun}:{tag}@{digest}")
    assert (got.status, got.out.strip()) == expected, got.err


def test_with_docker(place: Stand, docker: Docker) -> None:
    gun = f"{place.host}/push/docker"
    first = docker.push(place.bob, f"{gun}:v1", "first")
    assert docker.push(place.bob, f"{gun}:v1") == first, "the same once more, over an unsigned tag"
    assert place.alice("sign", f"{gun}:v1").out.strip() == f"{gun}:v1@{first}"
    place.pinned(place.carol, gun)

    second = docker.push(place.bob, f"{gun}:v1", "second")
    other = docker.push(place.bob, f"{gun}:v2", "another tag beside a signed one")
    assert len({first, second, other}) == 3
    docker.forget(f"{gun}:v1")
    assert docker.pull(place.carol, f"{gun}:v1") == first, "a push moves nobody's view of a signed tag"
    assert_signed_is(place, gun, "v2", None)
    assert place.alice("sign", f"{gun}:v1").out.strip() == f"{gun}:v1@{second}"
    docker.forget(f"{gun}:v1")
    assert docker.pull(place.carol, f"{gun}:v1") == second


@pytest.mark.parametrize("architectures", [(), ("amd64", "arm64")], ids=["image", "index"])
def test_with_skopeo(place: Stand, skopeo_tool: Skopeo, tmp_path: Path, architectures: tuple[str, ...]) -> None:
    gun = f"{place.host}/push/skopeo-{len(architectures)}"
    first = write_image(tmp_path / "first", "t", "first", architectures=architectures)
    second = write_image(tmp_path / "second", "t", "second", architectures=architectures)

    for folder, times in ((tmp_path / "first", 2), (tmp_path / "second", 2)):
        for _ in range(times):
            pushed = skopeo_tool.push(place.bob, folder, f"{gun}:v1")
            assert pushed.status == 0, pushed.err
    assert place.alice("sign", f"{gun}:v1").out.strip() == f"{gun}:v1@{second}"
    place.pinned(place.carol, gun)

    again = skopeo_tool.push(place.bob, tmp_path / "first", f"{gun}:v1")
    assert again.status == 0, again.err
    assert_signed_is(place, gun, "v1", second)
    assert skopeo_tool.digest(place.carol, f"docker://{gun}@{second}") == second
    refused = skopeo_tool(place.carol, "inspect", f"docker://{gun}@{first}")
    assert refused.status != 0
    assert f"{first} is not signed" in refused.err


def test_a_client_that_asks_to_pull_gets_no_more_than_a_puller(
    place: Stand, skopeo_tool: Skopeo, tmp_path: Path
) -> None:
    gun = f"{place.host}/push/back"
    digest = write_image(tmp_path / "image", "t", "read back")
    assert skopeo_tool.push(place.bob, tmp_path / "image", f"{gun}:v1").status == 0
    for reference in (f"{gun}:v1", f"{gun}@{digest}"):
        refused = skopeo_tool(place.bob, "copy", f"docker://{reference}", f"dir:{tmp_path / 'out'}")
        assert refused.status != 0
        assert "Nothing is signed in push/back, which serves signed tags only." in refused.err


def test_who_may_push_looks_first_with_a_token_to_pull_as_helm_does(place: Stand) -> None:
    repository = "push/look"
    digest = place.bob.push(f"{place.host}/{repository}:v1")
    absent = f"sha256:{'ab' * 32}"

    def status(who: Person, method: str, reference: str) -> int:
        token = who.token(place.host, f"repository:{repository}:pull")
        return ask(place.host, method, f"/v2/{repository}/manifests/{reference}", token=token, accept=MANIFEST).status

    looks = {"v1": 404, absent: 404, digest: 200}
    assert {reference: status(place.bob, "HEAD", reference) for reference in looks} == looks
    for who, method in ((place.bob, "GET"), (place.carol, "HEAD"), (place.carol, "GET")):
        assert {status(who, method, reference) for reference in looks} == {403}, (who.name, method)
