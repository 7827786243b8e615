"""What happens in the middle of a ``push --sign``: machines that fail, and others who push, sign and revoke."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.registry_view import ACCEPT
from tests.e2e.test_push_sign import Release, make
from tests.service import Person, RunningService
from trustkit.cli.context import Context
from trustkit.cli.demo_images import write_image
from trustkit.cli.moving import layout_image
from trustkit.cli.publishing import signing_with
from trustkit.client.push import push_signed
from trustkit.client.sign import Sign, SignedTag
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import ImageSource, ManifestBytes
from trustkit.core.ports.remote import ImageRegistry
from trustkit.errors import CouldNotCheck, TagMoved


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
            _Source(layout_image(context, Path(folder), tag), after),
            ImageRef.parse(f"{self.release.own.gun}:v1"),
            _Registry(context.registry, before_tag),  # type: ignore[arg-type] # the one method that is used
            _Sign(signing_with(context), signed),  # type: ignore[arg-type] # the three methods that are used
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
