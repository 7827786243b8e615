"""Stock clients as processes, run as somebody who has logged in with ``trustkit login``."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.service import Person, Result, RunningService

SECONDS = 120.0
"""How long a client may take; a busy machine is slow, and no test needs this to be short."""

Anybody = Person | dict[str, str]


@dataclass(frozen=True)
class Tool:
    """A program, run with the Docker configuration of a person, or with this environment."""

    program: Path
    environ: dict[str, str]

    def __call__(self, who: Anybody, *arguments: str, feed: bytes = b"") -> Result:
        theirs = who.environment() if isinstance(who, Person) else who
        done = subprocess.run(
            [self.program, *arguments],
            env={**os.environ, **self.environ, **theirs},
            input=feed,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass(frozen=True)
class Docker:
    """The stock command line with a real engine of its own."""

    tool: Tool

    @property
    def host(self) -> str:
        """DOCKER_HOST."""
        return self.tool.environ["DOCKER_HOST"]

    def __call__(self, who: Anybody, *arguments: str, feed: bytes = b"") -> Result:
        return self.tool(who, *arguments, feed=feed)

    def make(self, reference: str, text: str) -> None:
        """An image whose one file says ``text``, on the engine under this name."""
        done = self.tool({}, "import", "-", reference, feed=archive(text))
        assert done.status == 0, done.err

    def push(self, who: Anybody, reference: str, text: str = "") -> str:
        """Makes an image unless ``text`` is empty, and pushes it; returns the digest that docker prints."""
        if text:
            self.make(reference, text)
        done = self.tool(who, "push", reference)
        assert done.status == 0, done.err
        found = re.search(r"digest: (sha256:[0-9a-f]{64})", done.out)
        assert found, done.out
        return found[1]

    def pull(self, who: Anybody, reference: str) -> str:
        """Pulls by tag with nothing but docker; returns the digest that docker prints."""
        done = self.tool(who, "pull", reference)
        assert done.status == 0, done.err
        found = re.search(r"Digest: (sha256:[0-9a-f]{64})", done.out)
        assert found, done.out
        return found[1]

    def digests(self, reference: str) -> list[str]:
        """The repository digests of an image on the engine; none where it isn't there."""
        done = self.tool({}, "image", "inspect", "--format", "{{json .RepoDigests}}", reference)
        return list(json.loads(done.out)) if done.status == 0 else []

    def forget(self, *references: str) -> None:
        """Takes images off the engine, so that what is there afterwards was pulled afterwards."""
        self.tool({}, "image", "rm", "--force", *references)


@dataclass(frozen=True)
class Skopeo:
    """skopeo towards registries without TLS."""

    tool: Tool

    def __call__(self, who: Anybody, command: str, *arguments: str) -> Result:
        return self.tool(who, command, "--tls-verify=false", *arguments)

    def digest(self, who: Anybody, image: str) -> str:
        """The digest of an image of any transport, as skopeo computes it."""
        done = self(who, "inspect", "--no-tags", "--format", "{{.Digest}}", image)
        assert done.status == 0, done.err
        return done.out.strip()

    def push(self, who: Anybody, folder: Path, reference: str) -> Result:
        """Copies what an OCI layout has under ``t`` into a registry, digest and all."""
        return self(who, "copy", "--all", "--preserve-digests", f"oci:{folder}:t", f"docker://{reference}")


@dataclass(frozen=True)
class Stand:
    """A gateway with a real docker-registry behind it, or without one, and the people who use it.

    Attributes:
        behind: HOST:PORT of the docker-registry; empty for the embedded registry.
        alice: may push and sign.
        bob: may push.
        carol: may pull.
    """

    service: RunningService
    behind: str
    alice: Person
    bob: Person
    carol: Person

    @property
    def host(self) -> str:
        return self.service.host

    def trust_only(self, pattern: str, *, on: bool = True) -> None:
        """Sets it for repositories that nothing was asked of before, so that it holds at the first request."""
        flag = "--trust-only" if on else "--no-trust-only"
        assert self.service.admin("repository", "set", pattern, flag).status == 0

    def pinned(self, who: Person, gun: str) -> None:
        """Has somebody pin a collection to alice's root key."""
        assert who("pin", "add", gun, "--root-key", self.alice.root_key()).status == 0

    @classmethod
    def of(cls, service: RunningService, behind: str = "") -> Stand:
        """The usual people of a service, logged in."""
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        bob, carol = service.principal("bob", "AcrPush"), service.principal("carol", "AcrPull")
        return cls(service, behind, alice, bob, carol)


def archive(text: str) -> bytes:
    """A tar archive with one file, as ``docker import -`` takes it."""
    data, out = text.encode(), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold in time, by asking until it does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return holds()
