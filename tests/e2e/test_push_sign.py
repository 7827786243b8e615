"""Push without a gap: the registry's own tag moves only after the signature is published, whatever refuses it."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.registry_view import ACCEPT, Own
from tests.real.parts import within
from tests.service import Person, Result, RunningService
from trustkit.cli.context import Context
from trustkit.cli.demo_images import write_image
from trustkit.client.push import push_signed
from trustkit.client.sign import Sign, SignedTag
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import ImageSource, ManifestBytes
from trustkit.core.ports.remote import ImageRegistry
from trustkit.errors import CouldNotCheck, TagMoved

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


@dataclass
class Stage:
    """A service and a publisher of its own, whose machine fails in the middle of a push."""

    service: RunningService
    alice: Person
    carol: Person
    release: Release
    said: list[str] = field(default_factory=list)

    def push(
        self,
        *,
        after: Callable[[], None] = lambda: None,
        signed: Callable[[], None] = lambda: None,
        before_tag: Callable[[], None] = lambda: None,
    ) -> None:
        """Pushes and signs in this process.

        Args:
            after: what happens when everything is pushed by digest, before it is signed.
            signed: what happens when it is signed.
            before_tag: what happens when that was looked at once more, before the tag moves.
        """
        context = Context(home_flag=None, environ={**os.environ, **self.alice.environment()})
        folder, _, tag = self.release.layout.removeprefix("oci:").rpartition(":")
        push_signed(
            _Source(context.layout_image(Path(folder), tag), after),
            ImageRef.parse(f"{self.release.own.gun}:v1"),
            _Registry(context.registry, before_tag),  # type: ignore[arg-type] # the one method that is used
            _Sign(context.signing(), signed),  # type: ignore[arg-type] # the three methods that are used
            say=self.said.append,
        )

    def other(self, text: str) -> str:
        """Somebody else pushes and signs v1 meanwhile; the digest that it has then."""
        folder = self.service.folder / text
        digest = write_image(folder, "t", text)
        done = self.alice("push", "--sign", f"oci:{folder}:t", f"{self.release.own.gun}:v1")
        assert done.status == 0, done.err
        return digest


@dataclass
class _Sign:
    sign_: Sign
    then: Callable[[], None]

    def require(self, gun: Gun) -> None:
        self.sign_.require(gun)

    def sign(self, refs: list[ImageRef], *, root_key: str | None, recursive: bool) -> list[SignedTag]:
        signed = self.sign_.sign(refs, root_key=root_key, recursive=recursive)
        self.then()
        return signed

    def signed(self, gun: Gun, tag: Tag) -> Digest | None:
        return self.sign_.signed(gun, tag)


@dataclass
class _Source:
    source: ImageSource
    then: Callable[[], None]

    def push(self, gun: Gun, wanted: Digest | None = None) -> ManifestBytes:
        pushed = self.source.push(gun, wanted)
        self.then()
        return pushed


@dataclass
class _Registry:
    registry: ImageRegistry
    first: Callable[[], None]

    def put_manifest(self, gun: Gun, reference: Tag | Digest, manifest: ManifestBytes) -> None:
        self.first()
        self.registry.put_manifest(gun, reference, manifest)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    service = RunningService(tmp_path).start()
    alice, carol = service.principal("alice", "AcrPush", "AcrImageSigner"), service.principal("carol", "AcrPull")
    assert service.admin("repository", "set", "app", "--trust-only").status == 0
    release = make(service, alice, "app", tmp_path)
    assert carol("pin", "add", release.own.gun, "--root-key", alice.root_key()).status == 0
    yield Stage(service, alice, carol, release)
    service.stop()


def test_a_service_that_goes_down_before_the_signature_leaves_the_tag(stage: Stage) -> None:
    with pytest.raises(CouldNotCheck):
        stage.push(after=stage.service.kill)
    stage.service.start()
    stage.release.unmoved()
    assert stage.release.own.tag(stage.release.new) == stage.release.new, "what was pushed by digest waits"
    assert stage.release.push(stage.alice).status == 0
    assert stage.release.own.tag("v1") == stage.release.new


@pytest.mark.parametrize("crash", ["the service", "the publisher"])
def test_between_signature_and_tag_everybody_gets_what_is_signed(stage: Stage, crash: str, tmp_path: Path) -> None:
    release, name = stage.release, f"{stage.release.own.gun}:v1"
    if crash == "the service":
        with pytest.raises(CouldNotCheck):
            stage.push(before_tag=stage.service.kill)
        assert "was not moved" in stage.said[0]
        stage.service.start()
    else:
        with pytest.raises(KeyboardInterrupt):
            stage.push(before_tag=_interrupted)
    assert release.own.tag("v1") == release.old
    assert stage.carol("verify", name).out.strip() == f"{name}@{release.new}"
    assert stage.carol("pull", name, "--to", f"oci:{tmp_path / 'pulled'}").out.strip() == f"{name}@{release.new}"
    assert served(stage, "v1") == release.new, "any client gets it from a trust-only repository by tag"
    again = release.push(stage.alice)
    assert (again.status, release.own.tag("v1")) == (0, release.new), again.err


@pytest.mark.parametrize("moment", ["when it is signed", "before the tag moves"])
def test_a_tag_that_somebody_else_signs_meanwhile_is_not_told_as_ours(stage: Stage, moment: str) -> None:
    release, name = stage.release, f"{stage.release.own.gun}:v1"
    theirs: list[str] = []

    def meanwhile() -> None:
        theirs.append(stage.other("theirs"))

    with pytest.raises(TagMoved) as raised:
        stage.push(**{"signed" if moment == "when it is signed" else "before_tag": meanwhile})
    assert f"{name} is meanwhile signed for {theirs[0]} by somebody else" in raised.value.message
    assert stage.carol("verify", name).out.strip() == f"{name}@{theirs[0]}"
    assert release.own.tag("v1") == (theirs[0] if moment == "when it is signed" else release.new)
    assert served(stage, "v1") == theirs[0]
    assert stage.other("theirs") == theirs[0]
    assert release.own.tag("v1") == theirs[0], "they push again, as the hint says"


def test_a_tag_that_somebody_else_revokes_meanwhile_is_not_moved(stage: Stage) -> None:
    name = f"{stage.release.own.gun}:v1"

    def meanwhile() -> None:
        assert stage.alice("revoke", name).status == 0

    with pytest.raises(TagMoved, match="was meanwhile revoked by somebody else, so the registry's own tag was not"):
        stage.push(signed=meanwhile)
    assert stage.release.own.tag("v1") == stage.release.old


@pytest.mark.parametrize("moment", ["after", "before_tag"])
def test_a_tag_that_somebody_else_moves_unsigned_is_what_is_signed_in_the_end(stage: Stage, moment: str) -> None:
    name = f"{stage.release.own.gun}:v1"
    bob = stage.service.principal("bob", "AcrPush")
    stage.push(**{moment: lambda: str(bob.push(name, "unsigned"))})  # type: ignore[arg-type] # its answer isn't used
    assert stage.release.own.tag("v1") == stage.release.new
    assert stage.carol("verify", name).out.strip() == f"{name}@{stage.release.new}"


def _interrupted() -> None:
    raise KeyboardInterrupt


def served(stage: Stage, tag: str) -> str:
    """The digest that a client that knows nothing of trust gets for a tag."""
    token = stage.carol.token(stage.service.host, "repository:app:pull")
    headers = {"Authorization": f"Bearer {token}", "Accept": ACCEPT}
    request = urllib.request.Request(f"{stage.service.url}/v2/app/manifests/{tag}", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(Digest.of(answer.read()))
