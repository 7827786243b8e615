"""Push without a gap: the registry's own tag moves only after the signature is published, whatever refuses it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.registry_view import Own
from tests.real.parts import within
from tests.service import Person, Result, RunningService
from trustkit.cli.demo_images import write_image

ARCHITECTURES = ("amd64", "arm64")


@dataclass
class Release:
    """A repository whose tag v1 is signed and pushed, and a new image for it in a layout."""

    own: Own
    layout: str
    old: str
    new: str

    def push(self, who: Person, *flags: str, **environ: str) -> Result:
        return who("push", "--sign", *flags, self.layout, f"{self.own.gun}:v1", environ=environ)

    def unmoved(self) -> None:
        """Asserts that the registry's own tag, and what is signed, are what they were."""
        assert self.own.tag("v1") == self.old
        assert self.own.person("verify", f"{self.own.gun}:v1").out.strip() == f"{self.own.gun}:v1@{self.old}"


def make(service: RunningService, who: Person, repository: str, folder: Path) -> Release:
    own = Own(service, who, repository)
    old = write_image(folder / "old", "t", "old")
    new = write_image(folder / "new", "t", "new", architectures=ARCHITECTURES)
    first = who("push", "--sign", f"oci:{folder / 'old'}:t", f"{own.gun}:v1")
    assert (first.status, first.out.strip()) == (0, f"{own.gun}:v1@{old}"), first.err
    return Release(own, f"oci:{folder / 'new'}:t", old, new)


@pytest.fixture(params=[False, True], ids=["ordinary", "trust-only"])
def release(request: pytest.FixtureRequest, service: RunningService, alice: Person, tmp_path: Path) -> Release:
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    repository = f"{'strict' if request.param else 'plain'}/{name}"
    assert service.admin("repository", "set", "strict/*", "--trust-only").status == 0
    return make(service, alice, repository, tmp_path)


def test_the_tag_is_signed_and_moved(release: Release, carol: Person) -> None:
    alice, gun = release.own.person, release.own.gun
    done = release.push(alice, "--recursive")
    assert (done.status, done.out.strip()) == (0, f"{gun}:v1@{release.new}"), done.err
    assert release.own.tag("v1") == release.new
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    assert carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{release.new}"
    child = next(line.split()[1] for line in done.err.splitlines() if line.startswith("  with "))
    assert carol("verify", f"{gun}@{child}").status == 0
    again = release.push(alice)
    assert (again.status, again.out.strip()) == (0, f"{gun}:v1@{release.new}"), "again changes nothing"


WRONG_KEYS = {
    "a wrong passphrase": ("wrong", 6, "wrong-passphrase"),
    "no passphrase": ("", 6, "no-passphrase"),
}


@pytest.mark.parametrize(("passphrase", "status", "slug"), WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_a_passphrase_that_is_not_right_moves_nothing(
    release: Release, passphrase: str, status: int, slug: str
) -> None:
    refused = release.push(release.own.person, TRUSTKIT_REPOSITORY_PASSPHRASE=passphrase)
    assert (refused.status, refused.slug, refused.out) == (status, slug, "")
    gun = release.own.gun
    assert f"in the registry as {gun}@{release.new} only; {gun}:v1 was not moved to it." in refused.err
    assert release.own.tag(release.new) == release.new
    release.unmoved()
    assert release.push(release.own.person).status == 0, "and the right one mends it"
    assert release.own.tag("v1") == release.new


def test_who_has_no_key_for_it_moves_nothing(service: RunningService, release: Release) -> None:
    name = f"other-{release.own.repository.replace('/', '-')}"
    other = service.principal(name, "AcrPush", "AcrImageSigner")
    assert other("pin", "add", release.own.gun, "--root-key", release.own.person.root_key()).status == 0
    refused = release.push(other)
    assert (refused.status, refused.slug) == (6, "key-missing")
    release.unmoved()


@pytest.mark.parametrize("role", ["AcrPush", "AcrImageSigner", "AcrPull"])
def test_who_lacks_a_role_is_told_before_anything_is_sent(
    service: RunningService, release: Release, role: str
) -> None:
    name = f"{role.lower()}-{release.own.repository.replace('/', '-')}"
    refused = release.push(service.principal(name, role))
    assert (refused.status, refused.slug) == (5, "role-missing")
    assert {r for r in ("AcrPush", "AcrImageSigner") if r in refused.err} == {"AcrPush", "AcrImageSigner"} - {role}
    release.unmoved()
    assert release.own.tag(release.new) == "", "not even the manifest was sent"
    assert "in the registry as" not in refused.err


def test_a_first_push_that_is_refused_leaves_no_tag(service: RunningService, alice: Person, tmp_path: Path) -> None:
    own = Own(service, alice, f"first/{tmp_path.name.replace('_', '-')}")
    digest = write_image(tmp_path / "new", "t", "first")
    push = ("push", "--sign", f"oci:{tmp_path / 'new'}:t", f"{own.gun}:v1")
    lame = service.principal(f"lame-{tmp_path.name.replace('_', '-')}", "AcrPush")
    assert (lame(*push).slug, own.tag("v1"), own.tag(digest)) == ("role-missing", "", "")
    refused = alice(*push, environ={"TRUSTKIT_ROOT_PASSPHRASE": ""})
    assert (refused.status, refused.slug, refused.out) == (6, "no-passphrase", "")
    assert (own.tag("v1"), own.tag(digest)) == ("", digest)
    assert f"{own.gun}@{digest} only" in refused.err
    assert alice(*push).status == 0
    assert own.tag("v1") == digest


def test_a_service_that_refuses_the_founder_moves_nothing(
    service: RunningService, alice: Person, tmp_path: Path
) -> None:
    own = Own(service, alice, "founders/app")
    alice.push(f"{own.gun}:v1", "old")
    old = own.tag("v1")
    assert service.admin("founders", "add", "founders/*", "--root-key", "f" * 64).status == 0
    write_image(tmp_path / "new", "t", "new")
    refused = alice("push", "--sign", f"oci:{tmp_path / 'new'}:t", f"{own.gun}:v1")
    assert (refused.status, refused.slug, own.tag("v1")) == (1, "founder-not-allowed", old)


def test_content_trust_that_is_off_moves_nothing(service: RunningService, release: Release) -> None:
    alice, name = release.own.person, f"{release.own.gun}:v1"
    assert service.admin("policy", "set", "content-trust", "disabled", "--force").status == 0
    try:
        assert within(10, lambda: alice("verify", name).slug == "content-trust-disabled")
        refused = release.push(alice)
        assert (refused.status, refused.slug, refused.out) == (4, "content-trust-disabled", "")
    finally:
        assert service.admin("policy", "set", "content-trust", "enabled").status == 0
    assert within(10, lambda: alice("verify", name).status == 0)
    release.unmoved()


@pytest.mark.parametrize(
    ("reference", "status", "slug"),
    [("v1@sha256:" + "0" * 64, 3, "digest-mismatch"), ("", 2, "invalid-reference")],
    ids=["another-digest", "no-tag"],
)
def test_what_is_named_otherwise_is_not_pushed(release: Release, reference: str, status: int, slug: str) -> None:
    name = f"{release.own.gun}:{reference}" if reference else release.own.gun
    refused = release.own.person("push", "--sign", release.layout, name)
    assert (refused.status, refused.slug) == (status, slug)
    assert release.own.tag(release.new) == ""
    release.unmoved()


@pytest.mark.parametrize("flags", [["--recursive"], ["--root-key", "0" * 64], ["--passphrase-fd", "0"]])
def test_options_about_signing_need_sign(alice: Person, flags: list[str]) -> None:
    refused = alice("push", *flags, "oci:/nowhere:t", "a.example.com/b:c")
    assert (refused.status, refused.slug) == (2, "usage")
