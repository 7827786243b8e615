"""A node's images, and containerd's verifier run on them as containerd runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.service import Person, RunningService
from trustkit.hooks.judging import DESCRIPTOR

VERIFIER = Path(sys.executable).parent / "trustkit-containerd-verifier"
OTHER = "sha256:" + "a" * 64
MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Image:
    """A signed image: its name without tag, its digest, its length in bytes."""

    name: str
    digest: str
    length: int

    def descriptor(self, **other: object) -> str:
        return json.dumps({"mediaType": MEDIA_TYPE, "digest": self.digest, "size": self.length} | other)


def signed(
    service: RunningService, publisher: Person, node: Person, repository: str, tag: str = "v1", *, text: str = ""
) -> Image:
    """A new image, signed, and its publisher pinned at the node."""
    name = f"{service.host}/{repository}"
    digest = publisher.push(f"{name}:{tag}", text)
    assert publisher("sign", f"{name}:{tag}").status == 0
    assert node("pin", "add", name, "--root-key", publisher.root_key()).status == 0
    return Image(name, digest, manifest_length(service, node, repository, tag))


def manifest_length(service: RunningService, person: Person, repository: str, tag: str = "v1") -> int:
    token = person.token(service.host, f"repository:{repository}:pull")
    request = urllib.request.Request(
        f"http://{service.host}/v2/{repository}/manifests/{tag}",
        headers={"Authorization": f"Bearer {token}", "Accept": MEDIA_TYPE},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return len(answer.read())


def flags(name: str, digest: str) -> list[str]:
    return ["-name", name, "-digest", digest, "-stdin-media-type", DESCRIPTOR]


def run(person: Person, *arguments: str, feed: str = "", environ: dict[str, str] | None = None) -> tuple[int, str]:
    """The status and the reason; there is always one, in one line, and never a traceback."""
    done = subprocess.run(
        [str(VERIFIER), *arguments],
        input=feed,
        env={"PATH": "/usr/bin:/bin", **person.environment(), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stdout.strip(), "there is always a reason"
    return done.returncode, done.stdout.strip()
