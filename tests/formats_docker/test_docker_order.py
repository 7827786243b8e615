"""Which digest a tag is: the real docker client asked what it would pull, and the signed view."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile

from tests.formats_docker.forge import GUN, NOW, Forge, ecdsa, eddsa, role_of, rsa_pss, tags
from tests.formats_docker.stand import Attacker, DockerTrust, Hosted
from trustkit.core.formats.docker.evaluate import attributions, evaluate
from trustkit.core.names import Tag
from trustkit.errors import NotTrusted

pytestmark = pytest.mark.real

OLD, NEW = "0d" * 32, "1e" * 32
RELEASES = "targets/releases"


def plain() -> Forge:
    return Forge(roles={"targets": Forge().targets(tags("v1", digest=OLD))})


def released(digest: str = NEW, **members: object) -> Forge:
    made = plain()
    key = ecdsa()
    made.delegate(role_of(RELEASES, key[0], **members), tags("v1", digest=digest), key)  # type: ignore[arg-type]
    return made


def without_file() -> Forge:
    made = plain()
    key = ecdsa()
    made.delegate(role_of(RELEASES, key[0]), None, key)
    return made


def signer_only() -> Forge:
    made = Forge(roles={"targets": Forge().targets({})})
    key = eddsa()
    made.delegate(role_of("targets/alice", key[0]), tags("v1", digest=NEW), key)
    return made


def below_releases() -> Forge:
    made = released()
    made.roles[RELEASES] = made.targets({})
    key = ecdsa()
    made.delegate(role_of(f"{RELEASES}/deep", key[0]), tags("v1", digest=NEW), key)
    return made


def below_releases_elsewhere() -> Forge:
    made = below_releases()
    roles = made.roles[RELEASES].delegations.roles  # type: ignore[union-attr]
    roles[f"{RELEASES}/deep"].paths = ["w"]  # type: ignore[index]
    return made


def without_sha256() -> Forge:
    made = released()
    made.roles[RELEASES] = made.targets({"v1": TargetFile(500, {"sha512": "ab" * 64}, "v1")})
    return made


def expired() -> Forge:
    made = released()
    made.roles[RELEASES].expires = NOW - timedelta(days=1)
    return made


def under_signed() -> Forge:
    made = released()
    made.signers[RELEASES] = [ecdsa()]
    return made


def by_two_of_two(*, signed: bool) -> Forge:
    made = plain()
    first, second = ecdsa(), rsa_pss()
    made.delegate(role_of(RELEASES, first[0], second[0], threshold=2), tags("v1", digest=NEW), first, second)
    if not signed:
        made.signers[RELEASES] = [first]
    return made


@dataclass(frozen=True)
class Row:
    """A collection, what docker would pull for v1, and what our view says; None is a refusal."""

    name: str
    made: Callable[[], Forge]
    docker: str | None
    ours: str | None


ROWS = [
    Row("targets", plain, OLD, OLD),
    Row("releases first", released, NEW, NEW),
    Row("releases has no file", without_file, OLD, OLD),
    Row("releases is for other paths", lambda: released(paths=["w"]), OLD, OLD),
    Row("releases is for its paths", lambda: released(paths=["w", "v"]), NEW, NEW),
    Row("releases is for no path", lambda: released(paths=[]), OLD, OLD),
    Row("another delegation", signer_only, None, None),
    Row("below releases", below_releases, None, None),
    Row("below releases, of other paths", below_releases_elsewhere, OLD, OLD),
    Row("no sha256 in releases", without_sha256, None, None),
    Row("two of two", lambda: by_two_of_two(signed=True), NEW, NEW),
    # docker leaves releases out with a warning, and falls back to what targets says
    Row("releases expired", expired, OLD, None),
    Row("releases under-signed", under_signed, OLD, None),
    Row("one of two", lambda: by_two_of_two(signed=False), OLD, None),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_tag_is_what_docker_would_pull(row: Row, attacker: Attacker, docker_cli: Path, tmp_path: Path):
    files = row.made().files()
    attacker.hosted = Hosted(files, {1: files["root"]})
    docker = DockerTrust(docker_cli, tmp_path, attacker.url, attacker.ca)
    assert docker.pulls(f"{GUN}:v1") == row.docker
    try:
        target = evaluate(files, GUN, NOW).targets.get(Tag("v1"))
        assert (target.digest.hex if target else None) == row.ours
    except NotTrusted:
        assert row.ours is None


def test_who_else_signed_is_what_docker_shows(attacker: Attacker, docker_cli: Path, tmp_path: Path):
    made = released()
    alice, bob, carol = ecdsa(), eddsa(), ecdsa()
    made.delegate(role_of("targets/alice", alice[0]), tags("v1", digest=NEW), alice)
    made.delegate(role_of("targets/bob", bob[0]), tags("v1", digest=OLD), bob)  # another digest
    made.delegate(role_of("targets/carol", carol[0]), tags("v1", digest=NEW), carol)
    made.signers["targets/carol"] = [ecdsa()]  # another's signature
    files = made.files()
    attacker.hosted = Hosted(files, {1: files["root"]})
    view = evaluate(files, GUN, NOW)
    assert attributions(files, view, NOW) == {Tag("v1"): {"alice"}}
    ran = DockerTrust(docker_cli, tmp_path, attacker.url, attacker.ca)("trust", "inspect", str(GUN))
    (shown,) = json.loads(ran.output[ran.output.index("[\n") : ran.output.rindex("]") + 1])
    # it shows what targets says of the tag as well, though it would never be pulled
    assert [entry for entry in shown["SignedTags"] if entry["Digest"] != OLD] == [
        {"SignedTag": "v1", "Digest": NEW, "Signers": ["alice"]}
    ]
    keys = {entry["Name"]: [key["ID"] for key in entry["Keys"]] for entry in shown["AdministrativeKeys"]}
    assert keys == {"Root": list(view.root_keys), "Repository": list(view.target_keys)}
