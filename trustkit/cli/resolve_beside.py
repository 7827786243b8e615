"""What a tool reads though nobody has named it: beside the files that were given, or by what stands in ``.env``.

Whoever may push can put such a file beside one that was checked.  compose-go has the names (``cli/options.go``), as
have podman-compose and buildah (``DiscoverContainerfile``); of two files they and docker take different ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from trustkit.builds.read import FileKind
from trustkit.builds.sites import Build
from trustkit.builds.source import Source, shown_path
from trustkit.client.pinning import ReadFile
from trustkit.errors import BuildFileInvalid

_STEMS = ("compose", "docker-compose", "podman-compose", "container-compose")
COMPOSE_NAMES = tuple(
    f"{stem}{part}.{end}" for stem in _STEMS for part in ("", ".override") for end in ("yaml", "yml")
)
BUILD_NAMES = ("Dockerfile", "Containerfile", "ContainerFile", "containerfile", "DockerFile", "dockerfile")
_ALSO = "Give it, too: {}. Where it plays no part (compose -f, build -f): --these-only"


def check_beside(file: ReadFile, given: Collection[Path], environment: Mapping[str, str | None]) -> None:
    """Holds that whatever a tool takes along with a file, or in its place, is given as well.

    Args:
        given: the files that are read, resolved.
        environment: compose's variables, for a compose file.

    Raises:
        BuildFileInvalid: something else is there.
    """
    source = file.source
    here = Path(source.name).parent
    if file.kind is FileKind.COMPOSE:
        _check_listed(source, here, given, environment)
        for build in file.reading.builds:
            _check_built(source, here, build, given)
    names = {FileKind.COMPOSE: COMPOSE_NAMES, FileKind.DOCKERFILE: BUILD_NAMES}.get(file.kind, ())
    if Path(source.name).name in names:
        for path in _others(here, names, given):
            raise source.invalid_line(
                1,
                f"lies beside {shown_path(str(path))}, which some tools read with it or in its place.",
                hint=_ALSO.format(shown_path(str(path))),
            )


def _others(folder: Path, names: Collection[str], given: Collection[Path]) -> Iterator[Path]:
    """What has one of these names there, a link that leads nowhere too, and isn't given."""
    for name in names:
        path = folder / name
        if (path.exists() or path.is_symlink()) and path.resolve() not in given:
            yield path


def _check_listed(source: Source, here: Path, given: Collection[Path], environment: Mapping[str, str | None]) -> None:
    """COMPOSE_FILE, of the environment or ``.env``: the files that compose reads where none is named."""
    listed, divider = environment.get("COMPOSE_FILE", ""), environment.get("COMPOSE_PATH_SEPARATOR", ":")
    if listed is None or divider is None:
        raise source.invalid_line(
            1,
            "lies beside a .env whose COMPOSE_FILE can't be read here.",
            hint="Write COMPOSE_FILE plainly, or remove it.",
        )
    for name in filter(None, listed.split(divider or ":")):
        if (here / name).resolve() not in given and Path(name).resolve() not in given:
            path = shown_path(name)
            raise source.invalid_line(
                1, f"is read by compose along with {path}, which COMPOSE_FILE names.", hint=_ALSO.format(path)
            )


def _check_built(source: Source, here: Path, build: Build, given: Collection[Path]) -> None:
    path = here / build.context / build.dockerfile
    if path.resolve() not in given:
        raise _unread(source, build, path)
    if build.by_default:
        for other in _others(path.parent, BUILD_NAMES, given):
            raise _unread(source, build, other)


def _unread(source: Source, build: Build, path: Path) -> BuildFileInvalid:
    said = shown_path(str(path))
    return source.invalid_line(
        build.line, f"(build) is by {said}, which is not among the files given.", hint=_ALSO.format(said)
    )
