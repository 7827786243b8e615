"""``docker build`` of what is signed: the Dockerfile is read once, and docker gets a copy with every image by digest.

The context stays as it is.  Dockerfiles that docker would take from somewhere else (a repository, an archive) are
refused: what is verified has to be what is built.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from trustkit.builds.dockerfile import FROM_SETTINGS, PER_PLATFORM, read_dockerfile
from trustkit.builds.read import FileKind
from trustkit.builds.sites import Place, Reading, Site
from trustkit.builds.source import MAX_BYTES, OUTSIDE, Source, shown_path
from trustkit.client.enforce import Verdict
from trustkit.client.pinning import Finding, ReadFile, Waived, pinned_text
from trustkit.core.names import ImageRef, shown
from trustkit.errors import PolicyDenies, StateError, TrustkitError, UsageError
from trustkit.home.files import read_bounded
from trustkit.hooks.docker_flags import Flags

_IGNORE = ".dockerignore"
_DEFAULT = ("Dockerfile", "dockerfile")
"""What docker looks for in a context; the second for those who have always written it so."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile, before it is pinned.

    Args:
        ignore: what stands beside it for it alone (``NAME.dockerignore``), if anything.
    """

    source: Source
    ignore: bytes | None = None


def recipe(context: str, file: str | None, stdin: Callable[[int], bytes]) -> Recipe:
    """The Dockerfile of a build.

    Args:
        context: the build's PATH, URL or ``-``.
        file: the value of ``--file``, if any.
        stdin: reads that many bytes of standard input, and one more.

    Raises:
        UsageError: it is somewhere that docker reads by itself, or nowhere.
        BuildFileInvalid: it is no text.
    """
    if context == "-" and file is not None:
        raise UsageError(
            "With the context on standard input, its Dockerfile can't be verified.",
            hint="Unpack it, and build the folder.",
        )
    if context != "-" and not Path(context).is_dir():  # also with a Dockerfile from elsewhere, which a URL overrides
        raise UsageError(
            f"{shown(context)} is no folder here, and the Dockerfile of a repository or an archive isn't verified.",
            hint="Fetch it, and build the folder.",
        )
    if file == "-" or context == "-":
        return Recipe(_decoded("-", stdin(MAX_BYTES)))
    if file is not None and "://" in file:
        raise UsageError(f"{shown(file)} is no file here.", hint="Fetch it, and give its name.")
    names = (file,) if file is not None else tuple(str(Path(context, name)) for name in _DEFAULT)
    for name in names:
        data = read_bounded(Path(name), MAX_BYTES)
        if data is not None:
            return Recipe(_decoded(name, data), read_bounded(Path(name + _IGNORE), MAX_BYTES))
    raise UsageError(f"There is no file {shown_path(names[0])}.", hint="Name the Dockerfile: --file NAME")


def _decoded(name: str, data: bytes) -> Source:
    if len(data) > MAX_BYTES or b"\0" in data[:MAX_BYTES]:
        raise UsageError(
            f"{'Standard input' if name == '-' else shown_path(name)} is no Dockerfile.",
            hint="Contexts in archives can't be verified: unpack it, and build the folder.",
        )
    return Source.decode(name, data)


def build_arguments(given: Collection[str], environ: Mapping[str, str]) -> dict[str, str]:
    """What ``--build-arg`` sets: NAME=VALUE, or NAME for the environment's value, as docker has it.

    Raises:
        UsageError: a NAME has no value there.  BuildKit leaves it what it was, the classic builder takes even the
            Dockerfile's own default away; what no image can depend on is left out.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
        elif name in found or name not in FROM_SETTINGS:
            raise UsageError(
                f"--build-arg {shown(name)} has no value, and the environment has none for it.",
                hint="Give it one, or leave it out: builders disagree what that means.",
            )
    return found


def check_builder(arguments: Mapping[str, str], flags: Callable[[], Flags]) -> None:
    """Refuses what Docker's classic builder takes for another image than BuildKit, which alone has ``--builder``.

    Raises:
        UsageError: a build argument says the platform, which the classic builder doesn't know in FROM.
        EngineFailed: docker doesn't tell its flags.
    """
    given = sorted(PER_PLATFORM & arguments.keys())
    if given and "builder" not in flags().values:
        raise UsageError(
            f"--build-arg {given[0]} means something to BuildKit alone, and this docker builds without it.",
            hint="Install docker's plugin buildx, or leave the argument out.",
        )


def pinned(
    source: Source,
    ask: Callable[[ImageRef], Verdict],
    *,
    arguments: Mapping[str, str],
    contexts: Collection[str] = (),
    warn: Callable[[str], None],
) -> str:
    """The Dockerfile's text with each image by the digest that was verified.

    Args:
        ask: the policy.
        arguments: build arguments.
        contexts: the names of additional build contexts.
        warn: says one line.

    Raises:
        BuildFileInvalid: it can't be read, or nobody can say which image a name means.
        CannotPin: a digest doesn't fit.
        NotTrusted and its leaves, NotAllowed: an image is refused; the error says in which line.
        InvalidSetting: the parser isn't installed.
    """

    def read(text: Source) -> Reading:
        return read_dockerfile(text, text.traced, arguments, contexts)

    file = ReadFile(source, FileKind.DOCKERFILE, read(source))
    answers: dict[ImageRef, Verdict] = {}
    found = []
    for site in file.reading.sites:
        verdict = answers.get(site.ref) or ask(site.ref)
        if site.ref not in answers and verdict.allowed and verdict.trusted is None:
            warn(f"WARNING: {shown_path(source.name)}:{site.line}: {verdict.reason}")
        answers[site.ref] = verdict
        found.append(_finding(source, site, verdict))
    return pinned_text(file, found, read)


def _finding(source: Source, site: Site, verdict: Verdict) -> Finding:
    if not verdict.allowed:
        raise _at(source, site, verdict.error or PolicyDenies(f"{site.ref} is refused."))
    if verdict.trusted is None:
        return Finding(site, Waived(verdict.rule))
    if not site.places and site.ref.digest is None and site.end != OUTSIDE:
        # set outside the file, as by --build-arg: in a copy for this build alone, the digest goes after the variable
        site = replace(site, places=(Place(site.end, site.end),))
    return Finding(site, verdict.trusted)


def _at(source: Source, site: Site, error: TrustkitError) -> TrustkitError:
    """The same error, which says where."""
    error.message = f"{shown_path(source.name)}:{site.line} ({site.what}): {error.message}"
    return error


@contextmanager
def written(text: str, ignore: bytes | None) -> Iterator[Path]:
    """A Dockerfile in a folder of its own, gone afterwards.

    Raises:
        StateError: it can't be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="trustkit-build-") as folder:
            path = Path(folder, "Dockerfile")
            path.write_bytes(text.encode())
            if ignore is not None:
                Path(folder, path.name + _IGNORE).write_bytes(ignore)
            yield path
    except OSError as error:
        raise StateError(
            f"The Dockerfile with its digests can't be written: {error.strerror}.", hint="Look at TMPDIR."
        ) from error
