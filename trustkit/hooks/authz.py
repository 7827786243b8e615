"""What Docker's engine may do, by policy: the judgement behind ``trustkit docker-authz``.

An engine says before each request what it was asked for; a plugin can refuse it and can't change it.  So nothing here
rests on a tag: the engine looks it up a moment later, and its registry, ``docker tag`` or a build may have moved it.
What counts are digests, which the engine itself checks when it pulls:

- images are pulled by a digest that the policy lets in;
- a container is made by such a digest, by an image's full id, or by a name under which the engine has it now;
- a container is started where its image, which nothing can exchange any more, has such a digest.

Everything else that could bring an image, or start one, is a ``Door`` and closed, or unknown and refused.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Protocol

from trustkit.client.enforce import Verdict
from trustkit.core.familiar import familiar
from trustkit.core.names import Digest, Gun, ImageRef, shown
from trustkit.errors import CouldNotCheck, InvalidName, InvalidReference, TrustkitError, UsageError
from trustkit.hooks.authz_request import EngineRequest, Members
from trustkit.hooks.authz_routes import Door, Route, route

MAX_NAMES = 32
"""Names of one image that are asked about."""
_FULL_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})\Z")
_HEX = re.compile(r"[0-9a-f]+\Z")
_LIKE_AN_ID = re.compile(r"(?:sha256:.*|[0-9a-f]+)\Z")


@dataclass(frozen=True, slots=True)
class Held:
    """An image on the engine.

    Attributes:
        id: which nothing else has, ever.
        digests: by which it was pulled or pushed, each at a repository; the engine has computed them.
        tags: that it has just now.
    """

    id: str
    digests: tuple[ImageRef, ...] = ()
    tags: tuple[ImageRef, ...] = ()

    def has(self, gun: Gun, digest: Digest) -> bool:
        """Whether it is this digest of this repository."""
        return ImageRef(gun, None, digest) in self.digests


@dataclass(frozen=True, slots=True)
class Made:
    """A container on the engine: its id, and that of the image that it was made of."""

    id: str
    image: str


class EngineView(Protocol):
    """What the engine says of what it has."""

    def image(self, name: str) -> Held | None:
        """The image that it has under a name or id, as it would find it for a container; raises EngineFailed."""

    def container(self, name: str) -> Made | None:
        """The container that it has under a name, an id or the beginning of one; raises EngineFailed."""

    def beginning(self, text: str) -> list[Made]:
        """All containers whose id begins so; raises EngineFailed."""


class Ask(Protocol):
    """The policy's word."""

    def __call__(self, ref: ImageRef) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the engine may do it, and why; the reason is empty for what isn't judged."""

    allowed: bool
    reason: str = ""


class Judgement:
    """The answers for one moment; raises nothing that is about a request.

    Args:
        ask: the policy's word.
        engine: what is on the engine.
        opened: what is let through without being looked at.
    """

    def __init__(self, ask: Ask, engine: EngineView, opened: Set[Door] = frozenset()) -> None:
        self._ask, self._engine, self._opened = ask, engine, opened

    def __call__(self, request: EngineRequest) -> Answer:
        """The answer to one request."""
        if request.reading:
            return Answer(allowed=True)
        try:
            return self._judged(request)
        except TrustkitError as error:
            return _refused(error)

    def _judged(self, request: EngineRequest) -> Answer:
        path = request.path()
        found = route(request.method, path)
        if isinstance(found, Door):
            return self._door(found)
        match found:
            case Route.FREE:
                return Answer(allowed=True)
            case Route.CREATE_IMAGE:
                return self._create_image(request)
            case Route.TAG_IMAGE:
                return self._tag(request, path.removeprefix("images/").removesuffix("/tag"))
            case Route.CREATE_CONTAINER:
                return self._create_container(request.members())
            case Route.START_CONTAINER | Route.RESTART_CONTAINER | Route.RENAME_CONTAINER | Route.UPDATE_CONTAINER:
                return self._start(request, path.split("/", 1)[1].rpartition("/")[0])
        return Answer(False, f"{shown(request.method)} {shown(path)} is nothing that trustkit knows to be harmless.")

    def _door(self, door: Door) -> Answer:
        if door in self._opened:
            return Answer(True, f"{door} is let through without being looked at")
        return Answer(
            False,
            f"{door}: which images that brings or runs isn't shown to trustkit. Have signed images built elsewhere "
            f"and pull them: trustkit pull; or whoever runs this host opens it: --unsafe-allow {door}.",
        )

    def _create_image(self, request: EngineRequest) -> Answer:
        found = request.query("fromImage", "fromSrc", "tag")
        if found["fromSrc"] and not found["fromImage"]:
            return self._door(Door.IMPORT)
        request.bodiless()
        if found["fromSrc"] or not found["fromImage"]:
            raise UsageError("The request names no image to pull, or a source beside it.")
        return self._pull(_pulled(found["fromImage"], found["tag"]))

    def _pull(self, ref: ImageRef) -> Answer:
        verdict = self._ask(ref)
        if verdict.allowed and verdict.trusted is not None and ref.digest is None:
            signed = f"{ref.gun}@{verdict.digest}"
            return Answer(
                False,
                f"{ref} is signed, as {verdict.digest}, and docker would take whatever the registry has under the "
                f"tag. Pull what is signed: trustkit pull {ref}, or: docker pull {signed}",
            )
        return _of(verdict)

    def _create_container(self, body: Members) -> Answer:
        image = body.one("Image")
        if not isinstance(image, str) or not image:
            raise UsageError("The request names no image for the container.")
        for holder in (body, body.object("HostConfig")):
            for mount in holder.objects("Mounts"):
                kind = mount.one("Type")
                if isinstance(kind, str) and kind.casefold() == "image":
                    mounted = self._mounted(mount.one("Source"))
                    if not mounted.allowed:
                        return mounted
        return self._image(image)

    def _mounted(self, source: object) -> Answer:
        """An image that is mounted is looked up when the container starts: a digest is, then, what it was."""
        if not isinstance(source, str) or "@sha256:" not in source:
            raise UsageError("An image is mounted without a digest.", hint="Name it as NAME@sha256:...")
        return self._image(source)

    def _image(self, name: str) -> Answer:
        if _FULL_ID.match(name):
            return self._by_id(self._engine.image(name), name)
        if _LIKE_AN_ID.match(name):
            raise UsageError(
                f"{shown(name)} may be the beginning of an image's id.", hint="Write the whole id, or NAME:TAG."
            )
        ref = familiar(name)
        verdict = self._ask(ref)
        if not verdict.allowed or verdict.trusted is None or ref.digest is not None:
            return _of(verdict)
        held = self._engine.image(name)
        if held is None:
            return Answer(
                False, f"{ref} is signed, and this engine has no such image yet. Pull it: trustkit pull {ref}"
            )
        if not _is(held, ref, verdict):
            return Answer(
                False,
                f"{ref} is signed as {verdict.digest}, and this engine has another image under that name. Pull what "
                f"is signed: trustkit pull {ref}",
            )
        return _of(verdict)

    def _start(self, request: EngineRequest, name: str) -> Answer:
        if any(request.query("checkpoint", "checkpoint-dir").values()):
            raise UsageError("A container is started from a checkpoint, which may be of anything.")
        made = self._engine.container(name)
        if made is None:
            raise UsageError(f"There is no container {shown(name)} on this engine.")
        answer = self._by_id(self._engine.image(made.image), made.image)
        if _HEX.match(name) and not made.id.startswith(name):
            for other in self._engine.beginning(name):  # what the engine finds once nothing has that name
                if answer.allowed:
                    answer = self._by_id(self._engine.image(other.image), other.image)
        return answer

    def _by_id(self, held: Held | None, name: str) -> Answer:
        """Whether any name by which the engine knows an image lets it in."""
        if held is None:
            raise UsageError(f"The engine no longer knows the image {shown(name)} by any name.", hint=_PULL_AGAIN)
        refused = Answer(
            False,
            f"The image {held.id[:19]} has no digest of a registry: it was built, loaded or committed here. "
            f"{_PULL_AGAIN}",
        )
        for ref in (*held.digests, *held.tags)[:MAX_NAMES]:
            verdict = self._ask(ref)
            if verdict.allowed and (verdict.trusted is None or _is(held, ref, verdict)):
                return _of(verdict)
            if ref.digest is not None and not verdict.allowed:
                refused = _of(verdict)
        return refused

    def _tag(self, request: EngineRequest, source: str) -> Answer:
        """A tag that containers can be made by never leaves what is signed, not even for a moment.

        One that the policy refuses is free: nothing is started by it.
        """
        request.bodiless()
        found = request.query("repo", "tag")
        repo, tag = found["repo"], found["tag"]
        ref = familiar(f"{repo}:{tag}" if tag else repo)
        if ref.digest is not None or (tag and ":" in repo.rpartition("/")[2]):
            raise UsageError(f"{shown(repo)} is no name that can be given to an image.")
        verdict = self._ask(ref)
        if isinstance(verdict.error, CouldNotCheck) and not verdict.allowed:
            return _of(verdict)
        if not verdict.allowed or verdict.trusted is None:
            return Answer(allowed=True)
        lasting = _FULL_ID.match(source) or "@sha256:" in source
        held = self._engine.image(source) if lasting else None
        if held is not None and _is(held, ref, verdict):
            return _of(verdict)
        return Answer(
            False, f"{ref} is signed as {verdict.digest}, and only that gets its name here: trustkit pull {ref}"
        )


_PULL_AGAIN = "Pull what is signed: trustkit pull NAME:TAG"


def _is(held: Held, ref: ImageRef, verdict: Verdict) -> bool:
    return verdict.digest is not None and held.has(ref.gun, verdict.digest)


def _of(verdict: Verdict) -> Answer:
    return Answer(verdict.allowed, verdict.reason)


def _refused(error: TrustkitError) -> Answer:
    return Answer(False, " ".join(f"{error.message} [{error.slug}] {error.hint}".split()))


def _pulled(name: str, tag: str) -> ImageRef:
    """What ``fromImage`` and ``tag`` mean together, in the forms that clients send.

    Raises:
        UsageError, InvalidReference: another form.
    """
    if ":" in tag:
        try:
            digest = Digest.parse(tag)
        except InvalidName as error:
            raise InvalidReference(error.message, hint="Only sha256 digests are signed.") from error
        if "@" in name or ":" in name.rpartition("/")[2]:
            raise UsageError(f"The request names {shown(name)} and a digest.")
        return ImageRef(familiar(name).gun, None, digest)
    if tag:
        if "@" in name or ":" in name.rpartition("/")[2]:
            raise UsageError(f"The request names {shown(name)} and the tag {shown(tag)}.")
        return familiar(f"{name}:{tag}")
    if "@" not in name and ":" not in name.rpartition("/")[2]:
        raise UsageError(
            f"All tags of {shown(name)} are asked for.", hint="Pull them one by one: trustkit pull NAME:TAG"
        )
    return familiar(name)
