"""Reading a text as a file of a kind, and pinning all that it names; digests are made of the reference's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trustkit.builds.read import FileKind, read
from trustkit.builds.sites import Reading
from trustkit.builds.source import Source
from trustkit.client.pinning import Finding, ReadFile, pinned_text
from trustkit.client.verify import Trusted
from trustkit.core.names import Digest, ImageRef, Tag
from trustkit.core.view import SignedTarget

NAMES = {FileKind.DOCKERFILE: "Dockerfile", FileKind.COMPOSE: "compose.yaml", FileKind.KUBERNETES: "k8s.yaml"}


def reading(
    text: str, kind: FileKind, arguments: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Reading:
    source = Source.decode(NAMES[kind], text.encode())
    return read(source, kind, lambda: environ or {}, arguments or {})[1]


def refs(found: Reading) -> list[str]:
    return [str(site.ref) for site in found.sites]


def digest_of(ref: ImageRef, salt: str = "") -> Digest:
    return Digest.of(f"{ref.gun}:{ref.tag}{salt}".encode())


def trusted(ref: ImageRef, salt: str = "") -> Trusted:
    digest = digest_of(ref, salt)
    return Trusted(ref.gun, digest, SignedTarget(ref.tag or Tag("any"), digest, 1, "", "targets"))


def pin(
    text: str,
    kind: FileKind,
    arguments: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    salt: str = "",
) -> str:
    source = Source.decode(NAMES[kind], text.encode())

    def again(other: Source) -> Reading:
        return read(other, kind, lambda: environ or {}, arguments or {})[1]

    file = ReadFile(source, kind, again(source))
    found: Sequence[Finding] = [Finding(site, trusted(site.ref, salt)) for site in file.reading.sites]
    return pinned_text(file, found, again)


def short(text: str) -> str:
    """The text with each digest as ``sha256:#``."""
    import re

    return re.sub(r"sha256:[0-9a-f]{64}", "sha256:#", text)
