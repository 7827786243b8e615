"""An IMAGE on docker's command line: what the policy says of it, and what docker is told in its place."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from trustkit.client.enforce import Verdict
from trustkit.core.familiar import familiar
from trustkit.core.names import ImageRef, shown
from trustkit.errors import InvalidReference, PolicyDenies, UsageError
from trustkit.hooks.docker_flags import FALSE

_ID = re.compile(r"(sha256:[0-9a-f]{1,64}|[0-9a-f]{12,64})\Z")
_IMAGE_CONTEXT = "docker-image://"

Judge = Callable[[ImageRef], Verdict]


def image_of(text: str) -> ImageRef:
    """The reference that docker reads in an IMAGE.

    Raises:
        InvalidReference: it is none; or it may be the id of an image that is on the engine, which no policy knows.
    """
    if _ID.match(text):
        raise InvalidReference(
            f"{shown(text)} is an image's id, or may be, and policies judge names.",
            hint="Write NAME:TAG, or NAME@sha256:... where the policy takes digests.",
        )
    return familiar(text)


@dataclass(frozen=True)
class Images:
    """What may be used, and how docker is told it.

    Args:
        ask: the policy.
        warn: says one line.
        fetch: has the engine get what is signed, by digest, and tag it; None where docker itself gets it.
    """

    ask: Judge
    warn: Callable[[str], None]
    fetch: Callable[[Verdict], Verdict] | None = None

    def argument(self, text: str) -> str:
        """What docker is told in the place of an IMAGE: its name with the digest that was verified.

        Where the policy takes it unsigned, it is the name in full, so that docker can't take it for an id.

        Raises:
            InvalidReference: as ``image_of``.
            NotTrusted and its leaves, NotAllowed: it is refused.
            EngineFailed: the engine doesn't get it.
        """
        ref = image_of(text)
        verdict = self._verdict(ref)
        if verdict.trusted is not None and self.fetch is not None:
            verdict = self.fetch(verdict)
        image = verdict.image or ref
        return str(replace(image, tag=None) if image.digest is not None else image)

    def _verdict(self, ref: ImageRef) -> Verdict:
        verdict = self.ask(ref)
        if not verdict.allowed:
            raise verdict.error or PolicyDenies(f"{ref} is refused.")
        if verdict.trusted is None:
            self.warn(f"WARNING: {verdict.reason}")
        return verdict

    def mount(self, text: str) -> str:
        """The value of ``--mount`` with its image, where it mounts one, by digest.

        Raises:
            UsageError: nobody can say what it mounts.
            As ``argument``.
        """
        fields = _fields(text, "--mount")
        if any(each.lower().startswith("type=") and not each.isascii() for each in fields):
            raise UsageError("--mount has a type that docker may read in another way.", hint="Write type=image.")
        parts = [(key.strip().lower(), value) for key, _, value in (each.partition("=") for each in fields)]
        if ("type", "image") not in [(key, value.strip().lower()) for key, value in parts]:
            return text
        made = []
        for (key, value), field in zip(parts, fields, strict=True):
            made.append(f"{key}={self.argument(value)}" if key in ("source", "src") else field)
        return _joined(made)

    def cache(self, text: str) -> str:
        """The value of ``--cache-from``: an image's layers get into what is built, so it is judged as any other.

        Raises:
            UsageError: it names a registry's image in the long form.
            As ``argument``.
        """
        fields = _fields(text, "--cache-from")
        if all("=" not in each for each in fields):
            return _joined([self.argument(each) for each in fields])
        if any(each.replace(" ", "").lower() == "type=registry" for each in fields):
            raise UsageError(
                "--cache-from type=registry isn't verified: what is in such a cache gets into the image.",
                hint="Leave it out, or name a signed image: --cache-from NAME:TAG",
            )
        return text

    def attestation(self, text: str, flag: str) -> str:
        """The value of ``--sbom`` or ``--attest`` with the image that makes it, which sees all that is built.

        Raises:
            UsageError: it leaves that image to the builder.
            As ``argument``.
        """
        fields = _fields(text, flag)
        parts = [(key.strip().lower(), value) for key, _, value in (each.partition("=") for each in fields)]
        if text in FALSE or (flag == "--attest" and ("type", "sbom") not in parts):
            return text
        if "generator" in (key for key, _ in parts):
            made = zip(parts, fields, strict=True)
            return _joined([f"{key}={self.argument(of)}" if key == "generator" else each for (key, of), each in made])
        if [value for key, value in parts if key == "disabled"] == ["true"]:
            return text
        raise UsageError(
            f"{flag} has an image look through all that is built, and names none that could be verified.",
            hint=f"Name a signed one: {flag} {'type=sbom,' if flag == '--attest' else ''}generator=NAME:TAG",
        )

    def context(self, text: str) -> tuple[str, str]:
        """The name of a ``--build-context``, and its value with its image, where it is one, by digest.

        Raises:
            As ``argument``.
        """
        name, _, value = text.partition("=")
        if not value.strip().lower().startswith(_IMAGE_CONTEXT):
            return name, text
        return name, f"{name}={_IMAGE_CONTEXT}{self.argument(value.strip()[len(_IMAGE_CONTEXT) :])}"


def _fields(text: str, flag: str) -> list[str]:
    try:
        (fields,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise UsageError(f"The value of {flag} can't be read.", hint="Write KEY=VALUE,KEY=VALUE.") from error
    return fields


def _joined(fields: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(fields)
    return out.getvalue()
