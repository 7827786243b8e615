"""An image is asked for by a digest that nobody signed, from a service that serves signed tags only (TRUST 7.3)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.victims import Reply, ask, serving
from tests.service import PASSWORD, Person, RunningService

REPOSITORY = "unsigned/app"
ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
UNSIGNED = ("image", "tagged", "index", "child", "elsewhere", "revoked", "superseded, then revoked")


@dataclass(frozen=True)
class Shelf:
    """A service with one repository of signed and unsigned things, and who reads them."""

    service: RunningService
    carol: Person
    gun: str
    digests: dict[str, str]
    tokens: dict[str, str]

    def read(self, method: str, reference: str, who: str) -> Reply:
        path = f"/v2/{REPOSITORY}/manifests/{self.digests.get(reference, reference)}"
        return ask(self.service.host, method, path, token=self.tokens[who], accept=ACCEPT)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    with serving(tmp_path_factory.mktemp("service"), "--trust-only") as service:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        bob = service.principal("bob", "AcrPush")
        carol = service.principal("carol", "AcrPull")
        pull = f"repository:{REPOSITORY}:pull"
        tokens = {
            "puller": carol.token(service.host, pull),
            "pusher": bob.token(service.host, f"{pull},push"),
        }
        gun = f"{service.host}/{REPOSITORY}"
        digests = _fill(alice, service.host, gun, tokens["pusher"])
        assert carol("pin", "add", f"{service.host}/*", "--root-key", alice.root_key()).status == 0
        yield Shelf(service, carol, gun, digests, tokens)


def _fill(alice: Person, host: str, gun: str, token: str) -> dict[str, str]:
    other = f"{host}/unsigned/other"
    digests = {
        "signed": alice.push(f"{gun}:v1", "signed"),
        "signed index": alice.push(f"{gun}:many", "signed", architectures=("amd64", "arm64")),
        "superseded, then revoked": alice.push(f"{gun}:gone", "superseded"),
        "tagged": alice.push(f"{gun}:dev", "tagged"),
        "index": alice.push(f"{gun}:moving", "index", architectures=("amd64",)),
        "elsewhere": alice.push(f"{gun}:moving", "elsewhere"),
        "image": alice.push(f"{gun}:moving", "image"),
    }
    assert alice.push(f"{other}:v1", "elsewhere") == digests["elsewhere"]
    assert alice("sign", f"{gun}:v1", f"{gun}:many", f"{gun}:gone", f"{other}:v1").status == 0
    digests["revoked"] = alice.push(f"{gun}:gone", "revoked")
    assert alice("sign", f"{gun}:gone").status == 0
    assert alice("revoke", f"{gun}:gone").status == 0
    for child, index in (("child", "index"), ("signed child", "signed index")):
        path = f"/v2/{REPOSITORY}/manifests/{digests[index]}"
        digests[child] = ask(host, "GET", path, token=token).json["manifests"][0]["digest"]
    return digests


@pytest.mark.parametrize("who", ["puller", "pusher"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("reference", ["v1", "many", "signed", "signed index", "signed child"])
def test_what_is_signed_is_served(shelf: Shelf, reference: str, method: str, who: str) -> None:
    reply = shelf.read(method, reference, who)
    wanted = {"v1": "signed", "many": "signed index"}.get(reference, reference)
    assert (reply.status, reply.headers["docker-content-digest"]) == (200, shelf.digests[wanted])


@pytest.mark.parametrize("what", UNSIGNED)
def test_a_puller_is_refused_with_a_reason(shelf: Shelf, what: str) -> None:
    refused = shelf.read("GET", what, "puller")
    assert (refused.status, refused.code, refused.slug) == (403, "DENIED", "unsigned")
    assert shelf.digests[what] in refused.message
    head = shelf.read("HEAD", what, "puller")
    assert (head.status, head.body) == (403, b"")
    assert "is not signed" in head.headers["warning"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("what", UNSIGNED)
def test_a_pusher_reads_it_by_digest(shelf: Shelf, what: str, method: str) -> None:
    reply = shelf.read(method, what, "pusher")
    assert (reply.status, reply.headers["docker-content-digest"]) == (200, shelf.digests[what])


@pytest.mark.parametrize("tag", ["dev", "moving", "gone", "never-pushed"])
@pytest.mark.parametrize(
    ("who", "method", "status"),
    [("puller", "GET", 403), ("puller", "HEAD", 403), ("pusher", "GET", 403), ("pusher", "HEAD", 404)],
)
def test_an_unsigned_tag_is_nobodys(shelf: Shelf, tag: str, who: str, method: str, status: int) -> None:
    reply = shelf.read(method, tag, who)
    assert reply.status == status
    assert "docker-content-digest" not in reply.headers
    if method == "GET":
        assert (reply.code, reply.slug) == ("DENIED", "unsigned")


@pytest.mark.parametrize(
    "spoil",
    [str.upper, lambda digest: digest.replace("sha256:", "sha512:"), lambda digest: digest[:-1]],
    ids=["upper case", "another algorithm", "too short"],
)
def test_another_spelling_of_a_digest_is_no_digest(shelf: Shelf, spoil: Callable[[str], str]) -> None:
    for digest in (shelf.digests["signed"], shelf.digests["image"]):
        assert shelf.read("GET", spoil(digest), "puller").status == 400


def test_the_registrys_own_view_takes_the_right_to_sign(shelf: Shelf) -> None:
    for who in ("puller", "pusher"):
        path = f"/v2/{REPOSITORY}/manifests/dev"
        reply = ask(shelf.service.host, "GET", path, token=shelf.tokens[who], trustkit_view="registry")
        assert reply.status == 401
        assert "sign" in reply.headers["www-authenticate"]


def test_signed_targets_are_no_way_round(shelf: Shelf) -> None:
    def target(digest: str, tag: str) -> Reply:
        path = f"/v2/{shelf.gun}/_trust/targets/{digest.removeprefix('sha256:')}.{tag}"
        return ask(shelf.service.host, "GET", path, token=shelf.tokens["puller"])

    assert target(shelf.digests["signed"], "v1").status == 200
    for digest, tag in ((shelf.digests["image"], "v1"), (shelf.digests["tagged"], "dev")):
        assert (target(digest, tag).status, target(digest, tag).slug) == (404, "not-found")


def test_the_client_pulls_nothing(shelf: Shelf, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    assert shelf.carol("pull", f"{shelf.gun}@{shelf.digests['signed']}", "--to", f"oci:{good}").status == 0
    assert json.loads((good / "index.json").read_text())["manifests"][0]["digest"] == shelf.digests["signed"]
    refused = shelf.carol("pull", f"{shelf.gun}@{shelf.digests['image']}", "--to", f"oci:{bad}")
    assert (refused.status, refused.slug, refused.out) == (3, "unsigned", "")
    assert not bad.exists()


@pytest.mark.real
def test_skopeo_is_refused_and_prints_why(shelf: Shelf, skopeo: Path, tmp_path: Path) -> None:
    def copy(digest: str) -> subprocess.CompletedProcess[str]:
        source = f"docker://{shelf.gun}@{digest}"
        command = [
            str(skopeo),
            "--insecure-policy",
            "copy",
            "--src-tls-verify=false",
            f"--src-creds=carol:{PASSWORD}",
        ]
        command += [source, f"dir:{tmp_path / digest[7:]}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert copy(shelf.digests["signed"]).returncode == 0
    refused = copy(shelf.digests["image"])
    assert refused.returncode != 0
    assert "is not signed" in refused.stderr
