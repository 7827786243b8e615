"""A collection that outgrows one file: put into hash bins by the next signature, and used by everybody as before."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from tests.e2e.registry_view import Own
from tests.service import PASSPHRASE, Person, RunningService
from trustkit.core.names import Digest, Gun

EARLY = {"TRUSTKIT_BINS_ABOVE": "3"}
FEW = "import functools, trustkit.config as c; c.Growth = functools.partial(c.Growth, bits=6)"
"""Code with which a command makes 64 bins, for what goes over all bins again: each of them is a file to sign and to
judge.  1,024 of them are grown into here as well, and rotated over in tests/signer/test_whole_job.py."""


class _Stock(FetcherInterface):
    """What the service serves to a client that knows nothing of ours but where metadata lies."""

    def __init__(self, person: Person, gun: Gun) -> None:
        self._token = person.token(str(gun.host), f"repository:{gun.repository}:pull")
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        import urllib.error
        import urllib.request

        self.asked.append(url.rpartition("/")[2])
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return iter([answer.read()])
        except urllib.error.HTTPError as error:
            raise DownloadHTTPError(url, error.code) from error


class Stock:
    """python-tuf's own client, which keeps its folder."""

    def __init__(self, person: Person, gun: str, folder: Path) -> None:
        self._gun, self._folder = Gun.parse(gun), folder
        folder.mkdir()
        self._fetcher = _Stock(person, self._gun)
        self._url = f"http://{self._gun.host}/v2/{gun}/_trust/metadata/"
        self._root = next(self._fetcher._fetch(f"{self._url}1.root.json"))

    def digest(self, tag: str) -> str | None:
        updater = Updater(str(self._folder), self._url, fetcher=self._fetcher, bootstrap=self._root)
        self._fetcher.asked.clear()
        found = updater.get_targetinfo(tag)
        return f"sha256:{found.hashes['sha256']}" if found else None

    @property
    def asked(self) -> list[str]:
        return self._fetcher.asked


@pytest.fixture(scope="module")
def grown(service: RunningService, alice: Person) -> tuple[Own, dict[str, str]]:
    """A trust-only repository with four tags signed, which the next signature puts into bins; their digests."""
    assert service.admin("repository", "set", "bins/grown", "--trust-only").status == 0
    own = Own(service, alice, "bins/grown")
    alice.push(f"{own.gun}:base")
    digests = own.images("base", 8)
    done = alice("sign", *(f"{own.gun}:v{n}" for n in range(4)))
    assert done.status == 0, done.err
    assert "has grown" not in done.err
    return own, digests


def inspected(person: Person, gun: str) -> dict[str, object]:
    shown = person("inspect", gun, "--format", "json")
    assert shown.status == 0, shown.err
    found: dict[str, object] = json.loads(shown.out)[0]
    return found


def test_the_next_signature_puts_the_tags_into_bins(
    alice: Person, grown: tuple[Own, dict[str, str]], tmp_path: Path
) -> None:
    own, digests = grown
    stock = Stock(alice, own.gun, tmp_path / "stock")
    assert stock.digest("v1") == digests["v1"]  # warm from before the switch
    done = alice("sign", f"{own.gun}:v4", environ=EARLY)
    assert done.status == 0, done.err
    assert "its tags are put into 1024 files" in done.err
    assert [stock.digest(f"v{n}") for n in range(6)] == [digests[f"v{n}"] for n in range(5)] + [None]
    before = inspected(alice, own.gun)
    done = alice("sign", f"{own.gun}:v5", environ=EARLY)
    assert done.status == 0, done.err
    assert "1024" not in done.err
    assert stock.digest("v5") == digests["v5"]
    assert sum("bins-1-" in name for name in stock.asked) == 1
    after = inspected(alice, own.gun)
    assert {role for role, version in after["Versions"].items() if before["Versions"].get(role) != version} == {
        "snapshot",
        "timestamp",
        next(name.split(".")[1] for name in stock.asked if "bins-1-" in name),
    }
    verified = alice("verify", *(f"{own.gun}:v{n}" for n in range(7)))
    assert verified.status == 3
    assert verified.out.splitlines() == [f"{own.gun}:v{n}@{digests[f'v{n}']}" for n in range(6)]
    revoked = alice("revoke", f"{own.gun}:v5")
    assert revoked.status == 0, revoked.err
    assert stock.digest("v5") is None
    assert alice("verify", f"{own.gun}:v5").status == 3


def test_signers_rotations_and_thresholds_go_on_over_bins(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    bob = replace(service.principal("bob-of-bins", "AcrPush", "AcrImageSigner"), first=FEW)
    alice = replace(alice, first=FEW)
    own = Own(service, alice, "bins/people")
    alice.push(f"{own.gun}:base")
    digests, gun = own.images("base", 8), own.gun
    assert alice("sign", *(f"{gun}:v{n}" for n in range(4))).status == 0
    assert alice("sign", f"{gun}:v4", environ=EARLY).status == 0
    stock = Stock(carol, gun, tmp_path / "stock")
    assert stock.digest("v1") == digests["v1"]
    for person in (bob, carol):
        assert person("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    signer = {"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE}
    made = bob("key", "generate", "--name", "bob", environ=signer)
    assert made.status == 0, made.err
    public = tmp_path / "bob.pub"
    public.write_text(json.loads(bob("key", "show", made.out.strip()).out)["public"])
    for extra in ("--dry-run", "--yes"):
        added = alice("signer", "add", "bob", gun, "--key", str(public), extra)
        assert added.status == 0, added.err
        assert "the tags in the 64 hash bins of targets are signed by releases from now on" in added.out + added.err
        assert "moves from" not in added.out + added.err
    signed = bob("sign", f"{gun}:v5", environ=signer)
    assert signed.status == 0, signed.err
    assert {f"v{n}": stock.digest(f"v{n}") for n in range(6)} == {f"v{n}": digests[f"v{n}"] for n in range(6)}
    rotated = alice("key", "rotate", gun, "--role", "repository", "--yes")
    assert rotated.status == 0, rotated.err
    assert "63 of the 64 bins of releases are signed anew" in rotated.out + rotated.err
    raised = alice("threshold", "set", gun, "--role", "releases", "2", "--yes")
    assert raised.status == 0, raised.err
    assert "each of 64 hash bins" in raised.err
    _approve(bob, gun, signer)
    proposed = bob("sign", f"{gun}:v6", environ=signer)
    assert proposed.status == 0, proposed.err
    assert carol("verify", f"{gun}:v6").status == 3
    _approve(alice, gun, {})
    verified = carol("verify", *(f"{gun}:v{n}" for n in range(7)))
    assert verified.out.splitlines() == [f"{gun}:v{n}@{digests[f'v{n}']}" for n in range(7)], verified.err
    assert {f"v{n}": stock.digest(f"v{n}") for n in range(7)} == {f"v{n}": digests[f"v{n}"] for n in range(7)}
    assert carol("verify", f"{gun}@{digests['v6']}").out.strip() == f"{gun}:v6@{digests['v6']}"


def test_what_a_signer_says_lies_in_bins_and_is_put_back_after_a_restore(tmp_path: Path) -> None:
    """Some of them were made after the backup: the service has never heard of those."""
    signer = {"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE, **EARLY}
    service = RunningService(tmp_path).start()
    try:
        alice = replace(service.principal("alice", "AcrPush", "AcrImageSigner"), first=FEW)
        carol = service.principal("carol", "AcrPull")
        dora = replace(service.principal("dora", "AcrPush", "AcrImageSigner"), first=FEW)
        own = Own(service, alice, "bins/said")
        alice.push(f"{own.gun}:base")
        digests, gun = own.images("base", 10), own.gun
        assert alice("sign", *(f"{gun}:v{n}" for n in range(4)), environ=EARLY).status == 0
        for person in (dora, carol):
            assert person("pin", "add", gun, "--root-key", alice.root_key()).status == 0
        public = tmp_path / "dora.pub"
        key = dora("key", "generate", "--name", "dora", environ=signer).out.strip()
        public.write_text(json.loads(dora("key", "show", key).out)["public"])
        added = alice("signer", "add", "dora", gun, "--key", str(public), "--yes")
        assert added.status == 0, added.err
        done = dora("sign", *(f"{gun}:v{n}" for n in range(4, 8)), environ=signer)
        assert done.status == 0, done.err
        policy = tmp_path / "policy.toml"
        rule = f'pattern = "{gun}"\nroot_keys = ["{alice.root_key()}"]\nsigners = ["dora"]'
        policy.write_text(f"version = 1\n[[rule]]\n{rule}\n")
        demanded = ("--policy", str(policy))
        assert carol("verify", f"{gun}:v4", f"{gun}:v7", *demanded).status == 0
        assert carol("verify", f"{gun}:v1", *demanded).slug == "signers-missing"
        service.stop()
        shutil.copytree(service.data, tmp_path / "backup")
        service.start()
        done = dora("sign", f"{gun}:v8", f"{gun}:v9", environ=signer)
        assert done.status == 0, done.err
        assert carol("verify", f"{gun}:v8", *demanded).status == 0
        assert len(list((carol.home / "trustkit").rglob("bins-2-*.json"))) > 4
        service.stop()
        shutil.rmtree(service.data)
        shutil.copytree(tmp_path / "backup", service.data)
        assert service.admin("recover").status == 0
        service.start()
        assert carol("verify", f"{gun}:v8", *demanded).slug == "rolled-back"
        done = dora("recover", gun, "--yes", environ=signer)
        assert done.status == 0, done.err
        assert alice("recover", gun, "--yes").status == 0
        verified = carol("verify", *(f"{gun}:v{n}" for n in range(4, 10)), *demanded)
        assert verified.out.splitlines() == [f"{gun}:v{n}@{digests[f'v{n}']}" for n in range(4, 10)], verified.err
        stock = Stock(carol, gun, tmp_path / "stock")
        assert {f"v{n}": stock.digest(f"v{n}") for n in range(10)} == {f"v{n}": digests[f"v{n}"] for n in range(10)}
    finally:
        service.stop()


def _approve(person: Person, gun: str, environ: dict[str, str]) -> None:
    (waiting,) = json.loads(person("proposal", "list", gun, "--format", "json").out)
    approved = person("approve", gun, waiting["id"], "--yes", environ=environ)
    assert approved.status == 0, approved.err
    assert "is current now" in approved.err


def test_the_gate_serves_what_lies_in_bins(
    service: RunningService, alice: Person, carol: Person, grown: tuple[Own, dict[str, str]]
) -> None:
    """Each signature moves one bin; what is served by tag and by digest moves with it, and nothing else does."""
    own, digests = grown
    assert alice("sign", f"{own.gun}:v4", environ=EARLY).status == 0
    for n in range(5):
        assert _pulled(service, carol, "bins/grown", f"v{n}") == digests[f"v{n}"]
    assert _pulled(service, carol, "bins/grown", "v6") == ""
    assert alice("sign", f"{own.gun}:v6").status == 0
    assert _pulled(service, carol, "bins/grown", "v6") == digests["v6"]
    assert _pulled(service, carol, "bins/grown", digests["v6"]) == digests["v6"]
    assert alice("revoke", f"{own.gun}:v6").status == 0
    assert _pulled(service, carol, "bins/grown", "v6") == ""
    assert _pulled(service, carol, "bins/grown", digests["v6"]) == ""
    assert [_pulled(service, carol, "bins/grown", digests[f"v{n}"]) for n in range(4)] == [
        digests[f"v{n}"] for n in range(4)
    ]


def _pulled(service: RunningService, person: Person, repository: str, reference: str) -> str:
    """The digest of what anybody gets for a tag or a digest; empty where that is refused."""
    connection = http.client.HTTPConnection(service.host, timeout=30)
    token = person.token(service.host, f"repository:{repository}:pull")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.oci.image.manifest.v1+json"}
    connection.request("GET", f"/v2/{repository}/manifests/{reference}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status in (200, 403), body
    return str(Digest.of(body)) if answer.status == 200 else ""


def test_a_bundle_has_the_bins(
    alice: Person, carol: Person, grown: tuple[Own, dict[str, str]], tmp_path: Path
) -> None:
    own, digests = grown
    assert alice("sign", f"{own.gun}:v4", environ=EARLY).status == 0
    bundle = tmp_path / "bundle.tar"
    made = alice("bundle", "create", f"{own.gun}:v1", "-o", str(bundle))
    assert made.status == 0, made.err
    assert carol("pin", "add", own.gun, "--root-key", alice.root_key()).status == 0
    found = carol("verify", "--bundle", str(bundle), "--max-age", "1d", f"{own.gun}:v1", f"{own.gun}:v7")
    assert found.status == 3
    assert found.out.strip() == f"{own.gun}:v1@{digests['v1']}"


def test_what_a_restore_lost_is_put_back_by_who_saw_some_of_the_bins(tmp_path: Path) -> None:
    """A home has the bins of what it signed; the others are at the service as they were, or it is refused."""
    service = RunningService(tmp_path).start()
    try:
        alice = replace(service.principal("alice", "AcrPush", "AcrImageSigner"), first=FEW)
        carol = service.principal("carol", "AcrPull")
        own = Own(service, alice, "bins/lost")
        alice.push(f"{own.gun}:base")
        digests = own.images("base", 7)
        assert alice("sign", *(f"{own.gun}:v{n}" for n in range(4))).status == 0
        assert alice("sign", f"{own.gun}:v4", environ=EARLY).status == 0
        assert carol("pin", "add", own.gun, "--root-key", alice.root_key()).status == 0
        service.stop()
        shutil.copytree(service.data, tmp_path / "backup")
        service.start()
        assert alice("sign", f"{own.gun}:v5").status == 0
        assert carol("verify", f"{own.gun}:v5").status == 0
        service.stop()
        shutil.rmtree(service.data)
        shutil.copytree(tmp_path / "backup", service.data)
        assert service.admin("recover").status == 0
        service.start()
        assert carol("verify", f"{own.gun}:v5").slug == "rolled-back"
        other = Person("other", tmp_path / "other", {"DOCKER_CONFIG": str(alice.home / "docker")})
        shutil.copytree(alice.home / "trustkit", other.home / "trustkit")
        for gone in (other.home / "trustkit").rglob("bins-1-*.json"):
            gone.unlink()
        refused = other("recover", own.gun, "--yes")
        assert (refused.status, refused.slug) == (1, "state"), refused.err
        assert "1 of the hash bins" in refused.err
        done = alice("recover", own.gun, "--yes")
        assert done.status == 0, done.err
        assert carol("verify", f"{own.gun}:v5", f"{own.gun}:v1").out.splitlines() == [
            f"{own.gun}:v5@{digests['v5']}",
            f"{own.gun}:v1@{digests['v1']}",
        ]
        assert alice("sign", f"{own.gun}:v6").status == 0
    finally:
        service.stop()


def test_more_tags_than_one_file_is_for_found_a_collection_in_bins(service: RunningService, alice: Person) -> None:
    own = Own(service, alice, "bins/founded")
    alice.push(f"{own.gun}:base")
    digests = own.images("base", 5)
    done = alice("sign", *(f"{own.gun}:v{n}" for n in range(5)), environ=EARLY)
    assert done.status == 0, done.err
    assert "its tags are put into 1024 files" in done.err
    verified = alice("verify", *(f"{own.gun}:v{n}" for n in range(5)))
    assert verified.out.splitlines() == [f"{own.gun}:v{n}@{digests[f'v{n}']}" for n in range(5)], verified.err
